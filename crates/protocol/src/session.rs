//! Sessions: one continuous life of a worker inside its backend.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{SessionId, Usage};

/// A session's id is known; nothing has been done in it yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SessionStarted {
    /// The session, as the backend names it.
    pub session_id: SessionId,
    /// The backend.
    pub backend: String,
    /// The model asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Whether it continues an earlier session.
    pub resumed: bool,
    /// The node it runs on.
    pub node: String,
}

/// What a session really runs with: names, never values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SessionEnvironment {
    /// The version of the vendor's program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cli_version: Option<String>,
    /// The model in effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The vendor's permission mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permission_mode: Option<String>,
    /// Names of the tools at hand.
    pub tools: Vec<String>,
    /// MCP servers and their state.
    pub mcp_servers: Vec<McpServer>,
    /// Where the vendor's program takes settings from.
    pub settings_sources: Vec<String>,
    /// Names of the environment variables of the worker's process.
    pub env_keys: Vec<String>,
    /// How the worker's processes are kept in.
    pub sandbox: String,
}

/// An MCP server and its state, by the vendor's word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct McpServer {
    /// Its name.
    pub name: String,
    /// Its state, e.g. `connected`.
    pub state: String,
}

/// A session is over, and this is all that is known of its end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SessionEnded {
    /// The session; absent when it never got an id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<SessionId>,
    /// Whether it ended as it should.
    pub exit_ok: bool,
    /// Whether it failed before it was established.
    pub aborted: bool,
    /// Whether a rate limit ended it.
    pub rate_limited: bool,
    /// When that limit resets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_limit_reset_at: Option<Timestamp>,
    /// What was used in it.
    pub usage: Usage,
    /// The exit code of its process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// The signal that ended its process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// The last that its process wrote to stderr.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stderr_tail: Option<String>,
    /// Processes that were found alive after everything was done to end them.
    pub survivors: Vec<Survivor>,
}

/// A process of a worker that could not be ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Survivor {
    /// Its process id.
    pub pid: i32,
    /// Its command name.
    pub command: String,
}
