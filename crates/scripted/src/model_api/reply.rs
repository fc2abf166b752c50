//! What a model says, before a protocol spells it.

use std::time::Duration;

use musher_protocol::Usage;
use serde_json::Value;

use super::Answer;

/// What every answer names as its model.
pub const MODEL: &str = "scripted";
/// What only its maker reads, where a protocol has such a thing.
pub(super) const OPAQUE: &str = "only its maker reads this";

/// An answer of a model. As the vendors do it, what leads to a call is signed: with opaque reasoning in front of it, or
/// with a signature on it.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// What it shows of its thoughts.
    pub thought: Option<String>,
    /// What it says; empty where it only calls.
    pub words: String,
    /// What it calls, behind its words.
    pub calls: Vec<Call>,
    /// What it used; nothing is said of what is unknown. A vendor knows no costs.
    pub usage: Usage,
    /// The time behind each piece of a thought or a text.
    pub pace: Duration,
}

/// A call of a tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The vendor's id of it; Gemini has none.
    pub id: String,
    /// The tool.
    pub name: String,
    /// Its arguments, as the model wrote them: JSON, or what a model takes for it.
    pub arguments: String,
}

impl Reply {
    /// Some words, a piece for each.
    #[must_use]
    pub fn text(words: &str) -> Self {
        let usage = Usage {
            input_tokens: Some(10),
            output_tokens: Some(5),
            cache_read_input_tokens: Some(4),
            reasoning_tokens: Some(2),
            ..Usage::default()
        };
        Self { thought: None, words: words.to_owned(), calls: Vec::new(), usage, pace: Duration::ZERO }
    }

    /// Some calls: id, tool and arguments.
    #[must_use]
    pub fn calls(calls: &[(&str, &str, &str)]) -> Self {
        let call = |(id, name, arguments): &(&str, &str, &str)| Call {
            id: (*id).to_owned(),
            name: (*name).to_owned(),
            arguments: (*arguments).to_owned(),
        };
        Self { calls: calls.iter().map(call).collect(), ..Self::text("") }
    }
}

/// An event of a stream.
#[derive(Debug)]
pub(super) enum Event {
    /// A piece of what is said.
    Piece(Value),
    /// What holds the pieces together.
    Frame(Value),
}

/// The events up to the last piece.
pub(super) fn beginning(mut events: Vec<Event>) -> Vec<Event> {
    let last = events.iter().rposition(|event| matches!(event, Event::Piece(_)));
    events.truncate(last.map_or(0, |last| last + 1));
    events
}

/// A stream of events, each spelled in the same way, with the reply's pauses.
pub(super) fn stream(events: Vec<Event>, pace: Duration, spell: impl Fn(Answer, &Value) -> Answer) -> Answer {
    events.into_iter().fold(Answer::stream(), |answer, event| match event {
        Event::Piece(text) => spell(answer, &text).pause(pace),
        Event::Frame(text) => spell(answer, &text),
    })
}

/// A text piece by piece: each word with the space behind it.
pub(super) fn pieces(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive(' ')
}
