//! How much a tool tells the model, and how much it keeps for people.

use musher_backend::ToolOutput;

/// About 12,000 tokens: a model reads a file of a thousand lines at once, and a few such answers still leave it room
/// to work.
pub(crate) const CONTENT_LIMIT: usize = 48 * 1024;

/// The largest body that a log takes.
pub(crate) const WHOLE_LIMIT: usize = 16 * 1024 * 1024;

/// What is left of a content that was cut goes to both ends: the beginning says what it is, the end how it went.
pub(crate) const HEAD: usize = CONTENT_LIMIT / 4;
pub(crate) const TAIL: usize = CONTENT_LIMIT - HEAD;

/// An output whose content is bounded: what is too long loses its middle for the model, not for people.
pub(crate) fn output(content: String) -> ToolOutput {
    if content.len() <= CONTENT_LIMIT {
        return ToolOutput::ok(content);
    }
    let shown = ends(&content);
    ToolOutput { content: shown, whole: Some(cut(content, WHOLE_LIMIT)), ..ToolOutput::default() }
}

/// The beginning and the end of a long text, and how much is missing between.
fn ends(text: &str) -> String {
    let head = &text[..text.floor_char_boundary(HEAD)];
    let tail = &text[text.ceil_char_boundary(text.len() - TAIL)..];
    without_middle(head, text.len() - head.len() - tail.len(), tail)
}

/// Two ends of a text, and how much is missing between.
pub(crate) fn without_middle(head: &str, n_left_out: usize, tail: &str) -> String {
    format!("{head}\n[{n_left_out} bytes left out]\n{tail}")
}

/// At most so many bytes of a text, and whole characters.
pub(crate) fn cut(mut text: String, limit: usize) -> String {
    text.truncate(text.floor_char_boundary(limit));
    text
}

/// At most so many bytes of a text that goes into a line, with an ellipsis when it was longer.
pub(crate) fn brief(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    format!("{}…", &text[..text.floor_char_boundary(limit)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_is_told_whole_and_once() {
        for content in [String::new(), "ä".repeat(CONTENT_LIMIT / 2)] {
            assert_eq!(output(content.clone()), ToolOutput::ok(content));
        }
    }

    #[test]
    fn what_does_not_fit_keeps_both_ends_and_is_there_for_people() {
        let content = format!("first {} last", "ä".repeat(CONTENT_LIMIT));
        let told = output(content.clone());
        assert!(told.content.starts_with("first ") && told.content.ends_with(" last"), "{}", told.content);
        assert!(told.content.len() <= CONTENT_LIMIT + 40, "{} bytes", told.content.len());
        assert!(told.content.contains(" bytes left out]\n"));
        assert_eq!(told.whole, Some(content));
    }

    #[test]
    fn nothing_is_larger_than_a_log_takes() {
        let whole = output("ä".repeat(WHOLE_LIMIT)).whole.unwrap();
        assert_eq!(whole.len(), WHOLE_LIMIT);
        let whole = output(format!("x{}", "ä".repeat(WHOLE_LIMIT))).whole.unwrap();
        assert_eq!(whole.len(), WHOLE_LIMIT - 1, "a character is not torn");
    }

    #[test]
    fn a_brief_text_says_that_it_was_longer() {
        for (text, brief_text) in
            [("short", "short"), ("ääää", "ää…"), ("12345", "12345"), ("123456", "12345…")]
        {
            assert_eq!(brief(text, 5), brief_text);
        }
    }
}
