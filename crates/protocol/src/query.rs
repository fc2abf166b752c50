//! Query strings. An unknown parameter is an error: what cannot be honored is not accepted.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    AttentionKind, Digest, Payload, RunState, TurnOutcome, WorkerId, WorkerStatus,
    bounds::{KEY_AND_VALUE, MAX_LISTED, MAX_WAIT_SECS},
};

/// Query of the list of workers: those for which everything holds that is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListWorkersQuery {
    /// Only workers of this status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("not" = { "const": "unknown" }))]
    pub status: Option<WorkerStatus>,
    /// Only workers in this state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("not" = { "const": "unknown" }))]
    pub run_state: Option<RunState>,
    /// Only workers whose last turn ended like this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("not" = { "const": "unknown" }))]
    pub outcome: Option<TurnOutcome>,
    /// Only workers with this label, written `key=value`; repeated, with all of these labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(inner(regex(pattern = KEY_AND_VALUE)))]
    pub label: Vec<String>,
    /// Only workers that changed later than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_after: Option<Timestamp>,
    /// In which order of creation; oldest first when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<Order>,
    /// How many, 1 to 1000; 256 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = MAX_LISTED))]
    pub limit: Option<u64>,
    /// The `next` of the page before, in the same order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<WorkerId>,
}

/// In which order workers are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Oldest first.
    #[default]
    Asc,
    /// Newest first.
    Desc,
}

/// Query of what waits for a person.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AttentionQuery {
    /// Only items of this kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("not" = { "const": "unknown" }))]
    pub kind: Option<AttentionKind>,
    /// Only workers with this label, written `key=value`; repeated, with all of these labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(inner(regex(pattern = KEY_AND_VALUE)))]
    pub label: Vec<String>,
    /// The `next` of an earlier answer to the same query: wait until the list is another one, or until the time is up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Digest>,
    /// Whole seconds to wait, 60 at most and when absent; only with `after`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = MAX_WAIT_SECS))]
    pub wait: Option<u64>,
}

/// Query of a worker's detail.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WorkerQuery {
    /// Wait until this holds, or until the time of `wait` is up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Until>,
    /// Whole seconds to wait, 60 at most and none when absent; only with `until`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = MAX_WAIT_SECS))]
    pub wait: Option<u64>,
}

/// Query of the deletion of a worker.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeleteWorkerQuery {
    /// Whether work in the worker's worktrees that is nowhere else goes with it; needs the scope `admin`.
    #[serde(default)]
    pub discard: bool,
}

/// Query of a diff.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DiffQuery {
    /// The worker's name for the directory; its first one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<String>,
}

/// What a client waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Until {
    /// No turn is open and nothing is queued.
    Idle,
    /// The worker is terminal.
    Terminal,
}

/// Query of a page of a transcript.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TranscriptQuery {
    /// How many entries to pass over; a negative number asks for the last ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<i64>,
    /// How many entries: `max_transcript_projection_items` of `GET /v1/runtime` at most; that, but not above 256, when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub limit: Option<u64>,
}

/// Query of a page of events; a stream takes `after` and `types`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EventsQuery {
    /// The cursor to go on from; from the first event when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Only the last so many events; not together with `after`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tail: Option<u64>,
    /// Only events of these types, separated by commas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = types()))]
    pub types: Option<String>,
    /// How many events: `max_event_batch_items` of `GET /v1/runtime` at most; that, but not above 256, when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub limit: Option<u64>,
    /// Whole seconds to wait for the first event when there is none yet, 60 at most and none when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = MAX_WAIT_SECS))]
    pub wait: Option<u64>,
}

/// Query of a worker's observation socket.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ObserveQuery {
    /// The cursor to go on from; a snapshot of the whole state when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// The types that there are, separated by commas.
fn types() -> String {
    let types = Payload::TYPES.join("|");
    format!("^({types})(,({types}))*$")
}
