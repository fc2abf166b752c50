//! The runtime as replies show it.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{RuntimeId, WorkerId};

/// A runtime, in constant time whatever the number of its workers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RuntimeSummary {
    /// The runtime.
    pub runtime_id: RuntimeId,
    /// A name for people.
    pub display_name: String,
    /// Where its log lives.
    pub store: StoreKind,
    /// Whether it takes work.
    pub status: RuntimeStatus,
    /// All workers.
    pub worker_count: u64,
    /// Workers that take inputs.
    pub active_worker_count: u64,
    /// Workers that ended gracefully.
    pub stopped_worker_count: u64,
    /// Workers that were ended at once.
    pub cancelled_worker_count: u64,
    /// Diagnostics of the runtime itself.
    pub diagnostic_count: u64,
    /// Whether a create would be taken.
    pub worker_creation_available: bool,
    /// The server's version.
    pub version: String,
    /// Sizes of pages.
    pub limits: RuntimeLimits,
}

/// Where a runtime's log lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StoreKind {
    /// In memory: gone with the process.
    Memory,
    /// In an embedded database.
    Sqlite,
    /// In a shared database.
    Postgres,
    /// A store that this version does not know.
    #[serde(other)]
    Unknown,
}

/// Whether a runtime takes work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RuntimeStatus {
    /// It takes work.
    Running,
    /// It ends sessions and takes no work.
    Draining,
    /// It has stopped, or its store failed.
    Stopped,
    /// A status that this version does not know.
    #[serde(other)]
    Unknown,
}

/// The largest pages that a runtime answers with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RuntimeLimits {
    /// Entries in a page of a transcript.
    pub max_transcript_projection_items: u64,
    /// Events in a page of a log.
    pub max_event_batch_items: u64,
}

/// Answer to the runtime's summary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RuntimeReply {
    /// The runtime.
    pub runtime: RuntimeSummary,
}

/// Something that the runtime itself has to report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RuntimeDiagnostic {
    /// When.
    pub at: Timestamp,
    /// A stable name.
    pub code: String,
    /// What happened, for a person.
    pub message: String,
    /// The worker that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker_id: Option<WorkerId>,
}

/// Answer to the runtime's diagnostics.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DiagnosticsReply {
    /// The newest, oldest first.
    pub diagnostics: Vec<RuntimeDiagnostic>,
}
