//! A request as it came, and where its conversation stands.

use serde_json::Value;

/// A request.
#[derive(Clone, Debug, PartialEq)]
pub struct Received {
    /// Its method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Headers in their order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body; null when it is no JSON.
    pub body: Value,
}

impl Received {
    /// A header's value.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// Where a conversation stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Turn {
    /// What the user said last; empty when nobody has said anything.
    pub prompt: String,
    /// What tools said since, in order; what is no text is JSON.
    pub results: Vec<String>,
}

impl Turn {
    /// Reads items in their order: what an item says as the user, and which results are in it.
    pub(super) fn of<'a>(
        items: &'a [Value],
        said: impl Fn(&'a Value) -> Option<&'a str>,
        results: impl Fn(&'a Value) -> Vec<&'a Value>,
    ) -> Self {
        let last = items.iter().enumerate().rev().find_map(|(at, item)| Some((at, said(item)?)));
        let (at, prompt) = last.unwrap_or_default();
        let text = |result: &Value| result.as_str().map_or_else(|| result.to_string(), str::to_owned);
        Self { prompt: prompt.to_owned(), results: items[at..].iter().flat_map(results).map(text).collect() }
    }
}
