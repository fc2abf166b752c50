//! When a model call is tried again.

use std::time::Duration;

use musher_backend::Event;

use crate::{Failure, FailureKind};

/// Four more attempts at a server that does not answer: with the waits below about six seconds.
const CONNECT_RETRIES: u32 = 4;
/// A long answer through a bad line breaks more often than a connection fails, and each attempt can cost minutes.
const STREAM_RETRIES: u32 = 5;
/// A model that asks otherwise leaves out one field more; there are fewer that it can do without.
const ADAPTATIONS: u32 = 8;
/// A wait that is longer than this is not for a turn to sit out: the worker parks.
pub(crate) const LONGEST_WAIT: Duration = Duration::from_secs(300);
/// Doubling ends here: longer than this is only what a server asks for.
const LONGEST_BACKOFF: Duration = Duration::from_secs(30);
/// The share of a wait that is added at random, so that many workers do not come back at the same moment.
const JITTER: f64 = 0.25;

/// The attempts of one model call.
#[derive(Debug)]
pub(crate) struct Attempts {
    first_backoff: Duration,
    connects: u32,
    streams: u32,
    /// How often the model has asked otherwise.
    adaptations: u32,
    has_dropped_opaque: bool,
}

/// What comes after a failed attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// The same again, after a wait.
    Again { attempt: u32, max_attempts: u32, delay: Duration },
    /// The same again, without what only its maker can read.
    WithoutOpaque,
    /// The worker parks until the limit resets, or the server is there again.
    Park { scope: String, after: Option<Duration> },
    /// A shorter history.
    Shorter,
    /// Nothing.
    GiveUp,
}

impl Attempts {
    pub(crate) fn new(first_backoff: Duration) -> Self {
        Self { first_backoff, connects: 0, streams: 0, adaptations: 0, has_dropped_opaque: false }
    }

    /// Decides; `answered` tells whether anything of an answer had come, `random` is from 0 to 1.
    pub(crate) fn after(&mut self, failure: &Failure, answered: bool, random: f64) -> Next {
        match &failure.kind {
            // Whatever its status was: it says that it will be there, and when.
            FailureKind::Transient { after: after @ Some(wait) } if *wait > LONGEST_WAIT => {
                Next::Park { scope: Event::OVERLOADED.to_owned(), after: *after }
            }
            FailureKind::Transient { after } => self.again(answered, *after, random),
            FailureKind::Broken => self.again(true, None, random),
            FailureKind::RateLimited { scope, after } => {
                let park = Next::Park { scope: scope.clone(), after: *after };
                if after.is_some_and(|after| after > LONGEST_WAIT) {
                    return park;
                }
                let next = self.again(answered, *after, random);
                if next == Next::GiveUp { park } else { next }
            }
            FailureKind::Overflow => Next::Shorter,
            FailureKind::OpaqueRejected if !self.has_dropped_opaque => {
                self.has_dropped_opaque = true;
                Next::WithoutOpaque
            }
            FailureKind::Adapted if self.adaptations < ADAPTATIONS => {
                self.adaptations += 1;
                let (attempt, max_attempts) = (self.adaptations + 1, ADAPTATIONS + 1);
                Next::Again { attempt, max_attempts, delay: Duration::ZERO }
            }
            FailureKind::OpaqueRejected
            | FailureKind::Adapted
            | FailureKind::Refused
            | FailureKind::Final => Next::GiveUp,
        }
    }

    fn again(&mut self, answered: bool, after: Option<Duration>, random: f64) -> Next {
        let (count, most) = if answered {
            (&mut self.streams, STREAM_RETRIES)
        } else {
            (&mut self.connects, CONNECT_RETRIES)
        };
        if *count == most {
            return Next::GiveUp;
        }
        let backoff = self.first_backoff.saturating_mul(1 << (*count).min(16)).min(LONGEST_BACKOFF);
        *count += 1;
        let wait = after.map_or(backoff, |after| after.max(backoff));
        Next::Again { attempt: *count + 1, max_attempts: most + 1, delay: with_jitter(wait, random) }
    }
}

/// At least this wait; `random` is from 0 to 1.
pub(crate) fn with_jitter(wait: Duration, random: f64) -> Duration {
    wait + wait.mul_f64(JITTER * random)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(kind: FailureKind) -> Failure {
        Failure { kind, code: String::new(), message: String::new() }
    }

    fn transient(after: Option<u64>) -> Failure {
        failure(FailureKind::Transient { after: after.map(Duration::from_secs) })
    }

    fn limited(after: Option<u64>) -> Failure {
        let after = after.map(Duration::from_secs);
        failure(FailureKind::RateLimited { scope: "tokens".to_owned(), after })
    }

    fn attempts() -> Attempts {
        Attempts::new(Duration::from_millis(200))
    }

    /// The delays in milliseconds until it gives up or does something else.
    fn delays(failure: &Failure, answered: bool, random: f64) -> (Vec<u128>, Next) {
        let mut attempts = attempts();
        let mut delays = Vec::new();
        loop {
            match attempts.after(failure, answered, random) {
                Next::Again { attempt, max_attempts, delay } => {
                    delays.push(delay.as_millis());
                    assert_eq!(attempt as usize, delays.len() + 1);
                    assert!(attempt <= max_attempts);
                }
                next @ (Next::WithoutOpaque | Next::Park { .. } | Next::Shorter | Next::GiveUp) => {
                    return (delays, next);
                }
            }
        }
    }

    #[test]
    fn connects_and_streams_are_counted_apart() {
        assert_eq!(delays(&transient(None), false, 0.0), (vec![200, 400, 800, 1600], Next::GiveUp));
        assert_eq!(delays(&transient(None), true, 0.0), (vec![200, 400, 800, 1600, 3200], Next::GiveUp));
        let mut attempts = attempts();
        let broken = failure(FailureKind::Broken);
        let again = |attempt, max_attempts, millis| Next::Again {
            attempt,
            max_attempts,
            delay: Duration::from_millis(millis),
        };
        assert_eq!(attempts.after(&broken, false, 0.0), again(2, 6, 200));
        assert_eq!(attempts.after(&transient(None), false, 0.0), again(2, 5, 200));
        assert_eq!(attempts.after(&broken, true, 0.0), again(3, 6, 400));
    }

    #[test]
    fn a_servers_delay_is_the_least_and_jitter_comes_on_top() {
        assert_eq!(delays(&transient(Some(10)), false, 1.0).0, [12_500, 12_500, 12_500, 12_500]);
        assert_eq!(delays(&limited(Some(1)), false, 0.0).0, [1000, 1000, 1000, 1600]);
    }

    #[test]
    fn a_far_reset_parks_at_once_and_a_stubborn_limit_in_the_end() {
        let park = |after: Option<u64>| Next::Park {
            scope: "tokens".to_owned(),
            after: after.map(Duration::from_secs),
        };
        assert_eq!(delays(&limited(Some(301)), false, 0.0), (vec![], park(Some(301))));
        assert_eq!(delays(&limited(None), false, 0.0), (vec![200, 400, 800, 1600], park(None)));
        let overloaded = Next::Park { scope: "overloaded".to_owned(), after: Some(Duration::from_secs(301)) };
        assert_eq!(delays(&transient(Some(301)), false, 0.0), (vec![], overloaded.clone()));
        assert_eq!(delays(&transient(Some(301)), true, 0.0), (vec![], overloaded));
        assert_eq!(delays(&transient(Some(300)), false, 0.0).0.len(), 4);
    }

    #[test]
    fn what_no_repetition_helps_is_not_repeated() {
        for (kind, expected) in [
            (FailureKind::Final, Next::GiveUp),
            (FailureKind::Refused, Next::GiveUp),
            (FailureKind::Overflow, Next::Shorter),
            (FailureKind::OpaqueRejected, Next::WithoutOpaque),
        ] {
            assert_eq!(attempts().after(&failure(kind), false, 0.0), expected);
        }
        let mut attempts = attempts();
        let rejected = failure(FailureKind::OpaqueRejected);
        attempts.after(&rejected, false, 0.0);
        assert_eq!(attempts.after(&rejected, false, 0.0), Next::GiveUp);
        assert_eq!(delays(&failure(FailureKind::Adapted), false, 0.0), (vec![0; 8], Next::GiveUp));
    }
}
