//! The state that a stream begins with.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Approval, Block, Cursor, Execution, ToolCallId, TranscriptEntry, TurnId, WorkerStatus};

/// The state of a worker at one head, so that the next event is the one behind it.
///
/// A stream that resumes from a cursor gets the status only: the client has the rest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Snapshot {
    /// Whether the worker takes inputs.
    pub status: WorkerStatus,
    /// What it does right now.
    pub execution: Execution,
    /// The place of the newest event when the snapshot was taken.
    pub head: Cursor,
    /// The newest entries of the transcript, oldest first; long texts are cut.
    pub entries: Vec<TranscriptEntry>,
    /// How many entries the transcript has.
    pub total_entries: u64,
    /// Texts, thoughts and tool calls that are not complete yet.
    pub in_flight: Vec<InFlight>,
    /// Approvals that wait for a decision.
    pub approvals: Vec<Approval>,
}

/// Something that is not complete yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InFlight {
    /// The turn.
    pub turn_id: TurnId,
    /// The block, for texts and thoughts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block: Option<Block>,
    /// The tool call, for tool calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<ToolCallId>,
    /// What it is.
    pub kind: InFlightKind,
    /// What is known of it; for a tool call its arguments as JSON text.
    pub text: String,
    /// Bytes before `text` that were left out because there are too many.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub omitted_bytes: u64,
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// What is not complete yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum InFlightKind {
    /// A text.
    Text,
    /// A thought.
    Thinking,
    /// A tool call's arguments.
    ToolCall,
    /// A kind that this version does not know.
    #[serde(other)]
    Unknown,
}
