//! What clients ask of a worker, and the acks they get.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Cursor, EventId, InputId, WorkerRef, WorkerStatus,
    bounds::{LINE, MAX_GRACE_SECS, MAX_INPUT_BYTES, MAX_LINE_BYTES, WORDS},
};

/// Something said to a worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InputRequest {
    /// Whose words these are.
    pub kind: InputKind,
    /// The words.
    #[schemars(length(min = 1, max = MAX_INPUT_BYTES), regex(pattern = WORDS))]
    pub content: String,
    /// The client's id for it: the same id twice runs once. The `Idempotency-Key` when absent, else minted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_id: Option<InputId>,
    /// What to do when the worker is busy.
    #[serde(default)]
    pub delivery: Delivery,
}

impl InputRequest {
    /// Words of a user, which wait for the end of a turn that runs.
    #[must_use]
    pub fn user(content: impl Into<String>) -> Self {
        Self { kind: InputKind::User, content: content.into(), input_id: None, delivery: Delivery::Queue }
    }
}

/// Whose words an input carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum InputKind {
    /// A user's.
    User,
    /// The system's around the worker.
    System,
}

/// What to do with an input while a turn runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// It waits for the turn's end.
    #[default]
    Queue,
    /// It joins the running turn where the backend can do that, else it waits.
    Steer,
    /// It is refused.
    RejectIfBusy,
}

/// Body of interrupt and cancel; it may be left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CommandRequest {
    /// Why, for the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = MAX_LINE_BYTES), regex(pattern = LINE))]
    pub reason: Option<String>,
    /// Who, for the log, beside the token's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = MAX_LINE_BYTES), regex(pattern = LINE))]
    pub actor: Option<String>,
}

/// Body of stop; it may be left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StopRequest {
    /// Why, for the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = MAX_LINE_BYTES), regex(pattern = LINE))]
    pub reason: Option<String>,
    /// Who, for the log, beside the token's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = MAX_LINE_BYTES), regex(pattern = LINE))]
    pub actor: Option<String>,
    /// Seconds that the worker's turn and processes get to end by themselves: 10 when absent, 60 at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = MAX_GRACE_SECS))]
    pub grace_secs: Option<u32>,
}

/// An input was accepted: it is in the log, and is worked on over any crash, unless the worker ends before (`input_dropped`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InputAck {
    /// The worker.
    pub worker_ref: WorkerRef,
    /// Its status then.
    pub status: WorkerStatus,
    /// The input's place in the transcript; null while it is queued.
    pub transcript_sequence: Option<u64>,
    /// The `input_accepted` event.
    pub event_id: EventId,
    /// The input.
    pub input_id: InputId,
    /// Whether this id had been accepted before; the ack is then the first one's.
    pub duplicate: bool,
    /// The place behind the `input_accepted` event.
    pub cursor: Cursor,
}

/// Answer to an input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InputAckReply {
    /// The ack.
    pub ack: InputAck,
}

/// An interrupt, stop or cancel is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Ack {
    /// The worker.
    pub worker_ref: WorkerRef,
    /// Its status now.
    pub status: WorkerStatus,
    /// The request's event; the worker's last event where nothing had to be done.
    pub event_id: EventId,
    /// The place in the log that this ack was folded to.
    pub cursor: Cursor,
}

/// Answer to interrupt, stop and cancel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AckReply {
    /// The ack.
    pub ack: Ack,
}
