//! What a program says: heard as long as it runs and is ended, and kept as far as somebody wants.

use std::{collections::VecDeque, time::Duration};

use tokio::{io::AsyncReadExt as _, net::unix::pipe::Receiver, pin, time::timeout};

/// What a pipe holds.
const BUFFER: usize = 64 << 10;
/// When everything was ended its pipe is, too. One that is not is held by a survivor, and that must not hold us.
pub const DRAIN_LIMIT: Duration = Duration::from_secs(2);

/// The beginning and the end of an output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ends {
    most_head: usize,
    most_tail: usize,
    /// The beginning.
    pub head: Vec<u8>,
    /// The last of what did not fit into the head.
    pub tail: VecDeque<u8>,
    /// How many bytes between the two are not kept.
    pub n_left_out: usize,
}

impl Ends {
    /// Nothing yet of an output of which so many bytes of the beginning are kept, and so many of the end.
    #[must_use]
    pub fn new(most_head: usize, most_tail: usize) -> Self {
        Self { most_head, most_tail, head: Vec::new(), tail: VecDeque::new(), n_left_out: 0 }
    }

    /// Takes what comes until the end. Whoever writes is never held up, however much it is.
    pub async fn listen(&mut self, mut output: Receiver) {
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

    /// Takes what comes next.
    pub fn take(&mut self, bytes: &[u8]) {
        let (head, rest) = bytes.split_at(bytes.len().min(self.most_head - self.head.len()));
        self.head.extend_from_slice(head);
        self.tail.extend(rest);
        let n_too_many = self.tail.len().saturating_sub(self.most_tail);
        self.n_left_out += n_too_many;
        self.tail.drain(..n_too_many);
    }
}

/// Answers with what `running` comes to, which sees a program to its end, and listens to the program all the time, also
/// while it is ended: a full pipe would hold it up. What nobody has read [`DRAIN_LIMIT`] behind its end is not heard.
pub async fn hear<T>(listening: impl Future<Output = ()>, running: impl Future<Output = T>) -> T {
    pin!(listening, running);
    let mut is_silent = false;
    let over = loop {
        tokio::select! {
            () = &mut listening, if !is_silent => is_silent = true,
            over = &mut running => break over,
        }
    };
    if !is_silent {
        // What is still unread then is a survivor's, and that is an error of its own.
        drop(timeout(DRAIN_LIMIT, listening).await);
    }
    over
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_are_kept_and_what_is_between_is_counted() {
        for (chunks, head, tail, n_left_out) in [
            (&["ab", "c"][..], "abc", "", 0),
            (&["abcd", "ef"], "abcd", "ef", 0),
            (&["abcdefg"], "abcd", "efg", 0),
            (&["abcde", "fgh", "ij"], "abcd", "hij", 3),
        ] {
            let mut ends = Ends::new(4, 3);
            chunks.iter().for_each(|chunk| ends.take(chunk.as_bytes()));
            let (head, tail) = (head.into(), VecDeque::from(tail.as_bytes().to_vec()));
            assert_eq!(ends, Ends { head, tail, n_left_out, ..Ends::new(4, 3) }, "{chunks:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_pipe_that_stays_open_holds_nobody() {
        let begun = tokio::time::Instant::now();
        assert_eq!(hear(std::future::pending(), async { 7 }).await, 7);
        assert_eq!(begun.elapsed(), DRAIN_LIMIT);
    }
}
