//! The readable fold of a worker's events.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{BlobRef, Cursor, EventId, ToolCallId, TurnId, WorkerRef};

/// One entry of a transcript.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TranscriptEntry {
    /// Its number, from 1 without gaps.
    pub sequence: u64,
    /// The worker.
    pub worker_ref: WorkerRef,
    /// Whose entry it is.
    pub role: Role,
    /// The text; empty for a tool.
    pub content: String,
    /// The whole of `content`, where that is large.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blob: Option<BlobRef>,
    /// The event that made the entry.
    pub event_id: EventId,
    /// When.
    pub at: Timestamp,
    /// The turn it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turn_id: Option<TurnId>,
    /// The text was cut by the end of its turn.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub partial: bool,
    /// The tool call, for a tool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<ToolCallId>,
    /// The tool's name, for a tool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What the tool was called with, for a tool. Where that is large, a string: the first 4 kB of its JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Value>,
    /// The JSON text of the whole `input`, where that is large.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_blob: Option<BlobRef>,
    /// What the tool said, as its model was told it, once it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
    /// The whole of `result`, where that is large.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result_blob: Option<BlobRef>,
    /// Whether the tool failed, once it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_error: Option<bool>,
}

/// Whose entry it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// A user's words.
    User,
    /// The model's words.
    Assistant,
    /// The model's thoughts, as far as the vendor shows them.
    Thinking,
    /// A tool call and its result.
    Tool,
    /// The system's words.
    System,
    /// A role that this version does not know.
    #[serde(other)]
    Unknown,
}

/// A page of a transcript.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TranscriptPage {
    /// The worker.
    pub worker_ref: WorkerRef,
    /// How many entries were passed over, counted from the oldest.
    pub start: u64,
    /// How many entries the page holds at most.
    pub limit: u64,
    /// How many entries there are.
    pub total_items: u64,
    /// The page, oldest first.
    pub items: Vec<TranscriptEntry>,
    /// The `start` of the next page; null at the end.
    pub next_start: Option<u64>,
    /// The place in the log that this page was folded to.
    pub cursor: Cursor,
}

/// Answer to a page of a transcript.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TranscriptReply {
    /// The page.
    pub transcript: TranscriptPage,
}
