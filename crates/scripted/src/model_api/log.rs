//! What has happened at a server so far, as far as it is remembered.

use std::collections::VecDeque;

use super::{Received, Violation};

/// Thousands of long conversations; a benchmark that asks for hours must not fill the memory.
const MAX_BYTES: usize = 256 << 20;
/// About what a request takes besides its body.
const HEAD_BYTES: usize = 1 << 10;
/// Whoever asserts that there are none wants to see the first.
const MAX_VIOLATIONS: usize = 1000;

/// Requests, what was wrong with them, and answers that nobody waited for.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// The newest, each with what it takes.
    kept: VecDeque<(Received, usize)>,
    n_bytes: usize,
    n_requests: usize,
    violations: Vec<Violation>,
    n_abandoned: usize,
}

impl Log {
    /// Takes in a request whose body had so many bytes, and answers with its number.
    pub(super) fn take(&mut self, request: Received, body: usize, violations: &[Violation]) -> usize {
        let bytes = body + HEAD_BYTES;
        self.kept.push_back((request, bytes));
        self.n_bytes += bytes;
        while self.n_bytes > MAX_BYTES
            && self.kept.len() > 1
            && let Some((_, bytes)) = self.kept.pop_front()
        {
            self.n_bytes -= bytes;
        }
        let room = MAX_VIOLATIONS - self.violations.len();
        self.violations.extend(violations.iter().take(room).cloned());
        self.n_requests += 1;
        self.n_requests - 1
    }

    /// An answer was not read to its end.
    pub(super) fn abandon(&mut self) {
        self.n_abandoned += 1;
    }

    pub(super) fn requests(&self) -> impl Iterator<Item = &Received> {
        self.kept.iter().map(|(request, _)| request)
    }

    pub(super) fn violations(&self) -> &[Violation] {
        &self.violations
    }

    pub(super) fn n_requests(&self) -> usize {
        self.n_requests
    }

    pub(super) fn n_abandoned(&self) -> usize {
        self.n_abandoned
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn request(path: &str) -> Received {
        Received { method: "POST".to_owned(), path: path.to_owned(), headers: Vec::new(), body: Value::Null }
    }

    #[test]
    fn the_oldest_requests_are_forgotten_and_all_are_counted() {
        let mut log = Log::default();
        for (path, body) in [("a", 1), ("b", MAX_BYTES / 2), ("c", MAX_BYTES / 2), ("d", 2 * MAX_BYTES)] {
            log.take(request(path), body, &[]);
            let kept: Vec<_> = log.requests().map(|request| request.path.clone()).collect();
            let expected: &[&str] = match path {
                "a" => &["a"],
                "b" => &["a", "b"],
                // Two halves with their heads are more than the whole.
                "c" => &["c"],
                _ => &["d"],
            };
            assert_eq!(kept, expected);
        }
        assert_eq!(log.take(request("e"), 0, &[]), 4);
        assert_eq!((log.n_requests(), log.requests().count()), (5, 1));
    }

    #[test]
    fn the_first_violations_are_kept() {
        let mut log = Log::default();
        for number in 0..MAX_VIOLATIONS {
            log.take(request("a"), 0, &[Violation::new(format!("{number}")), Violation::new("again")]);
        }
        let first: Vec<_> = log.violations().iter().take(3).map(ToString::to_string).collect();
        assert_eq!((log.violations().len(), first.join(" ").as_str()), (MAX_VIOLATIONS, "0 again 1"));
    }
}
