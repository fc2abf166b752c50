//! Questions that a worker must have answered before it acts.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    ApprovalId, BlobRef, ToolCallId, TurnId, WorkerId,
    bounds::{LINE, MAX_LINE_BYTES, MAX_WORDS_BYTES},
};

/// A question that a worker must have answered before it acts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Approval {
    /// The approval.
    pub approval_id: ApprovalId,
    /// The worker that asks.
    pub worker_id: WorkerId,
    /// The turn it asks in.
    pub turn_id: TurnId,
    /// The tool call it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<ToolCallId>,
    /// What kind of question it is.
    pub kind: ApprovalKind,
    /// The tool, by the backend's name for it.
    pub tool: String,
    /// Exactly what the tool would be called with. Where that is large, a string: the first 4 kB of its JSON text.
    pub input: Value,
    /// The JSON text of the whole `input`, where that is large.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blob: Option<BlobRef>,
    /// Whether `[redacted:NAME]` stands somewhere here in the place of a secret that the server knows. Such an input cannot
    /// be remembered. A mark in an answer or in `updated_input` means to the worker what it stands for here.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub redacted: bool,
    /// The questions, when the worker asks a person rather than for permission. At most 16, and 64 kB of JSON with the
    /// suggestions; what is over that is left out here, and is in `input`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub questions: Vec<Question>,
    /// What the vendor's own program would offer to remember, in its own form; for people to read. At most 16, and 64 kB
    /// of JSON with the questions; what is over that is left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub suggestions: Vec<Value>,
    /// Whether it is still open.
    pub state: ApprovalState,
    /// When it was asked.
    pub requested_at: Timestamp,
    /// When it will be denied by itself.
    pub deadline_at: Timestamp,
    /// How it was resolved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<Decision>,
    /// What was said with the decision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Who decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<crate::Actor>,
}

/// What kind of question an approval is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalKind {
    /// May the tool run?
    Tool,
    /// A question to a person.
    Question,
    /// May the plan be carried out?
    Plan,
    /// A kind that this version does not know.
    #[serde(other)]
    Unknown,
}

/// Whether an approval is still open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalState {
    /// It waits for a decision.
    Pending,
    /// It has its decision.
    Resolved,
    /// A state that this version does not know.
    #[serde(other)]
    Unknown,
}

/// How an approval was resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// The tool may run.
    Allow,
    /// The tool may not run.
    Deny,
    /// Nobody decided in time, which denies it.
    Expired,
    /// The worker no longer needs the answer.
    Withdrawn,
    /// A decision that this version does not know.
    #[serde(other)]
    Unknown,
}

/// What a decision allows from now on, for the worker's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Remember {
    /// The same tool with the same input.
    Input,
    /// The same tool with any input.
    Tool,
}

/// Answers to the questions of an approval: for each question's text the labels that were chosen, or own words.
pub type Answers = BTreeMap<String, Vec<String>>;

/// What somebody decides about an approval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Permission {
    /// The tool may run; a question has these answers.
    Allow,
    /// The tool may not run; a question stays without an answer.
    Deny,
}

/// A decision about an approval. The same decision again is answered as the first was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DecisionRequest {
    /// The decision.
    pub decision: Permission,
    /// What to tell the worker with a denial; with an allowance a note in the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = MAX_WORDS_BYTES))]
    pub message: Option<String>,
    /// What the tool is to be called with instead; only with `allow`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_input: Option<Value>,
    /// Answers to all questions; with `allow` of a question, and only then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answers: Option<Answers>,
    /// Whether a denial also ends the turn.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub interrupt: bool,
    /// What is allowed from now on without asking; only with `allow` of a tool or a plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remember: Option<Remember>,
    /// Who, for the log, beside the token's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = MAX_LINE_BYTES), regex(pattern = LINE))]
    pub actor: Option<String>,
}

impl DecisionRequest {
    /// A plain decision, with nothing said, changed or remembered.
    #[must_use]
    pub fn new(decision: Permission) -> Self {
        Self {
            decision,
            message: None,
            updated_input: None,
            answers: None,
            interrupt: false,
            remember: None,
            actor: None,
        }
    }
}

/// Answer to a decision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DecisionReply {
    /// The approval, with its decision.
    pub approval: Approval,
    /// Whether the same had been decided before.
    pub duplicate: bool,
}

/// Answer to the approvals of a worker: those that are open, oldest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ApprovalsReply {
    /// The approvals.
    pub approvals: Vec<Approval>,
}

/// A question to a person, with the answers that the worker offers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Question {
    /// The question.
    pub question: String,
    /// A word or two for a heading.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
    /// The answers offered.
    pub options: Vec<QuestionOption>,
    /// Whether several may be chosen.
    #[serde(default)]
    pub multi_select: bool,
}

/// An answer that the worker offers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct QuestionOption {
    /// The answer.
    pub label: String,
    /// What it would mean.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}
