//! Rust source, taken apart just enough that a word in a string is not mistaken for code.

/// A source in two layers of the same length: each has spaces where the other, or a literal, has text.
/// Lines stay where they are.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Layers {
    /// Without comments and without the contents of literals.
    pub(super) code: String,
    /// The comments only.
    pub(super) comments: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Code,
    Comment,
    Literal,
}

/// Takes a source apart.
pub(super) fn split(text: &str) -> Layers {
    let mut layers =
        Layers { code: String::with_capacity(text.len()), comments: String::with_capacity(text.len()) };
    let mut rest = text;
    let mut before = '\n';
    while let Some(first) = rest.chars().next() {
        let (part, length) = next_part(rest, before);
        // A literal keeps its first character, so that what is before and after it stays apart.
        let length = length.max(first.len_utf8());
        let (piece, after) = rest.split_at(length);
        for c in piece.chars() {
            layers.code.push(if part == Part::Code || c == '\n' { c } else { ' ' });
            layers.comments.push(if part == Part::Comment || c == '\n' { c } else { ' ' });
        }
        before = piece.chars().next_back().unwrap_or(before);
        rest = after;
    }
    layers
}

/// What `rest` begins with, and how many bytes of it.
fn next_part(rest: &str, before: char) -> (Part, usize) {
    if rest.starts_with("//") {
        return (Part::Comment, rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return (Part::Comment, block_comment(rest));
    }
    if rest.starts_with('"') {
        return (Part::Literal, quoted(rest, '"'));
    }
    if rest.starts_with('\'') {
        return char_literal(rest).map_or((Part::Code, 1), |length| (Part::Literal, length));
    }
    let in_word = before.is_alphanumeric() || before == '_';
    let may_be_raw = rest.starts_with('r') && (!in_word || before == 'b' || before == 'c');
    let raw = if may_be_raw { raw_string(rest) } else { None };
    raw.map_or((Part::Code, 1), |length| (Part::Literal, length))
}

fn block_comment(rest: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if c == quote {
            return at + c.len_utf8();
        }
    }
    rest.len()
}

/// The length of a character literal; `None` for a lifetime.
fn char_literal(rest: &str) -> Option<usize> {
    let mut chars = rest.char_indices().skip(1);
    let (_, first) = chars.next()?;
    if first == '\\' {
        return Some(quoted(rest, '\''));
    }
    let (at, second) = chars.next()?;
    (second == '\'').then_some(at + 1)
}

fn raw_string(rest: &str) -> Option<usize> {
    let hashes = rest[1..].bytes().take_while(|&b| b == b'#').count();
    let body = rest[1 + hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let length = body.find(&end).map_or(body.len(), |at| at + end.len());
    Some(1 + hashes + 1 + length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, code: &str, comments: &str) {
        let layers = split(text);
        let words = |layer: &str| layer.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(
            (words(&layers.code).as_str(), words(&layers.comments).as_str()),
            (code, comments),
            "{text}"
        );
        assert_eq!(layers.code.lines().count(), text.lines().count(), "{text}");
    }

    #[test]
    fn code_comments_and_literals_are_kept_apart() {
        check("let a = 1; // one", "let a = 1;", "// one");
        check("a /* b /* c */ d */ e", "a e", "/* b /* c */ d */");
        check(r#"f("// no \" comment", b"x") // yes"#, "f( , b )", "// yes");
        check("f(r#\"a \" // b\"#, br\"c\") // d", "f( , b )", "// d");
        check("fn f<'a>(c: &'a str) { '\"'; '\\''; 'é' }", "fn f<'a>(c: &'a str) { ; ; }", "");
        check("let s = \"one\ntwo\";\nlet t = 'x';", "let s = ; let t = ;", "");
        check("fn r#match() { for r in bar {} }", "fn r#match() { for r in bar {} }", "");
        check("\"never closed", "", "");
    }
}
