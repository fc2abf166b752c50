//! When a call is repeated.

use std::time::Duration;

use musher_protocol::ErrorCode;
use uuid::Uuid;

use crate::Error;

/// Clients that lost their server together should not all come back together.
const JITTER: f64 = 0.25;
/// Doubling further says nothing any more.
const MOST_DOUBLINGS: u32 = 16;

/// How often and how long calls are repeated.
///
/// A call is repeated when the connection failed, and after 429 and 503 that say with `Retry-After` when to come back. That
/// does nothing twice: a POST keeps its `Idempotency-Key` over all its attempts, and one without a key is repeated only
/// where nothing was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// How often a call is made at most; 1 repeats nothing.
    pub attempts: u32,
    /// A repetition begins no later than this after the call did. A server that wants to be left alone for longer is
    /// not waited for.
    pub within: Duration,
    /// The first wait where the server names none. Each further one is twice as long.
    pub first_wait: Duration,
    /// The longest wait where the server names none.
    pub longest_wait: Duration,
}

/// Enough for a server that starts again, and not so long that a person thinks that nothing happens.
impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: 8,
            within: Duration::from_secs(60),
            first_wait: Duration::from_millis(250),
            longest_wait: Duration::from_secs(10),
        }
    }
}

/// How one attempt failed, as far as that decides about another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failed {
    /// Nothing was sent.
    Unsent,
    /// It may have been done.
    Unknown,
    /// Nothing was done, and nothing will be for so long.
    NotNow(Duration),
    /// Another attempt fails like this one.
    Finally,
}

impl Failed {
    pub(crate) fn of(error: &Error) -> Self {
        match error {
            Error::Broken(error) if error.is_connect() => Self::Unsent,
            Error::Broken(_) | Error::TimeUp(_) => Self::Unknown,
            // Our own attempt before this one is still under way.
            Error::Refused(refusal) if refusal.body.code == ErrorCode::IdempotencyInFlight => {
                Self::NotNow(Duration::ZERO)
            }
            Error::Refused(refusal) => Self::of_status(refusal.status, refusal.retry_after),
            Error::Foreign { status, retry_after } => Self::of_status(*status, *retry_after),
            Error::Unreadable(_) | Error::TooLarge(_) | Error::Handshake(_) => Self::Finally,
        }
    }

    fn of_status(status: u16, retry_after: Option<Duration>) -> Self {
        match (status, retry_after) {
            (429 | 503, Some(wait)) => Self::NotNow(wait),
            _ => Self::Finally,
        }
    }
}

impl Retry {
    /// How long to wait before the next attempt; `None` when there is none. `made` attempts failed, the first one began
    /// `elapsed` ago, and `random` is from 0 to 1.
    pub(crate) fn next(&self, failed: Failed, made: u32, elapsed: Duration, random: f64) -> Option<Duration> {
        let backoff = backoff(self.first_wait, self.longest_wait, made.saturating_sub(1));
        let wait = match failed {
            Failed::Unsent | Failed::Unknown => backoff,
            Failed::NotNow(wait) => wait.max(backoff),
            Failed::Finally => return None,
        };
        let wait = with_jitter(wait, random);
        (made < self.attempts && elapsed.saturating_add(wait) <= self.within).then_some(wait)
    }
}

/// The wait after so many failures in a row before this one.
pub(crate) fn backoff(first: Duration, longest: Duration, before: u32) -> Duration {
    first.saturating_mul(1 << before.min(MOST_DOUBLINGS)).min(longest)
}

/// At least this wait; `random` is from 0 to 1.
pub(crate) fn with_jitter(wait: Duration, random: f64) -> Duration {
    wait.saturating_add(wait.mul_f64(JITTER * random))
}

/// From 0 to 1.
pub(crate) fn random() -> f64 {
    let (bits, _) = Uuid::new_v4().as_u64_pair();
    // The upper half has the fewer bits of the version.
    f64::from(u32::try_from(bits >> 32).expect("32 bits are left")) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RETRY: Retry = Retry {
        attempts: 4,
        within: Duration::from_secs(10),
        first_wait: Duration::from_secs(1),
        longest_wait: Duration::from_secs(3),
    };

    fn waits(failed: Failed, random: f64) -> Vec<u128> {
        let mut waits = Vec::new();
        let mut elapsed = Duration::ZERO;
        let mut made = 1;
        while let Some(wait) = RETRY.next(failed, made, elapsed, random) {
            waits.push(wait.as_millis());
            elapsed += wait;
            made += 1;
        }
        waits
    }

    #[test]
    fn repetitions_are_bounded_in_count_and_time() {
        let not_now = |seconds| Failed::NotNow(Duration::from_secs(seconds));
        for (failed, random, expected) in [
            (Failed::Unsent, 0.0, vec![1000, 2000, 3000]),
            (Failed::Unknown, 0.0, vec![1000, 2000, 3000]),
            (Failed::Unknown, 1.0, vec![1250, 2500, 3750]),
            (not_now(0), 0.0, vec![1000, 2000, 3000]),
            (not_now(5), 0.0, vec![5000, 5000]),
            (not_now(11), 0.0, vec![]),
            (Failed::Finally, 0.0, vec![]),
        ] {
            assert_eq!(waits(failed, random), expected, "{failed:?} {random}");
        }
    }

    #[test]
    fn a_status_is_waited_out_only_when_it_says_how_long() {
        let second = Duration::from_secs(1);
        for (status, retry_after, expected) in [
            (503, Some(second), Failed::NotNow(second)),
            (429, Some(second), Failed::NotNow(second)),
            (503, None, Failed::Finally),
            (500, Some(second), Failed::Finally),
            (502, None, Failed::Finally),
            (404, None, Failed::Finally),
        ] {
            assert_eq!(Failed::of_status(status, retry_after), expected, "{status} {retry_after:?}");
        }
    }
}
