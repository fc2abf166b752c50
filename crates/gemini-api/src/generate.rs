//! The protocol `streamGenerateContent`: what is sent.

mod reader;
mod tooling;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use musher_protocol::ToolCallId;
use musher_turn_loop::{ApiKey, Call, Failure, FailureKind, Item, Model, Prompt, Reader, Refusal, Scope};
use serde_json::{Map, Value, json};

use self::{reader::GenerateReader, tooling::Names};
use crate::{GeminiOptions, complaint, options::Tuning};

/// What the vendor takes in the place of a signature for a call that no Gemini made.
const FOREIGN_SIGNATURE: &str = "skip_thought_signature_validator";

/// A model behind `streamGenerateContent`.
#[derive(Debug)]
pub(crate) struct Generate {
    url: String,
    api_key: ApiKey,
    scope: Scope,
    tuning: Tuning,
    names: Names,
    shows_no_thoughts: Arc<AtomicBool>,
}

impl Generate {
    pub(crate) fn new(
        options: &GeminiOptions,
        model: String,
        tuning: Tuning,
        shows_no_thoughts: Arc<AtomicBool>,
    ) -> Self {
        let base_url = options.base_url.trim_end_matches('/').to_owned();
        let version = &options.api_version;
        let name = model.strip_prefix("models/").unwrap_or(&model);
        let url = format!("{base_url}/{version}/models/{name}:streamGenerateContent?alt=sse");
        let scope = Scope { provider: "gemini".to_owned(), base_url, model };
        let names = Names::default();
        Self { url, api_key: options.api_key.clone(), scope, tuning, names, shows_no_thoughts }
    }
}

impl Model for Generate {
    fn scope(&self) -> &Scope {
        &self.scope
    }

    fn call(&mut self, prompt: &Prompt<'_>) -> Call {
        self.names = Names::of(prompt.tools);
        let mut body = json!({"contents": contents(prompt.items, &self.scope, &self.names)});
        if let Some(instructions) = prompt.instructions {
            body["systemInstruction"] = json!({"parts": [{"text": instructions}]});
        }
        // An empty list of functions is refused.
        if !prompt.tools.is_empty() {
            let declarations: Vec<_> =
                prompt.tools.iter().map(|spec| tooling::declaration(spec, &self.names)).collect();
            body["tools"] = json!([{"functionDeclarations": declarations}]);
            if !prompt.may_call {
                body["toolConfig"] = json!({"functionCallingConfig": {"mode": "NONE"}});
            }
        }
        let mut generation = Map::new();
        if let Some(most) = self.tuning.max_output_tokens {
            generation.insert("maxOutputTokens".to_owned(), json!(most));
        }
        let mut thinking = Map::new();
        if !self.shows_no_thoughts.load(Ordering::Relaxed) {
            thinking.insert("includeThoughts".to_owned(), json!(true));
        }
        if let Some(level) = &self.tuning.thinking_level {
            thinking.insert("thinkingLevel".to_owned(), json!(level.to_ascii_uppercase()));
        }
        if !thinking.is_empty() {
            generation.insert("thinkingConfig".to_owned(), Value::Object(thinking));
        }
        if !generation.is_empty() {
            body["generationConfig"] = Value::Object(generation);
        }
        let headers = self.api_key.header("").map(|key| ("x-goog-api-key", key)).into_iter().collect();
        Call { url: self.url.clone(), headers, body }
    }

    fn reader(&self) -> Box<dyn Reader> {
        Box::new(GenerateReader::new(self.names.clone()))
    }

    fn refused(&mut self, response: &Refusal) -> Failure {
        let complaint = complaint::of_response(response);
        let message = complaint.message.to_ascii_lowercase();
        let names_thoughts =
            ["include_thoughts", "includethoughts", "thinking is not supported", "thinking_config"]
                .iter()
                .any(|words| message.contains(words));
        if response.status == 400 && names_thoughts && !self.shows_no_thoughts.swap(true, Ordering::Relaxed) {
            let message = format!("the model shows no thoughts: {}", complaint.message);
            return Failure { kind: FailureKind::Adapted, code: "invalid_request".to_owned(), message };
        }
        Failure::of(&complaint)
    }
}

/// The conversation as contents. What one side said in a row is one content, but results stay apart from words: there
/// must be as many as there were calls.
fn contents(items: &[Item], scope: &Scope, names: &Names) -> Vec<Value> {
    let mut contents = Contents::default();
    let mut vendor_ids: HashMap<&ToolCallId, Option<String>> = HashMap::new();
    for item in items {
        let own = item.raw_for(scope);
        match item {
            Item::User { text } => contents.add(Side::User, [json!({"text": text})]),
            Item::System { text } => {
                let text = format!("<system-message>\n{text}\n</system-message>");
                contents.add(Side::User, [json!({"text": text})]);
            }
            Item::Thinking { raw: _ } => contents.add(Side::Model, own.into_iter().flatten().cloned()),
            Item::Text { text, raw: _ } => match own {
                Some(own) => contents.add(Side::Model, own.iter().cloned()),
                None => contents.add(Side::Model, [json!({"text": text})]),
            },
            Item::Call { id, name, arguments, raw: _ } => match own {
                Some(own) => {
                    let vendor_id = own.iter().find_map(|part| part["functionCall"]["id"].as_str());
                    vendor_ids.insert(id, vendor_id.map(str::to_owned));
                    contents.add(Side::Model, own.iter().cloned());
                }
                None => {
                    let mut part = json!({"functionCall": {
                        "id": id,
                        "name": names.vendor(name),
                        "args": object(arguments),
                    }});
                    // The first call of a step is the one that is signed.
                    if !contents.has_call() && wants_signatures(&scope.model) {
                        part["thoughtSignature"] = json!(FOREIGN_SIGNATURE);
                    }
                    vendor_ids.insert(id, Some(id.to_string()));
                    contents.add(Side::Model, [part]);
                }
            },
            Item::Result { id, name, content, is_error } => {
                let field = if *is_error { "error" } else { "output" };
                let mut response = json!({"name": names.vendor(name), "response": {field: content}});
                if let Some(vendor_id) = vendor_ids.get(id).cloned().flatten() {
                    response["id"] = json!(vendor_id);
                }
                contents.add(Side::Results, [json!({"functionResponse": response})]);
            }
        }
    }
    contents.finish()
}

/// Arguments as the object that the vendor wants; what is none is kept as a text in one.
fn object(arguments: &str) -> Value {
    let parsed = serde_json::from_str::<Map<String, Value>>(arguments);
    parsed.map_or_else(|_none| json!({"arguments": arguments}), Value::Object)
}

/// Models before the third generation do not know signatures of others.
fn wants_signatures(model: &str) -> bool {
    let name = model.strip_prefix("models/").unwrap_or(model);
    !(name.starts_with("gemini-1") || name.starts_with("gemini-2"))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    User,
    Results,
    Model,
}

#[derive(Debug, Default)]
struct Contents(Vec<(Side, Vec<Value>)>);

impl Contents {
    fn add(&mut self, side: Side, parts: impl IntoIterator<Item = Value>) {
        let mut parts = parts.into_iter().peekable();
        if parts.peek().is_none() {
            return;
        }
        match self.0.last_mut() {
            Some((last, known)) if *last == side => known.extend(parts),
            Some(_) | None => self.0.push((side, parts.collect())),
        }
    }

    /// Whether the content that the model is saying holds a call.
    fn has_call(&self) -> bool {
        self.0.last().is_some_and(|(side, parts)| {
            *side == Side::Model && parts.iter().any(|part| part["functionCall"].is_object())
        })
    }

    fn finish(self) -> Vec<Value> {
        let content = |(side, parts): (Side, Vec<Value>)| {
            let role = match side {
                Side::User | Side::Results => "user",
                Side::Model => "model",
            };
            json!({"role": role, "parts": parts})
        };
        self.0.into_iter().map(content).collect()
    }
}

#[cfg(test)]
mod tests;
