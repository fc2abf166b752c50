//! What both dialects share of the wire.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
};

use musher_protocol::ToolCallId;
use musher_turn_loop::{Failure, SseEvent};
use serde_json::Value;

/// The longest id of a call that OpenAI takes.
const MAX_CALL_ID: usize = 64;

/// The vendor's ids of calls by ours: a result must name the one that the vendor knows.
#[derive(Debug, Default)]
pub(crate) struct CallIds<'a>(HashMap<&'a ToolCallId, String>);

impl<'a> CallIds<'a> {
    pub(crate) fn learn(&mut self, id: &'a ToolCallId, vendor: &str) {
        self.0.insert(id, vendor.to_owned());
    }

    /// The id under which a call is sent: the vendor's own where it made the call.
    pub(crate) fn of(&self, id: &ToolCallId) -> String {
        self.0.get(id).cloned().unwrap_or_else(|| short(id.as_str()))
    }
}

/// The same id, or one that stands for it where it is longer than the vendor takes.
fn short(id: &str) -> String {
    if id.len() <= MAX_CALL_ID {
        return id.to_owned();
    }
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    format!("call_{:016x}", hasher.finish())
}

/// An event's JSON. `[DONE]` and what is no JSON at all are for the caller to tell apart.
pub(crate) fn json(event: &SseEvent) -> Result<Value, Failure> {
    serde_json::from_str(&event.text)
        .map_err(|error| Failure::broken(format!("the provider sent an event that is no JSON: {error}")))
}

/// A text of an event's; absent and null are nothing.
pub(crate) fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}
