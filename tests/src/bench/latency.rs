//! How long something took, many times.

use std::time::Duration;

/// The times of one round.
#[derive(Clone, Debug, Default)]
pub(super) struct Latencies(Vec<Duration>);

impl Latencies {
    pub(super) fn push(&mut self, time: Duration) {
        self.0.push(time);
    }

    /// What so many in a hundred do not exceed, in seconds.
    pub(super) fn quantile(&mut self, percent: usize) -> f64 {
        self.0.sort_unstable();
        let rank = (self.0.len() * percent).div_ceil(100).max(1);
        self.0.get(rank - 1).expect("something was measured").as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_by_nearest_rank() {
        let cases = [(vec![7], 50, 7), (vec![2, 1], 50, 1), ((1..=200).rev().collect(), 99, 198)];
        for (secs, percent, expected) in cases {
            let mut latencies = Latencies(secs.into_iter().map(Duration::from_secs).collect());
            assert_eq!(latencies.quantile(percent), Duration::from_secs(expected).as_secs_f64(), "{percent}");
        }
    }
}
