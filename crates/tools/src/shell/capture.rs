//! What the model is told of what a command wrote, and what people are.

use musher_backend::ToolOutput;
use musher_process::Ends;

use crate::bound::{self, HEAD, TAIL, WHOLE_LIMIT};

/// The beginning of an output, as much as a log takes, and its very end.
pub(super) fn begin() -> Ends {
    Ends::new(WHOLE_LIMIT, TAIL)
}

pub(super) fn output(Ends { head, tail, n_left_out, .. }: Ends) -> ToolOutput {
    let text = String::from_utf8_lossy(&head).into_owned();
    if tail.is_empty() {
        return bound::output(text);
    }
    let tail: Vec<u8> = tail.into();
    let content = bound::without_middle(
        &text[..text.floor_char_boundary(HEAD)],
        n_left_out + head.len() - HEAD.min(head.len()),
        &bound::cut(String::from_utf8_lossy(&tail).into_owned(), TAIL),
    );
    ToolOutput { content, whole: Some(bound::cut(text, WHOLE_LIMIT)), ..ToolOutput::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn captured(chunks: &[&[u8]]) -> ToolOutput {
        let mut ends = begin();
        for chunk in chunks {
            ends.take(chunk);
        }
        output(ends)
    }

    #[test]
    fn chunks_are_put_together_before_they_are_read() {
        assert_eq!(captured(&[b"a \xc3", b"\xa4 b"]), ToolOutput::ok("a ä b"));
        assert_eq!(captured(&[]), ToolOutput::ok(""));
        assert_eq!(captured(&[b"\xff"]), ToolOutput::ok("\u{fffd}"));
    }

    #[test]
    fn of_an_endless_output_both_ends_are_kept() {
        let filler = vec![b'x'; WHOLE_LIMIT];
        let told = captured(&[b"begin ", &filler, &filler, b" end"]);
        assert!(told.content.starts_with("begin x") && told.content.ends_with("x end"));
        let n_left_out = 6 + 2 * WHOLE_LIMIT + 4 - HEAD - TAIL;
        assert!(told.content.contains(&format!("\n[{n_left_out} bytes left out]\n")));
        let whole = told.whole.unwrap();
        assert_eq!((whole.len(), &whole[..7]), (WHOLE_LIMIT, "begin x"));
    }
}
