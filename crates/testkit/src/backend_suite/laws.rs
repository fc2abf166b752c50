//! What holds for the events of every turn.

use std::collections::BTreeMap;

use musher_backend::Event;
use musher_protocol::{Block, InputId, ToolCallId};

/// A law that a turn's events break.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Breach {
    /// The turn said or did something before it proved that it had its input.
    ContentBeforeInputTaken,
    /// The proof came this many times, not once.
    InputTaken(usize),
    /// The turn ended this many times, not once, or something came after its end.
    Ended(usize),
    /// A text's deltas are not the text.
    DeltasDiffer(Block),
    /// A call's argument deltas are not its input.
    ArgumentsDiffer(ToolCallId),
    /// A text has deltas and no end.
    Unfinished(Block),
    /// A number stands for two texts, or for a text that went on after its end.
    BlockReused(Block),
    /// A call's events are out of order or doubled: started, then whole, then its result.
    CallDisorder(ToolCallId),
    /// A call that was made has no result.
    NoResult(ToolCallId),
}

/// Whether an event is something that the turn says or does.
pub(super) fn is_content(event: &Event) -> bool {
    match event {
        Event::TextDelta { .. }
        | Event::TextDone { .. }
        | Event::ThinkingDelta { .. }
        | Event::ThinkingDone { .. }
        | Event::ToolCallStarted { .. }
        | Event::ToolCallDelta { .. }
        | Event::ToolCallDone { .. }
        | Event::ToolResult { .. } => true,
        Event::InputTaken { .. }
        | Event::TurnStarted
        | Event::TurnEnded(_)
        | Event::Usage(_)
        | Event::RateLimited { .. }
        | Event::Retrying { .. }
        | Event::Environment(_)
        | Event::Diagnostic { .. }
        | Event::WokenEnded(_)
        | Event::Background { .. }
        | Event::Alive => false,
    }
}

/// The input is taken once, before anything is said or done.
pub(super) fn taken_first(input: &InputId, events: &[Event]) -> Result<(), Breach> {
    let is_proof = |event: &Event| matches!(event, Event::InputTaken { input_id } if input_id == input);
    let n_proofs = events.iter().filter(|event| is_proof(event)).count();
    if n_proofs != 1 {
        return Err(Breach::InputTaken(n_proofs));
    }
    let mut before = events.iter().take_while(|event| !is_proof(event));
    if before.any(is_content) { Err(Breach::ContentBeforeInputTaken) } else { Ok(()) }
}

/// The turn ends once, and that is the last of it.
pub(super) fn ended_once(events: &[Event]) -> Result<(), Breach> {
    let is_end = |event: &Event| matches!(event, Event::TurnEnded(_));
    let n_ends = events.iter().filter(|event| is_end(event)).count();
    if n_ends == 1 && events.iter().skip_while(|event| !is_end(event)).skip(1).all(|event| !is_content(event))
    {
        Ok(())
    } else {
        Err(Breach::Ended(n_ends))
    }
}

/// Deltas are what they belong to, piece by piece.
pub(super) fn deltas_add_up(events: &[Event]) -> Result<(), Breach> {
    let mut texts: BTreeMap<Block, String> = BTreeMap::new();
    let mut arguments: BTreeMap<&ToolCallId, String> = BTreeMap::new();
    for event in events {
        if let Event::TextDelta { block, text } | Event::ThinkingDelta { block, text } = event {
            *texts.entry(*block).or_default() += text;
        } else if let Event::TextDone { block, text } | Event::ThinkingDone { block, text } = event {
            if texts.remove(block).is_some_and(|deltas| deltas != *text) {
                return Err(Breach::DeltasDiffer(*block));
            }
        } else if let Event::ToolCallDelta { tool_call_id, arguments: more } = event {
            *arguments.entry(tool_call_id).or_default() += more;
        } else if let Event::ToolCallDone { tool_call_id, input, .. } = event {
            let deltas = arguments.remove(tool_call_id);
            if deltas.is_some_and(|deltas| serde_json::from_str(&deltas).ok().as_ref() != Some(input)) {
                return Err(Breach::ArgumentsDiffer(tool_call_id.clone()));
            }
        } else if let Event::Retrying { discarded_blocks, .. } = event {
            texts.retain(|block, _| !discarded_blocks.contains(block));
        }
    }
    texts.keys().next().map_or(Ok(()), |block| Err(Breach::Unfinished(*block)))
}

/// What a block's number stands for, once it has come up.
#[derive(Clone, Copy, PartialEq, Eq)]
enum BlockState {
    Text,
    Thought,
    Over,
}

/// A number stands for one text from its first delta to its end.
pub(super) fn blocks_unique(events: &[Event]) -> Result<(), Breach> {
    let mut blocks: BTreeMap<Block, BlockState> = BTreeMap::new();
    for event in events {
        let (block, kind, after) = if let Event::TextDelta { block, .. } = event {
            (*block, BlockState::Text, BlockState::Text)
        } else if let Event::TextDone { block, .. } = event {
            (*block, BlockState::Text, BlockState::Over)
        } else if let Event::ThinkingDelta { block, .. } = event {
            (*block, BlockState::Thought, BlockState::Thought)
        } else if let Event::ThinkingDone { block, .. } = event {
            (*block, BlockState::Thought, BlockState::Over)
        } else if let Event::Retrying { discarded_blocks, .. } = event {
            blocks.extend(discarded_blocks.iter().map(|block| (*block, BlockState::Over)));
            continue;
        } else {
            continue;
        };
        if blocks.insert(block, after).is_some_and(|before| before != kind) {
            return Err(Breach::BlockReused(block));
        }
    }
    Ok(())
}

/// How far a call has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum CallState {
    Started,
    Whole,
    Answered,
}

/// Each call is started, whole, and answered, in this order and once, by the end of a turn that completes.
pub(super) fn calls_answered(events: &[Event]) -> Result<(), Breach> {
    let mut calls: BTreeMap<&ToolCallId, CallState> = BTreeMap::new();
    for event in events {
        let (call, due, after) = if let Event::ToolCallStarted { tool_call_id, .. } = event {
            (tool_call_id, None, CallState::Started)
        } else if let Event::ToolCallDelta { tool_call_id, .. } = event {
            (tool_call_id, Some(CallState::Started), CallState::Started)
        } else if let Event::ToolCallDone { tool_call_id, .. } = event {
            (tool_call_id, Some(CallState::Started), CallState::Whole)
        } else if let Event::ToolResult { tool_call_id, .. } = event {
            (tool_call_id, Some(CallState::Whole), CallState::Answered)
        } else {
            continue;
        };
        if calls.insert(call, after) != due {
            return Err(Breach::CallDisorder(call.clone()));
        }
    }
    let unanswered = calls.into_iter().find(|(_, state)| *state == CallState::Whole);
    unanswered.map_or(Ok(()), |(call, _)| Err(Breach::NoResult(call.clone())))
}

#[cfg(test)]
mod tests;
