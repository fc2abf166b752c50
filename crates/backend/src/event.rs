//! What a session reports.

use jiff::Timestamp;
use musher_protocol::{
    ApprovalKind, Block, InputId, Question, SessionEnvironment, StopReason, ToolCallId, TurnError, Usage,
};
use serde_json::Value;

use crate::ToolOutput;

/// What happens in a session, in order. The runtime adds the turn and writes it down.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Proof that the backend has the input: from here on it is never sent again.
    InputTaken {
        /// The input.
        input_id: InputId,
    },
    /// Work that woke by itself begins a turn; only while none is open.
    TurnStarted,
    /// The turn of an input is over. Between turns the session idles.
    TurnEnded(TurnEnd),
    /// Work that woke by itself ([`Event::TurnStarted`]) is over, and no input joined it. Whatever turn is open by then
    /// for an input goes on.
    WokenEnded(TurnEnd),
    /// More of a text.
    TextDelta {
        /// A number for the text, unique in its turn, also over retries.
        block: Block,
        /// What is new.
        text: String,
    },
    /// A text, whole; the same as its deltas together where there were any.
    TextDone {
        /// The text's number.
        block: Block,
        /// All of it.
        text: String,
    },
    /// More of a thought.
    ThinkingDelta {
        /// A number for the thought, from the same count as texts.
        block: Block,
        /// What is new.
        text: String,
    },
    /// A thought, whole.
    ThinkingDone {
        /// The thought's number.
        block: Block,
        /// All of it.
        text: String,
    },
    /// The model begins to call a tool.
    ToolCallStarted {
        /// The call.
        tool_call_id: ToolCallId,
        /// The tool.
        name: String,
    },
    /// More of a call's arguments, as JSON text.
    ToolCallDelta {
        /// The call.
        tool_call_id: ToolCallId,
        /// What is new.
        arguments: String,
    },
    /// A call, whole. From here on the tool may run.
    ToolCallDone {
        /// The call.
        tool_call_id: ToolCallId,
        /// The tool.
        name: String,
        /// Its arguments.
        input: Value,
    },
    /// What a tool said. Calls without one are closed by the runtime when their turn ends.
    ToolResult {
        /// The call.
        tool_call_id: ToolCallId,
        /// What it said, and what it changed. A later session gets back what the model was told of it
        /// ([`crate::Launch::history`]); the rest is for people.
        output: ToolOutput,
    },
    /// Tokens and cost since the last such event: an increment, never a running total.
    Usage(Usage),
    /// The vendor refuses until a time. The attempt is over and the turn stays open: the runtime sends the
    /// input again when the limit has passed, or ends the turn.
    RateLimited {
        /// The vendor's word for the limit; [`Event::OVERLOADED`] where it has too much to do, and says until when.
        scope: String,
        /// When it resets, where the vendor says so.
        reset_at: Option<Timestamp>,
    },
    /// The backend tries again by itself, and takes back what it had said of the attempt that failed.
    Retrying {
        /// The attempt that comes next, from 1.
        attempt: u32,
        /// How many there are at most.
        max_attempts: u32,
        /// Milliseconds until then.
        delay_ms: u64,
        /// Why.
        reason: String,
        /// Texts that are superseded.
        discarded_blocks: Vec<Block>,
    },
    /// What the session really runs with, when it is known and when it changes.
    Environment(SessionEnvironment),
    /// Something worth knowing that changes nothing.
    Diagnostic {
        /// A stable name.
        code: String,
        /// What happened, for a person.
        message: String,
    },
    /// How many tasks live on that a turn left running; 0 when the last one has ended. Only where
    /// [`crate::Launch::background`] allows any.
    Background {
        /// Their number.
        tasks: u32,
    },
    /// A sign of life with nothing to tell: holds off the inactivity limit.
    Alive,
}

impl Event {
    /// The scope of an [`Event::RateLimited`] that is about no limit: the vendor has too much to do. A turn that does not
    /// wait for that fails with it as its code.
    pub const OVERLOADED: &'static str = "overloaded";
}

/// How a turn ended, as far as the backend can tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TurnEnd {
    /// The model came to its end.
    Completed {
        /// Why it stopped.
        stop_reason: StopReason,
        /// The vendor's word for it.
        vendor_stop_reason: Option<String>,
    },
    /// It was interrupted.
    Interrupted,
    /// It failed.
    Failed(TurnError),
    /// The vendor's model or filter refused.
    Refused {
        /// The vendor's word for it.
        vendor_stop_reason: Option<String>,
        /// What the vendor said.
        message: String,
    },
}

impl TurnEnd {
    /// The model had said all.
    #[must_use]
    pub fn completed() -> Self {
        Self::Completed { stop_reason: StopReason::EndTurn, vendor_stop_reason: None }
    }

    /// A named failure.
    #[must_use]
    pub fn failed(code: &str, message: impl Into<String>) -> Self {
        Self::Failed(TurnError { code: code.to_owned(), message: message.into() })
    }
}

/// What a worker asks before it acts.
#[derive(Clone, Debug, PartialEq)]
pub struct ApprovalRequest {
    /// The tool call it is about.
    pub tool_call_id: Option<ToolCallId>,
    /// What kind of question it is.
    pub kind: ApprovalKind,
    /// The tool, by the backend's name for it.
    pub tool: String,
    /// Exactly what the tool would be called with.
    pub input: Value,
    /// The questions, when a person is asked rather than for permission. At most 16, and 64 kB of JSON with the
    /// suggestions: they are in the log and in every list as they are. What is over that is only in `input`.
    pub questions: Vec<Question>,
    /// What the vendor's own program would offer to remember, in its own form. At most 16, bounded with the questions.
    pub suggestions: Vec<Value>,
}
