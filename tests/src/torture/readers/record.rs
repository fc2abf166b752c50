//! What a reader saw, and the log that it should have seen.

use std::{
    ops::RangeInclusive,
    time::{SystemTime, UNIX_EPOCH},
};

use musher_protocol::Envelope;

use super::reader::Temper;
use crate::{
    Client,
    torture::event::{Event, digest},
};

/// An event, as a reader remembers it: many readers see many of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sight {
    pub(super) seq: u64,
    pub(super) digest: u64,
    /// When it came, in nanoseconds since 1970.
    pub(super) came: u128,
}

/// All that one reader saw.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) name: String,
    pub(super) temper: Temper,
    /// It is to see every event behind this one.
    pub(super) after: u64,
    /// Up to this one.
    pub(super) until: u64,
    pub(super) seen: Vec<Sight>,
    pub(super) n_connections: u64,
    /// The last event that it had seen when it stalled; `None` when it never did.
    pub(super) stalled_at: Option<u64>,
    /// Why it did not come to the end.
    pub(super) remark: Option<String>,
}

/// A log, from its first event.
#[derive(Debug)]
pub(super) struct Log(Vec<Logged>);

#[derive(Clone, Copy, Debug)]
pub(super) struct Logged {
    pub(super) digest: u64,
    pub(super) bytes: u64,
    /// When it was decided, in nanoseconds since 1970.
    pub(super) at: u128,
}

impl Sight {
    /// An event that has come just now.
    pub(super) fn now(event: &Event) -> Self {
        let came = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970").as_nanos();
        Self { seq: event.seq, digest: event.digest(), came }
    }
}

impl Log {
    /// Reads all of it.
    pub(super) async fn read(client: &Client, worker: &str) -> Self {
        let mut events = Vec::new();
        let mut after = String::new();
        loop {
            let path = format!("/v1/workers/{worker}/events{after}");
            let page = client.try_page(&path).await.unwrap();
            for event in page.events {
                assert_eq!(event.seq, events.len() as u64 + 1, "a page has every event");
                let envelope: Envelope = serde_json::from_str(&event.envelope).unwrap();
                let at = u128::try_from(envelope.at.as_nanosecond()).expect("it is after 1970");
                let bytes = event.envelope.len() as u64;
                events.push(Logged { digest: digest(&event.envelope), bytes, at });
            }
            if !page.has_more {
                return Self(events);
            }
            after = format!("?after={}", page.next);
        }
    }

    /// The number of the last event.
    pub(super) fn head(&self) -> u64 {
        self.0.len() as u64
    }

    /// The event with this number.
    pub(super) fn get(&self, seq: u64) -> Option<Logged> {
        self.0.get(usize::try_from(seq.checked_sub(1)?).ok()?).copied()
    }

    /// How many bytes these events have.
    pub(super) fn bytes(&self, seqs: RangeInclusive<u64>) -> u64 {
        seqs.filter_map(|seq| self.get(seq)).map(|logged| logged.bytes).sum()
    }
}

impl Record {
    /// The first thing that is not as the log says.
    pub(super) fn compare(&self, log: &Log) -> Option<String> {
        let mut expected = self.after + 1;
        for sight in &self.seen {
            let Sight { seq, digest, .. } = *sight;
            if seq != expected {
                let what = if seq > expected { "missing" } else { "seen before, or out of order" };
                return Some(format!("{expected} was to be next, it is {seq}: {what}"));
            }
            match log.get(seq) {
                None => return Some(format!("{seq} is not in the log")),
                Some(logged) if logged.digest != digest => {
                    return Some(format!("{seq} is another in the log"));
                }
                Some(_) => expected += 1,
            }
        }
        (expected <= self.until)
            .then(|| format!("{expected} to {} did not come: {:?}", self.until, self.remark))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(after: u64, until: u64, seen: &[(u64, u64)], expected: Option<&str>) {
        let log = Log((1..=5).map(|digest| Logged { digest, bytes: 1, at: 0 }).collect());
        let seen = seen.iter().map(|&(seq, digest)| Sight { seq, digest, came: 0 }).collect();
        let name = "a".to_owned();
        let record = Record {
            name,
            temper: Temper::Steady,
            after,
            until,
            seen,
            n_connections: 1,
            stalled_at: None,
            remark: None,
        };
        assert_eq!(record.compare(&log).as_deref(), expected);
    }

    #[test]
    fn a_reader_sees_exactly_the_log() {
        check(0, 3, &[(1, 1), (2, 2), (3, 3)], None);
        check(3, 5, &[(4, 4), (5, 5)], None);
        check(5, 5, &[], None);
        check(0, 3, &[(1, 1), (3, 3)], Some("2 was to be next, it is 3: missing"));
        check(0, 2, &[(1, 1), (1, 1)], Some("2 was to be next, it is 1: seen before, or out of order"));
        check(0, 2, &[(2, 2), (1, 1)], Some("1 was to be next, it is 2: missing"));
        check(0, 2, &[(1, 1), (2, 9)], Some("2 is another in the log"));
        check(4, 5, &[(5, 5), (6, 6)], Some("6 is not in the log"));
        check(0, 3, &[(1, 1)], Some("2 to 3 did not come: None"));
    }
}
