//! A text of the repository holds for every machine: no home directories, no registries of somebody.

use super::Problem;
use crate::repo::SourceFile;

/// Directories directly below `/` that belong to somebody.
const HOMES: &[&str] = &["root", "home", "Users"];

/// Registries, which are for each machine's own settings to choose; the name, and the domain it is in.
const REGISTRIES: &[(&str, &str)] = &[
    ("index", "crates.io"),
    ("static", "crates.io"),
    ("registry", "npmjs.org"),
    ("registry", "yarnpkg.com"),
    ("files", "pythonhosted.org"),
    ("deb", "debian.org"),
    ("archive", "ubuntu.com"),
];

/// Directories whose files repeat what some machine once said.
const RECORDED: &[&str] = &["captures", "fixtures", "snapshots"];

/// Finds paths of one machine and hosts of registries.
pub(super) fn check(files: &[SourceFile]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for file in files.iter().filter(|file| !is_recorded(&file.path)) {
        let text = product(&file.path, &file.text);
        for (index, line) in text.lines().enumerate() {
            let mut found = |message: String| problems.push(Problem::new(&file.path, index + 1, message));
            for home in HOMES.iter().filter(|home| names_home(line, home)) {
                found(format!("`/{home}/` is a place on one machine"));
            }
            for (name, domain) in REGISTRIES {
                let host = format!("{name}.{domain}");
                if line.contains(&host) {
                    found(format!("`{host}` is a registry; the machine's settings choose it"));
                }
            }
        }
    }
    problems
}

/// What is not a test of its text: tests may make up any path.
fn product<'a>(path: &str, text: &'a str) -> &'a str {
    let is_rust = path.ends_with(".rs");
    let is_test = path.starts_with("tests/") || path.contains("/tests/") || path.ends_with("/tests.rs");
    match text.find("#[cfg(test)]") {
        _ if is_rust && is_test => "",
        Some(at) if is_rust => &text[..at],
        Some(_) | None => text,
    }
}

fn is_recorded(path: &str) -> bool {
    path.split('/').any(|part| RECORDED.contains(&part))
}

/// Whether a line has an absolute path below `/home/`, and not one that only contains these letters.
fn names_home(line: &str, home: &str) -> bool {
    let pattern = format!("/{home}/");
    line.match_indices(&pattern).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        before.is_none_or(|c| c.is_whitespace() || "\"'`(=:<,[".contains(c))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_text(path: &str, text: &str, expected: &[&str]) {
        let file = SourceFile { path: path.to_owned(), text: text.to_owned() };
        let found: Vec<_> = check(&[file]).iter().map(Problem::to_string).collect();
        assert_eq!(found, expected, "{path}: {text}");
    }

    #[test]
    fn places_of_one_machine_are_found() {
        check_text(
            "a.toml",
            "x = 1\npath = \"/home/me/x\"",
            &["a.toml:2: `/home/` is a place on one machine"],
        );
        check_text(
            "src/a.rs",
            "let p = \"/root/.npm\";",
            &["src/a.rs:1: `/root/` is a place on one machine"],
        );
        check_text(
            ".npmrc",
            concat!("registry=https://registry.", "npmjs.org/"),
            &[concat!(".npmrc:1: `registry.", "npmjs.org` is a registry; the machine's settings choose it")],
        );
    }

    #[test]
    fn tests_and_recordings_may_name_any_place() {
        check_text("src/a.rs", "fn f() {}\n#[cfg(test)]\nmod tests { /home/me/ }", &[]);
        check_text("crates/core/src/worker/tests.rs", "\"/home/me/\"", &[]);
        check_text("tests/src/lib.rs", "\"/home/me/\"", &[]);
        check_text("crates/x/fixtures/a.jsonl", "\"/home/me/\"", &[]);
    }

    #[test]
    fn other_paths_pass() {
        check_text(
            "README.md",
            "`target/root/x`, $HOME/home/x, example.org/home/, /srv/shop, crates.io",
            &[],
        );
    }
}
