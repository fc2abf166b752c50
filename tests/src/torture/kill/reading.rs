//! A log, read from its beginning, and the rules that it keeps by itself.

mod input;
mod turn;

use std::collections::HashMap;

use musher_protocol::{ApprovalId, Envelope, InputId, Payload};

use self::{input::InputLife, turn::OpenTurn};
use super::finding::{Finding, Kind, shown};
use crate::torture::event::Event;

/// The error code of a turn that a kill cut off.
const RESTARTED: &str = "restarted";

/// What is known of a worker's log after a part of it was read.
///
/// Invariant: it only grows; what was read once is compared with whatever comes later by its digest.
#[derive(Debug)]
pub(in crate::torture) struct Reading {
    worker: String,
    /// By number, from 1; `None` where a number is missing.
    digests: Vec<Option<u64>>,
    places: HashMap<String, u64>,
    inputs: HashMap<InputId, InputLife>,
    turns: HashMap<String, u64>,
    open: Option<OpenTurn>,
    approvals: Vec<ApprovalId>,
    is_over: bool,
    n_cut: u64,
    cursor: Option<String>,
}

impl Reading {
    pub(in crate::torture) fn new(worker: &str) -> Self {
        Self {
            worker: worker.to_owned(),
            digests: Vec::new(),
            places: HashMap::new(),
            inputs: HashMap::new(),
            turns: HashMap::new(),
            open: None,
            approvals: Vec::new(),
            is_over: false,
            n_cut: 0,
            cursor: None,
        }
    }

    /// How far it was read.
    pub(super) fn head(&self) -> u64 {
        self.digests.len() as u64
    }

    /// Where to go on.
    pub(super) fn cursor(&self) -> Option<&str> {
        self.cursor.as_deref()
    }

    /// Turns that a kill cut off.
    pub(super) fn n_cut(&self) -> u64 {
        self.n_cut
    }

    /// Whether it has its last event.
    pub(in crate::torture) fn is_over(&self) -> bool {
        self.is_over
    }

    /// Where an event is.
    pub(super) fn place(&self, event_id: &str) -> Option<u64> {
        self.places.get(event_id).copied()
    }

    /// The digest of the event with this number.
    pub(super) fn digest(&self, seq: u64) -> Option<u64> {
        let index = usize::try_from(seq.checked_sub(1)?).ok()?;
        self.digests.get(index).copied()?
    }

    /// The event that accepted an input.
    pub(super) fn accepted(&self, input_id: &str) -> Option<&str> {
        let input_id: InputId = input_id.parse().ok()?;
        self.inputs.get(&input_id)?.accepted.as_deref()
    }

    /// Reads what comes next.
    pub(in crate::torture) fn read(&mut self, events: &[Event]) -> Vec<Finding> {
        let mut findings = Vec::new();
        for event in events {
            self.event(event, &mut findings);
        }
        findings
    }

    /// What must hold once nothing runs any more.
    pub(in crate::torture) fn at_rest(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut lost = |what: String| findings.push(Finding::new(Kind::Lost, &self.worker, None, what));
        if let Some(open) = &self.open {
            lost(format!("turn_finished of the turn {}; it is open and nothing runs", open.id));
        }
        for approval in &self.approvals {
            lost(format!("approval_resolved of {approval}; it is open and nothing runs"));
        }
        let mut waiting: Vec<_> =
            self.inputs.iter().filter_map(|(id, life)| Some((id, life.missing()?))).collect();
        waiting.sort_unstable();
        for (input_id, missing) in waiting {
            lost(format!("{missing} of the input {input_id}; nothing runs"));
        }
        findings
    }

    /// Compares with an earlier reading of the same log.
    pub(super) fn continues(&self, earlier: &Self) -> Vec<Finding> {
        let find = |kind, seq, what: &str| Finding::new(kind, &self.worker, Some(seq), what);
        let pairs = (1..).zip(&earlier.digests);
        pairs
            .filter_map(|(seq, before)| match (*before, self.digest(seq)) {
                (None, _) => None,
                (Some(_), None) => Some(find(Kind::Lost, seq, "it was in the log before")),
                (Some(before), Some(now)) if before == now => None,
                (Some(_), Some(_)) => Some(find(Kind::Changed, seq, "it was another event before")),
            })
            .collect()
    }

    fn event(&mut self, event: &Event, findings: &mut Vec<Finding>) {
        let seq = event.seq;
        let expected = self.head() + 1;
        if seq != expected {
            let kind = match self.digest(seq) {
                Some(digest) if digest == event.digest() => Kind::Doubled,
                Some(_) => Kind::Reordered,
                None if seq < expected => Kind::Reordered,
                None => Kind::Gap,
            };
            let what =
                format!("the next event of the log is to be {expected}, it is {}", shown(&event.envelope));
            findings.push(Finding::new(kind, &self.worker, Some(seq), what));
        }
        if seq < expected {
            // What it would do to the fold was done already, or comes too late to mean anything.
            return;
        }
        let before = usize::try_from(seq - 1).expect("nobody numbers that many events");
        self.digests.resize(before, None);
        self.digests.push(Some(event.digest()));
        self.cursor = Some(event.cursor.clone());
        if let Some(before) = self.places.insert(event.event_id.clone(), seq) {
            let what = format!("the event {} is in the log once, it is at {before} too", event.event_id);
            findings.push(Finding::new(Kind::Doubled, &self.worker, Some(seq), what));
        }
        let mut problems = Vec::new();
        match serde_json::from_str::<Envelope>(&event.envelope) {
            Ok(envelope) if envelope.worker_id.as_str() == self.worker => self.fold(&envelope, &mut problems),
            Ok(envelope) => {
                problems.push((Kind::Untrue, format!("it is of the worker {}", envelope.worker_id)))
            }
            Err(error) => problems.push((Kind::Untrue, format!("it is no envelope: {error}"))),
        }
        findings.extend(problems.into_iter().map(|(kind, what)| {
            let what = format!("{what}; the event is {}", shown(&event.envelope));
            Finding::new(kind, &self.worker, Some(seq), what)
        }));
    }

    fn fold(&mut self, envelope: &Envelope, problems: &mut Vec<(Kind, String)>) {
        let mut untrue = |what: String| problems.push((Kind::Untrue, what));
        if self.is_over {
            untrue("nothing comes behind the end of the worker".to_owned());
        }
        if (envelope.seq == 1) != matches!(envelope.payload, Payload::WorkerCreated(_)) {
            untrue("a log begins with worker_created, and has it once".to_owned());
        }
        self.follow_input(envelope, problems);
        self.follow_turn(envelope, problems);
        if let Payload::ApprovalRequested(approval) = &envelope.payload {
            self.approvals.push(approval.approval_id.clone());
        }
        if let Payload::ApprovalResolved { approval_id, .. } = &envelope.payload {
            match self.approvals.iter().position(|open| open == approval_id) {
                Some(place) => drop(self.approvals.remove(place)),
                None => problems.push((Kind::Doubled, format!("the approval {approval_id} is not open"))),
            }
        }
        self.is_over |= matches!(envelope.payload, Payload::WorkerStopped(_) | Payload::WorkerCancelled(_));
    }

    fn follow_input(&mut self, envelope: &Envelope, problems: &mut Vec<(Kind, String)>) {
        if let Some((input_id, step)) = input::step(&envelope.payload) {
            let life = self.inputs.entry(input_id.clone()).or_default();
            problems.extend(life.go(step, &envelope.event_id));
        }
    }

    fn follow_turn(&mut self, envelope: &Envelope, problems: &mut Vec<(Kind, String)>) {
        match (&envelope.payload, self.open.as_mut()) {
            (Payload::TurnStarted { turn_id, .. }, open) => {
                if let Some(open) = open {
                    problems.push((Kind::Lost, format!("turn_finished of the turn {}", open.id)));
                }
                if self.turns.insert(turn_id.to_string(), envelope.seq).is_some() {
                    problems.push((Kind::Doubled, format!("the turn {turn_id} begins once")));
                }
                self.open = Some(OpenTurn::new(turn_id.clone()));
            }
            (Payload::TurnFinished(finished), Some(open)) if open.id == finished.turn_id => {
                problems.extend(open.finish(finished));
                self.n_cut += u64::from(finished.error.as_ref().is_some_and(|error| error.code == RESTARTED));
                self.open = None;
            }
            (Payload::TurnFinished(finished), _) => {
                let known = self.turns.contains_key(finished.turn_id.as_str());
                let kind = if known { Kind::Doubled } else { Kind::Untrue };
                problems.push((kind, format!("the turn {} is not open", finished.turn_id)));
            }
            (payload, Some(open)) => problems.extend(open.go(payload)),
            (payload, None) => {
                if turn::is_of_turn(payload) {
                    problems.push((Kind::Untrue, "it is of a turn, and no turn is open".to_owned()));
                }
            }
        }
    }
}
