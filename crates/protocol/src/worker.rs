//! A worker as replies show it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Capability, ConfigBundleRef, Cursor, Envelope, EventId, Intent, IntentKind, RuntimeId, SessionId, TurnId,
    Usage, WorkerId, WorkerLimits, event::LimitKind, event::StopReason,
};

/// A worker and the runtime it belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WorkerRef {
    /// The runtime.
    pub runtime_id: RuntimeId,
    /// The worker.
    pub worker_id: WorkerId,
}

/// Whether a worker still takes inputs. The terminal states are sticky.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WorkerStatus {
    /// It takes inputs; whether something runs right now is its run state.
    Running,
    /// Ended gracefully.
    Stopped,
    /// Ended at once.
    Cancelled,
    /// A status that this version does not know.
    #[serde(other)]
    Unknown,
}

impl WorkerStatus {
    /// Whether the worker's log has its last event.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        match self {
            Self::Stopped | Self::Cancelled => true,
            Self::Running | Self::Unknown => false,
        }
    }
}

/// What a worker does right now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// No session lives, and the last one, if any, ended well.
    Unconnected,
    /// A session, and no turn.
    Idle,
    /// A turn runs.
    Busy,
    /// An approval or a question is open.
    Waiting,
    /// The turn is over, tasks that it started live on.
    Background,
    /// Waits until a rate limit resets; see `until`.
    Parked,
    /// The last session ended badly; the next input starts a new one.
    Errored,
    /// The worker is terminal.
    Stopped,
    /// A state that this version does not know.
    #[serde(other)]
    Unknown,
}

/// Whether a backend session lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Connection {
    /// No session lives.
    Unconnected,
    /// A session lives.
    Connected,
    /// A value that this version does not know.
    #[serde(other)]
    Unknown,
}

/// What a worker does right now, since when, and how its last operation ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Execution {
    /// Whether a backend session lives.
    pub connection: Connection,
    /// What the worker does.
    pub run_state: RunState,
    /// Since when `run_state` holds.
    pub since_at: Timestamp,
    /// The open turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turn_id: Option<TurnId>,
    /// When a parked turn goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// How the last operation ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_result: Option<LastResult>,
}

/// The last operation that ended, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LastResult {
    /// What ended.
    pub operation: Operation,
    /// How it ended.
    pub outcome: TurnOutcome,
}

/// Something that a worker does and that ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// A turn.
    Turn,
    /// A session.
    Session,
    /// An operation that this version does not know.
    #[serde(other)]
    Unknown,
}

/// How a turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TurnOutcome {
    /// The model came to its end.
    Completed,
    /// Somebody, or a crash, ended it.
    Interrupted,
    /// It ended with an error.
    Failed,
    /// The vendor's model or filter refused.
    Refused,
    /// A limit of the profile ended it.
    LimitReached,
    /// An outcome that this version does not know.
    #[serde(other)]
    Unknown,
}

/// A named failure inside a turn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TurnError {
    /// A stable name, e.g. `provider_error`.
    pub code: String,
    /// What happened, for a person.
    pub message: String,
}

/// How the last turn ended, with its session's end and the worker's usage; null before the first turn ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Outcome {
    /// The turn.
    pub turn_id: TurnId,
    /// How it ended.
    pub outcome: TurnOutcome,
    /// Why the model stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_reason: Option<StopReason>,
    /// The limit that was reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<LimitKind>,
    /// The failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<TurnError>,
    /// The last text of the assistant; at most its first 4 kB.
    pub text: String,
    /// Whether `text` is only the beginning: all of it is the assistant's last entry of the transcript.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub text_truncated: bool,
    /// When the turn ended.
    pub finished_at: Timestamp,
    /// The session it ran in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<SessionId>,
    /// Whether that session ended well; absent while it lives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_ok: Option<bool>,
    /// Whether that session failed before it was established; absent while it lives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aborted: Option<bool>,
    /// Whether a rate limit ended that session; absent while it lives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_limited: Option<bool>,
    /// When that limit resets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_limit_reset_at: Option<Timestamp>,
    /// What the worker used over its life.
    pub usage: Usage,
}

/// A worker in a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WorkerSummary {
    /// The worker and its runtime.
    pub worker_ref: WorkerRef,
    /// The worker.
    pub worker_id: WorkerId,
    /// A name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// The creator's labels.
    pub labels: BTreeMap<String, String>,
    /// What it was created for.
    pub intent_kind: IntentKind,
    /// The profile it runs.
    pub profile: String,
    /// The backend that executes it.
    pub backend: String,
    /// Whether it takes inputs.
    pub status: WorkerStatus,
    /// What it does right now.
    pub execution: Execution,
    /// Entries of its transcript.
    pub transcript_len: u64,
    /// Inputs that were accepted and wait for their turn.
    pub queued_inputs: u64,
    /// Approvals that wait for a decision.
    pub open_approvals: u64,
    /// What it used over its life.
    pub usage: Usage,
    /// How its last turn ended.
    pub outcome: Option<Outcome>,
    /// The place in its log that this reply was folded to.
    pub cursor: Cursor,
    /// The event that the cursor stands behind.
    pub last_event_id: EventId,
    /// When it was created.
    pub created_at: Timestamp,
    /// When its log last changed what is shown here.
    pub updated_at: Timestamp,
}

/// A worker, whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WorkerDetail {
    /// The worker and its runtime.
    pub worker_ref: WorkerRef,
    /// The worker.
    pub worker_id: WorkerId,
    /// A name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// The creator's labels.
    pub labels: BTreeMap<String, String>,
    /// What it was created for.
    pub intent: Intent,
    /// The kind of `intent`.
    pub intent_kind: IntentKind,
    /// The profile it runs.
    pub profile: String,
    /// The config bundle that the profile is from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_bundle: Option<ConfigBundleRef>,
    /// The backend that executes it.
    pub backend: String,
    /// What it may do.
    pub capabilities: Vec<Capability>,
    /// What ends its turns, or keeps it from beginning another.
    #[serde(deserialize_with = "crate::limits::said")]
    pub limits: WorkerLimits,
    /// Its directories.
    pub workspaces: Vec<WorkerWorkspace>,
    /// Directories that it has besides.
    #[serde(default)]
    pub mounts: Vec<WorkerMount>,
    /// Whether it takes inputs.
    pub status: WorkerStatus,
    /// What it does right now.
    pub execution: Execution,
    /// The backend's session that lives, or that a next one would continue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<SessionId>,
    /// The node that this session runs on, or ran on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Entries of its transcript.
    pub transcript_len: u64,
    /// Inputs that were accepted and wait for their turn.
    pub queued_inputs: u64,
    /// Approvals that wait for a decision.
    pub open_approvals: u64,
    /// What it used over its life.
    pub usage: Usage,
    /// How its last turn ended.
    pub outcome: Option<Outcome>,
    /// The place in its log that this reply was folded to.
    pub cursor: Cursor,
    /// The event that the cursor stands behind.
    pub last_event_id: EventId,
    /// When it was created.
    pub created_at: Timestamp,
    /// When its log last changed what is shown here.
    pub updated_at: Timestamp,
}

/// A directory that a worker works in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WorkerWorkspace {
    /// The request's name for it.
    pub name: String,
    /// The server's name for it.
    pub reference: String,
    /// How the worker is kept apart from others there.
    pub isolation: Isolation,
    /// The branch of its worktree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// The commit that was checked out there when the worker was created, where the directory is in a git repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_commit: Option<String>,
}

/// A directory that a worker has besides its workspaces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WorkerMount {
    /// The request's name for it.
    pub name: String,
    /// The server's name for it.
    pub reference: String,
    /// Whether the worker may change what is in it.
    pub writable: bool,
}

/// How a worker's directory is kept apart from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Isolation {
    /// Not at all: it works in the directory itself.
    Direct,
    /// It has a git worktree of its own, on a branch of its own.
    Worktree,
    /// A value that this version does not know.
    #[serde(other)]
    Unknown,
}

/// Answer to a create and to the detail of a worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WorkerReply {
    /// The worker.
    pub worker: WorkerDetail,
}

/// Answer to a list of workers: oldest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WorkerListReply {
    /// The page.
    pub workers: Vec<WorkerSummary>,
    /// What to give as `after` for the next page; null at the end.
    pub next: Option<String>,
}

/// Answer to a page of events.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EventsReply {
    /// The page, in the order of the log.
    pub events: Vec<Envelope>,
    /// The place to go on from, also behind events that `types` left out.
    pub next: Cursor,
    /// Whether there are events behind `next` already.
    pub has_more: bool,
}
