//! What observers see of a worker: the fold of what is durable, and nothing else.

use std::{collections::VecDeque, sync::Mutex};

use jiff::Timestamp;
use musher_protocol::{Cursor, Payload, Snapshot, TranscriptEntry, WorkerId, WorkerStatus};
use tokio::sync::watch;

use crate::{
    fold::{Decided, Fold, prefix},
    frame::Frame,
    machine::Draft,
    ring::Ring,
    store::{Head, StoredEvent},
};

/// A snapshot's entries and texts together; the rest of a frame is small.
const SNAPSHOT_BYTES: usize = 120 << 10;
/// How much of a long text a snapshot shows.
const PREVIEW_BYTES: usize = 4 << 10;

/// What observers of a worker share.
#[derive(Debug)]
pub(crate) struct Shared {
    worker: WorkerId,
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
    pub(crate) fn new(fold: Fold, at: Timestamp) -> Self {
        let worker = fold.worker_ref.worker_id.clone();
        let head = Head::EMPTY;
        let inner = Inner { fold, head, at, ring: Ring::default(), entries: VecDeque::new(), entry_bytes: 0 };
        Self {
            worker,
            inner: Mutex::new(inner),
            progress: watch::Sender::new(Progress { seq: 0, over: false }),
        }
    }

    /// Shows a commit that is durable.
    pub(crate) fn publish(&self, drafts: &[Draft], events: &[StoredEvent]) {
        let Some(last) = events.last() else { return };
        let head = Head { seq: last.seq, checksum: last.checksum };
        {
            let mut inner = self.lock();
            for (draft, event) in drafts.iter().zip(events) {
                let entries = inner.fold.apply(Decided {
                    event_id: &event.event_id,
                    at: event.at,
                    payload: &draft.payload,
                });
                inner.remember(entries);
                inner.ring.push(Frame::of(&self.worker, event));
            }
            inner.at = last.at;
            inner.head = head;
        }
        self.progress.send_modify(|progress| progress.seq = last.seq);
    }

    /// Says that nothing more will come. Who is behind reads the store; the ring's memory is for those who work.
    pub(crate) fn close(&self) {
        self.lock().ring = Ring::default();
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
        let open = inner.fold.turn.iter().flat_map(|turn| turn.in_flight());
        let in_flight = open.filter(|open| spend(&mut budget, size(open))).collect();
        let newest = inner.entries.iter().rev().take_while(|(bytes, _)| spend(&mut budget, *bytes));
        let mut entries: Vec<_> = newest.map(|(_, entry)| entry.clone()).collect();
        entries.reverse();
        let approvals =
            inner.fold.approvals.values().filter(|open| spend(&mut budget, size(open))).cloned().collect();
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
            // A tool's input has no cut form; one that is too long for a snapshot is named by its size.
            if let Some(input) = entry.input.as_mut().filter(|input| size(input) > PREVIEW_BYTES) {
                *input = serde_json::json!({ "omitted_bytes": size(input) });
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
    *budget = budget.saturating_sub(bytes);
    fits
}

fn size(value: &impl serde::Serialize) -> usize {
    serde_json::to_vec(value).map_or(usize::MAX, |json| json.len())
}

fn shorten(text: &mut String) {
    let end = prefix(text, PREVIEW_BYTES).len();
    text.truncate(end);
}
