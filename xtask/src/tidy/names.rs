//! Words that say nothing, or that the glossary gives another meaning, are no names.

use std::path::Path;

use super::{Problem, rust};
use crate::repo::SourceFile;

/// In the singular; their plurals are no better.
const BANNED: &[&str] = &["agent", "manager", "handler", "util", "helper", "context", "data"];

/// Keywords that are followed by a name of our choice.
const DEFINES: &[&str] = &["mod", "struct", "enum", "trait", "type", "fn"];

/// A name that we did not choose.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowed {
    pub(super) path: &'static str,
    pub(super) name: &'static str,
    /// The foreign interface that has the name.
    pub(super) reason: &'static str,
}

/// Names that a foreign interface forces on us.
pub(super) const ALLOWED: &[Allowed] = &[];

/// Finds banned words in the names of Rust files and in what they define, and permissions that nothing needs.
pub(super) fn check(files: &[SourceFile], allowed: &[Allowed]) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut unused = allowed.to_vec();
    for file in files.iter().filter(|file| file.path.ends_with(".rs")) {
        let parts = Path::new(&file.path).with_extension("");
        let parts = parts.iter().filter_map(|part| part.to_str());
        let in_path = parts.map(|part| (1, "file", part.to_owned()));
        for (line, what, name) in in_path.chain(definitions(&file.text)) {
            let Some(word) = banned_word(&name) else { continue };
            let is_this = |allowed: &Allowed| allowed.path == file.path && allowed.name == name;
            unused.retain(|allowed| !is_this(allowed));
            if !allowed.iter().any(is_this) {
                let message =
                    format!("{what} `{name}`: `{word}` says nothing, or another thing; find the noun");
                problems.push(Problem::new(&file.path, line, message));
            }
        }
    }
    problems.extend(unused.iter().map(|allowed| {
        let message =
            format!("`{}` is allowed ({}) and not there; forbid it again", allowed.name, allowed.reason);
        Problem::new(allowed.path, 1, message)
    }));
    problems
}

/// Line, keyword and name of everything that a source defines.
fn definitions(text: &str) -> Vec<(usize, &'static str, String)> {
    let code = rust::split(text).code;
    let mut found = Vec::new();
    for (index, line) in code.lines().enumerate() {
        let tokens: Vec<_> = line.split_whitespace().collect();
        for pair in tokens.windows(2) {
            // The type `fn(u8)` is one token with what follows it, so it defines nothing here.
            let Some(keyword) = DEFINES.iter().find(|keyword| **keyword == pair[0]) else { continue };
            let name = pair[1].trim_start_matches("r#");
            let end = name.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(name.len());
            found.push((index + 1, *keyword, name[..end].to_owned()));
        }
    }
    found
}

fn banned_word(name: &str) -> Option<&'static str> {
    let words = words(name);
    let is_there = |banned: &&&str| {
        words.iter().any(|word| word == **banned || word.strip_suffix('s') == Some(**banned))
    };
    BANNED.iter().find(is_there).copied()
}

/// The words of a name in snake, kebab or camel case, in lower case.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let chars: Vec<_> = name.chars().collect();
    for (index, &c) in chars.iter().enumerate() {
        let after_lower = index > 0 && !chars[index - 1].is_uppercase();
        let before_lower = chars.get(index + 1).is_some_and(|next| next.is_lowercase());
        let begins_word = c.is_uppercase() && (after_lower || before_lower);
        if begins_word || !c.is_alphanumeric() {
            words.push(String::new());
        }
        if c.is_alphanumeric() {
            words.last_mut().expect("there is always a word").extend(c.to_lowercase());
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_file(path: &str, text: &str, expected: &[&str]) {
        let file = SourceFile { path: path.to_owned(), text: text.to_owned() };
        let see = "says nothing, or another thing; find the noun";
        let expected: Vec<_> = expected.iter().map(|start| format!("{start} {see}")).collect();
        let found: Vec<_> = check(&[file], &[]).iter().map(Problem::to_string).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn banned_words_in_definitions() {
        check_file(
            "src/a.rs",
            "pub(crate) struct WorkerManager;",
            &["src/a.rs:1: struct `WorkerManager`: `manager`"],
        );
        check_file("src/a.rs", "\n\nasync fn user_data<T>(t: T) {}", &["src/a.rs:3: fn `user_data`: `data`"]);
        check_file("src/a.rs", "mod utils;", &["src/a.rs:1: mod `utils`: `util`"]);
        check_file("src/a.rs", "type HTTPHandler = u8;", &["src/a.rs:1: type `HTTPHandler`: `handler`"]);
        check_file("src/a.rs", "trait A { type Context; }", &["src/a.rs:1: type `Context`: `context`"]);
        check_file("src/agents/b.rs", "", &["src/agents/b.rs:1: file `agents`: `agent`"]);
        check_file("src/test_helper.rs", "", &["src/test_helper.rs:1: file `test_helper`: `helper`"]);
    }

    #[test]
    fn other_words_are_fine() {
        check_file("src/metadata.rs", "struct Metadata; fn database() {} enum Utility { Agent, Data }", &[]);
        check_file("src/a.rs", "// struct Manager\nlet s = \"fn helper()\"; let f: fn(data: u8) = g;", &[]);
        check_file("src/a.rs", "fn poll(cx: &mut Context<'_>) -> Data {}", &[]);
        check_file("docs/context.md", "struct Manager;", &[]);
    }

    #[test]
    fn a_foreign_name_is_allowed_where_it_is_needed() {
        let allowed = [Allowed { path: "src/a.rs", name: "Context", reason: "a trait of std" }];
        let file = |text: &str| [SourceFile { path: "src/a.rs".to_owned(), text: text.to_owned() }];
        assert_eq!(check(&file("trait A { type Context; }"), &allowed), []);
        let found: Vec<_> = check(&file(""), &allowed).iter().map(Problem::to_string).collect();
        assert_eq!(
            found,
            ["src/a.rs:1: `Context` is allowed (a trait of std) and not there; forbid it again"]
        );
    }
}
