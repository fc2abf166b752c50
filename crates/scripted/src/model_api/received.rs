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
    /// How many results of tools came since.
    pub n_results: usize,
}

impl Turn {
    /// Reads items in their order: what an item says as the user, and whether it is a result.
    pub(super) fn of<'a>(
        items: &'a [Value],
        said: impl Fn(&'a Value) -> Option<&'a str>,
        is_result: impl Fn(&Value) -> bool,
    ) -> Self {
        let last = items.iter().enumerate().rev().find_map(|(at, item)| Some((at, said(item)?)));
        let (at, prompt) = last.unwrap_or_default();
        Self {
            prompt: prompt.to_owned(),
            n_results: items[at..].iter().filter(|item| is_result(item)).count(),
        }
    }
}
