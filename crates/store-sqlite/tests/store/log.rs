//! One worker's log, from its writer's side.

use std::sync::LazyLock;

use bytes::Bytes;
use jiff::Timestamp;
use musher_core::{Commit, Head, Profile, RowParts, StoredEvent, WorkerRow};
use musher_protocol::{
    Connection, EventId, Execution, Intent, OnIdle, RunState, Usage, WorkerId, WorkerStatus,
};
use serde_json::json;
use uuid::Uuid;

/// Bytes of text in a payload: with its names, it has some three hundred.
const TEXT: usize = 236;

/// A log that its writer has written up to a head.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    pub(crate) worker: WorkerId,
    pub(crate) head: u64,
}

impl Log {
    pub(crate) fn new() -> Self {
        Self { worker: WorkerId::mint(), head: 0 }
    }

    /// The commit that creates the worker.
    pub(crate) fn first(&mut self) -> Commit {
        let commit = self.next(1);
        let row = self.row(&commit, WorkerStatus::Running);
        Commit { row: Some(row), ..commit }
    }

    /// A commit of so many events that hold a piece of text.
    pub(crate) fn next(&mut self, n: usize) -> Commit {
        static DELTA: LazyLock<Bytes> = LazyLock::new(|| {
            let text = "x".repeat(TEXT);
            let delta = json!({ "type": "text_delta", "turn_id": "trn_1", "block": 1, "text": text });
            Bytes::from(delta.to_string())
        });
        let now = Timestamp::now();
        self.commit((0..n).map(|_| ("text_delta", DELTA.clone(), now)))
    }

    /// A commit of these payloads, with their types and times.
    pub(crate) fn commit(
        &mut self,
        payloads: impl IntoIterator<Item = (&'static str, Bytes, Timestamp)>,
    ) -> Commit {
        let expected_head = self.head;
        let events: Vec<_> = (expected_head + 1..)
            .zip(payloads)
            .map(|(seq, (type_name, payload, at))| event(seq, type_name, payload, at))
            .collect();
        self.head += events.len() as u64;
        Commit {
            worker: self.worker.clone(),
            epoch: Commit::FIRST_EPOCH,
            expected_head,
            batch_id: Uuid::new_v4(),
            events,
            entries: Vec::new(),
            accepted: Vec::new(),
            blobs: Vec::new(),
            kept: Vec::new(),
            keys: Vec::new(),
            row: None,
            checkpoint: None,
        }
    }

    /// The worker's row behind this commit.
    pub(crate) fn row(&self, commit: &Commit, status: WorkerStatus) -> WorkerRow {
        let last = commit.events.last().expect("a commit has events");
        let execution = Execution {
            connection: Connection::Unconnected,
            run_state: RunState::Unconnected,
            since_at: last.at,
            turn_id: None,
            until: None,
            last_result: None,
        };
        let spec = json!({
            "intent": Intent::Assistant { purpose: None },
            "profile_name": "default",
            "profile": Profile::of("scripted"),
            "display_name": "Ada",
            "labels": { "team": "blue" },
            "workspaces": [],
            "working_dir": "/srv/work",
            "on_idle": OnIdle::Wait,
        });
        let facts = json!({
            "status": status,
            "execution": execution,
            "session_id": null,
            "transcript_len": 0,
            "queued_inputs": 0,
            "approvals": [],
            "usage": Usage::zero(),
            "outcome": null,
            "end": null,
            "unsettled": false,
        });
        let parts = RowParts {
            worker_id: self.worker.clone(),
            spec: spec.to_string(),
            facts: facts.to_string(),
            head: Head { seq: last.seq, checksum: last.checksum },
            last_event_id: last.event_id.clone(),
            created_at: last.at,
            updated_at: last.at,
        };
        WorkerRow::from_parts(parts).expect("a row")
    }
}

fn event(seq: u64, type_name: &'static str, payload: Bytes, at: Timestamp) -> StoredEvent {
    let event_id = EventId::mint();
    let mut checksum = crc32fast::Hasher::new();
    checksum.update(event_id.as_str().as_bytes());
    checksum.update(&at.as_nanosecond().to_be_bytes());
    checksum.update(&payload);
    StoredEvent { seq, event_id, at, type_name, checksum: checksum.finalize(), payload }
}
