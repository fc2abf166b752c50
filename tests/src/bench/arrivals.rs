//! When the tokens of an answer came, looked for once it is over.

use std::time::{Duration, Instant};

use super::vendor::{TOKEN, TOKEN_BYTES};

/// Bytes in their order, with the times at which they came.
#[derive(Clone, Debug)]
pub(super) struct Arrivals {
    begun: Instant,
    bytes: Vec<u8>,
    /// How many there were at which time.
    reads: Vec<(usize, Instant)>,
}

/// How an answer came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answered {
    /// From the request to the first token.
    pub(super) first: Duration,
    /// The tokens behind the first read that had any, and the time that they took.
    pub(super) rest: (usize, Duration),
    /// All tokens, and the time from the request to the last.
    pub(super) whole: (usize, Duration),
}

impl Arrivals {
    /// Nothing has come yet of what is asked for now.
    pub(super) fn from_now() -> Self {
        Self { begun: Instant::now(), bytes: Vec::new(), reads: Vec::new() }
    }

    /// Takes what has come now.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.push_at(bytes, Instant::now());
    }

    fn push_at(&mut self, bytes: &[u8], at: Instant) {
        self.bytes.extend_from_slice(bytes);
        self.reads.push((self.bytes.len(), at));
    }

    /// The answer of so many tokens. What repeats them behind that, as a whole text does, does not count.
    pub(super) fn answered(&self, n_tokens: usize) -> Answered {
        let token = TOKEN.as_bytes();
        let begins = self.bytes.windows(token.len()).enumerate().filter(|(_, window)| *window == token);
        let ends: Vec<_> = begins.map(|(at, _)| at + TOKEN_BYTES).take(n_tokens).collect();
        assert_eq!(ends.len(), n_tokens, "all tokens came");
        let read = |end: usize| self.reads[self.reads.partition_point(|(length, _)| *length < end)];
        let (had, first) = read(ends[0]);
        let (_, last) = read(ends[n_tokens - 1]);
        let n_first = ends.partition_point(|end| *end <= had);
        Answered {
            first: first - self.begun,
            rest: (n_tokens - n_first, last - first),
            whole: (n_tokens, last - self.begun),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_come_with_its_last_byte_and_counts_once() {
        let millis = Duration::from_millis;
        let mut arrivals = Arrivals::from_now();
        for (text, at) in [
            ("head token-00", 1),
            ("0000 token-000001 tok", 2),
            ("en-000002 ", 5),
            ("token-000003", 9),
            ("all: token-000000 token-000001", 20),
        ] {
            let at = arrivals.begun + millis(at);
            arrivals.push_at(text.as_bytes(), at);
        }
        for (n_tokens, first, rest, whole) in [(4, 2, (2, 7), 9), (1, 2, (0, 0), 2)] {
            let rest = (rest.0, millis(rest.1));
            let expected = Answered { first: millis(first), rest, whole: (n_tokens, millis(whole)) };
            assert_eq!(arrivals.answered(n_tokens), expected, "{n_tokens}");
        }
    }
}
