//! What a command said, as far as it is kept.

use std::collections::VecDeque;

use tokio::{io::AsyncReadExt as _, net::unix::pipe::Receiver};

/// How a build begins says what it is about, how it ends says why it failed.
const HEAD: usize = 8 << 10;
const TAIL: usize = 24 << 10;
/// What a pipe holds.
const BUFFER: usize = 64 << 10;

/// The beginning and the end of an output.
#[derive(Debug, Default)]
pub(super) struct Kept {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    n_left_out: usize,
}

impl Kept {
    /// Takes what comes until the end. Whoever writes is never held up.
    pub(super) async fn listen(&mut self, mut output: Receiver) {
        let mut buffer = vec![0; BUFFER];
        loop {
            match output.read(&mut buffer).await {
                Ok(0) => return,
                Ok(n) => self.take(&buffer[..n]),
                Err(error) => {
                    tracing::warn!(%error, "the output of a setup cannot be read on");
                    return;
                }
            }
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        let (head, rest) = bytes.split_at(bytes.len().min(HEAD - self.head.len()));
        self.head.extend_from_slice(head);
        self.tail.extend(rest);
        let n_too_many = self.tail.len().saturating_sub(TAIL);
        self.n_left_out += n_too_many;
        self.tail.drain(..n_too_many);
    }

    pub(super) fn text(self) -> String {
        let Self { head, tail, n_left_out } = self;
        let tail: Vec<u8> = tail.into();
        if n_left_out == 0 {
            return String::from_utf8_lossy(&[head, tail].concat()).into_owned();
        }
        let (head, tail) = (String::from_utf8_lossy(&head), String::from_utf8_lossy(&tail));
        format!("{head}\n[{n_left_out} bytes left out]\n{tail}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(chunks: &[&[u8]]) -> String {
        let mut kept = Kept::default();
        chunks.iter().for_each(|chunk| kept.take(chunk));
        kept.text()
    }

    #[test]
    fn of_a_long_output_both_ends_are_kept() {
        assert_eq!(kept(&[b"a \xc3", b"\xa4 b"]), "a \u{e4} b");
        let all = "x".repeat(HEAD + TAIL);
        assert_eq!(kept(&[all.as_bytes()]), all);
        let long = kept(&[b"begin", all.as_bytes(), b"end"]);
        assert!(
            long.starts_with("beginx") && long.contains("x\n[8 bytes left out]\nx") && long.ends_with("xend")
        );
    }
}
