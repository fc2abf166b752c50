//! What observers see of a worker: the fold of what is durable, and nothing else.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use musher_protocol::{
    Approval, Cursor, InFlight, Payload, Snapshot, TranscriptEntry, WorkerId, WorkerStatus,
};
use serde_json::Value;
use tokio::sync::watch;

use crate::{
    attention::{Needs, Post},
    batch::is_delta,
    figures::{Meter, worker_state},
    fold::{Decided, Fold, prefix},
    frame::Frame,
    machine::Draft,
    ring::Ring,
    store::{Head, StoredEvent},
};

/// A snapshot's entries and texts together; the rest of a frame is small.
const SNAPSHOT_BYTES: usize = 120 << 10;
/// How much of a text in flight a snapshot shows: its end, which what follows continues.
const IN_FLIGHT_BYTES: usize = 16 << 10;
/// How much of a long text a snapshot shows.
pub(crate) const PREVIEW_BYTES: usize = 4 << 10;

/// What observers of a worker share.
#[derive(Debug)]
pub(crate) struct Shared {
    worker: WorkerId,
    /// Where the worker shows that it needs a person.
    post: Post,
    /// Where its log counts.
    meter: Meter,
    /// Protects the ring and the view while a commit is published or a reader takes its frames; nothing awaits
    /// under it.
    inner: Mutex<Inner>,
    progress: watch::Sender<Progress>,
}

/// How far a worker's log goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    /// The number of the newest event that is durable.
    pub(crate) seq: u64,
    /// Nothing more will come: the worker's task has ended.
    pub(crate) over: bool,
}

#[derive(Debug)]
struct Inner {
    fold: Fold,
    head: Head,
    at: Timestamp,
    ring: Ring,
    /// The newest entries, as many as a snapshot holds.
    entries: VecDeque<(usize, TranscriptEntry)>,
    entry_bytes: usize,
}

impl Shared {
    pub(crate) fn new(fold: Fold, at: Timestamp, post: Post, meter: Meter) -> Self {
        Self::at(fold, Head::EMPTY, at, Vec::new(), post, meter)
    }

    /// A worker up to a place of its log, with the newest entries of its transcript.
    pub(crate) fn at(
        fold: Fold,
        head: Head,
        at: Timestamp,
        entries: Vec<TranscriptEntry>,
        post: Post,
        meter: Meter,
    ) -> Self {
        let worker = fold.worker_ref.worker_id.clone();
        let progress = watch::Sender::new(Progress { seq: head.seq, over: false });
        let ring = Ring::default();
        let mut inner = Inner { fold, head, at, ring, entries: VecDeque::new(), entry_bytes: 0 };
        inner.remember(entries);
        Self { worker, post, meter, inner: Mutex::new(inner), progress }
    }

    /// Shows a commit that is durable.
    pub(crate) fn publish(&self, drafts: &[Draft], events: &[StoredEvent]) {
        let Some(last) = events.last() else { return };
        let head = Head { seq: last.seq, checksum: last.checksum };
        {
            let mut inner = self.lock();
            let is_new = inner.head.seq == 0;
            let before = worker_state(inner.fold.status, &inner.fold.execution);
            for (draft, event) in drafts.iter().zip(events) {
                let decided = Decided { event_id: &event.event_id, at: event.at, payload: &draft.payload };
                self.meter.event(&inner.fold, decided);
                // Its entries are there already, with the bodies taken out.
                inner.fold.apply(decided);
                inner.remember(draft.entries.clone());
                inner.ring.push(Frame::of(&self.worker, event));
            }
            inner.at = last.at;
            inner.head = head;
            if is_new {
                self.meter.created(&self.worker, &inner.fold);
            } else {
                self.meter.changed(before, &inner.fold);
            }
            if drafts.iter().any(|draft| !is_delta(&draft.payload)) {
                self.post_needs(&inner);
            }
        }
        self.progress.send_modify(|progress| progress.seq = last.seq);
    }

    /// Counts a worker of an earlier life, which nothing has happened to in this one.
    pub(crate) fn found(&self) {
        self.meter.found(&self.worker, &self.lock().fold);
    }

    /// Counts how long a commit of the worker took.
    pub(crate) fn committed(&self, took: Duration) {
        self.meter.committed(took);
    }

    /// Shows what the worker needs of a person, as publishing does: for what was durable before.
    pub(crate) fn show_needs(&self) {
        self.post_needs(&self.lock());
    }

    /// Under the lock, so that the newest comes last.
    fn post_needs(&self, inner: &Inner) {
        self.post.show(&self.worker, Needs::of_fold(&inner.fold), inner.fold.approvals.values());
    }

    /// Says that nothing more will come. Who is behind reads the store; the ring's memory is for those who work.
    pub(crate) fn close(&self) {
        // Also when the task panicked in the middle of `publish`: a panic here would then end the process.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).ring = Ring::default();
        self.progress.send_modify(|progress| progress.over = true);
    }

    /// Wakes when the log goes further, or ends.
    pub(crate) fn watch(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// The frames behind a place; `None` when they have to be read from the store.
    pub(crate) fn behind(&self, after: u64, max_bytes: usize) -> Option<Vec<Frame>> {
        let inner = self.lock();
        if after >= inner.head.seq {
            return Some(Vec::new());
        }
        inner.ring.behind(after, max_bytes)
    }

    /// Whether no turn is open and nothing is queued.
    pub(crate) fn is_idle(&self) -> bool {
        let inner = self.lock();
        inner.fold.turn.is_none() && inner.fold.queue.is_empty()
    }

    pub(crate) fn status(&self) -> WorkerStatus {
        self.lock().fold.status
    }

    /// The whole state at one head.
    pub(crate) fn snapshot(&self) -> Frame {
        let inner = self.lock();
        let cursor = inner.head.cursor(&self.worker);
        let mut budget = SNAPSHOT_BYTES;
        // What a person must answer first, then what nobody can read elsewhere yet, then the past.
        let asked = inner.fold.approvals.values().cloned().map(without_large_input);
        let approvals = asked.filter(|open| spend(&mut budget, size(open))).collect();
        let open = inner.fold.turn.iter().flat_map(|turn| turn.in_flight()).map(tail);
        let in_flight = open.filter(|open| spend(&mut budget, size(open))).collect();
        let newest = inner.entries.iter().rev().take_while(|(bytes, _)| spend(&mut budget, *bytes));
        let mut entries: Vec<_> = newest.map(|(_, entry)| entry.clone()).collect();
        entries.reverse();
        let snapshot = Snapshot {
            status: inner.fold.status,
            execution: inner.fold.execution.clone(),
            head: cursor,
            entries,
            total_entries: inner.fold.transcript_len,
            in_flight,
            approvals,
        };
        Frame::snapshot(&self.worker, cursor, inner.at, &Payload::Snapshot(Box::new(snapshot)))
    }

    /// The status only, for a reader who goes on from a cursor.
    pub(crate) fn status_snapshot(&self, cursor: Cursor) -> Frame {
        let inner = self.lock();
        let snapshot = Snapshot {
            status: inner.fold.status,
            execution: inner.fold.execution.clone(),
            head: inner.head.cursor(&self.worker),
            entries: Vec::new(),
            total_entries: inner.fold.transcript_len,
            in_flight: Vec::new(),
            approvals: Vec::new(),
        };
        Frame::snapshot(&self.worker, cursor, inner.at, &Payload::Snapshot(Box::new(snapshot)))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().expect("a panic while publishing ends the worker's task, and with it every reader")
    }
}

impl Inner {
    fn remember(&mut self, entries: Vec<TranscriptEntry>) {
        for mut entry in entries {
            shorten(&mut entry.content);
            if let Some(result) = &mut entry.result {
                shorten(result);
            }
            if entry.input_blob.is_none() {
                entry.input = entry.input.map(without_large);
            }
            let bytes = size(&entry);
            self.entry_bytes += bytes;
            match self.entries.iter_mut().find(|(_, old)| old.sequence == entry.sequence) {
                Some(old) => self.entry_bytes -= std::mem::replace(old, (bytes, entry)).0,
                None => self.entries.push_back((bytes, entry)),
            }
            while self.entry_bytes > SNAPSHOT_BYTES {
                let Some((bytes, _)) = self.entries.pop_front() else { break };
                self.entry_bytes -= bytes;
            }
        }
    }
}

fn spend(budget: &mut usize, bytes: usize) -> bool {
    let fits = bytes <= *budget;
    if fits {
        *budget -= bytes;
    }
    fits
}

/// The end of a long text in flight: what comes next continues it.
fn tail(mut open: InFlight) -> InFlight {
    let omitted = open.text.ceil_char_boundary(open.text.len().saturating_sub(IN_FLIGHT_BYTES));
    open.text.drain(..omitted);
    InFlight { omitted_bytes: omitted as u64, ..open }
}

pub(crate) fn without_large_input(approval: Approval) -> Approval {
    match approval.blob {
        Some(_) => approval,
        None => Approval { input: without_large(approval.input), ..approval },
    }
}

/// One that is too long for a snapshot, and not so long that it has a preview, is named by its size.
fn without_large(input: Value) -> Value {
    match size(&input) {
        bytes if bytes > PREVIEW_BYTES => serde_json::json!({ "omitted_bytes": bytes }),
        _ => input,
    }
}

pub(crate) fn size(value: &impl serde::Serialize) -> usize {
    serde_json::to_vec(value).map_or(usize::MAX, |json| json.len())
}

fn shorten(text: &mut String) {
    let end = prefix(text, PREVIEW_BYTES).len();
    text.truncate(end);
}

#[cfg(test)]
mod tests {
    use musher_protocol::{ApprovalKind, ApprovalState, InputKind, TurnCause, WorkerRef};

    use super::*;
    use crate::frame::seal;

    fn id<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
        text.parse().unwrap()
    }

    /// What a snapshot shows after these events.
    fn snapshot(payloads: Vec<Payload>) -> (usize, Snapshot) {
        let at = Timestamp::UNIX_EPOCH;
        let worker_ref = WorkerRef { runtime_id: id("rt_1"), worker_id: id("wrk_1") };
        let post =
            Post { board: crate::attention::Board::new(), display_name: None, labels: Default::default() };
        let mut fold = Fold::new(worker_ref, at);
        let meter = Meter::new(&std::sync::Arc::default(), &crate::Profile::of("scripted"));
        let shared = Shared::new(fold.clone(), at, post, meter);
        let drafts: Vec<_> = payloads
            .into_iter()
            .map(|payload| {
                let event_id = musher_protocol::EventId::mint();
                let entries = fold.apply(Decided { event_id: &event_id, at, payload: &payload });
                Draft { event_id, at, payload, entries, accepts: None, kept: Vec::new(), whole: None }
            })
            .collect();
        let events: Vec<_> = (1..)
            .zip(&drafts)
            .map(|(seq, draft)| seal(seq, draft.event_id.clone(), at, &draft.payload))
            .collect();
        shared.publish(&drafts, &events);
        let text = shared.snapshot().envelope();
        let envelope: musher_protocol::Envelope = serde_json::from_slice(&text).unwrap();
        let Payload::Snapshot(snapshot) = envelope.payload else { panic!("a snapshot") };
        (text.len(), *snapshot)
    }

    fn begun() -> Vec<Payload> {
        let accepted = Payload::InputAccepted {
            input_id: id("i"),
            kind: InputKind::User,
            content: "go".into(),
            blob: None,
            delivery: musher_protocol::Delivery::Queue,
            by: musher_protocol::Actor::rule("test"),
        };
        vec![
            accepted,
            Payload::InputDelivered { input_id: id("i"), turn_id: id("t") },
            Payload::UserMessage { input_id: id("i"), content: "go".into(), blob: None },
            Payload::TurnStarted { turn_id: id("t"), input_ids: vec![id("i")], cause: TurnCause::Input },
        ]
    }

    #[test]
    fn a_long_text_in_flight_shows_its_end_and_hides_nothing_else() {
        let text = format!("{}end", "é".repeat(100_000));
        let delta = Payload::TextDelta { turn_id: id("t"), block: 0, text: text.clone() };
        let (bytes, snapshot) = snapshot([begun(), vec![delta]].concat());
        let [open] = &snapshot.in_flight[..] else { panic!("one text in flight: {snapshot:?}") };
        assert_eq!(open.omitted_bytes as usize + open.text.len(), text.len());
        assert!(text.ends_with(&open.text) && open.text.len() > 16_000);
        assert_eq!((snapshot.entries.len(), snapshot.total_entries), (1, 1));
        assert!(bytes < 128 << 10, "{bytes}");
    }

    #[test]
    fn a_long_transcript_does_not_hide_what_a_person_must_answer() {
        let said = (0..100).map(|block| Payload::TextDone {
            turn_id: id("t"),
            block,
            text: "x".repeat(4000),
            blob: None,
        });
        let asked = Payload::ApprovalRequested(Box::new(Approval {
            approval_id: id("apr_1"),
            worker_id: id("wrk_1"),
            turn_id: id("t"),
            tool_call_id: None,
            kind: ApprovalKind::Tool,
            tool: "write".into(),
            input: serde_json::json!({ "content": "y".repeat(1 << 20) }),
            blob: None,
            redacted: false,
            questions: Vec::new(),
            suggestions: Vec::new(),
            state: ApprovalState::Pending,
            requested_at: Timestamp::UNIX_EPOCH,
            deadline_at: Timestamp::UNIX_EPOCH,
            decision: None,
            message: None,
            by: None,
        }));
        let (bytes, snapshot) = snapshot([begun(), said.collect(), vec![asked]].concat());
        assert_eq!((snapshot.approvals.len(), snapshot.total_entries), (1, 101));
        assert!(
            snapshot.entries.len() > 20 && snapshot.entries.last().unwrap().sequence == 101,
            "the newest ones"
        );
        assert!(bytes < 128 << 10, "{bytes}");
    }
}
