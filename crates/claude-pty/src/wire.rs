//! What Claude Code writes, as far as it matters to us: one JSON object a line.
//!
//! Everything here is tolerant. Versions add types and fields, drop them, and turn whole numbers into floats;
//! what cannot be read counts as absent, for a turn must end also where a field of its end has changed.

mod fields;

use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::{Map, Value};

pub(crate) use self::fields::Strange;

/// A line, by what it means to us.
#[derive(Debug)]
pub(crate) enum Line {
    /// A turn begins: `system/init`.
    Init(Init),
    /// A request to the model failed and will be tried again.
    ApiRetry(ApiRetry),
    /// The conversation was shortened to fit the model.
    Compacted(Value),
    /// A remark to the user.
    Notice(String),
    /// A complete block of the model's, or of a subagent's.
    Assistant(Said),
    /// What tools answered, and what the program itself tells the model.
    User(Said),
    /// A piece of the model's answer as it comes.
    Stream(Streamed),
    /// How a turn ended.
    Result(Box<TurnResult>),
    /// The state of a usage limit.
    RateLimit(RateLimit),
    /// A tool may not run without leave.
    CanUseTool { request_id: String, ask: Ask },
    /// Something is asked that we do not know.
    OtherRequest { request_id: String, subtype: String },
    /// The answer to a request of ours.
    Response(Response),
    /// A request needs no answer any more.
    RequestCanceled { request_id: String },
    /// A task began, in the background or not.
    TaskStarted(TaskStarted),
    /// A task has ended.
    TaskEnded { task_id: String },
    /// The tasks that live in the background.
    BackgroundTasks(Vec<BackgroundTask>),
    /// The program refused a tool by a rule of its own.
    PermissionDenied(Denial),
    /// Known, and of no consequence.
    Quiet,
    /// A type that we do not know, or a known one that we cannot read.
    Unknown(String),
}

impl Line {
    /// Reads a line; with it come its fields that are not understood, where that matters.
    ///
    /// # Errors
    ///
    /// When it is not JSON.
    pub(crate) fn parse(line: &[u8]) -> Result<(Line, Vec<Strange>), serde_json::Error> {
        let value: Value = serde_json::from_slice(line)?;
        let strange = fields::strange(&value);
        Ok((Line::of(value), strange))
    }

    fn of(value: Value) -> Line {
        let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (kind, subtype) = (text("type"), text("subtype"));
        let name = if subtype.is_empty() { kind.clone() } else { format!("{kind}/{subtype}") };
        let request_id = text("request_id");
        let read = match kind.as_str() {
            "system" => return system(&subtype, name, value),
            "assistant" => from(value).map(Line::Assistant),
            "user" => from(value).map(Line::User),
            "stream_event" => from(value).map(Line::Stream),
            "result" => from(value).map(|result| Line::Result(Box::new(result))),
            "rate_limit_event" => inner(value, "rate_limit_info").map(Line::RateLimit),
            "control_request" => {
                let subtype = value["request"]["subtype"].as_str().unwrap_or_default().to_owned();
                if subtype == "can_use_tool" {
                    inner(value, "request").map(|ask| Line::CanUseTool { request_id, ask })
                } else {
                    Some(Line::OtherRequest { request_id, subtype })
                }
            }
            "control_response" => inner(value, "response").map(Line::Response),
            "control_cancel_request" => Some(Line::RequestCanceled { request_id }),
            "command_lifecycle" | "keep_alive" => Some(Line::Quiet),
            _ => None,
        };
        read.unwrap_or(Line::Unknown(name))
    }
}

/// `Unknown` has the name, so a notice of it says which.
fn system(subtype: &str, name: String, value: Value) -> Line {
    let read = match subtype {
        "init" => from(value).map(Line::Init),
        "api_retry" => from(value).map(Line::ApiRetry),
        "compact_boundary" => {
            Some(Line::Compacted(value.get("compact_metadata").cloned().unwrap_or_default()))
        }
        "informational" => Some(Line::Notice(value["content"].as_str().unwrap_or_default().to_owned())),
        "task_started" => from(value).map(Line::TaskStarted),
        "task_notification" => value["task_id"].as_str().map(|id| Line::TaskEnded { task_id: id.to_owned() }),
        "background_tasks_changed" => inner(value, "tasks").map(Line::BackgroundTasks),
        "permission_denied" => from(value).map(Line::PermissionDenied),
        "status"
        | "hook_started"
        | "hook_response"
        | "task_progress"
        | "task_updated"
        | "thinking_tokens"
        | "model_refusal_no_fallback"
        | "ui_invalidate" => Some(Line::Quiet),
        _ => None,
    };
    read.unwrap_or(Line::Unknown(name))
}

fn from<T: DeserializeOwned>(value: Value) -> Option<T> {
    serde_json::from_value(value).ok()
}

fn inner<T: DeserializeOwned>(mut value: Value, name: &str) -> Option<T> {
    from(value.get_mut(name)?.take())
}

/// Absent where it cannot be read.
fn lenient<'de, D: Deserializer<'de>, T: DeserializeOwned + Default>(from: D) -> Result<T, D::Error> {
    Ok(serde_json::from_value(Value::deserialize(from)?).unwrap_or_default())
}

/// A count that may come as a float.
fn count<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    let value = Value::deserialize(from)?;
    // The cast saturates; a count has no fraction worth keeping.
    Ok(value.as_u64().or_else(|| value.as_f64().filter(|n| *n >= 0.0).map(|n| n as u64)))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Init {
    #[serde(deserialize_with = "lenient")]
    pub(crate) claude_code_version: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub(crate) model: Option<String>,
    #[serde(rename = "permissionMode", deserialize_with = "lenient")]
    pub(crate) permission_mode: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub(crate) tools: Vec<String>,
    #[serde(deserialize_with = "lenient")]
    pub(crate) mcp_servers: Vec<McpServer>,
    /// The messages that this turn answers; absent in old versions, and where the turn answers none.
    #[serde(deserialize_with = "lenient")]
    pub(crate) user_message_uuids: Option<Vec<String>>,
    #[serde(deserialize_with = "lenient")]
    pub(crate) capabilities: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct McpServer {
    #[serde(deserialize_with = "lenient")]
    pub(crate) name: String,
    #[serde(deserialize_with = "lenient")]
    pub(crate) status: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ApiRetry {
    #[serde(deserialize_with = "count")]
    pub(crate) attempt: Option<u64>,
    #[serde(deserialize_with = "count")]
    pub(crate) max_retries: Option<u64>,
    #[serde(deserialize_with = "count")]
    pub(crate) retry_delay_ms: Option<u64>,
    #[serde(deserialize_with = "count")]
    pub(crate) error_status: Option<u64>,
    #[serde(deserialize_with = "lenient")]
    pub(crate) error: Option<String>,
}

/// An `assistant` or `user` line.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Said {
    pub(crate) message: Message,
    /// The call of the subagent that this belongs to.
    #[serde(deserialize_with = "lenient")]
    pub(crate) parent_tool_use_id: Option<String>,
    /// Why the program speaks in the model's place.
    #[serde(deserialize_with = "lenient")]
    pub(crate) error: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub(crate) aborted: bool,
    #[serde(rename = "isSynthetic", deserialize_with = "lenient")]
    pub(crate) is_synthetic: bool,
    #[serde(rename = "isReplay", deserialize_with = "lenient")]
    pub(crate) is_replay: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Message {
    #[serde(deserialize_with = "lenient")]
    pub(crate) id: String,
    #[serde(deserialize_with = "lenient")]
    pub(crate) model: String,
    #[serde(deserialize_with = "blocks")]
    pub(crate) content: Vec<Block>,
    #[serde(deserialize_with = "lenient")]
    pub(crate) usage: MessageUsage,
}

impl Message {
    /// Whether the program speaks in the model's place, e.g. of an error.
    pub(crate) fn is_synthetic(&self) -> bool {
        self.model == "<synthetic>"
    }
}

/// Content is a list, or one text as it stands.
fn blocks<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Block>, D::Error> {
    let blocks = match Value::deserialize(from)? {
        Value::Array(blocks) => blocks.into_iter().map(Block::from).collect(),
        Value::String(text) => vec![Block::Text(text)],
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => Vec::new(),
    };
    Ok(blocks)
}

/// A part of a message.
#[derive(Debug, PartialEq)]
pub(crate) enum Block {
    Text(String),
    Thinking(String),
    ToolUse { id: String, name: String, input: Value },
    ToolResult { id: String, content: String, is_error: bool },
    Other(String),
}

impl From<Value> for Block {
    fn from(mut value: Value) -> Block {
        let mut text = |name: &str| match value.get_mut(name).map(Value::take) {
            Some(Value::String(text)) => text,
            _ => String::new(),
        };
        match text("type").as_str() {
            "text" => Block::Text(text("text")),
            "thinking" => Block::Thinking(text("thinking")),
            "tool_use" | "server_tool_use" => {
                let (id, name) = (text("id"), text("name"));
                Block::ToolUse {
                    id,
                    name,
                    input: value.get_mut("input").map(Value::take).unwrap_or_default(),
                }
            }
            "tool_result" => {
                let id = text("tool_use_id");
                let content = value.get_mut("content").map(Value::take).unwrap_or_default();
                let is_error = value.get("is_error").and_then(Value::as_bool).unwrap_or(false);
                Block::ToolResult { id, content: result_text(content), is_error }
            }
            kind => Block::Other(kind.to_owned()),
        }
    }
}

/// A tool's answer as text; parts that are none are named.
fn result_text(content: Value) -> String {
    match content {
        Value::String(text) => text,
        Value::Array(parts) => {
            let part = |part: Value| match Block::from(part) {
                Block::Text(text) => text,
                Block::Thinking(_) => "[thinking]".to_owned(),
                Block::ToolUse { .. } => "[tool_use]".to_owned(),
                Block::ToolResult { content, .. } => content,
                Block::Other(kind) if kind.is_empty() => "[unknown]".to_owned(),
                Block::Other(kind) => format!("[{kind}]"),
            };
            parts.into_iter().map(part).collect::<Vec<_>>().join("\n")
        }
        Value::Null => String::new(),
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => content.to_string(),
    }
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct MessageUsage {
    #[serde(deserialize_with = "count")]
    pub(crate) input_tokens: Option<u64>,
    #[serde(deserialize_with = "count")]
    pub(crate) output_tokens: Option<u64>,
    #[serde(deserialize_with = "count")]
    pub(crate) cache_creation_input_tokens: Option<u64>,
    #[serde(deserialize_with = "count")]
    pub(crate) cache_read_input_tokens: Option<u64>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Streamed {
    pub(crate) event: StreamEvent,
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) parent_tool_use_id: Option<String>,
    /// The message broke off: its blocks will not be completed.
    #[serde(default)]
    pub(crate) abandoned_blocks: Option<Value>,
}

/// An event of the vendor's own stream.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum StreamEvent {
    MessageStart {
        message: Message,
    },
    ContentBlockStart {
        index: u64,
        content_block: Value,
    },
    ContentBlockDelta {
        index: u64,
        delta: Delta,
    },
    MessageDelta {
        #[serde(default)]
        usage: MessageUsage,
    },
    MessageStop,
    #[serde(other)]
    Other,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "type")]
pub(crate) enum Delta {
    #[serde(rename = "text_delta")]
    Text { text: String },
    #[serde(rename = "thinking_delta")]
    Thinking { thinking: String },
    #[serde(rename = "input_json_delta")]
    InputJson { partial_json: String },
    #[serde(other)]
    Other,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct TurnResult {
    #[serde(deserialize_with = "lenient")]
    pub(crate) is_error: bool,
    #[serde(deserialize_with = "lenient")]
    pub(crate) subtype: String,
    #[serde(deserialize_with = "lenient")]
    pub(crate) terminal_reason: Option<String>,
    #[serde(deserialize_with = "count")]
    pub(crate) api_error_status: Option<u64>,
    #[serde(deserialize_with = "lenient")]
    pub(crate) stop_reason: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub(crate) result: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub(crate) errors: Vec<String>,
    #[serde(deserialize_with = "count")]
    pub(crate) num_turns: Option<u64>,
    #[serde(deserialize_with = "lenient")]
    pub(crate) total_cost_usd: Option<f64>,
    /// Over the life of the process, by model.
    #[serde(rename = "modelUsage", deserialize_with = "lenient")]
    pub(crate) model_usage: Map<String, Value>,
    /// Since the result before, by model; absent in old versions.
    #[serde(deserialize_with = "lenient")]
    pub(crate) model_usage_since_last_result: Option<Map<String, Value>>,
    /// The tools that may not run in this turn, whoever said so.
    #[serde(deserialize_with = "lenient")]
    pub(crate) permission_denials: Vec<Denial>,
    /// What woke the turn when it was no message.
    #[serde(deserialize_with = "lenient")]
    pub(crate) origin: Option<Value>,
}

impl TurnResult {
    pub(crate) fn is_aborted(&self) -> bool {
        matches!(self.terminal_reason.as_deref(), Some("aborted_streaming" | "aborted_tools"))
    }
}

#[derive(Debug, Deserialize)]
pub(crate) struct TaskStarted {
    pub(crate) task_id: String,
    /// The call that began it.
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) tool_use_id: Option<String>,
    /// Absent in old versions.
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) is_backgrounded: Option<bool>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct BackgroundTask {
    pub(crate) task_id: String,
}

/// A tool that may not run.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Denial {
    #[serde(deserialize_with = "lenient")]
    pub(crate) tool_name: String,
    #[serde(deserialize_with = "lenient")]
    pub(crate) tool_use_id: String,
    #[serde(deserialize_with = "lenient")]
    pub(crate) message: String,
}

/// What a model used, by the program's own count.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct ModelUsage {
    #[serde(deserialize_with = "count")]
    pub(crate) input_tokens: Option<u64>,
    #[serde(deserialize_with = "count")]
    pub(crate) output_tokens: Option<u64>,
    #[serde(deserialize_with = "count")]
    pub(crate) cache_read_input_tokens: Option<u64>,
    #[serde(deserialize_with = "count")]
    pub(crate) cache_creation_input_tokens: Option<u64>,
    #[serde(deserialize_with = "count")]
    pub(crate) thinking_tokens: Option<u64>,
    #[serde(rename = "costUSD", deserialize_with = "lenient")]
    pub(crate) cost_usd: Option<f64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct RateLimit {
    #[serde(deserialize_with = "lenient")]
    pub(crate) status: String,
    #[serde(deserialize_with = "lenient")]
    pub(crate) rate_limit_type: Option<String>,
    /// Seconds since 1970.
    #[serde(deserialize_with = "count")]
    pub(crate) resets_at: Option<u64>,
    #[serde(deserialize_with = "lenient")]
    pub(crate) utilization: Option<f64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Ask {
    #[serde(deserialize_with = "lenient")]
    pub(crate) tool_name: String,
    pub(crate) input: Value,
    #[serde(deserialize_with = "lenient")]
    pub(crate) tool_use_id: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub(crate) permission_suggestions: Vec<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Response {
    #[serde(deserialize_with = "lenient")]
    pub(crate) subtype: String,
    #[serde(deserialize_with = "lenient")]
    pub(crate) request_id: String,
    #[serde(deserialize_with = "lenient")]
    pub(crate) error: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub(crate) response: Value,
}
