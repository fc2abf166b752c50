//! A message of the model, and how it is sent.

use std::{iter, time::Duration};

use musher_scripted::model_api;
use serde_json::{Value, json};
use uuid::Uuid;

/// What every answer reports as `usage.input_tokens`.
pub const INPUT_TOKENS: u64 = 100;
/// What every answer reports as `usage.cache_creation_input_tokens`.
pub const CACHE_CREATION_INPUT_TOKENS: u64 = 7;
/// What every answer reports as `usage.cache_read_input_tokens`.
pub const CACHE_READ_INPUT_TOKENS: u64 = 1000;
/// What every complete answer reports as `usage.output_tokens`; one that breaks off reported 1.
pub const OUTPUT_TOKENS: u64 = 20;

/// A message of the model.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Answer {
    pub(super) blocks: Vec<Block>,
    pub(super) stop: StopReason,
    /// The time after each delta of a text.
    pub(super) pace: Duration,
    pub(super) ending: Ending,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Block {
    Text { text: String, cut: Cut },
    Thinking(String),
    ToolUse { name: String, input: Value },
}

/// How a text becomes deltas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    Words,
    /// So many characters each.
    Chars(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StopReason {
    EndTurn,
    ToolUse,
    MaxTokens,
    Refusal,
}

/// How a stream ends: whole, or in another way once so many deltas were sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Complete,
    Disconnect { after: usize },
    Error { after: usize },
    Silence { after: usize },
}

impl Answer {
    /// A whole message that ends the turn, sent at once.
    pub(super) fn of(blocks: Vec<Block>) -> Self {
        Self { blocks, stop: StopReason::EndTurn, pace: Duration::ZERO, ending: Ending::Complete }
    }

    /// What a model of one's own says, a piece for each word. What it used is what every answer reports.
    pub(super) fn spelling(reply: &model_api::Reply) -> Self {
        let model_api::Reply { thought, words, calls, usage: _, pace } = reply;
        let words = Some(words).filter(|words| !words.is_empty()).cloned();
        let calls = calls.iter().map(|model_api::Call { id: _, name, arguments }| Block::ToolUse {
            name: name.clone(),
            input: serde_json::from_str(arguments).expect("arguments that are JSON"),
        });
        let stop = if calls.len() > 0 { StopReason::ToolUse } else { StopReason::EndTurn };
        let thought = thought.clone().map(Block::Thinking);
        let words = words.map(|text| Block::Text { text, cut: Cut::Words });
        let blocks = thought.into_iter().chain(words).chain(calls).collect();
        Self { stop, pace: *pace, ..Self::of(blocks) }
    }

    /// The message in one piece, as a request that does not stream gets it.
    pub(super) fn whole(&self, model: &str, id: Uuid) -> Value {
        let content: Vec<_> = self.blocks.iter().enumerate().map(|(n, block)| block.whole(n, id)).collect();
        message(model, id, content, self.stop.name().into(), OUTPUT_TOKENS)
    }

    /// The message as a stream of events.
    pub(super) fn stream(&self, model: &str, id: Uuid) -> model_api::Answer {
        let start = message(model, id, Vec::new(), Value::Null, 1);
        let mut stream =
            event(model_api::Answer::stream(), &json!({"type": "message_start", "message": start}));
        let limit = self.ending.limit();
        let mut n_deltas = 0;
        for (index, block) in self.blocks.iter().enumerate() {
            let start = block.start(index, id);
            let start = json!({"type": "content_block_start", "index": index, "content_block": start});
            stream = event(stream, &start);
            for delta in block.deltas() {
                if n_deltas == limit {
                    return self.ending.of(stream);
                }
                n_deltas += 1;
                let delta = json!({"type": "content_block_delta", "index": index, "delta": delta});
                stream = event(stream, &delta).pause(self.pace);
            }
            stream = event(stream, &json!({"type": "content_block_stop", "index": index}));
        }
        let delta = json!({
            "type": "message_delta",
            "delta": {"stop_reason": self.stop.name(), "stop_sequence": null},
            "usage": {"output_tokens": OUTPUT_TOKENS},
        });
        event(event(stream, &delta), &json!({"type": "message_stop"}))
    }
}

impl Ending {
    /// How many deltas come before it.
    fn limit(self) -> usize {
        match self {
            Self::Complete => usize::MAX,
            Self::Disconnect { after } | Self::Error { after } | Self::Silence { after } => after,
        }
    }

    /// What comes behind these deltas.
    fn of(self, stream: model_api::Answer) -> model_api::Answer {
        match self {
            Self::Complete => stream,
            Self::Disconnect { .. } => stream.cut(),
            Self::Error { .. } => {
                let error = json!({"type": "overloaded_error", "message": "Overloaded"});
                event(stream, &json!({"type": "error", "error": error}))
            }
            Self::Silence { .. } => stream.hang(),
        }
    }
}

impl Block {
    fn whole(&self, index: usize, id: Uuid) -> Value {
        match self {
            Self::Text { text, .. } => json!({"type": "text", "text": text}),
            Self::Thinking(text) => json!({"type": "thinking", "thinking": text, "signature": SIGNATURE}),
            Self::ToolUse { name, input } => {
                json!({"type": "tool_use", "id": tool_use_id(id, index), "name": name, "input": input})
            }
        }
    }

    fn start(&self, index: usize, id: Uuid) -> Value {
        match self {
            Self::Text { .. } => json!({"type": "text", "text": ""}),
            Self::Thinking(_) => json!({"type": "thinking", "thinking": "", "signature": ""}),
            Self::ToolUse { name, .. } => {
                json!({"type": "tool_use", "id": tool_use_id(id, index), "name": name, "input": {}})
            }
        }
    }

    fn deltas(&self) -> Vec<Value> {
        match self {
            Self::Text { text, cut } => {
                cut.pieces(text).map(|piece| json!({"type": "text_delta", "text": piece})).collect()
            }
            Self::Thinking(text) => vec![
                json!({"type": "thinking_delta", "thinking": text}),
                json!({"type": "signature_delta", "signature": SIGNATURE}),
            ],
            Self::ToolUse { input, .. } => Cut::Chars(20)
                .pieces(&input.to_string())
                .map(|piece| json!({"type": "input_json_delta", "partial_json": piece}))
                .collect(),
        }
    }
}

/// Clients send it back unread.
const SIGNATURE: &str = "ZmFrZQ==";

impl Cut {
    fn pieces(self, text: &str) -> impl Iterator<Item = &str> {
        let mut rest = text;
        iter::from_fn(move || {
            let at = match self {
                Self::Words => rest.find(' ').map(|at| at + 1),
                Self::Chars(count) => rest.char_indices().nth(count).map(|(at, _)| at),
            };
            let (piece, after) = rest.split_at(at.unwrap_or(rest.len()));
            rest = after;
            (!piece.is_empty()).then_some(piece)
        })
    }
}

impl StopReason {
    fn name(self) -> &'static str {
        match self {
            Self::EndTurn => "end_turn",
            Self::ToolUse => "tool_use",
            Self::MaxTokens => "max_tokens",
            Self::Refusal => "refusal",
        }
    }
}

/// A client may carry a session from one fake to another, so ids must not repeat between them.
fn tool_use_id(message: Uuid, index: usize) -> String {
    format!("toolu_{}_{index}", message.simple())
}

fn message(model: &str, id: Uuid, content: Vec<Value>, stop_reason: Value, output_tokens: u64) -> Value {
    json!({
        "id": format!("msg_{}", id.simple()),
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": content,
        "stop_reason": stop_reason,
        "stop_sequence": null,
        "usage": {
            "input_tokens": INPUT_TOKENS,
            "cache_creation_input_tokens": CACHE_CREATION_INPUT_TOKENS,
            "cache_read_input_tokens": CACHE_READ_INPUT_TOKENS,
            "output_tokens": output_tokens,
            "service_tier": "standard",
        },
    })
}

fn event(stream: model_api::Answer, event: &Value) -> model_api::Answer {
    stream.event_of(event["type"].as_str().unwrap_or_default(), event)
}

#[cfg(test)]
mod tests;
