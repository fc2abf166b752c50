//! Whether the vendor would take a request, and what for.

use std::collections::HashSet;

use musher_scripted::model_api::Received;
use serde_json::Value;

use super::{prompt::texts, violation::Violation};

/// The version of the API that this fake speaks.
const VERSION: &str = "2023-06-01";

/// Says which route a request is for, or what is wrong with it.
pub(super) fn check(request: &Received, api_key: &str) -> Result<Route, Violation> {
    let route = route(request)?;
    // A login sends a token in the place of a key.
    let token = request.header("authorization").and_then(|header| header.strip_prefix("Bearer "));
    if request.header("x-api-key").or(token) != Some(api_key) {
        return Err(Violation::ApiKey);
    }
    if request.header("anthropic-version") != Some(VERSION) {
        return Err(Violation::Version);
    }
    if !request.body.is_object() {
        return Err(Violation::Json);
    }
    if request.body["model"].as_str().is_none_or(str::is_empty) {
        return Err(Violation::Field("model"));
    }
    match route {
        Route::Messages { .. } if request.body["max_tokens"].as_u64().is_none_or(|tokens| tokens == 0) => {
            return Err(Violation::Field("max_tokens"));
        }
        Route::Messages { .. } | Route::CountTokens => {}
    }
    check_messages(request.body["messages"].as_array().ok_or(Violation::Field("messages"))?)?;
    Ok(route)
}

fn route(request: &Received) -> Result<Route, Violation> {
    let path = request.path.split_once('?').map_or(request.path.as_str(), |(path, _query)| path);
    match (request.method.as_str(), path) {
        ("POST", "/v1/messages") => match request.body.get("stream") {
            None | Some(Value::Bool(false)) => Ok(Route::Messages { reply: Reply::Whole }),
            Some(Value::Bool(true)) => Ok(Route::Messages { reply: Reply::Stream }),
            Some(_) => Err(Violation::Field("stream")),
        },
        ("POST", "/v1/messages/count_tokens") => Ok(Route::CountTokens),
        (method, path) => Err(Violation::Route { method: method.into(), path: path.into() }),
    }
}

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    Messages { reply: Reply },
    CountTokens,
}

/// How a message shall be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    Whole,
    Stream,
}

fn check_messages(messages: &[Value]) -> Result<(), Violation> {
    if messages.is_empty() {
        return Err(Violation::Field("messages"));
    }
    let mut calls = Calls::default();
    for (index, message) in messages.iter().enumerate() {
        let blocks = blocks(message).ok_or(Violation::Content { message: index })?;
        if texts(message).contains(&"") {
            return Err(Violation::EmptyText { message: index });
        }
        match message["role"].as_str() {
            Some("assistant") => calls.assistant(blocks)?,
            Some("user") => calls.user(index, blocks)?,
            Some("system") => {}
            role => {
                return Err(Violation::Role { message: index, role: role.unwrap_or_default().into() });
            }
        }
    }
    calls.all_answered()
}

/// The blocks of a message; a content that is one text has none that matter here.
fn blocks(message: &Value) -> Option<&[Value]> {
    let content = &message["content"];
    if content.is_string() {
        return Some(&[]);
    }
    let blocks = content.as_array()?;
    blocks.iter().all(|block| block["type"].is_string()).then_some(blocks)
}

/// The tool calls of the last assistant message.
///
/// The vendor joins user messages in a row, so results may come in several of them.
#[derive(Default)]
struct Calls<'a> {
    made: HashSet<&'a str>,
    open: Vec<&'a str>,
}

impl<'a> Calls<'a> {
    fn assistant(&mut self, blocks: &'a [Value]) -> Result<(), Violation> {
        self.all_answered()?;
        self.open = ids(blocks, "tool_use", "id").collect();
        self.made = self.open.iter().copied().collect();
        Ok(())
    }

    fn user(&mut self, message: usize, blocks: &'a [Value]) -> Result<(), Violation> {
        for id in ids(blocks, "tool_result", "tool_use_id") {
            if !self.made.contains(id) {
                return Err(Violation::OrphanToolResult { message, tool_use_id: id.into() });
            }
            self.open.retain(|call| *call != id);
        }
        Ok(())
    }

    fn all_answered(&self) -> Result<(), Violation> {
        match self.open.first() {
            Some(id) => Err(Violation::UnansweredToolUse { tool_use_id: (*id).into() }),
            None => Ok(()),
        }
    }
}

/// The ids in the blocks of one type; a block without one has the id `""`.
fn ids<'a>(blocks: &'a [Value], kind: &'a str, key: &'a str) -> impl Iterator<Item = &'a str> {
    blocks.iter().filter(move |block| block["type"] == kind).map(move |b| b[key].as_str().unwrap_or_default())
}

#[cfg(test)]
mod tests;
