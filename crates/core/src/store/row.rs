//! A worker's row: what lists and details show of it without folding its log.

use std::sync::Arc;

use jiff::Timestamp;
use musher_protocol::{
    Approval, EventId, Execution, Outcome, SessionId, Usage, WorkerId, WorkerLimits, WorkerStatus,
};
use serde::{Deserialize, Serialize};

use super::Head;
use crate::{fold::End, profile::WorkerSpec};

/// What lists and details show of a worker: a cache of the fold of its log.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkerRow {
    /// The worker.
    pub worker_id: WorkerId,
    /// What it was created as.
    pub(crate) spec: Arc<WorkerSpec>,
    /// What its log says.
    pub(crate) facts: WorkerFacts,
    /// The place that the row was folded to.
    pub head: Head,
    /// The event there.
    pub last_event_id: EventId,
    /// When the worker was created.
    pub created_at: Timestamp,
    /// When the row last changed.
    pub updated_at: Timestamp,
}

/// What a worker's log says of it, without texts in flight.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct WorkerFacts {
    pub(crate) status: WorkerStatus,
    pub(crate) execution: Execution,
    pub(crate) session_id: Option<SessionId>,
    /// The node of that session.
    #[serde(default)]
    pub(crate) node: Option<String>,
    pub(crate) transcript_len: u64,
    pub(crate) queued_inputs: u64,
    pub(crate) approvals: Vec<Approval>,
    /// The limits that were raised since it was created.
    #[serde(default)]
    pub(crate) raised: WorkerLimits,
    pub(crate) usage: Usage,
    pub(crate) outcome: Option<Outcome>,
    pub(crate) end: Option<End>,
    /// Something is under way that the next runtime has to end or to go on with.
    pub(crate) unsettled: bool,
}

/// A row in the parts that a store keeps it in.
#[derive(Clone, Debug, PartialEq)]
pub struct RowParts {
    /// The worker.
    pub worker_id: WorkerId,
    /// What it was created as, as JSON: the same for its whole life.
    pub spec: String,
    /// What its log says, as JSON.
    pub facts: String,
    /// The place that the row was folded to.
    pub head: Head,
    /// The event there.
    pub last_event_id: EventId,
    /// When the worker was created.
    pub created_at: Timestamp,
    /// When the row last changed.
    pub updated_at: Timestamp,
}

/// The parts make no row.
#[derive(Debug, thiserror::Error)]
#[error("read the row of `{worker}`")]
pub struct RowError {
    worker: WorkerId,
    source: serde_json::Error,
}

impl WorkerRow {
    /// Puts a row together.
    ///
    /// # Errors
    ///
    /// When spec or facts are not what [`WorkerRow::spec_json`] and [`WorkerRow::facts_json`] write.
    pub fn from_parts(parts: RowParts) -> Result<Self, RowError> {
        let RowParts { worker_id, spec, facts, head, last_event_id, created_at, updated_at } = parts;
        let failed = |source| RowError { worker: worker_id.clone(), source };
        let spec: WorkerSpec = serde_json::from_str(&spec).map_err(failed)?;
        let facts = serde_json::from_str(&facts).map_err(failed)?;
        Ok(Self { worker_id, spec: Arc::new(spec), facts, head, last_event_id, created_at, updated_at })
    }

    /// What the worker was created as, as JSON.
    ///
    /// # Panics
    ///
    /// Never: all of it is JSON.
    #[must_use]
    pub fn spec_json(&self) -> String {
        serde_json::to_string(&*self.spec).expect("a spec is JSON")
    }

    /// What the worker's log says, as JSON.
    ///
    /// # Panics
    ///
    /// Never: all of it is JSON.
    #[must_use]
    pub fn facts_json(&self) -> String {
        serde_json::to_string(&self.facts).expect("facts are JSON")
    }

    /// Whether the worker takes inputs.
    #[must_use]
    pub fn status(&self) -> WorkerStatus {
        self.facts.status
    }

    /// Whether something is under way that the next runtime has to end or to go on with.
    #[must_use]
    pub fn unsettled(&self) -> bool {
        self.facts.unsettled
    }
}
