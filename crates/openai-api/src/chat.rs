//! The dialect Chat Completions: what is sent. Every field that is not needed is left out, for somebody refuses it.

mod merge;
mod reader;

use std::sync::Arc;

use musher_turn_loop::{Call, Failure, Item, Model, Prompt, Reader, Refusal, Scope};
use serde_json::{Map, Value, json};

use self::reader::ChatReader;
use crate::{
    complaint,
    endpoint::{Endpoint, Field},
    options::Tuning,
    wire::{CallIds, text},
};

/// A model behind `POST /chat/completions`.
#[derive(Debug)]
pub(crate) struct Chat {
    endpoint: Arc<Endpoint>,
    scope: Scope,
    tuning: Tuning,
}

impl Chat {
    pub(crate) fn new(endpoint: Arc<Endpoint>, model: String, tuning: Tuning) -> Self {
        let provider = "openai-chat".to_owned();
        let scope = Scope { provider, base_url: endpoint.base_url().to_owned(), model };
        Self { endpoint, scope, tuning }
    }
}

impl Model for Chat {
    fn scope(&self) -> &Scope {
        &self.scope
    }

    fn call(&mut self, prompt: &Prompt<'_>) -> Call {
        let takes = |field| self.endpoint.takes(field);
        let mut messages = Vec::new();
        if let Some(instructions) = prompt.instructions {
            messages.push(json!({"role": "system", "content": instructions}));
        }
        messages.extend(conversation(prompt.items, &self.scope));
        let mut body = json!({"model": self.scope.model, "messages": messages, "stream": true});
        if takes(Field::StreamOptions) {
            body["stream_options"] = json!({"include_usage": true});
        }
        if !prompt.tools.is_empty() {
            let tool = |spec: &musher_backend::ToolSpec| {
                let parameters = &spec.input_schema;
                json!({
                    "type": "function",
                    "function": {"name": spec.name, "description": spec.description, "parameters": parameters},
                })
            };
            body["tools"] = prompt.tools.iter().map(tool).collect();
            if !prompt.may_call && takes(Field::ToolChoice) {
                body["tool_choice"] = json!("none");
            }
        }
        if let Some(effort) = &self.tuning.reasoning_effort {
            body["reasoning_effort"] = json!(effort);
        }
        if let Some(most) = self.tuning.max_output_tokens {
            let is_new = takes(Field::MaxCompletionTokens);
            body[if is_new { "max_completion_tokens" } else { "max_tokens" }] = json!(most);
        }
        self.endpoint.call("/chat/completions", body)
    }

    fn reader(&self) -> Box<dyn Reader> {
        Box::new(ChatReader::default())
    }

    fn refused(&mut self, response: &Refusal) -> Failure {
        let (complaint, param) = complaint::of_response(response);
        self.endpoint.refused(&complaint, param.as_deref())
    }
}

/// The conversation as messages: what the model said and called in one go is one of them.
fn conversation(items: &[Item], scope: &Scope) -> Vec<Value> {
    let mut messages = Vec::new();
    let mut ids = CallIds::default();
    let mut open = Open::default();
    for item in items {
        let own = item.raw_for(scope);
        match item {
            Item::User { text } => {
                open.close(&mut messages);
                messages.push(json!({"role": "user", "content": text}));
            }
            // Many templates of local models take a system message in front only.
            Item::System { text } => {
                open.close(&mut messages);
                let text = format!("<system-message>\n{text}\n</system-message>");
                messages.push(json!({"role": "user", "content": text}));
            }
            Item::Text { text, raw: _ } => {
                // After its calls a model says the next thing in another answer.
                if !open.calls.is_empty() {
                    open.close(&mut messages);
                }
                open.text.push_str(text);
            }
            Item::Thinking { raw: _ } => {
                open.close(&mut messages);
                let fields = own.into_iter().flatten().filter_map(Value::as_object).cloned();
                open.fields.extend(fields.flatten());
            }
            Item::Call { id, name, arguments, raw: _ } => open.calls.push(match own.and_then(<[_]>::first) {
                Some(call) => {
                    ids.learn(id, text(call, "id"));
                    call.clone()
                }
                None => json!({
                    "id": ids.of(id),
                    "type": "function",
                    "function": {"name": name, "arguments": arguments},
                }),
            }),
            Item::Result { id, name: _, content, is_error: _ } => {
                open.close(&mut messages);
                messages.push(json!({"role": "tool", "tool_call_id": ids.of(id), "content": content}));
            }
        }
    }
    open.close(&mut messages);
    messages
}

/// An assistant's message that may go on.
#[derive(Debug, Default)]
struct Open {
    text: String,
    calls: Vec<Value>,
    /// The server's own fields of it.
    fields: Map<String, Value>,
}

impl Open {
    fn close(&mut self, messages: &mut Vec<Value>) {
        let Self { text, calls, mut fields } = std::mem::take(self);
        if text.is_empty() && calls.is_empty() {
            return;
        }
        fields.insert("role".to_owned(), json!("assistant"));
        fields.insert("content".to_owned(), if text.is_empty() { Value::Null } else { Value::String(text) });
        if !calls.is_empty() {
            fields.insert("tool_calls".to_owned(), Value::Array(calls));
        }
        messages.push(Value::Object(fields));
    }
}

#[cfg(test)]
mod tests;
