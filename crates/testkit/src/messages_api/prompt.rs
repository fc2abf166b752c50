//! What the user said last, and what it says about the model.

use std::collections::VecDeque;

use serde_json::Value;

/// Where a conversation stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Turn {
    /// The last text of the user.
    pub(super) prompt: String,
    /// How many assistant messages came after it.
    pub(super) step: usize,
    /// What tools said after it, in order.
    pub(super) results: Vec<String>,
}

impl Turn {
    pub(super) fn of(body: &Value) -> Self {
        let messages = body["messages"].as_array().map_or(&[][..], Vec::as_slice);
        let (mut step, mut results) = (0, VecDeque::new());
        for message in messages.iter().rev() {
            match message["role"].as_str() {
                Some("assistant") => step += 1,
                Some("user") => {
                    if let Some(prompt) = texts(message).into_iter().rfind(|text| !is_note(text)) {
                        return Self { prompt: prompt.into(), step, results: results.into() };
                    }
                    blocks(message, "tool_result")
                        .rev()
                        .for_each(|result| results.push_front(texts(result).concat()));
                }
                _ => {}
            }
        }
        Self { prompt: String::new(), step, results: results.into() }
    }
}

/// How texts begin that Claude Code 2.1.197 to 2.1.329 puts into the user's messages by itself.
///
/// The last three ask a model to go on after a message that ended too early; passing them over
/// makes the model of this fake end in the same way again.
const NOTES: &[&str] = &[
    "<system-reminder>",
    "Output token limit hit.",
    "Your response above was stopped by a safety classifier",
    "[Your previous response had no visible output.",
];

fn is_note(text: &str) -> bool {
    NOTES.iter().any(|note| text.trim_start().starts_with(note))
}

/// `@@name@@` or `@@name:argument@@`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Marker<'a> {
    pub(crate) name: &'a str,
    pub(crate) argument: &'a str,
}

impl<'a> Marker<'a> {
    pub(crate) fn last_in(text: &'a str) -> Option<Self> {
        let mut last = None;
        let mut rest = text;
        while let Some((_before, after)) = rest.split_once("@@") {
            match Self::at_start_of(after) {
                Some((marker, after_it)) => {
                    last = Some(marker);
                    rest = after_it;
                }
                None => rest = after,
            }
        }
        last
    }

    /// Reads a marker whose opening `@@` is already gone; also returns what comes after it.
    fn at_start_of(text: &'a str) -> Option<(Self, &'a str)> {
        let (inside, after) = text.split_once("@@")?;
        let (name, argument) = inside.split_once(':').unwrap_or((inside, ""));
        let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        is_name.then_some((Self { name, argument }, after))
    }
}

/// The texts of a message or a result, whose content may also be one text.
pub(crate) fn texts(holder: &Value) -> Vec<&str> {
    let texts = blocks(holder, "text").filter_map(|block| block["text"].as_str());
    holder["content"].as_str().into_iter().chain(texts).collect()
}

/// The blocks of one type in the content of a message or a result.
fn blocks<'a>(holder: &'a Value, kind: &'a str) -> impl DoubleEndedIterator<Item = &'a Value> {
    holder["content"].as_array().into_iter().flatten().filter(move |block| block["type"] == kind)
}

#[cfg(test)]
mod tests;
