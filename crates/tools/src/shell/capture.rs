//! What a command writes, as far as it is kept.

use std::collections::VecDeque;

use musher_backend::ToolOutput;
use tokio::{io::AsyncReadExt, net::unix::pipe::Receiver};

use crate::bound::{self, HEAD, TAIL, WHOLE_LIMIT};

/// What a pipe holds.
const BUFFER: usize = 64 * 1024;

/// The beginning of an output, as much as a log takes, and its very end.
#[derive(Debug, Default)]
pub(super) struct Capture {
    head: Vec<u8>,
    /// The last of what did not fit into the head.
    tail: VecDeque<u8>,
    n_left_out: usize,
}

impl Capture {
    /// Takes what comes until the end. Whoever writes is never held up, however much it is.
    pub(super) async fn listen(&mut self, mut output: Receiver) {
        let mut buffer = vec![0; BUFFER];
        loop {
            match output.read(&mut buffer).await {
                Ok(0) => return,
                Ok(n) => self.take(&buffer[..n]),
                Err(error) => {
                    tracing::warn!(%error, "the output of a command cannot be read on");
                    return;
                }
            }
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        let (head, rest) = bytes.split_at(bytes.len().min(WHOLE_LIMIT - self.head.len()));
        self.head.extend_from_slice(head);
        self.tail.extend(rest);
        let n_too_many = self.tail.len().saturating_sub(TAIL);
        self.n_left_out += n_too_many;
        self.tail.drain(..n_too_many);
    }

    pub(super) fn output(self) -> ToolOutput {
        let text = String::from_utf8_lossy(&self.head).into_owned();
        if self.tail.is_empty() {
            return bound::output(text);
        }
        let tail: Vec<u8> = self.tail.into();
        let head = &text[..text.floor_char_boundary(HEAD)];
        let n_left_out = self.n_left_out + self.head.len() - HEAD.min(self.head.len());
        let content = bound::without_middle(
            head,
            n_left_out,
            &bound::cut(String::from_utf8_lossy(&tail).into_owned(), TAIL),
        );
        ToolOutput { content, whole: Some(bound::cut(text, WHOLE_LIMIT)), ..ToolOutput::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn captured(chunks: &[&[u8]]) -> ToolOutput {
        let mut capture = Capture::default();
        for chunk in chunks {
            capture.take(chunk);
        }
        capture.output()
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
