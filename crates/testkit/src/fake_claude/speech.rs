//! How the real program says things: lines of JSON, as 2.1.329 writes them, of what Musher reads in them.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::messages_api::{
    CACHE_CREATION_INPUT_TOKENS, CACHE_READ_INPUT_TOKENS, INPUT_TOKENS, OUTPUT_TOKENS,
};

/// The version that the fake speaks like.
const VERSION: &str = "2.1.329";
const MODEL: &str = "claude-fake";
/// What each request to the model costs.
const COST_USD: f64 = 0.001;

/// A session, as it speaks of itself.
#[derive(Debug)]
pub(super) struct Speech {
    session: Uuid,
    /// The messages that the turn answers.
    asked: Uuid,
    /// The message of the model that is being said.
    message: String,
    /// Requests to the model in the session, and in the turn.
    n_requests: u32,
    n_in_turn: u32,
    /// A count that makes ids.
    n_ids: u64,
}

impl Speech {
    pub(super) fn of(session: Uuid) -> Self {
        let message = String::new();
        Self { session, asked: Uuid::nil(), message, n_requests: 0, n_in_turn: 0, n_ids: 0 }
    }

    /// An id that no other of this process has; a session goes on in another process with other ones.
    pub(super) fn fresh(&mut self) -> String {
        self.n_ids += 1;
        format!("{}-{}", Uuid::new_v4().simple(), self.n_ids)
    }

    /// A turn begins that answers this message.
    pub(super) fn init(&mut self, asked: Uuid) -> Value {
        self.asked = asked;
        self.n_in_turn = 0;
        self.own(json!({
            "type": "system", "subtype": "init", "tools": ["Bash"], "mcp_servers": [], "model": MODEL,
            "permissionMode": "default", "claude_code_version": VERSION, "capabilities": ["msg_lifecycle_v1"],
            "user_message_uuids": [asked.to_string()],
        }))
    }

    /// A message with one text begins.
    pub(super) fn begin(&mut self) -> [Value; 2] {
        let start = self.start();
        let block = json!({ "type": "text", "text": "" });
        [start, self.stream(json!({ "type": "content_block_start", "index": 0, "content_block": block }))]
    }

    pub(super) fn delta(&self, text: &str) -> Value {
        let delta = json!({ "type": "text_delta", "text": text });
        self.stream(json!({ "type": "content_block_delta", "index": 0, "delta": delta }))
    }

    /// The message ends; this is all of its text.
    pub(super) fn end(&self, text: &str) -> Vec<Value> {
        let said = self.assistant(&json!({ "type": "text", "text": text }), false);
        [said].into_iter().chain(self.stop("end_turn")).collect()
    }

    /// The message breaks off behind this.
    pub(super) fn cut(&self, text: &str) -> Vec<Value> {
        let said = self.assistant(&json!({ "type": "text", "text": text }), true);
        let mut stop = self.stop("");
        stop[1]["event"]["delta"]["stop_reason"] = Value::Null;
        stop[2]["abandoned_blocks"] = json!({ "api_message_id": self.message, "from_block_index": 1 });
        let interrupted = json!({ "type": "text", "text": "[Request interrupted by user]" });
        [said, self.user(&interrupted)].into_iter().chain(stop).collect()
    }

    /// A whole message that calls Bash with a command, and the call's id.
    pub(super) fn call(&mut self, command: &str) -> (Vec<Value>, String) {
        let call_id = format!("toolu_{}", self.fresh());
        let start = self.start();
        let input = json!({ "command": command });
        let block =
            |input: &Value| json!({ "type": "tool_use", "id": call_id, "name": "Bash", "input": input });
        let delta = json!({ "type": "input_json_delta", "partial_json": input.to_string() });
        let begin = json!({ "type": "content_block_start", "index": 0, "content_block": block(&json!({})) });
        let delta = json!({ "type": "content_block_delta", "index": 0, "delta": delta });
        let lines = [start, self.stream(begin), self.stream(delta), self.assistant(&block(&input), false)];
        (lines.into_iter().chain(self.stop("tool_use")).collect(), call_id)
    }

    pub(super) fn can_use_tool(&self, request_id: &str, call_id: &str, command: &str) -> Value {
        json!({ "type": "control_request", "request_id": request_id, "request": {
            "subtype": "can_use_tool", "tool_name": "Bash", "input": { "command": command },
            "tool_use_id": call_id, "permission_suggestions": [],
        } })
    }

    /// The question needs no answer any more.
    pub(super) fn lapse(&self, request_id: &str) -> Value {
        json!({ "type": "control_cancel_request", "request_id": request_id })
    }

    /// The answer to a request.
    pub(super) fn answer(&self, request_id: &str, response: &Value) -> Value {
        let response = json!({ "subtype": "success", "request_id": request_id, "response": response });
        json!({ "type": "control_response", "response": response })
    }

    pub(super) fn tool_result(&self, call_id: &str, content: &str, is_error: bool) -> Value {
        self.user(
            &json!({ "type": "tool_result", "tool_use_id": call_id, "content": content, "is_error": is_error }),
        )
    }

    /// The turn is over, for this reason.
    pub(super) fn result(&self, reason: &str) -> Value {
        let is_error = reason != "completed";
        let subtype = if is_error { "error_during_execution" } else { "success" };
        self.own(json!({
            "type": "result", "subtype": subtype, "is_error": is_error, "terminal_reason": reason,
            "stop_reason": if is_error { Value::Null } else { "end_turn".into() },
            "total_cost_usd": COST_USD * f64::from(self.n_requests),
            "modelUsage": { MODEL: used(self.n_requests) },
            "model_usage_since_last_result": { MODEL: used(self.n_in_turn) },
            "user_message_uuids": [self.asked.to_string()],
        }))
    }

    fn start(&mut self) -> Value {
        self.n_requests += 1;
        self.n_in_turn += 1;
        self.message = format!("msg_{}", self.fresh());
        let message = json!({ "id": self.message, "type": "message", "role": "assistant", "model": MODEL,
                              "content": [], "usage": usage() });
        self.stream(json!({ "type": "message_start", "message": message }))
    }

    fn stop(&self, reason: &str) -> [Value; 3] {
        [
            json!({ "type": "content_block_stop", "index": 0 }),
            json!({ "type": "message_delta", "delta": { "stop_reason": reason },
                    "usage": { "output_tokens": OUTPUT_TOKENS } }),
            json!({ "type": "message_stop" }),
        ]
        .map(|event| self.stream(event))
    }

    fn stream(&self, event: Value) -> Value {
        self.own(json!({ "type": "stream_event", "event": event, "parent_tool_use_id": null }))
    }

    fn assistant(&self, block: &Value, is_cut: bool) -> Value {
        let message = json!({ "id": self.message, "type": "message", "role": "assistant", "model": MODEL,
                              "content": [block], "usage": usage() });
        let mut said =
            self.own(json!({ "type": "assistant", "message": message, "parent_tool_use_id": null }));
        if is_cut {
            said["aborted"] = true.into();
        }
        said
    }

    fn user(&self, block: &Value) -> Value {
        let message = json!({ "role": "user", "content": [block] });
        self.own(json!({ "type": "user", "message": message, "parent_tool_use_id": null }))
    }

    /// A line with the ids that every one has.
    fn own(&self, mut line: Value) -> Value {
        line["session_id"] = self.session.to_string().into();
        line["uuid"] = Uuid::new_v4().to_string().into();
        line
    }
}

fn usage() -> Value {
    json!({
        "input_tokens": INPUT_TOKENS, "cache_creation_input_tokens": CACHE_CREATION_INPUT_TOKENS,
        "cache_read_input_tokens": CACHE_READ_INPUT_TOKENS, "output_tokens": 1,
    })
}

fn used(n_requests: u32) -> Value {
    let n = u64::from(n_requests);
    json!({
        "inputTokens": n * INPUT_TOKENS, "outputTokens": n * OUTPUT_TOKENS,
        "cacheCreationInputTokens": n * CACHE_CREATION_INPUT_TOKENS,
        "cacheReadInputTokens": n * CACHE_READ_INPUT_TOKENS, "costUSD": COST_USD * f64::from(n_requests),
    })
}
