//! Replaces a text inside of a file.

use std::borrow::Cow;

use memchr::memmem;
use musher_backend::ToolOutput;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    Stop,
    replace::{self, Old},
};
use crate::{
    bound,
    directories::Directories,
    refusal::{EditRefusal, Near, Refusal},
    workspace::is_binary,
};

pub(super) const DESCRIPTION: &str = "Replaces a text in a file by another. `old` must be in the file exactly as it is \
    written here, with every space, and once, unless `replace_all` is set.";

/// An edit holds the file, its new text and their diff in memory, a few times over; a text that a model edits is far
/// smaller.
pub(super) const EDIT_LIMIT: u64 = 16 * 1024 * 1024;

/// Enough places for a model to see what they have in common.
const LINES_SHOWN: usize = 10;

/// As much of a line as shows how it differs.
const LINE_SHOWN: usize = 200;

/// A line is like another when so many of ten of its characters are.
const LIKENESS: f32 = 0.5;

/// Comparing a line with every other takes time with the product of their lengths.
const LINES_COMPARED: usize = 5000;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Arguments {
    /// The file, relative to the workspace; or its absolute path in a further directory.
    path: String,
    /// The text to replace.
    old: String,
    /// The text to put in its place.
    new: String,
    /// Whether to replace it everywhere; otherwise it must be there once.
    #[serde(default)]
    replace_all: bool,
}

pub(super) fn work(
    directories: &Directories,
    arguments: Arguments,
    stop: &Stop,
) -> Result<ToolOutput, Refusal> {
    let Arguments { path, old, new, replace_all } = arguments;
    let (directory, place) = directories.find_to_change(&path)?;
    let _writing = directories.writing();
    stop.check()?;
    let (bytes, metadata) = directory.read(&place, EDIT_LIMIT)?;
    if is_binary(&bytes) {
        return Err(Refusal::Binary { path: place.name, bytes: metadata.len() });
    }
    let scope = if replace_all { Scope::Everywhere } else { Scope::Once };
    let Edited { bytes: edited, n_replaced } = edit(&bytes, &old, &new, scope)?;
    stop.check()?;
    let times = if n_replaced == 1 { "once" } else { &format!("{n_replaced} times") };
    let done = format!("replaced {times} in {}", place.name);
    replace::replace(directory, &place, Some(&Old { bytes, metadata }), &edited, done)
}

/// How often a text may be replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    Once,
    Everywhere,
}

#[derive(Debug, PartialEq, Eq)]
struct Edited {
    bytes: Vec<u8>,
    n_replaced: usize,
}

/// Replaces a text exactly. In a file whose lines all end with CR LF the LF of a model means that.
fn edit(file: &[u8], old: &str, new: &str, scope: Scope) -> Result<Edited, EditRefusal> {
    if old.is_empty() {
        return Err(EditRefusal::Empty);
    }
    if old == new {
        return Err(EditRefusal::Same);
    }
    let crlf = has_crlf_only(file);
    let wanted = if crlf { with_crlf(old) } else { Cow::Borrowed(old) };
    let instead = if crlf { with_crlf(new) } else { Cow::Borrowed(new) };
    let places: Vec<usize> = find(file, wanted.as_bytes());
    match (places.len(), scope) {
        (0, _) => Err(EditRefusal::NotFound(nearest(&String::from_utf8_lossy(file), old))),
        (1, _) | (_, Scope::Everywhere) => {
            let mut bytes = Vec::with_capacity(file.len());
            let mut from = 0;
            for &place in &places {
                bytes.extend_from_slice(&file[from..place]);
                bytes.extend_from_slice(instead.as_bytes());
                from = place + wanted.len();
            }
            bytes.extend_from_slice(&file[from..]);
            Ok(Edited { bytes, n_replaced: places.len() })
        }
        (n_matches, Scope::Once) => {
            let line_of = |place: &usize| 1 + file[..*place].iter().filter(|&&byte| byte == b'\n').count();
            let first_lines = places.iter().take(LINES_SHOWN).map(line_of).collect();
            Err(EditRefusal::Ambiguous { n_matches, first_lines })
        }
    }
}

/// Where a text begins. Places that overlap count as two when there would be one otherwise: which is meant?
fn find(file: &[u8], wanted: &[u8]) -> Vec<usize> {
    let finder = memmem::Finder::new(wanted);
    let mut places: Vec<usize> = finder.find_iter(file).collect();
    if let &[place] = places.as_slice() {
        places.extend(finder.find(&file[place + 1..]).map(|further| place + 1 + further));
    }
    places
}

/// The line that is most like the first line of `old` that has something on it.
fn nearest(file: &str, old: &str) -> Option<Near> {
    let sought = old.lines().map(str::trim).find(|line| !line.is_empty())?;
    let sought = &sought[..sought.floor_char_boundary(LINE_SHOWN)];
    let lines = file.lines().take(LINES_COMPARED);
    let trimmed: Vec<&str> =
        lines.map(str::trim).map(|line| &line[..line.floor_char_boundary(LINE_SHOWN)]).collect();
    let best = *similar::get_close_matches(sought, &trimmed, 1, LIKENESS).first()?;
    let index = trimmed.iter().position(|&line| line == best)?;
    let text = bound::brief(file.lines().nth(index)?, LINE_SHOWN);
    Some(Near { line: index + 1, text })
}

/// Whether every line of a file ends with CR LF, and there is one.
pub(super) fn has_crlf_only(file: &[u8]) -> bool {
    let n_lf = memchr::memchr_iter(b'\n', file).count();
    n_lf > 0 && memmem::find_iter(file, b"\r\n").count() == n_lf
}

/// A text with CR LF at the end of its lines; one that has a CR already means what it says.
pub(super) fn with_crlf(text: &str) -> Cow<'_, str> {
    if text.contains('\r') { Cow::Borrowed(text) } else { Cow::Owned(text.replace('\n', "\r\n")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(file: &str, old: &str, new: &str, scope: Scope, expected: Result<(&str, usize), EditRefusal>) {
        let expected = expected.map(|(text, n_replaced)| Edited { bytes: text.into(), n_replaced });
        assert_eq!(edit(file.as_bytes(), old, new, scope), expected, "{old:?} -> {new:?} in {file:?}");
    }

    fn not_found(line: usize, text: &str) -> Result<(&'static str, usize), EditRefusal> {
        Err(EditRefusal::NotFound(Some(Near { line, text: text.to_owned() })))
    }

    #[test]
    fn a_text_that_is_there_once_is_replaced() {
        check("a b c", "b", "x", Scope::Once, Ok(("a x c", 1)));
        check("a b c", "a b c", "", Scope::Once, Ok(("", 1)));
        check("one\ntwo\n", "one\ntwo", "1\n2\n3", Scope::Once, Ok(("1\n2\n3\n", 1)));
        check("ä ö", "ö", "ß", Scope::Once, Ok(("ä ß", 1)));
        check("\u{feff}first", "first", "second", Scope::Once, Ok(("\u{feff}second", 1)));
    }

    #[test]
    fn a_text_that_is_there_often_is_replaced_only_on_demand() {
        check("a\nb\na\n", "a", "x", Scope::Everywhere, Ok(("x\nb\nx\n", 2)));
        let ambiguous = |n_matches, lines: &[usize]| {
            Err(EditRefusal::Ambiguous { n_matches, first_lines: lines.to_vec() })
        };
        check("a\nb\na\n", "a", "x", Scope::Once, ambiguous(2, &[1, 3]));
        check("aaa", "aa", "x", Scope::Once, ambiguous(2, &[1, 1]));
        let many = "x\n".repeat(12);
        check(&many, "x", "y", Scope::Once, ambiguous(12, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]));
    }

    #[test]
    fn a_text_that_is_not_there_is_compared_with_what_is() {
        let file = "fn main() {\n    let total = 1;\n}\n";
        check(file, "let total= 1;", "", Scope::Once, not_found(2, "    let total = 1;"));
        check(file, "\n\tfn  main() {\n", "", Scope::Once, not_found(1, "fn main() {"));
        check(file, "§§§§", "", Scope::Everywhere, Err(EditRefusal::NotFound(None)));
        check("", "x", "y", Scope::Once, Err(EditRefusal::NotFound(None)));
    }

    #[test]
    fn an_edit_that_means_nothing_is_refused() {
        check("a", "", "x", Scope::Everywhere, Err(EditRefusal::Empty));
        check("a", "a", "a", Scope::Once, Err(EditRefusal::Same));
    }

    #[test]
    fn line_endings_are_those_of_the_file() {
        check("a\r\nb\r\n", "a\nb", "x\ny\nz", Scope::Once, Ok(("x\r\ny\r\nz\r\n", 1)));
        check("a\r\nb\r\n", "a\r\nb", "x\r\ny", Scope::Once, Ok(("x\r\ny\r\n", 1)));
        check("a\nb\n", "a\nb", "x\ny", Scope::Once, Ok(("x\ny\n", 1)));
        check("a\r\nb\n", "b\n", "c\n", Scope::Once, Ok(("a\r\nc\n", 1)));
    }

    #[test]
    fn bytes_that_are_no_text_stay_as_they_are() {
        let edited = edit(b"\xff a \xfe", "a", "b", Scope::Once).unwrap();
        assert_eq!(edited.bytes, b"\xff b \xfe");
    }

    #[test]
    fn refusals_say_what_to_do() {
        for (refusal, text) in [
            (
                EditRefusal::NotFound(Some(Near { line: 2, text: "  x = 1".into() })),
                "`old` is not in the file; it must match exactly, and the nearest line is 2:   x = 1",
            ),
            (
                EditRefusal::Ambiguous { n_matches: 3, first_lines: vec![1, 2] },
                "`old` is in the file 3 times, on line 1, 2, …; add lines around it until it is there once, or set \
                 `replace_all`",
            ),
        ] {
            assert_eq!(refusal.to_string(), text);
        }
    }
}
