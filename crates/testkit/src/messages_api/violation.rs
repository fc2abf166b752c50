//! What the vendor would refuse.

use std::fmt;

use musher_scripted::model_api;

use super::scenario::Refusal;

/// A rule of the API that a request broke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Violation {
    /// Neither of the two routes that there are.
    Route { method: String, path: String },
    /// The `x-api-key` is missing or not the fake's own.
    ApiKey,
    /// `anthropic-version` is missing or unknown.
    Version,
    /// The body is not a JSON object.
    Json,
    /// A field of the body is missing or of the wrong type.
    Field(&'static str),
    /// A message's role is none of `user`, `assistant` and `system`.
    Role { message: usize, role: String },
    /// A message's content is neither a text nor a list of blocks that name their type.
    Content { message: usize },
    /// A text is empty.
    EmptyText { message: usize },
    /// A `tool_result` answers no `tool_use` of the assistant message before it.
    OrphanToolResult { message: usize, tool_use_id: String },
    /// The conversation goes on though a `tool_use` has no `tool_result`.
    UnansweredToolUse { tool_use_id: String },
    /// The prompt's marker names no scenario, or one with other arguments.
    Scenario(String),
}

impl Violation {
    /// As it is kept, with how the vendor refuses it.
    pub(super) fn kept(&self) -> model_api::Violation {
        model_api::Violation::new(self.to_string()).refused_with(self.refusal().answer())
    }

    pub(super) fn refusal(&self) -> Refusal {
        let (status, kind) = self.status();
        Refusal { status, kind, message: self.to_string(), headers: Vec::new() }
    }

    /// The HTTP status and the vendor's error type for it.
    fn status(&self) -> (u16, &'static str) {
        match self {
            Self::Route { .. } => (404, "not_found_error"),
            Self::ApiKey => (401, "authentication_error"),
            Self::Version
            | Self::Json
            | Self::Field(_)
            | Self::Role { .. }
            | Self::Content { .. }
            | Self::EmptyText { .. }
            | Self::OrphanToolResult { .. }
            | Self::UnansweredToolUse { .. }
            | Self::Scenario(_) => (400, "invalid_request_error"),
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Route { method, path } => write!(f, "no route {method} {path}"),
            Self::ApiKey => write!(f, "invalid x-api-key"),
            Self::Version => write!(f, "anthropic-version: header is required"),
            Self::Json => write!(f, "the request body is not a JSON object"),
            Self::Field(name) => write!(f, "{name}: missing or of the wrong type"),
            Self::Role { message, role } => write!(f, "messages.{message}: unexpected role `{role}`"),
            Self::Content { message } => write!(f, "messages.{message}.content: neither a text nor blocks"),
            Self::EmptyText { message } => {
                write!(f, "messages.{message}: text content blocks must be non-empty")
            }
            Self::OrphanToolResult { message, tool_use_id } => {
                write!(f, "messages.{message}: unexpected `tool_use_id` in `tool_result`: {tool_use_id}")
            }
            Self::UnansweredToolUse { tool_use_id } => {
                write!(f, "messages: `tool_use` without `tool_result`: {tool_use_id}")
            }
            Self::Scenario(marker) => write!(f, "no such scenario: {marker}"),
        }
    }
}

impl std::error::Error for Violation {}
