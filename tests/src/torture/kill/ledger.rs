//! Everything that clients were promised and shown, by worker, and the logs that must agree.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    finding::{Finding, Kind},
    promise::Promise,
    reading::Reading,
    sighting::Sighting,
};
use crate::torture::event::Event;

/// What is known of all workers.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    accounts: BTreeMap<String, Account>,
    /// How often each label was sent with a create, and which worker was answered.
    creates: BTreeMap<String, Create>,
}

/// What is known of one worker.
#[derive(Debug)]
struct Account {
    log: Reading,
    promises: Vec<Promise>,
}

#[derive(Debug, Default)]
struct Create {
    n_sent: u64,
    workers: Vec<String>,
}

/// A worker as the list shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) worker: String,
    /// The label that its create was sent with.
    pub(super) label: String,
    pub(super) status: String,
    pub(super) run_state: String,
    pub(super) open_approvals: u64,
    pub(super) queued_inputs: u64,
}

impl Account {
    fn new(worker: &str) -> Self {
        Self { log: Reading::new(worker), promises: Vec::new() }
    }
}

impl Ledger {
    /// Keeps what an answer promised.
    pub(super) fn promise(&mut self, worker: &str, promise: Promise) {
        self.account(worker).promises.push(promise);
    }

    /// Remembers that a create was sent, and what was answered.
    pub(super) fn create(&mut self, label: &str, worker: Option<&str>) {
        let create = self.creates.entry(label.to_owned()).or_default();
        create.n_sent += 1;
        create.workers.extend(worker.map(str::to_owned));
    }

    /// How far a worker's log was read, and where to go on.
    pub(super) fn place(&self, worker: &str) -> (u64, Option<&str>) {
        self.accounts.get(worker).map_or((0, None), |account| (account.log.head(), account.log.cursor()))
    }

    /// Whether a worker's log has its last event.
    pub(super) fn is_over(&self, worker: &str) -> bool {
        self.accounts.get(worker).is_some_and(|account| account.log.is_over())
    }

    /// Reads what a log has more; whatever is promised or shown must be in there from now on.
    pub(super) fn read(&mut self, worker: &str, events: &[Event]) -> Vec<Finding> {
        self.account(worker).log.read(events)
    }

    /// Compares what an observer saw with the log.
    pub(super) fn compare(&self, worker: &str, sighting: &Sighting) -> Vec<Finding> {
        match self.accounts.get(worker) {
            Some(account) => sighting.check(worker, &account.log),
            None => vec![Finding::new(Kind::Lost, worker, None, format!("{} watches it", sighting.observer))],
        }
    }

    /// Compares everything with the list of workers, once nothing runs.
    pub(super) fn settle(&self, listed: &[Listed]) -> Vec<Finding> {
        let mut findings = Vec::new();
        let by_id: BTreeMap<_, _> = listed.iter().map(|listed| (listed.worker.as_str(), listed)).collect();
        if by_id.len() != listed.len() {
            findings.push(Finding::new(Kind::Doubled, "of the list", None, "a worker is listed twice"));
        }
        for (worker, account) in &self.accounts {
            match by_id.get(worker.as_str()) {
                Some(listed) => findings.extend(listed.agrees(&account.log)),
                None => findings.push(Finding::new(Kind::Lost, worker, None, "it is not in the list")),
            }
            findings.extend(account.log.at_rest());
            findings
                .extend(account.promises.iter().filter_map(|promise| promise.check(worker, &account.log)));
        }
        for (label, create) in &self.creates {
            let made: Vec<_> = listed.iter().filter(|listed| listed.label == *label).collect();
            let lost = create.workers.iter().filter(|worker| !by_id.contains_key(worker.as_str()));
            findings
                .extend(lost.map(|worker| Finding::new(Kind::Lost, worker, None, "its create was answered")));
            if made.len() as u64 > create.n_sent {
                let what =
                    format!("{} creates were sent as {label}, {} are there", create.n_sent, made.len());
                findings.push(Finding::new(Kind::Doubled, &made[0].worker, None, what));
            }
        }
        findings
    }

    /// Compares with whole logs, read anew from their beginning, and takes their place for the promises.
    pub(super) fn replace(&mut self, worker: &str, whole: Reading) -> Vec<Finding> {
        let account = self.account(worker);
        let findings = whole.continues(&account.log);
        account.log = whole;
        findings
    }

    /// Events in all logs.
    pub(super) fn n_events(&self) -> u64 {
        self.accounts.values().map(|account| account.log.head()).sum()
    }

    /// Turns that a kill cut off.
    pub(super) fn n_cut(&self) -> u64 {
        self.accounts.values().map(|account| account.log.n_cut()).sum()
    }

    fn account(&mut self, worker: &str) -> &mut Account {
        self.accounts.entry(worker.to_owned()).or_insert_with(|| Account::new(worker))
    }
}

impl Listed {
    /// Reads a worker of the list; `None` when it is none.
    pub(super) fn read(summary: &Value) -> Option<Self> {
        Some(Self {
            worker: summary["worker_id"].as_str()?.to_owned(),
            label: summary["labels"][super::LABEL].as_str().unwrap_or_default().to_owned(),
            status: summary["status"].as_str()?.to_owned(),
            run_state: summary["execution"]["run_state"].as_str()?.to_owned(),
            open_approvals: summary["open_approvals"].as_u64()?,
            queued_inputs: summary["queued_inputs"].as_u64()?,
        })
    }

    /// Whether nothing runs and nothing waits to run.
    pub(super) fn is_at_rest(&self) -> bool {
        let is_busy = ["busy", "waiting", "background", "parked"].contains(&self.run_state.as_str());
        self.status != "running" || (!is_busy && self.queued_inputs == 0)
    }

    fn agrees(&self, log: &Reading) -> Option<Finding> {
        let said = (self.status != "running", self.open_approvals, self.queued_inputs);
        let expected = (log.is_over(), 0, 0);
        (said != expected).then(|| {
            let what = format!(
                "over, open approvals and queued inputs are {expected:?} by the log, {said:?} in the list"
            );
            Finding::new(Kind::Untrue, &self.worker, None, what)
        })
    }
}

/// Compares the runtime's own counts with the list.
pub(super) fn agrees_with_counts(listed: &[Listed], runtime: &Value) -> Option<Finding> {
    let of = |status: &str| listed.iter().filter(|listed| listed.status == status).count() as u64;
    let expected = [listed.len() as u64, of("running"), of("stopped"), of("cancelled")];
    let names = ["worker_count", "active_worker_count", "stopped_worker_count", "cancelled_worker_count"];
    let said = names.map(|name| runtime[name].as_u64());
    (said != expected.map(Some)).then(|| {
        let what = format!("{names:?} are {expected:?} by the list, {said:?} by the runtime");
        Finding::new(Kind::Untrue, "of the runtime", None, what)
    })
}
