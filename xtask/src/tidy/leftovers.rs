//! Work that somebody meant to come back to.

use super::{Problem, rust};
use crate::repo::SourceFile;

const MACROS: &[&str] = &["todo!(", "unimplemented!("];
const MARKS: &[&str] = &["FIXME", "XXX"];

/// Finds unfinished code, silenced tests and silenced lints in Rust files.
pub(super) fn check(files: &[SourceFile]) -> Vec<Problem> {
    let rust = files.iter().filter(|file| file.path.ends_with(".rs"));
    rust.flat_map(|file| check_source(&file.path, &file.text)).collect()
}

fn check_source(path: &str, text: &str) -> Vec<Problem> {
    let layers = rust::split(text);
    let mut problems = Vec::new();
    for (index, line) in layers.code.lines().enumerate() {
        let mut found = |message: String| problems.push(Problem::new(path, index + 1, message));
        for name in MACROS.iter().filter(|name| line.contains(**name)) {
            found(format!("`{name}…)` is unfinished work"));
        }
        if line.contains("#[ignore") {
            found("an ignored test tests nothing; assert what happens today and say so".to_owned());
        }
    }
    for (index, line) in layers.comments.lines().enumerate() {
        let mut words = line.split(|c: char| !c.is_alphanumeric());
        if let Some(mark) = words.find(|word| MARKS.contains(word)) {
            problems.push(Problem::new(path, index + 1, format!("{mark}: do it, or open an issue")));
        }
    }
    for (line, attribute) in attributes(&layers.code) {
        let allows = ["[allow(", " allow(", ",allow("].iter().any(|start| attribute.contains(start));
        if allows && !attribute.contains("reason") {
            let message = "`allow` without a reason; write `#[expect(…, reason = \"…\")]`";
            problems.push(Problem::new(path, line, message));
        }
    }
    problems
}

/// Attributes, from their `#` to the bracket that closes them, with the lines they begin on.
fn attributes(code: &str) -> Vec<(usize, &str)> {
    let begins = code.match_indices('#').filter(|(at, _)| {
        let rest = &code[at + 1..];
        rest.starts_with('[') || rest.starts_with("![")
    });
    begins
        .map(|(at, _)| {
            let line = code[..at].matches('\n').count() + 1;
            let mut depth = 0_usize;
            let end = code[at..].char_indices().find_map(|(offset, c)| {
                depth += usize::from(c == '[');
                let closes = c == ']' && depth == 1;
                depth -= usize::from(c == ']' && depth > 0);
                closes.then_some(at + offset + 1)
            });
            (line, &code[at..end.unwrap_or(code.len())])
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_text(text: &str, expected: &[&str]) {
        let found: Vec<_> = check_source("a.rs", text).iter().map(Problem::to_string).collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn unfinished_work_is_found() {
        check_text("fn f() {\n    todo!()\n}", &["a.rs:2: `todo!(…)` is unfinished work"]);
        check_text("unimplemented!(\"x\")", &["a.rs:1: `unimplemented!(…)` is unfinished work"]);
        check_text("/// Good.\n// FIXME: bad", &["a.rs:2: FIXME: do it, or open an issue"]);
        check_text(
            "#[test]\n#[ignore = \"slow\"]\nfn f() {}",
            &["a.rs:2: an ignored test tests nothing; assert what happens today and say so"],
        );
    }

    #[test]
    fn lints_are_silenced_only_with_a_reason() {
        let problem = "`allow` without a reason; write `#[expect(…, reason = \"…\")]`";
        check_text("#[allow(dead_code)]\nfn f() {}", &[&format!("a.rs:1: {problem}")]);
        check_text("\n#![allow(\n    dead_code,\n)]", &[&format!("a.rs:2: {problem}")]);
        check_text("#[cfg_attr(not(test), allow(dead_code))]", &[&format!("a.rs:1: {problem}")]);
        check_text("#[allow(dead_code, reason = \"the macro makes it\")]", &[]);
        check_text("#[expect(dead_code, reason = \"the next one uses it\")]", &[]);
    }

    #[test]
    fn words_in_strings_are_only_words() {
        check_text("let s = \"todo!() FIXME #[ignore] #[allow(x)]\"; // todo!()", &[]);
        check_text("// XXXX and prefixme\nfn allow() { allow() }", &[]);
    }
}
