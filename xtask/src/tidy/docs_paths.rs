//! A path that the docs name is a path that exists.

use std::collections::BTreeSet;

use super::Problem;
use crate::repo::SourceFile;

/// How a path of the repository begins.
const ROOTS: &[&str] = &["crates/", "clients/", "docs/", "xtask/", "tests/", ".ci/"];

/// Pages outside `docs/` that are read as docs.
const PAGES: &[&str] = &["README.md", "CONTRIBUTING.md"];

/// Finds code spans in the docs that look like a path of the repository and lead nowhere.
pub(super) fn check(files: &[SourceFile], paths: &BTreeSet<String>) -> Vec<Problem> {
    let mut problems = Vec::new();
    let is_page = |path: &str| PAGES.contains(&path) || (path.starts_with("docs/") && path.ends_with(".md"));
    for file in files.iter().filter(|file| is_page(&file.path)) {
        for (line, span) in code_spans(&file.text) {
            if let Some(path) = repo_path(span).filter(|path| !paths.contains(*path)) {
                problems.push(Problem::new(&file.path, line, format!("`{path}` does not exist")));
            }
        }
    }
    problems
}

/// The spans between backticks outside of code blocks, with their lines.
fn code_spans(text: &str) -> Vec<(usize, &str)> {
    let mut spans = Vec::new();
    let mut in_block = false;
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_block = !in_block;
        } else if !in_block {
            spans.extend(line.split('`').skip(1).step_by(2).map(|span| (index + 1, span)));
        }
    }
    spans
}

/// The path that a span names, without a line number or a slash at its end.
/// A pattern (`crates/*/src`, `crates/<name>`) names no path.
fn repo_path(span: &str) -> Option<&str> {
    let first = span.split_whitespace().next()?;
    if !ROOTS.iter().any(|root| first.starts_with(root)) || first.contains(['*', '<', '{', '…']) {
        return None;
    }
    let path = first.split([':', '#']).next()?;
    Some(path.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_page(page: &str, text: &str, expected: &[&str]) {
        let paths = ["crates", "crates/core", "crates/core/src/lib.rs"].map(str::to_owned).into();
        let file = SourceFile { path: page.to_owned(), text: text.to_owned() };
        let found: Vec<_> = check(&[file], &paths).iter().map(Problem::to_string).collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn paths_in_code_spans_exist() {
        check_page("README.md", "See `crates/core/src/lib.rs:12` and `crates/core/`.", &[]);
        check_page("README.md", "\nSee `crates/gone.rs`.", &["README.md:2: `crates/gone.rs` does not exist"]);
        check_page(
            "docs/adr/1.md",
            "`a` `docs/gone.md#top` b",
            &["docs/adr/1.md:1: `docs/gone.md` does not exist"],
        );
    }

    #[test]
    fn what_is_no_path_of_the_repository_passes() {
        check_page("README.md", "`crates/*/src`, `src/lib.rs`, `text/html`, crates/gone.rs", &[]);
        check_page("README.md", "```\n`crates/gone.rs`\n```\n", &[]);
        check_page("crates/core/NOTES.md", "`crates/gone.rs`", &[]);
    }
}
