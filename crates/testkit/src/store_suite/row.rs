//! Rows as the runtime would write them.

use std::time::Duration;

use jiff::Timestamp;
use musher_core::{Profile, RowParts, StoredEvent, WorkerRow};
use musher_protocol::{Connection, Execution, Intent, OnIdle, RunState, Usage, WorkerId, WorkerStatus};
use serde_json::json;

/// A worker's row, before it is known which event it will be folded to.
#[derive(Clone, Debug)]
pub(super) struct RowDraft {
    worker: WorkerId,
    status: WorkerStatus,
    unsettled: bool,
}

/// The row of a worker that takes inputs and has nothing under way.
pub(super) fn row(worker: &WorkerId) -> RowDraft {
    RowDraft { worker: worker.clone(), status: WorkerStatus::Running, unsettled: false }
}

impl RowDraft {
    pub(super) fn status(self, status: WorkerStatus) -> Self {
        Self { status, ..self }
    }

    pub(super) fn unsettled(self, unsettled: bool) -> Self {
        Self { unsettled, ..self }
    }

    /// The row folded to this event. What a worker was created as, and when, depends on nothing but its id.
    pub(super) fn at(self, event: &StoredEvent) -> WorkerRow {
        let Self { worker, status, unsettled } = self;
        let age: u64 = worker.as_str().bytes().map(u64::from).sum();
        let created_at = Timestamp::UNIX_EPOCH + Duration::from_micros(1_500_000_000_000_000 + age);
        let spec = json!({
            "intent": Intent::Assistant { purpose: None },
            "profile_name": "default",
            "profile": Profile::of("scripted"),
            "display_name": worker,
            "labels": {"team": "é"},
            "workspaces": [],
            "working_dir": "/srv/work",
            "on_idle": OnIdle::Wait,
        });
        let execution = Execution {
            connection: Connection::Unconnected,
            run_state: RunState::Unconnected,
            since_at: created_at,
            turn_id: None,
            until: None,
            last_result: None,
        };
        let facts = json!({
            "status": status,
            "execution": execution,
            "session_id": null,
            "transcript_len": 0,
            "queued_inputs": event.seq,
            "approvals": [],
            "usage": Usage::zero(),
            "outcome": null,
            "end": null,
            "unsettled": unsettled,
        });
        let parts = RowParts {
            worker_id: worker,
            spec: spec.to_string(),
            facts: facts.to_string(),
            head: super::draft::place_behind(event),
            last_event_id: event.event_id.clone(),
            created_at,
            updated_at: event.at,
        };
        WorkerRow::from_parts(parts).expect("spec and facts are what core writes")
    }
}
