//! Texts cut into words, as a model's text comes in pieces.

/// Cuts a text into words without losing a character: white space belongs to the word before it, and to the
/// first word where a text begins with it.
pub(crate) fn words(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (word, after) = rest.split_at(end_of_first(rest));
        rest = after;
        Some(word)
    })
}

/// Where the second word begins, or the text ends.
fn end_of_first(text: &str) -> usize {
    let word = text.find(|c: char| !c.is_whitespace()).unwrap_or(text.len());
    let gap = text[word..].find(char::is_whitespace).map_or(text.len(), |at| word + at);
    text[gap..].find(|c: char| !c.is_whitespace()).map_or(text.len(), |at| gap + at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_stays_with_its_word() {
        let cases: [(&str, &[&str]); 8] = [
            ("", &[]),
            ("one", &["one"]),
            ("on it", &["on ", "it"]),
            ("  two\n\nwords \t", &["  two\n\n", "words \t"]),
            (" \n ", &[" \n "]),
            ("a\u{3000}b", &["a\u{3000}", "b"]),
            ("\u{1b}[31mred\u{1b}[0m text\0", &["\u{1b}[31mred\u{1b}[0m ", "text\0"]),
            ("日本語 テキスト", &["日本語 ", "テキスト"]),
        ];
        for (text, expected) in cases {
            assert_eq!(words(text).collect::<Vec<_>>(), expected, "{text:?}");
        }
    }
}
