//! How long logs are kept.

use std::time::Duration;

/// How long logs are kept; by default for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// How many events of a worker are kept at least. Older ones go when the worker is quiet, what is open or waits
    /// excepted; their texts stay in the transcript.
    pub max_events_per_worker: Option<u64>,
    /// How long a worker is kept after its last event.
    pub delete_terminal_after: Option<Duration>,
}

impl Retention {
    /// The last event that may go, when so many that it is worth a commit may.
    pub(crate) fn prune_to(&self, oldest: u64, head: u64) -> Option<u64> {
        let kept = self.max_events_per_worker?;
        let last = head.saturating_sub(kept);
        (last >= oldest + worth(kept)).then_some(last)
    }
}

/// An eighth more than what is kept: seldom enough to cost little.
fn worth(kept: u64) -> u64 {
    (kept / 8).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_go_in_eighths_of_what_is_kept() {
        let keep = |n| Retention { max_events_per_worker: n, ..Retention::default() };
        let cases = [
            (None, 0, 1_000_000, None),
            (Some(80), 0, 80, None),
            (Some(80), 0, 89, None),
            (Some(80), 0, 90, Some(10)),
            (Some(80), 10, 99, None),
            (Some(80), 10, 100, Some(20)),
            (Some(1), 0, 2, Some(1)),
            (Some(0), 0, 7, Some(7)),
        ];
        for (kept, oldest, head, expected) in cases {
            assert_eq!(keep(kept).prune_to(oldest, head), expected, "{kept:?} {oldest} {head}");
        }
    }
}
