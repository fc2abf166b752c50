//! What the model says and calls: pieces as they come, and the same again complete.
//!
//! A block comes in pieces (`stream_event`) and then, before its end in the stream, complete (`assistant`); a
//! complete block without pieces comes from a request that was not streamed. A block that is never completed
//! was superseded by another attempt, or cut off by an interrupt.

use std::collections::BTreeMap;

use musher_backend::{Event, ToolOutput};
use musher_protocol::{Block, ToolCallId};
use serde_json::Value;

use crate::wire::{self, Delta, Message, StreamEvent};

/// The reason given for an attempt that the program replaced without saying why.
const BROKEN_OFF: &str = "the answer broke off";

/// The state of what is being said in a turn.
#[derive(Debug, Default)]
pub(super) struct Speech {
    /// Counts through the whole session, so a number never comes twice.
    next_block: Block,
    /// The message that is being streamed, or was last.
    message: String,
    parts: Vec<Part>,
    /// What an attempt had said that broke off.
    superseded: Vec<Block>,
    /// The calls of the turn that have no result yet.
    calls: BTreeMap<String, Call>,
    has_spoken: bool,
}

/// A text or a thought of the message that is being streamed.
#[derive(Debug)]
struct Part {
    index: u64,
    kind: Kind,
    /// Its number, once there is something to number.
    block: Option<Block>,
    text: String,
    is_whole: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Thinking,
}

#[derive(Debug)]
struct Call {
    id: ToolCallId,
    /// Its place in the message, while its arguments come.
    index: Option<u64>,
    is_whole: bool,
}

impl Speech {
    /// A piece of the answer.
    pub(super) fn stream(&mut self, event: StreamEvent, is_abandoned: bool) -> Vec<Event> {
        match event {
            StreamEvent::MessageStart { message } => self.begin(&message.id),
            StreamEvent::ContentBlockStart { index, content_block } => {
                match wire::Block::from(content_block) {
                    wire::Block::Text(text) => self.begin_part(index, Kind::Text, text),
                    wire::Block::Thinking(text) => self.begin_part(index, Kind::Thinking, text),
                    wire::Block::ToolUse { id, name, .. } => self.begin_call(&id, name, Some(index)),
                    wire::Block::ToolResult { .. } | wire::Block::Other(_) => Vec::new(),
                }
            }
            StreamEvent::ContentBlockDelta { index, delta } => match delta {
                Delta::Text { text } | Delta::Thinking { thinking: text } => self.more(index, text),
                Delta::InputJson { partial_json } => self.more_arguments(index, partial_json),
                Delta::Other => Vec::new(),
            },
            StreamEvent::MessageStop => {
                if is_abandoned {
                    self.supersede();
                }
                Vec::new()
            }
            StreamEvent::MessageDelta { .. } | StreamEvent::Other => Vec::new(),
        }
    }

    /// Complete blocks of the model's. `is_cut`: they are what an interrupt left of them.
    pub(super) fn complete(&mut self, message: Message, is_cut: bool) -> Vec<Event> {
        let mut events = Vec::new();
        if message.id != self.message {
            events.extend(self.begin(&message.id));
        }
        for block in message.content {
            match block {
                wire::Block::Text(text) => events.extend(self.whole(Kind::Text, text, is_cut)),
                wire::Block::Thinking(text) => events.extend(self.whole(Kind::Thinking, text, is_cut)),
                wire::Block::ToolUse { id, name, input } if !is_cut => {
                    events.extend(self.whole_call(&id, name, input));
                }
                wire::Block::ToolUse { .. } | wire::Block::ToolResult { .. } | wire::Block::Other(_) => {}
            }
        }
        events
    }

    /// Complete blocks of a subagent's: its calls, not its words, which are the result of the worker's call.
    pub(super) fn subagent(&mut self, message: Message) -> Vec<Event> {
        let call = |block| match block {
            wire::Block::ToolUse { id, name, input } => self.whole_call(&id, name, input),
            wire::Block::Text(_)
            | wire::Block::Thinking(_)
            | wire::Block::ToolResult { .. }
            | wire::Block::Other(_) => Vec::new(),
        };
        message.content.into_iter().flat_map(call).collect()
    }

    /// What a tool answered; nothing when no call of this turn waits for it.
    pub(super) fn tool_result(&mut self, id: &str, content: String, is_error: bool) -> Option<Event> {
        if !self.calls.get(id)?.is_whole {
            return None;
        }
        let call = self.calls.remove(id)?;
        let output = ToolOutput { content, is_error, ..ToolOutput::default() };
        Some(Event::ToolResult { tool_call_id: call.id, output })
    }

    /// The attempt failed and another follows: what it had said that counts no more.
    pub(super) fn take_superseded(&mut self) -> Vec<Block> {
        self.supersede();
        std::mem::take(&mut self.superseded)
    }

    /// The turn is over. Returns whether anything was said or called in it.
    pub(super) fn end_turn(&mut self) -> bool {
        self.parts.clear();
        self.superseded.clear();
        self.calls.clear();
        self.message.clear();
        self.take_spoken()
    }

    /// Whether anything was said or called since this was asked.
    pub(super) fn take_spoken(&mut self) -> bool {
        std::mem::take(&mut self.has_spoken)
    }

    /// The turn came to its end, so what was not finished was replaced.
    pub(super) fn settle_all(&mut self) -> Option<Event> {
        self.supersede();
        self.settle()
    }

    /// Takes back what an attempt had said that was replaced without a word.
    fn settle(&mut self) -> Option<Event> {
        let discarded_blocks = std::mem::take(&mut self.superseded);
        (!discarded_blocks.is_empty()).then(|| Event::Retrying {
            attempt: 1,
            max_attempts: 1,
            delay_ms: 0,
            reason: BROKEN_OFF.to_owned(),
            discarded_blocks,
        })
    }

    fn begin(&mut self, message_id: &str) -> Vec<Event> {
        self.supersede();
        self.parts.clear();
        message_id.clone_into(&mut self.message);
        self.settle().into_iter().collect()
    }

    /// Unfinished parts belong to an attempt that will not be finished.
    fn supersede(&mut self) {
        let unfinished = self.parts.iter().filter(|part| !part.is_whole).filter_map(|part| part.block);
        self.superseded.extend(unfinished);
        self.parts.retain(|part| part.is_whole);
    }

    fn begin_part(&mut self, index: u64, kind: Kind, text: String) -> Vec<Event> {
        self.parts.push(Part { index, kind, block: None, text: String::new(), is_whole: false });
        self.more(index, text)
    }

    fn more(&mut self, index: u64, text: String) -> Vec<Event> {
        if text.is_empty() {
            return Vec::new();
        }
        // Deltas belong to the part that began last under their index.
        let Some(part) = self.parts.iter_mut().rev().find(|part| part.index == index && !part.is_whole)
        else {
            return Vec::new();
        };
        part.text += &text;
        let block = *part.block.get_or_insert_with(|| take(&mut self.next_block));
        self.has_spoken = true;
        vec![delta(part.kind, block, text)]
    }

    fn whole(&mut self, kind: Kind, text: String, is_cut: bool) -> Vec<Event> {
        let begun = self.parts.iter().position(|part| part.kind == kind && !part.is_whole);
        let at = begun.unwrap_or_else(|| {
            self.parts.push(Part {
                index: u64::MAX,
                kind,
                block: None,
                text: String::new(),
                is_whole: false,
            });
            self.parts.len() - 1
        });
        let part = &mut self.parts[at];
        part.is_whole = true;
        if text.is_empty() && part.block.is_none() {
            return Vec::new();
        }
        let had_pieces = part.block.is_some();
        let block = *part.block.get_or_insert_with(|| take(&mut self.next_block));
        self.has_spoken = true;
        // The pieces are what was shown, so they decide; usually nothing is missing from them.
        let missing = text.strip_prefix(part.text.as_str()).unwrap_or_default().to_owned();
        part.text += &missing;
        let whole = std::mem::take(&mut part.text);
        let mut events = Vec::new();
        if !missing.is_empty() && (had_pieces || is_cut) {
            events.push(delta(kind, block, missing));
        }
        if !is_cut {
            events.push(match kind {
                Kind::Text => Event::TextDone { block, text: whole },
                Kind::Thinking => Event::ThinkingDone { block, text: whole },
            });
        }
        events
    }

    fn begin_call(&mut self, id: &str, name: String, index: Option<u64>) -> Vec<Event> {
        self.has_spoken = true;
        let tool_call_id = call_id(id);
        // An index counts within a message; whoever had it before belongs to an earlier one.
        for call in self.calls.values_mut().filter(|call| index.is_some() && call.index == index) {
            call.index = None;
        }
        let call = Call { id: tool_call_id.clone(), index, is_whole: false };
        match self.calls.insert(id.to_owned(), call) {
            None => vec![Event::ToolCallStarted { tool_call_id, name }],
            Some(_) => Vec::new(),
        }
    }

    fn more_arguments(&mut self, index: u64, arguments: String) -> Vec<Event> {
        let call = self.calls.values().find(|call| call.index == Some(index) && !call.is_whole);
        match call {
            Some(call) if !arguments.is_empty() => {
                vec![Event::ToolCallDelta { tool_call_id: call.id.clone(), arguments }]
            }
            Some(_) | None => Vec::new(),
        }
    }

    fn whole_call(&mut self, id: &str, name: String, input: Value) -> Vec<Event> {
        let mut events = Vec::new();
        if !self.calls.contains_key(id) {
            events.extend(self.begin_call(id, name.clone(), None));
        }
        if let Some(call) = self.calls.get_mut(id)
            && !std::mem::replace(&mut call.is_whole, true)
        {
            events.push(Event::ToolCallDone { tool_call_id: call.id.clone(), name, input });
        }
        events
    }
}

fn delta(kind: Kind, block: Block, text: String) -> Event {
    match kind {
        Kind::Text => Event::TextDelta { block, text },
        Kind::Thinking => Event::ThinkingDelta { block, text },
    }
}

fn take(next: &mut Block) -> Block {
    let block = *next;
    *next = next.wrapping_add(1);
    block
}

/// The vendor's own id. One that is no id to us loses what makes it so, in the same way each time.
pub(super) fn call_id(text: &str) -> ToolCallId {
    text.parse().unwrap_or_else(|_invalid| {
        let visible: String = text.chars().filter(char::is_ascii_graphic).take(128).collect();
        format!("call_{visible}").parse().expect("visible ASCII of a bounded length is an id")
    })
}
