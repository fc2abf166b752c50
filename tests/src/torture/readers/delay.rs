//! How long events took from their decision to a reader.

use std::{fmt, ops::RangeInclusive, time::Duration};

use super::record::{Log, Record};

/// The delays of all events in a stretch of a log.
#[derive(Debug, Default)]
pub(super) struct Delays {
    nanoseconds: Vec<u64>,
}

impl Delays {
    /// Takes what one reader saw of the events with these numbers.
    pub(super) fn take(&mut self, stretch: &RangeInclusive<u64>, record: &Record, log: &Log) {
        for sight in record.seen.iter().filter(|sight| stretch.contains(&sight.seq)) {
            if let Some(logged) = log.get(sight.seq) {
                // A clock that is set back makes no delay.
                let delay = sight.came.saturating_sub(logged.at);
                self.nanoseconds.push(u64::try_from(delay).unwrap_or(u64::MAX));
            }
        }
        self.nanoseconds.sort_unstable();
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.nanoseconds.len()
    }

    /// What so many in a hundred do not exceed; zero when there are none.
    pub(super) fn quantile(&self, percent: usize) -> Duration {
        let rank = (self.len() * percent).div_ceil(100).max(1);
        Duration::from_nanos(self.nanoseconds.get(rank - 1).copied().unwrap_or_default())
    }

    /// How many times as long one in a hundred is with the others.
    pub(super) fn ratio(&self, others: &Self) -> f64 {
        others.quantile(99).as_secs_f64() / self.quantile(99).as_secs_f64().max(f64::EPSILON)
    }
}

impl fmt::Display for Delays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [p50, p99] = [50, 99].map(|percent| self.quantile(percent).as_secs_f64() * 1e3);
        write!(f, "p50 {p50:.3} ms, p99 {p99:.3} ms of {}", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_by_nearest_rank() {
        let cases = [(vec![], 99, 0), (vec![7], 50, 7), (vec![1, 2], 50, 1), ((1..=200).collect(), 99, 198)];
        for (nanoseconds, percent, expected) in cases {
            assert_eq!(Delays { nanoseconds }.quantile(percent), Duration::from_nanos(expected), "{percent}");
        }
    }
}
