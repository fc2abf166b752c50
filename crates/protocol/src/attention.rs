//! What waits for a person, over all workers.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Approval, AttentionId, Digest, WorkerId};

/// Something that waits for a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AttentionItem {
    /// The item: the same for as long as it is open.
    pub attention_id: AttentionId,
    /// What kind of thing waits.
    pub kind: AttentionKind,
    /// The worker.
    pub worker_id: WorkerId,
    /// The worker's name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// The worker's labels.
    pub labels: BTreeMap<String, String>,
    /// What is wanted, for a person.
    pub message: String,
    /// Since when it waits.
    pub since_at: Timestamp,
    /// When it will be denied by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_at: Option<Timestamp>,
    /// When it goes on by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// The approval. What is large in it is left out; the worker's list of approvals has all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<Approval>,
}

/// What kind of thing waits for a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AttentionKind {
    /// A tool or a plan waits for a decision.
    Approval,
    /// A question waits for its answers.
    Question,
    /// The vendor did not accept the worker's login.
    Login,
    /// A rate limit holds the worker up; it goes on by itself.
    Parked,
    /// The worker does not go on by itself, or could not be ended whole.
    Stuck,
    /// A kind that this version does not know.
    #[serde(other)]
    Unknown,
}

impl AttentionKind {
    /// The value on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Approval => "approval",
            Self::Question => "question",
            Self::Login => "login",
            Self::Parked => "parked",
            Self::Stuck => "stuck",
            Self::Unknown => "unknown",
        }
    }
}

/// Answer to what waits for a person: always the whole list, oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AttentionReply {
    /// The list: 1000 items or 4 MiB at most. It has the oldest then, and the others come as these are dealt with.
    pub attention: Vec<AttentionItem>,
    /// How many are left out above these bounds.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub omitted: u64,
    /// What to give as `after` to wait until the list is another one.
    pub next: Digest,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives the field by reference")]
pub(crate) fn is_zero(n: &u64) -> bool {
    *n == 0
}
