//! A turn's way through a log.

use musher_protocol::{BlobRef, Block, Payload, ToolCallId, TurnFinished, TurnId, TurnOutcome};

use super::RESTARTED;
use crate::torture::kill::finding::{Kind, shown};

/// A turn that has begun.
#[derive(Debug)]
pub(super) struct OpenTurn {
    pub(super) id: TurnId,
    blocks: Vec<OpenBlock>,
    /// Those that were called and have no result.
    calls: Vec<ToolCallId>,
}

/// A text or a thought that is not complete.
#[derive(Debug)]
struct OpenBlock {
    block: Block,
    is_thought: bool,
    text: String,
}

/// Whether an event only comes inside of a turn.
pub(super) fn is_of_turn(payload: &Payload) -> bool {
    matches!(
        payload,
        Payload::TextDelta { .. }
            | Payload::TextDone { .. }
            | Payload::ThinkingDelta { .. }
            | Payload::ThinkingDone { .. }
            | Payload::ToolCallStarted { .. }
            | Payload::ToolCallDelta { .. }
            | Payload::ToolCallDone { .. }
            | Payload::ToolResult { .. }
            | Payload::Usage { .. }
    )
}

impl OpenTurn {
    pub(super) fn new(id: TurnId) -> Self {
        Self { id, blocks: Vec::new(), calls: Vec::new() }
    }

    /// Follows an event of the turn.
    pub(super) fn go(&mut self, payload: &Payload) -> Option<(Kind, String)> {
        if let Payload::TextDelta { block, text, .. } = payload {
            self.say(*block, false, text);
        } else if let Payload::ThinkingDelta { block, text, .. } = payload {
            self.say(*block, true, text);
        } else if let Payload::TextDone { block, text, blob, .. }
        | Payload::ThinkingDone { block, text, blob, .. } = payload
        {
            let said = self.blocks.iter().position(|open| open.block == *block);
            let said = said.map(|place| self.blocks.remove(place).text).unwrap_or_default();
            if !holds(text, blob.as_ref(), &said) {
                return Some((Kind::Changed, format!("the deltas of block {block} are {:?}", shown(&said))));
            }
        } else if let Payload::Retrying(retrying) = payload {
            self.blocks.retain(|open| !retrying.discarded_blocks.contains(&open.block));
        } else if let Payload::ToolCallDone { tool_call_id, .. } = payload {
            self.calls.push(tool_call_id.clone());
        } else if let Payload::ToolResult { tool_call_id, .. } = payload {
            self.calls.retain(|call| call != tool_call_id);
        }
        None
    }

    /// What is wrong with the turn's end.
    pub(super) fn finish(&self, finished: &TurnFinished) -> Vec<(Kind, String)> {
        let mut problems: Vec<_> = self
            .calls
            .iter()
            .map(|call| (Kind::Lost, format!("tool_result of {call}, before the turn's end")))
            .collect();
        let texts = self.blocks.iter().filter(|open| !open.is_thought).map(|open| open.text.as_str());
        let so_far: String = texts.collect();
        let is_cut = finished.error.as_ref().is_some_and(|error| error.code == RESTARTED);
        if finished.outcome == TurnOutcome::Completed && !self.blocks.is_empty() {
            problems.push((Kind::Lost, format!("text_done behind the deltas {:?}", shown(&so_far))));
        }
        if is_cut && finished.outcome != TurnOutcome::Interrupted {
            problems.push((Kind::Untrue, "a turn that was cut off is interrupted".to_owned()));
        }
        let told = finished.text_so_far.as_deref().unwrap_or_default();
        if is_cut && !holds(told, finished.blob.as_ref(), &so_far) {
            problems.push((Kind::Changed, format!("the text so far is {:?}", shown(&so_far))));
        }
        problems
    }

    fn say(&mut self, block: Block, is_thought: bool, text: &str) {
        match self.blocks.iter_mut().find(|open| open.block == block) {
            Some(open) => open.text.push_str(text),
            None => self.blocks.push(OpenBlock { block, is_thought, text: text.to_owned() }),
        }
    }
}

/// Whether a field has a text: all of it, or the beginning of one that is kept beside the log.
fn holds(field: &str, blob: Option<&BlobRef>, text: &str) -> bool {
    match blob {
        None => field == text,
        Some(blob) => !field.is_empty() && text.starts_with(field) && blob.bytes == text.len() as u64,
    }
}
