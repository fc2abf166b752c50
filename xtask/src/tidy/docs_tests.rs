//! A test that the docs name is a test that exists.

use std::collections::BTreeSet;

use super::Problem;
use crate::repo::SourceFile;

/// The last column of tables whose rows are shown by tests.
const COLUMN: &str = "Test";

/// Finds names in the column of tests that no function has.
pub(super) fn check(files: &[SourceFile]) -> Vec<Problem> {
    let is_page = |path: &str| path.starts_with("docs/") && path.ends_with(".md");
    let functions: BTreeSet<_> = files
        .iter()
        .filter(|file| file.path.ends_with(".rs"))
        .flat_map(|file| file.text.split("fn ").skip(1).map(name_at_start))
        .collect();
    let mut problems = Vec::new();
    for file in files.iter().filter(|file| is_page(&file.path)) {
        for (line, name) in named_tests(&file.text) {
            if !functions.contains(name) {
                problems.push(Problem::new(&file.path, line, format!("no test `{name}`")));
            }
        }
    }
    problems
}

/// The names in the column of tests, with their lines. A span without an underscore is of something else.
fn named_tests(text: &str) -> Vec<(usize, &str)> {
    let mut names = Vec::new();
    let mut is_of_tests = false;
    let mut was_table = false;
    for (index, line) in text.lines().enumerate() {
        let is_table = line.starts_with('|');
        let last = line.trim_end().trim_end_matches('|').rsplit('|').next().unwrap_or_default();
        if is_table && !was_table {
            is_of_tests = last.trim() == COLUMN;
        }
        was_table = is_table;
        if is_table && is_of_tests {
            let spans = last.split('`').skip(1).step_by(2);
            let last_parts = spans.map(|span| span.rsplit("::").next().unwrap_or(span));
            names.extend(last_parts.filter(|name| name.contains('_')).map(|name| (index + 1, name)));
        }
    }
    names
}

fn name_at_start(text: &str) -> &str {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(text.len());
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_the_column_of_tests_exists() {
        let page = "\
            `not_a_test` before\n\
            \n\
            | Case | Test |\n\
            |---|---|\n\
            | `no_column` | `it_is_there`, `gone_since` (`capture`) |\n\
            | b | `module::it_is_there` |\n\
            \n\
            | Case | Answer |\n\
            | a | `no_test` |\n";
        let file = |path: &str, text: &str| SourceFile { path: path.to_owned(), text: text.to_owned() };
        let code = file("crates/a/tests/a.rs", "async fn it_is_there() {}");
        let found: Vec<_> = check(&[file("docs/a.md", page), code]).iter().map(Problem::to_string).collect();
        assert_eq!(found, ["docs/a.md:5: no test `gone_since`"]);
    }
}
