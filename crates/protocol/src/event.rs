//! Events: one durable fact each, in the order of a worker's log.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    Answers, Approval, ApprovalId, BlobRef, Cursor, Decision, Delivery, EventId, Execution, InputId,
    InputKind, Intent, Remember, SessionEnded, SessionEnvironment, SessionStarted, Snapshot, Survivor,
    ToolCallId, TurnError, TurnId, TurnOutcome, Usage, WorkerId, WorkerStatus,
};

/// An event with its place in the log; the same object in pages and sockets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Envelope {
    /// The place behind this event.
    pub cursor: Cursor,
    /// Its number in the log, from 1 without gaps.
    pub seq: u64,
    /// The event.
    pub event_id: EventId,
    /// The worker.
    pub worker_id: WorkerId,
    /// When it was decided.
    pub at: Timestamp,
    /// What happened.
    pub payload: Payload,
}

/// A number for a run of text, thoughts or arguments, unique in its turn, also over retries.
pub type Block = u32;

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Payload {
    /// Not of the log: the state that a stream begins with.
    Snapshot(Box<Snapshot>),
    /// The worker exists.
    WorkerCreated(Box<WorkerCreated>),
    /// An input is in the log and will run, whatever happens.
    InputAccepted {
        /// The input.
        input_id: InputId,
        /// Whose words these are.
        kind: InputKind,
        /// The words.
        content: String,
        /// The whole of `content`, where that is large.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        blob: Option<BlobRef>,
        /// What was asked for should the worker be busy.
        delivery: Delivery,
        /// Who sent it.
        by: Actor,
    },
    /// An input is about to be handed to the backend.
    InputDelivered {
        /// The input.
        input_id: InputId,
        /// The turn it starts or joins.
        turn_id: TurnId,
    },
    /// The backend's proof that it has the input; from here on it is never sent again.
    InputTaken {
        /// The input.
        input_id: InputId,
    },
    /// A queued input ended with its worker, without having run.
    InputDropped {
        /// The input.
        input_id: InputId,
        /// Why.
        reason: String,
    },
    /// Somebody wants the open turn ended.
    InterruptRequested(EndRequested),
    /// Somebody wants the worker ended gracefully.
    StopRequested(EndRequested),
    /// Somebody wants the worker ended at once.
    CancelRequested(EndRequested),
    /// A user's words reach the worker.
    UserMessage {
        /// The input they came as.
        input_id: InputId,
        /// The words.
        content: String,
        /// The whole of `content`, where that is large.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        blob: Option<BlobRef>,
    },
    /// The system's words reach the worker.
    SystemItem {
        /// The words.
        content: String,
        /// The whole of `content`, where that is large.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        blob: Option<BlobRef>,
        /// The input they came as.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        input_id: Option<InputId>,
    },
    /// A session's id is known.
    SessionStarted(SessionStarted),
    /// What a session really runs with.
    SessionEnvironment(SessionEnvironment),
    /// A session is over.
    SessionEnded(Box<SessionEnded>),
    /// A turn begins.
    TurnStarted {
        /// The turn.
        turn_id: TurnId,
        /// The inputs that it answers.
        input_ids: Vec<InputId>,
        /// Why it begins.
        cause: TurnCause,
    },
    /// A turn is over; it has exactly one of these.
    TurnFinished(Box<TurnFinished>),
    /// More of a text.
    TextDelta {
        /// The turn.
        turn_id: TurnId,
        /// The text it continues.
        block: Block,
        /// What is new.
        text: String,
    },
    /// A text, whole.
    TextDone {
        /// The turn.
        turn_id: TurnId,
        /// The text it ends.
        block: Block,
        /// All of it.
        text: String,
        /// The whole of `text`, where that is large.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        blob: Option<BlobRef>,
    },
    /// More of a thought.
    ThinkingDelta {
        /// The turn.
        turn_id: TurnId,
        /// The thought it continues.
        block: Block,
        /// What is new.
        text: String,
    },
    /// A thought, whole.
    ThinkingDone {
        /// The turn.
        turn_id: TurnId,
        /// The thought it ends.
        block: Block,
        /// All of it.
        text: String,
        /// The whole of `text`, where that is large.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        blob: Option<BlobRef>,
    },
    /// The model begins to call a tool.
    ToolCallStarted {
        /// The turn.
        turn_id: TurnId,
        /// The call.
        tool_call_id: ToolCallId,
        /// The tool.
        name: String,
    },
    /// More of a tool call's arguments, as JSON text.
    ToolCallDelta {
        /// The call.
        tool_call_id: ToolCallId,
        /// What is new.
        arguments: String,
    },
    /// A tool call, whole; the tool has not run yet.
    ToolCallDone {
        /// The call.
        tool_call_id: ToolCallId,
        /// The tool.
        name: String,
        /// Its arguments. Where they are large, a string: the first 4 kB of their JSON text.
        input: Value,
        /// The JSON text of the whole `input`, where that is large.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        blob: Option<BlobRef>,
    },
    /// What a tool said.
    ToolResult {
        /// The call.
        tool_call_id: ToolCallId,
        /// What it said, as its model was told it.
        content: String,
        /// All that it said, where `content` is not: the first 4 kB of it, where it is large; where it was cut for the
        /// model, what the model was told, which is also the `result` of the transcript's entry.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        blob: Option<BlobRef>,
        /// Whether it failed, was refused or was cut off.
        is_error: bool,
        /// The unified diff of what it changed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        diff: Option<String>,
        /// The whole of `diff`, where that is large.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        diff_blob: Option<BlobRef>,
    },
    /// The worker asks before it acts.
    ApprovalRequested(Box<Approval>),
    /// An approval has its decision.
    ApprovalResolved {
        /// The approval.
        approval_id: ApprovalId,
        /// How it was resolved.
        decision: Decision,
        /// What was said with it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<String>,
        /// What the tool is to be called with instead.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        updated_input: Option<Value>,
        /// The JSON text of the whole `updated_input`, where that is large.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        blob: Option<BlobRef>,
        /// Answers to its questions.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        answers: Option<Answers>,
        /// Whether a denial also ends the turn.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        interrupt: bool,
        /// What is allowed from now on without asking.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        remember: Option<Remember>,
        /// Who decided.
        by: Actor,
    },
    /// Tokens and cost since the last such event of the worker; their sum is its usage.
    Usage {
        /// The turn.
        turn_id: TurnId,
        /// Tokens sent to the model, cached ones included.
        input_tokens: Option<u64>,
        /// Tokens that the model produced, its reasoning included.
        output_tokens: Option<u64>,
        /// The part of the input that was written to the cache.
        cache_creation_input_tokens: Option<u64>,
        /// The part of the input that was read from the cache.
        cache_read_input_tokens: Option<u64>,
        /// The part of the output that was reasoning.
        reasoning_tokens: Option<u64>,
        /// US dollars.
        total_cost_usd: Option<f64>,
        /// Whether the cost, and what of the output was reasoning, comes with a later increment.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        cost_follows: bool,
        /// Where the cost comes from.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cost_source: Option<crate::CostSource>,
        /// The version of the price table that an estimated cost was computed with.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        price_table_version: Option<String>,
    },
    /// The vendor refuses until a time.
    RateLimited {
        /// The vendor's word for the limit, e.g. `five_hour`; `overloaded` where it has too much to do.
        scope: String,
        /// When it resets, where the vendor says so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reset_at: Option<Timestamp>,
    },
    /// The backend tries again.
    Retrying(Retrying),
    /// A limit of the profile is reached; the turn ends.
    LimitReached {
        /// Which.
        which: LimitKind,
    },
    /// Limits of the worker were raised.
    LimitsRaised {
        /// The limits that changed.
        #[serde(deserialize_with = "crate::limits::said")]
        limits: crate::WorkerLimits,
        /// Who raised them.
        by: Actor,
    },
    /// The status or the execution changed.
    Status {
        /// Whether the worker takes inputs.
        status: WorkerStatus,
        /// What it does right now.
        execution: Execution,
    },
    /// Something worth knowing that changes nothing.
    Diagnostic {
        /// A stable name.
        code: String,
        /// What happened, for a person.
        message: String,
    },
    /// Something failed; a turn that it ended says so itself.
    Error {
        /// A stable name.
        code: String,
        /// What happened, for a person.
        message: String,
    },
    /// The worker ended gracefully; the last event of its log.
    WorkerStopped(Box<WorkerEnded>),
    /// The worker was ended at once; the last event of its log.
    WorkerCancelled(Box<WorkerEnded>),
    /// An event that this version does not know; its place in the log still counts.
    #[serde(other)]
    Unknown,
}

impl Payload {
    /// The types that a log holds, as `types` of a page names them.
    pub const TYPES: &[&str] = &[
        "worker_created",
        "input_accepted",
        "input_delivered",
        "input_taken",
        "input_dropped",
        "interrupt_requested",
        "stop_requested",
        "cancel_requested",
        "user_message",
        "system_item",
        "session_started",
        "session_environment",
        "session_ended",
        "turn_started",
        "turn_finished",
        "text_delta",
        "text_done",
        "thinking_delta",
        "thinking_done",
        "tool_call_started",
        "tool_call_delta",
        "tool_call_done",
        "tool_result",
        "approval_requested",
        "approval_resolved",
        "usage",
        "rate_limited",
        "retrying",
        "limit_reached",
        "limits_raised",
        "status",
        "diagnostic",
        "error",
        "worker_stopped",
        "worker_cancelled",
    ];

    /// The `usage` event of an increment.
    #[must_use]
    pub fn usage(turn_id: TurnId, increment: &Usage) -> Self {
        Self::Usage {
            turn_id,
            input_tokens: increment.input_tokens,
            output_tokens: increment.output_tokens,
            cache_creation_input_tokens: increment.cache_creation_input_tokens,
            cache_read_input_tokens: increment.cache_read_input_tokens,
            reasoning_tokens: increment.reasoning_tokens,
            total_cost_usd: increment.total_cost_usd,
            cost_follows: increment.cost_follows,
            cost_source: increment.cost_source,
            price_table_version: increment.price_table_version.clone(),
        }
    }

    /// The increment that a `usage` event carries; `None` for other events.
    #[must_use]
    pub fn increment(&self) -> Option<Usage> {
        let Self::Usage {
            turn_id: _,
            input_tokens,
            output_tokens,
            cache_creation_input_tokens,
            cache_read_input_tokens,
            reasoning_tokens,
            total_cost_usd,
            cost_follows,
            cost_source,
            price_table_version,
        } = self
        else {
            return None;
        };
        Some(Usage {
            input_tokens: *input_tokens,
            output_tokens: *output_tokens,
            cache_creation_input_tokens: *cache_creation_input_tokens,
            cache_read_input_tokens: *cache_read_input_tokens,
            reasoning_tokens: *reasoning_tokens,
            total_cost_usd: *total_cost_usd,
            cost_follows: *cost_follows,
            known_cost_usd: None,
            cost_source: *cost_source,
            price_table_version: price_table_version.clone(),
        })
    }

    /// The value of the field `type`.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Snapshot(_) => "snapshot",
            Self::WorkerCreated(_) => "worker_created",
            Self::InputAccepted { .. } => "input_accepted",
            Self::InputDelivered { .. } => "input_delivered",
            Self::InputTaken { .. } => "input_taken",
            Self::InputDropped { .. } => "input_dropped",
            Self::InterruptRequested(_) => "interrupt_requested",
            Self::StopRequested(_) => "stop_requested",
            Self::CancelRequested(_) => "cancel_requested",
            Self::UserMessage { .. } => "user_message",
            Self::SystemItem { .. } => "system_item",
            Self::SessionStarted(_) => "session_started",
            Self::SessionEnvironment(_) => "session_environment",
            Self::SessionEnded(_) => "session_ended",
            Self::TurnStarted { .. } => "turn_started",
            Self::TurnFinished(_) => "turn_finished",
            Self::TextDelta { .. } => "text_delta",
            Self::TextDone { .. } => "text_done",
            Self::ThinkingDelta { .. } => "thinking_delta",
            Self::ThinkingDone { .. } => "thinking_done",
            Self::ToolCallStarted { .. } => "tool_call_started",
            Self::ToolCallDelta { .. } => "tool_call_delta",
            Self::ToolCallDone { .. } => "tool_call_done",
            Self::ToolResult { .. } => "tool_result",
            Self::ApprovalRequested(_) => "approval_requested",
            Self::ApprovalResolved { .. } => "approval_resolved",
            Self::Usage { .. } => "usage",
            Self::RateLimited { .. } => "rate_limited",
            Self::Retrying(_) => "retrying",
            Self::LimitReached { .. } => "limit_reached",
            Self::LimitsRaised { .. } => "limits_raised",
            Self::Status { .. } => "status",
            Self::Diagnostic { .. } => "diagnostic",
            Self::Error { .. } => "error",
            Self::WorkerStopped(_) => "worker_stopped",
            Self::WorkerCancelled(_) => "worker_cancelled",
            Self::Unknown => "unknown",
        }
    }
}

/// Who did something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Actor {
    /// The name of the token, or of the rule of the runtime, e.g. `profile` or `deadline`.
    pub token: String,
    /// Whom the token's holder named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
}

impl Actor {
    /// A rule of the runtime itself.
    #[must_use]
    pub fn rule(name: &str) -> Self {
        Self { token: name.to_owned(), actor: None }
    }
}

/// The worker exists, and this is what it was created as.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WorkerCreated {
    /// What it is for.
    pub intent: Intent,
    /// The profile it runs.
    pub profile: String,
    /// The backend that executes it.
    pub backend: String,
    /// A name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// The creator's labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Who created it.
    pub by: Actor,
}

/// Somebody wants something ended; appended before anything is done about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EndRequested {
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Who.
    pub by: Actor,
}

/// Why a turn begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TurnCause {
    /// An input.
    Input,
    /// A restart interrupted the turn before.
    Resume,
    /// A task that an earlier turn left running woke the model.
    Background,
    /// A cause that this version does not know.
    #[serde(other)]
    Unknown,
}

/// A turn is over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TurnFinished {
    /// The turn.
    pub turn_id: TurnId,
    /// How it ended.
    pub outcome: TurnOutcome,
    /// Why the model stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_reason: Option<StopReason>,
    /// The vendor's word for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vendor_stop_reason: Option<String>,
    /// The limit that was reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<LimitKind>,
    /// The failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<TurnError>,
    /// What was used in the turn.
    pub usage: Usage,
    /// The text that the turn's end cut off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text_so_far: Option<String>,
    /// The whole of `text_so_far`, where that is large.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blob: Option<BlobRef>,
    /// The tool that was called last, when the turn was cut off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_tool: Option<String>,
    /// Whether a tool may have run whose result nobody saw.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tool_may_have_run: bool,
}

/// Why a model stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// It had said all.
    EndTurn,
    /// Its length limit.
    Length,
    /// A stop sequence.
    StopSequence,
    /// A limit on tool rounds.
    ToolLimit,
    /// Another reason; see the vendor's word.
    Other,
    /// A reason that this version does not know.
    #[serde(other)]
    Unknown,
}

/// The backend tries again, and takes back what it had said of the attempt that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Retrying {
    /// The turn.
    pub turn_id: TurnId,
    /// The attempt that comes next, from 1.
    pub attempt: u32,
    /// How many there are at most.
    pub max_attempts: u32,
    /// Milliseconds until then.
    pub delay_ms: u64,
    /// Why.
    pub reason: String,
    /// Texts that are superseded.
    pub discarded_blocks: Vec<Block>,
}

/// A limit of a profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LimitKind {
    /// Turns over the worker's life.
    Turns,
    /// Tokens over the worker's life.
    Tokens,
    /// Cost over the worker's life.
    CostUsd,
    /// Time over the worker's life.
    WallSecs,
    /// Time without a sign of life within a turn.
    InactivitySecs,
    /// Rounds of tools within a turn.
    ToolRounds,
    /// A limit that this version does not know.
    #[serde(other)]
    Unknown,
}

/// A worker is terminal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WorkerEnded {
    /// Why, as the request said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Processes that were found alive after everything was done to end them.
    pub survivors: Vec<Survivor>,
    /// How its last turn ended.
    pub outcome: Option<crate::Outcome>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn type_names_are_the_tags_on_the_wire() {
        for name in Payload::TYPES {
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{name}");
        }
        let payload = Payload::Diagnostic { code: "a".into(), message: "b".into() };
        let value = serde_json::to_value(&payload).unwrap();
        assert_eq!((value["type"].as_str(), payload.type_name()), (Some("diagnostic"), "diagnostic"));
        assert_eq!(Payload::TYPES.len(), 35, "every payload but the snapshot and the unknown");
    }
}
