//! A conversation as ordered items, and the vendor's own items beside them.

use musher_protocol::ToolCallId;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Who can read an opaque item: encrypted reasoning and signatures mean something only where they were made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scope {
    /// The vendor's protocol, e.g. `openai-responses`.
    pub provider: String,
    /// Where it is spoken.
    pub base_url: String,
    /// The model.
    pub model: String,
}

/// The vendor's own items, verbatim and in order, that stand where an item of ours stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Raw {
    /// Who made them, and can read them.
    pub scope: Scope,
    /// The items, or a Gemini content's parts.
    pub items: Vec<Value>,
}

/// One thing that was said or done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Item {
    /// A user's words.
    User {
        /// The words.
        text: String,
    },
    /// The system's words.
    System {
        /// The words.
        text: String,
    },
    /// The model's words.
    Text {
        /// The words.
        text: String,
        /// As the vendor wrote them.
        raw: Option<Raw>,
    },
    /// The model's thought. Another model is never told of it.
    Thinking {
        /// As the vendor wrote it.
        raw: Raw,
    },
    /// A tool call. What the tool said follows, also where that is only that nobody knows.
    Call {
        /// The call.
        id: ToolCallId,
        /// The tool.
        name: String,
        /// Its arguments, as the model wrote them: JSON text, or meant to be.
        arguments: String,
        /// As the vendor wrote it.
        raw: Option<Raw>,
    },
    /// What a tool said.
    Result {
        /// The call.
        id: ToolCallId,
        /// The tool.
        name: String,
        /// What it said.
        content: String,
        /// Whether it failed, was refused or was cut off.
        is_error: bool,
    },
}

impl Item {
    /// The vendor's own items in this place, where this scope can read them.
    #[must_use]
    pub fn raw_for(&self, scope: &Scope) -> Option<&[Value]> {
        let raw = self.raw()?;
        (raw.scope == *scope).then_some(raw.items.as_slice())
    }

    pub(crate) fn raw(&self) -> Option<&Raw> {
        match self {
            Self::Text { raw, .. } | Self::Call { raw, .. } => raw.as_ref(),
            Self::Thinking { raw } => Some(raw),
            Self::User { .. } | Self::System { .. } | Self::Result { .. } => None,
        }
    }
}
