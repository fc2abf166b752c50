//! What an observer saw of a log, and whether the log agrees.

use std::collections::HashSet;

use super::{
    finding::{Finding, Kind, shown},
    reading::Reading,
};
use crate::torture::event::Event;

/// What one observer saw from one settled state of the log to the next, over all its connections.
#[derive(Clone, Debug)]
pub(super) struct Sighting {
    /// Which observer.
    pub(super) observer: String,
    /// Where it began: it has to see every event behind this one.
    pub(super) after: u64,
    /// What it saw, in the order that it came.
    pub(super) events: Vec<Event>,
    /// Why it saw no more, where that is known.
    pub(super) remark: Option<String>,
}

impl Sighting {
    /// Compares with the whole log, which the observer had the time to see to its end.
    pub(super) fn check(&self, worker: &str, log: &Reading) -> Vec<Finding> {
        let find = |kind, seq, what| Finding::new(kind, worker, Some(seq), what);
        let mut findings = Vec::new();
        let mut seen = HashSet::new();
        let mut newest = self.after;
        for event in &self.events {
            let seq = event.seq;
            if seq <= self.after || !seen.insert(seq) {
                findings.push(find(Kind::Doubled, seq, format!("{} saw it again", self.observer)));
            } else if seq < newest {
                findings.push(find(
                    Kind::Reordered,
                    seq,
                    format!("{} saw it behind {newest}", self.observer),
                ));
            }
            newest = newest.max(seq);
            findings.extend(self.compare(worker, event, log));
        }
        let missing = (self.after + 1..=newest.max(log.head())).filter(|seq| !seen.contains(seq));
        if let Some(first) = missing.clone().next() {
            let (n, why) = (missing.count(), self.remark.as_deref().unwrap_or("no reason is known"));
            let what = format!(
                "{} is to see every event behind {}, it missed {n}: {why}",
                self.observer, self.after
            );
            findings.push(find(Kind::Gap, first, what));
        }
        findings
    }

    fn compare(&self, worker: &str, event: &Event, log: &Reading) -> Option<Finding> {
        if log.digest(event.seq) == Some(event.digest()) {
            return None;
        }
        let (kind, found) = match log.place(&event.event_id) {
            None => (Kind::Lost, "it is not in the log".to_owned()),
            Some(place) if place == event.seq => (Kind::Changed, "it is another in the log".to_owned()),
            Some(place) => (Kind::Reordered, format!("it is at {place} in the log")),
        };
        let what = format!("{} saw {}; {found}", self.observer, shown(&event.envelope));
        Some(Finding::new(kind, worker, Some(event.seq), what))
    }
}
