//! The dialect Responses: what is sent.

mod reader;

use std::sync::Arc;

use musher_backend::ToolSpec;
use musher_turn_loop::{Call, Failure, Item, Model, Prompt, Reader, Refusal, Scope};
use serde_json::{Value, json};

use self::reader::ResponsesReader;
use crate::{
    complaint,
    endpoint::{Endpoint, Field},
    options::Tuning,
    wire::{CallIds, text},
};

/// A model behind `POST /responses`.
#[derive(Debug)]
pub(crate) struct Responses {
    endpoint: Arc<Endpoint>,
    scope: Scope,
    tuning: Tuning,
}

impl Responses {
    pub(crate) fn new(endpoint: Arc<Endpoint>, model: String, tuning: Tuning) -> Self {
        let provider = "openai-responses".to_owned();
        let scope = Scope { provider, base_url: endpoint.base_url().to_owned(), model };
        Self { endpoint, scope, tuning }
    }
}

impl Model for Responses {
    fn scope(&self) -> &Scope {
        &self.scope
    }

    fn call(&mut self, prompt: &Prompt<'_>) -> Call {
        let takes = |field| self.endpoint.takes(field);
        let mut body = json!({
            "model": self.scope.model,
            "input": input(prompt.items, &self.scope),
            "store": false,
            "stream": true,
        });
        if takes(Field::Include) {
            body["include"] = json!(["reasoning.encrypted_content"]);
        }
        if takes(Field::StreamOptions) {
            // Padding against eavesdroppers, which encryption on the way makes needless for most.
            body["stream_options"] = json!({"include_obfuscation": false});
        }
        if takes(Field::PromptCacheKey) {
            body["prompt_cache_key"] = json!(prompt.cache_key);
        }
        if let Some(instructions) = prompt.instructions {
            body["instructions"] = json!(instructions);
        }
        if !prompt.tools.is_empty() {
            body["tools"] = prompt.tools.iter().map(|spec| tool(spec, takes(Field::Strict))).collect();
            if takes(Field::ToolChoice) {
                body["tool_choice"] = json!(if prompt.may_call { "auto" } else { "none" });
            }
        }
        if let Some(effort) = &self.tuning.reasoning_effort {
            body["reasoning"] = json!({"effort": effort});
            if takes(Field::ReasoningSummary) {
                body["reasoning"]["summary"] = json!("auto");
            }
        }
        if let Some(most) = self.tuning.max_output_tokens {
            body["max_output_tokens"] = json!(most);
        }
        self.endpoint.call("/responses", body)
    }

    fn reader(&self) -> Box<dyn Reader> {
        Box::new(ResponsesReader::default())
    }

    fn refused(&mut self, response: &Refusal) -> Failure {
        let (complaint, param) = complaint::of_response(response);
        self.endpoint.refused(&complaint, param.as_deref())
    }
}

/// `strict` would need schemas without anything optional, and those of others have that.
fn tool(spec: &ToolSpec, takes_strict: bool) -> Value {
    let mut tool = json!({
        "type": "function",
        "name": spec.name,
        "description": spec.description,
        "parameters": spec.input_schema,
    });
    if takes_strict {
        tool["strict"] = json!(false);
    }
    tool
}

/// The conversation as the vendor's items: its own verbatim, the rest in its words.
fn input(items: &[Item], scope: &Scope) -> Vec<Value> {
    let mut input = Vec::with_capacity(items.len());
    let mut ids = CallIds::default();
    for item in items {
        let own = item.raw_for(scope);
        if let Some(own) = own {
            input.extend(own.iter().filter(|item| can_be_read(item)).cloned());
        }
        match item {
            Item::User { text } => input.push(message("user", text)),
            Item::System { text } => input.push(message("developer", text)),
            Item::Text { text, raw: _ } if own.is_none() => input.push(message("assistant", text)),
            Item::Call { id, name, arguments, raw: _ } => match own {
                Some(own) => {
                    let call = own.iter().find(|item| item["type"] == "function_call");
                    ids.learn(id, call.map_or(id.as_str(), |call| text(call, "call_id")));
                }
                None => input.push(json!({
                    "type": "function_call",
                    "call_id": ids.of(id),
                    "name": name,
                    "arguments": arguments,
                })),
            },
            Item::Result { id, name: _, content, is_error: _ } => input.push(json!({
                "type": "function_call_output",
                "call_id": ids.of(id),
                "output": content,
            })),
            Item::Text { .. } | Item::Thinking { .. } => {}
        }
    }
    input
}

/// Reasoning without its encrypted content is only a name for something that the vendor has not kept.
fn can_be_read(item: &Value) -> bool {
    item["type"] != "reasoning" || item["encrypted_content"].is_string()
}

fn message(role: &str, text: &str) -> Value {
    json!({"type": "message", "role": role, "content": text})
}

#[cfg(test)]
mod tests;
