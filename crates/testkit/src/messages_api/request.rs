//! A request as it arrived, and whether the vendor would take it.

use std::collections::HashSet;

use hyper::{HeaderMap, Method};
use serde_json::Value;

use super::{
    prompt::{Turn, texts},
    violation::Violation,
};

/// The version of the API that this fake speaks.
const VERSION: &str = "2023-06-01";

/// A request as it arrived.
#[derive(Clone, Debug, PartialEq)]
pub struct Received {
    /// Its method.
    pub method: Method,
    /// Its path, with the query.
    pub path: String,
    /// All of its headers.
    pub headers: HeaderMap,
    /// Its body; null when that was no JSON.
    pub body: Value,
}

impl Received {
    /// The last text of the user in it, as the model sees it.
    pub fn prompt(&self) -> String {
        Turn::of(&self.body).prompt
    }

    /// Says which route it is for, or what is wrong with it.
    pub(super) fn check(&self, api_key: &str) -> Result<Route, Violation> {
        let route = self.route()?;
        // A login sends a token in the place of a key.
        let token = self.header("authorization").and_then(|header| header.strip_prefix("Bearer "));
        if self.header("x-api-key").or(token) != Some(api_key) {
            return Err(Violation::ApiKey);
        }
        if self.header("anthropic-version") != Some(VERSION) {
            return Err(Violation::Version);
        }
        if !self.body.is_object() {
            return Err(Violation::Json);
        }
        if self.body["model"].as_str().is_none_or(str::is_empty) {
            return Err(Violation::Field("model"));
        }
        match route {
            Route::Messages { .. } if self.body["max_tokens"].as_u64().is_none_or(|tokens| tokens == 0) => {
                return Err(Violation::Field("max_tokens"));
            }
            Route::Messages { .. } | Route::CountTokens => {}
        }
        check_messages(self.body["messages"].as_array().ok_or(Violation::Field("messages"))?)?;
        Ok(route)
    }

    fn route(&self) -> Result<Route, Violation> {
        let path = self.path.split_once('?').map_or(self.path.as_str(), |(path, _query)| path);
        match (self.method.as_str(), path) {
            ("POST", "/v1/messages") => match self.body.get("stream") {
                None | Some(Value::Bool(false)) => Ok(Route::Messages { reply: Reply::Whole }),
                Some(Value::Bool(true)) => Ok(Route::Messages { reply: Reply::Stream }),
                Some(_) => Err(Violation::Field("stream")),
            },
            ("POST", "/v1/messages/count_tokens") => Ok(Route::CountTokens),
            (method, path) => Err(Violation::Route { method: method.into(), path: path.into() }),
        }
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
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
