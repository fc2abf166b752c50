//! The open turn, as the log says so far.

use jiff::Timestamp;
use musher_protocol::{
    BlobRef, Block, EventId, InFlight, InFlightKind, InputId, InputKind, LimitKind, ToolCallId,
    TranscriptEntry, TurnId, Usage,
};
use serde::{Deserialize, Serialize};

/// A turn that has not finished.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Turn {
    pub(crate) id: TurnId,
    /// When it began; unknown in what earlier versions kept.
    #[serde(default)]
    pub(crate) started_at: Option<Timestamp>,
    /// The inputs it answers, and whether the backend has them.
    pub(crate) inputs: Vec<TurnInput>,
    pub(crate) blocks: Vec<OpenBlock>,
    pub(crate) calls: Vec<OpenCall>,
    pub(crate) last_tool: Option<String>,
    pub(crate) usage: Usage,
    /// The model has been at work since the backend last said what was used.
    #[serde(default)]
    pub(super) uses: bool,
    /// Something that the model said or did is in the log.
    pub(crate) has_run: bool,
    /// The first request to interrupt it.
    pub(crate) interrupt: Option<EventId>,
    /// The limit that it reached.
    pub(crate) limit: Option<LimitKind>,
    /// How often the model called tools, calls at once counted once.
    #[serde(default)]
    pub(crate) tool_rounds: u64,
    /// A result ended the last round.
    #[serde(default)]
    pub(super) round_is_over: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TurnInput {
    pub(crate) input: QueuedInput,
    pub(crate) taken: bool,
    /// It was said into the turn, which had begun without it.
    #[serde(default)]
    pub(crate) joined: bool,
}

/// An accepted input that waits for its turn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct QueuedInput {
    pub(crate) input_id: InputId,
    pub(crate) kind: InputKind,
    pub(crate) content: String,
    /// The whole of its content, as long as that has not been read from the store.
    #[serde(default)]
    pub(crate) blob: Option<BlobRef>,
    /// Its place in the transcript, when it was delivered before and the backend did not take it.
    pub(crate) said: Option<u64>,
}

/// A text or thought that is not complete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OpenBlock {
    pub(super) block: Block,
    pub(super) thinking: bool,
    pub(super) text: String,
}

/// A tool call without a result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct OpenCall {
    pub(crate) id: ToolCallId,
    pub(super) name: String,
    pub(super) arguments: String,
    /// Its transcript entry once the call is whole: from then on the tool may have run.
    pub(super) entry: Option<TranscriptEntry>,
}

impl OpenCall {
    pub(crate) fn may_have_run(&self) -> bool {
        self.entry.is_some()
    }
}

impl Turn {
    pub(super) fn new(id: TurnId) -> Self {
        Self {
            id,
            started_at: None,
            inputs: Vec::new(),
            blocks: Vec::new(),
            calls: Vec::new(),
            last_tool: None,
            usage: Usage::zero(),
            uses: false,
            has_run: false,
            interrupt: None,
            limit: None,
            tool_rounds: 0,
            round_is_over: true,
        }
    }

    /// The text of a block that is not complete, a new one when there is none.
    pub(super) fn block(&mut self, block: Block, thinking: bool) -> &mut String {
        self.has_run = true;
        self.uses = true;
        let place = self.blocks.iter().position(|open| open.block == block).unwrap_or_else(|| {
            self.blocks.push(OpenBlock { block, thinking, text: String::new() });
            self.blocks.len() - 1
        });
        &mut self.blocks[place].text
    }

    /// The tool call without a result, a new one when there is none.
    pub(super) fn call(&mut self, id: &ToolCallId, name: &str) -> &mut OpenCall {
        self.has_run = true;
        let place = self.calls.iter().position(|call| call.id == *id).unwrap_or_else(|| {
            let name = name.to_owned();
            self.calls.push(OpenCall { id: id.clone(), name, arguments: String::new(), entry: None });
            self.tool_rounds += u64::from(std::mem::take(&mut self.round_is_over));
            self.calls.len() - 1
        });
        &mut self.calls[place]
    }

    /// How many inputs were said into it that the backend has not taken.
    pub(crate) fn n_untaken(&self) -> usize {
        self.inputs.iter().filter(|input| input.joined && !input.taken).count()
    }

    /// The places in the transcript of what the session that goes on with the turn is told now, or is not told until
    /// the turn is over.
    pub(super) fn untold(&self) -> impl Iterator<Item = u64> {
        let untold = |input: &&TurnInput| !self.has_run || (input.joined && !input.taken);
        self.inputs.iter().filter(untold).filter_map(|input| input.input.said)
    }

    /// The assistant's text that is not complete.
    pub(crate) fn text_so_far(&self) -> Option<String> {
        let text: String =
            self.blocks.iter().filter(|open| !open.thinking).map(|open| open.text.as_str()).collect();
        (!text.is_empty()).then_some(text)
    }

    pub(crate) fn in_flight(&self) -> impl Iterator<Item = InFlight> {
        let texts = self.blocks.iter().map(|open| InFlight {
            turn_id: self.id.clone(),
            block: Some(open.block),
            tool_call_id: None,
            kind: if open.thinking { InFlightKind::Thinking } else { InFlightKind::Text },
            text: open.text.clone(),
            omitted_bytes: 0,
        });
        let unsaid = self.calls.iter().filter(|call| !call.may_have_run());
        texts.chain(unsaid.map(|call| InFlight {
            turn_id: self.id.clone(),
            block: None,
            tool_call_id: Some(call.id.clone()),
            kind: InFlightKind::ToolCall,
            text: call.arguments.clone(),
            omitted_bytes: 0,
        }))
    }
}
