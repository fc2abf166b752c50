//! Puts an answer together from its pieces. What it holds counts only when the vendor has said that it is whole.

use std::collections::BTreeMap;

use musher_backend::Event;
use musher_protocol::Block;
use serde_json::Value;

use crate::{
    Failure,
    model::{Ending, Output, Piece, Tokens},
};

/// More than any model says in one answer, raw items included; a server that goes on forever stops here.
const MAX_ANSWER: usize = 16 << 20;

/// An answer on its way.
#[derive(Debug, Default)]
pub(crate) struct Assembly {
    next_block: Block,
    /// Texts and thoughts that have begun to be shown.
    shown: BTreeMap<u64, Shown>,
    parts: Vec<Part>,
    /// Opaque items that belong to what comes next.
    opaque: Vec<Value>,
    tokens: Option<Tokens>,
    ending: Option<Ending>,
    size: usize,
}

#[derive(Debug)]
struct Shown {
    block: Block,
    is_thinking: bool,
    text: String,
    is_whole: bool,
}

/// A whole answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) parts: Vec<Part>,
    pub(crate) ending: Ending,
    pub(crate) tokens: Option<Tokens>,
}

/// One output, with the vendor's items that stand for it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Part {
    pub(crate) said: Said,
    pub(crate) raw: Vec<Value>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    Text { block: Block, text: String },
    Thinking { block: Block, text: String },
    Call { id: String, name: String, arguments: String },
}

impl Assembly {
    /// Blocks are unique in a turn, also over its attempts: they are counted on from here.
    pub(crate) fn new(next_block: Block) -> Self {
        Self { next_block, ..Self::default() }
    }

    /// Takes a piece; returns what is to be shown of it.
    pub(crate) fn take(&mut self, piece: Piece) -> Result<Option<Event>, Failure> {
        match piece {
            Piece::Text { slot, text } => self.show(slot, false, text),
            Piece::Thinking { slot, text } => self.show(slot, true, text),
            Piece::Progress => Ok(None),
            Piece::Whole { slot, output, raw } => self.whole(slot, output, raw),
            Piece::Usage(tokens) => {
                self.tokens = Some(tokens);
                Ok(None)
            }
            Piece::End(ending) => {
                self.ending = Some(ending);
                Ok(None)
            }
        }
    }

    /// Whether the vendor has said that the answer is whole.
    pub(crate) fn is_over(&self) -> bool {
        self.ending.is_some()
    }

    pub(crate) fn next_block(&self) -> Block {
        self.next_block
    }

    pub(crate) fn tokens(&self) -> Option<Tokens> {
        self.tokens
    }

    /// The blocks that an attempt has shown, which the next one supersedes.
    pub(crate) fn blocks(&self) -> Vec<Block> {
        self.shown.values().map(|shown| shown.block).collect()
    }

    /// The words that an attempt has shown.
    pub(crate) fn words(&self) -> String {
        self.shown.values().filter(|shown| !shown.is_thinking).map(|shown| shown.text.as_str()).collect()
    }

    /// The answer, when it is one.
    pub(crate) fn finish(mut self) -> Result<Answer, Failure> {
        let Some(ending) = self.ending else {
            return Err(Failure::broken("the answer ended before the provider said that it is whole"));
        };
        if self.shown.values().any(|shown| !shown.is_whole) {
            return Err(Failure::broken("the provider ended an answer in the middle of a text"));
        }
        // Nothing comes behind these any more, so they stay with what came before; alone they are nothing.
        if let Some(last) = self.parts.last_mut() {
            last.raw.append(&mut self.opaque);
        }
        Ok(Answer { parts: self.parts, ending, tokens: self.tokens })
    }

    fn show(&mut self, slot: u64, is_thinking: bool, text: String) -> Result<Option<Event>, Failure> {
        if text.is_empty() {
            return Ok(None);
        }
        self.grow(text.len())?;
        let next_block = &mut self.next_block;
        let shown = self.shown.entry(slot).or_insert_with(|| {
            let block = *next_block;
            *next_block += 1;
            Shown { block, is_thinking, text: String::new(), is_whole: false }
        });
        if shown.is_whole || shown.is_thinking != is_thinking {
            return Err(Failure::broken("the provider went on with a text after its end"));
        }
        shown.text.push_str(&text);
        let block = shown.block;
        Ok(Some(if is_thinking {
            Event::ThinkingDelta { block, text }
        } else {
            Event::TextDelta { block, text }
        }))
    }

    fn whole(&mut self, slot: u64, output: Output, raw: Vec<Value>) -> Result<Option<Event>, Failure> {
        self.grow(raw.iter().map(size_of_value).sum())?;
        let mut event = None;
        let said = match output {
            Output::Opaque => None,
            Output::Text(text) => {
                event = self.catch_up(slot, false, &text)?;
                self.end_shown(slot).map(|(block, text)| Said::Text { block, text })
            }
            Output::Thinking(text) => {
                event = self.catch_up(slot, true, &text)?;
                self.end_shown(slot).map(|(block, text)| Said::Thinking { block, text })
            }
            Output::Call { id, name, arguments } => {
                self.grow(arguments.len())?;
                Some(Said::Call { id, name, arguments })
            }
        };
        match said {
            Some(said) => {
                let mut items = std::mem::take(&mut self.opaque);
                items.extend(raw);
                self.parts.push(Part { said, raw: items });
            }
            None => self.opaque.extend(raw),
        }
        Ok(event)
    }

    /// Shows what of a whole text was not shown yet. Where a vendor's whole differs from what it had streamed, the
    /// log keeps what was shown, and the vendor gets its own item back.
    fn catch_up(&mut self, slot: u64, is_thinking: bool, whole: &str) -> Result<Option<Event>, Failure> {
        let shown = self.shown.get(&slot).map_or("", |shown| shown.text.as_str());
        let rest = whole.strip_prefix(shown).unwrap_or_default().to_owned();
        self.show(slot, is_thinking, rest)
    }

    fn end_shown(&mut self, slot: u64) -> Option<(Block, String)> {
        let shown = self.shown.get_mut(&slot)?;
        shown.is_whole = true;
        Some((shown.block, shown.text.clone()))
    }

    fn grow(&mut self, bytes: usize) -> Result<(), Failure> {
        self.size += bytes;
        if self.size > MAX_ANSWER {
            return Err(Failure::broken("the answer is larger than 16 MiB"));
        }
        Ok(())
    }
}

/// About what a value takes as text, without writing it.
pub(crate) fn size_of_value(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) => 4,
        Value::Number(_) => 8,
        Value::String(text) => text.len() + 2,
        Value::Array(values) => 2 + values.iter().map(|value| size_of_value(value) + 1).sum::<usize>(),
        Value::Object(fields) => {
            2 + fields.iter().map(|(name, value)| name.len() + 4 + size_of_value(value)).sum::<usize>()
        }
    }
}

#[cfg(test)]
mod tests {
    use musher_protocol::StopReason;
    use serde_json::json;

    use super::*;

    fn text(slot: u64, text: &str) -> Piece {
        Piece::Text { slot, text: text.to_owned() }
    }

    fn whole(slot: u64, output: Output, raw: &str) -> Piece {
        Piece::Whole { slot, output, raw: vec![json!(raw)] }
    }

    fn end() -> Piece {
        Piece::End(Ending::Stopped { reason: StopReason::EndTurn, vendor: None })
    }

    fn words(text: &str) -> Output {
        Output::Text(text.to_owned())
    }

    fn call(name: &str) -> Output {
        Output::Call { id: "1".to_owned(), name: name.to_owned(), arguments: "{}".to_owned() }
    }

    /// The deltas and then the parts of an answer, each with its raw items; or the failure.
    fn assemble(pieces: Vec<Piece>) -> Result<String, String> {
        let mut assembly = Assembly::new(3);
        let mut line = Vec::new();
        for piece in pieces {
            match assembly.take(piece).map_err(|failure| failure.message)? {
                Some(Event::TextDelta { block, text }) => line.push(format!("{block}+{text}")),
                Some(Event::ThinkingDelta { block, text }) => line.push(format!("{block}~{text}")),
                Some(other) => panic!("an answer shows texts and thoughts: {other:?}"),
                None => {}
            }
        }
        for part in assembly.finish().map_err(|failure| failure.message)?.parts {
            let said = match part.said {
                Said::Text { block, text } => format!("{block}={text}"),
                Said::Thinking { block, text } => format!("{block}#{text}"),
                Said::Call { name, .. } => name,
            };
            let raw: Vec<_> = part.raw.iter().filter_map(Value::as_str).collect();
            line.push(format!("{said}[{}]", raw.join(" ")));
        }
        Ok(line.join(" "))
    }

    #[track_caller]
    fn check(pieces: Vec<Piece>, expected: Result<&str, &str>) {
        assert_eq!(assemble(pieces).as_deref().map_err(String::as_str), expected);
    }

    #[test]
    fn pieces_become_parts_in_order() {
        check(
            vec![
                Piece::Thinking { slot: 0, text: "hm".to_owned() },
                whole(0, Output::Thinking("hm".to_owned()), "rs"),
                text(1, "he"),
                text(1, "y"),
                whole(1, words("hey"), "msg"),
                whole(2, call("ls"), "fc"),
                end(),
            ],
            Ok("3~hm 4+he 4+y 3#hm[rs] 4=hey[msg] ls[fc]"),
        );
    }

    #[test]
    fn opaque_items_stay_in_their_place() {
        let opaque = |slot| whole(slot, Output::Opaque, "rs");
        check(vec![opaque(0), whole(1, call("ls"), "fc"), end()], Ok("ls[rs fc]"));
        check(vec![whole(0, words("a"), "t"), whole(1, words(""), "sig"), end()], Ok("3+a 3=a[t sig]"));
        check(vec![opaque(0), end()], Ok(""));
    }

    #[test]
    fn a_text_is_shown_whole_and_never_twice() {
        check(vec![text(0, "a"), whole(0, words("ab"), "m"), end()], Ok("3+a 3+b 3=ab[m]"));
        check(vec![text(0, "ab "), whole(0, words("ab"), "m"), end()], Ok("3+ab  3=ab [m]"));
        let late = vec![whole(0, words("a"), "m"), text(0, "b"), end()];
        check(late, Err("the provider went on with a text after its end"));
    }

    #[test]
    fn an_answer_without_its_end_is_none() {
        let cut = "the answer ended before the provider said that it is whole";
        check(vec![whole(0, words("a"), "m"), whole(1, call("rm"), "fc")], Err(cut));
        check(vec![text(0, "a"), end()], Err("the provider ended an answer in the middle of a text"));
    }

    #[test]
    fn an_endless_answer_is_refused() {
        let large = "a".repeat(MAX_ANSWER);
        check(vec![text(0, &large), text(0, "a")], Err("the answer is larger than 16 MiB"));
    }
}
