//! One turn: ask the model, run what it calls, ask again.

use musher_backend::{Event, Input, LinkClosed, TurnEnd};
use musher_protocol::{Block, InputId, InputKind, StopReason};

use super::{Session, calling::Pending};
use crate::{
    Item, Raw,
    answer::{Answer, Part, Said},
    conversation::call_id,
    model::Ending,
    repetition::Repetition,
    stage::Cut,
};

/// A backstop for launches without a limit of their own: no task needs more without a person looking.
const MAX_ROUNDS: u32 = 500;
/// A model that says nothing three times in a row has nothing to say.
const MAX_EMPTY: u32 = 3;

/// What becomes of the session after a turn.
#[derive(Clone, Copy, Debug)]
pub(super) enum After {
    /// It waits for the next input.
    Idle,
    /// It is to end.
    Ended,
}

/// Why a turn does not go on.
#[derive(Debug)]
pub(super) enum Halt {
    /// The runtime cuts it.
    Cut(Cut),
    /// It has come to this end.
    End(TurnEnd),
    /// The runtime has ended it while it waited for a rate limit, and begins another.
    Replaced(Input),
}

impl From<Cut> for Halt {
    fn from(cut: Cut) -> Self {
        Self::Cut(cut)
    }
}

/// What a turn remembers while it runs.
#[derive(Debug)]
pub(super) struct Turn {
    pub(super) input: Input,
    /// Inputs that the model has given no sign of having got.
    pub(super) untaken: Vec<InputId>,
    /// What was said into it and may have to be taken back.
    steers: Vec<Input>,
    /// Counts on over attempts and answers.
    pub(super) next_block: Block,
    pub(super) repetition: Repetition,
    /// Answers in a row with a call whose arguments were none.
    pub(super) malformed: u32,
    rounds: u32,
}

impl Turn {
    pub(super) fn new(input: Input) -> Self {
        Self {
            untaken: vec![input.input_id.clone()],
            steers: Vec::new(),
            input,
            next_block: 0,
            repetition: Repetition::default(),
            malformed: 0,
            rounds: 0,
        }
    }

    /// The vendor refused, for a limit: the input comes again, and is then taken again, with all that was said into the
    /// turn unless something was already said to that.
    pub(super) fn refused(&mut self) {
        self.forget_answered();
        for input in std::iter::once(&self.input).chain(&self.steers) {
            if !self.untaken.contains(&input.input_id) {
                self.untaken.push(input.input_id.clone());
            }
        }
    }

    /// What something was said or done to is never taken back.
    fn forget_answered(&mut self) {
        if self.next_block > 0 || self.rounds > 0 {
            self.steers.retain(|steer| self.untaken.contains(&steer.input_id));
        }
    }
}

impl Session {
    /// Runs the turn that this input begins.
    pub(super) async fn turn(&mut self, input: Input) -> Result<After, LinkClosed> {
        let mut turn = Turn::new(input);
        let played = self.play(&mut turn).await;
        // The runtime gives them turns of their own.
        for steer in turn.steers.iter().filter(|steer| turn.untaken.contains(&steer.input_id)) {
            self.conversation.take_back(&item(steer));
        }
        self.stage.clear();
        let (end, after) = match played {
            Ok(end) | Err(Halt::End(end)) => (end, After::Idle),
            Err(Halt::Cut(Cut::Interrupted)) => (TurnEnd::Interrupted, After::Idle),
            Err(Halt::Cut(Cut::Ended(_))) => (TurnEnd::Interrupted, After::Ended),
            Err(Halt::Cut(Cut::Closed(closed))) => return Err(closed),
            Err(Halt::Replaced(input)) => {
                self.stage.put_back(input);
                return Ok(After::Idle);
            }
        };
        self.stage.link().emit(Event::TurnEnded(end)).await?;
        Ok(after)
    }

    async fn play(&mut self, turn: &mut Turn) -> Result<TurnEnd, Halt> {
        if turn.input.content.trim().is_empty() {
            return Ok(TurnEnd::failed("empty_input", "the input has no words"));
        }
        let mut input = turn.input.clone();
        if let Some(preface) = self.preface.take() {
            input.content = format!("{preface}\n\n{}", input.content);
        }
        self.conversation.push_input(&item(&turn.input), item(&input));
        let mut n_empty = 0;
        loop {
            turn.forget_answered();
            for steer in self.stage.take_steers() {
                self.conversation.push(item(&steer));
                turn.untaken.push(steer.input_id.clone());
                turn.steers.push(steer);
            }
            let answer = self.answer(turn).await?;
            if is_empty(&answer) {
                n_empty += 1;
                self.discard_empty(&answer, n_empty).await?;
                continue;
            }
            n_empty = 0;
            let (calls, ending) = self.record(answer).await?;
            if calls.is_empty() && self.stage.has_steers() && !matches!(ending, Ending::Refused { .. }) {
                continue;
            }
            if calls.is_empty() {
                return Ok(end(ending));
            }
            turn.rounds += 1;
            match &ending {
                // What was cut may have been an argument.
                Ending::Stopped { reason: StopReason::Length, .. } => {
                    self.refuse_calls(calls, "not run: the answer was cut at its length limit").await?;
                    return Ok(end(ending));
                }
                Ending::Refused { .. } => {
                    self.refuse_calls(calls, "not run: the provider refused the answer").await?;
                    return Ok(end(ending));
                }
                Ending::Stopped { .. } if turn.rounds > MAX_ROUNDS => {
                    self.refuse_calls(calls, "not run: the turn has called tools too often").await?;
                    let stop_reason = StopReason::ToolLimit;
                    return Ok(TurnEnd::Completed { stop_reason, vendor_stop_reason: None });
                }
                Ending::Stopped { .. } => self.run_calls(turn, calls).await?,
            }
        }
    }

    /// Takes an answer back that says nothing; the last time it is the turn's end.
    async fn discard_empty(&self, answer: &Answer, n_empty: u32) -> Result<(), Halt> {
        if n_empty == MAX_EMPTY {
            let message = format!("the model gave {MAX_EMPTY} answers in a row without a word or a call");
            return Err(Halt::End(TurnEnd::failed("empty_answer", message)));
        }
        let block = |part: &Part| match &part.said {
            Said::Text { block, .. } | Said::Thinking { block, .. } => Some(*block),
            Said::Call { .. } => None,
        };
        let event = Event::Retrying {
            attempt: n_empty + 1,
            max_attempts: MAX_EMPTY,
            delay_ms: 0,
            reason: "the answer was empty".to_owned(),
            discarded_blocks: answer.parts.iter().filter_map(block).collect(),
        };
        Ok(self.stage.emit(event).await?)
    }

    /// Writes an answer down, each part with the vendor's items for it; returns what it calls.
    async fn record(&mut self, answer: Answer) -> Result<(Vec<Pending>, Ending), Cut> {
        let Answer { parts, ending, tokens: _ } = answer;
        let mut calls: Vec<Pending> = Vec::new();
        self.conversation.begin_answer();
        for Part { said, raw } in parts {
            let raw = Raw { scope: self.model.scope().clone(), items: raw };
            let (place, private) = self.conversation.next_place(&raw);
            let raw = Some(raw).filter(|raw| !raw.items.is_empty());
            match said {
                Said::Text { block, text } => {
                    self.stage.emit_with(Event::TextDone { block, text: text.clone() }, private).await?;
                    self.conversation.push_placed(Item::Text { text, raw }, place);
                }
                Said::Thinking { block, text } => {
                    self.stage.emit_with(Event::ThinkingDone { block, text }, private).await?;
                    if let Some(raw) = raw {
                        self.conversation.push_placed(Item::Thinking { raw }, place);
                    }
                }
                Said::Call { id, name, arguments } => {
                    let taken: Vec<_> = calls.iter().map(|call| call.id.clone()).collect();
                    let id = call_id(&id, self.conversation.items(), &taken);
                    let call = Pending::new(id, name, arguments);
                    self.stage
                        .emit(Event::ToolCallStarted {
                            tool_call_id: call.id.clone(),
                            name: call.name.clone(),
                        })
                        .await?;
                    let done = Event::ToolCallDone {
                        tool_call_id: call.id.clone(),
                        name: call.name.clone(),
                        input: call.shown_input(),
                    };
                    self.stage.emit_with(done, private).await?;
                    let (id, name, arguments) = (call.id.clone(), call.name.clone(), call.arguments.clone());
                    self.conversation.push_placed(Item::Call { id, name, arguments, raw }, place);
                    calls.push(call);
                }
            }
        }
        Ok((calls, ending))
    }
}

pub(super) fn item(input: &Input) -> Item {
    let text = input.content.clone();
    match input.kind {
        InputKind::User => Item::User { text },
        InputKind::System => Item::System { text },
    }
}

/// Whether an answer neither says nor calls anything, though nothing had kept it from that.
fn is_empty(answer: &Answer) -> bool {
    let is_free = match &answer.ending {
        Ending::Stopped { reason, .. } => *reason != StopReason::Length,
        Ending::Refused { .. } => false,
    };
    is_free
        && answer.parts.iter().all(|part| match &part.said {
            Said::Text { text, .. } => text.trim().is_empty(),
            Said::Thinking { .. } => true,
            Said::Call { .. } => false,
        })
}

fn end(ending: Ending) -> TurnEnd {
    match ending {
        Ending::Stopped { reason, vendor } => {
            TurnEnd::Completed { stop_reason: reason, vendor_stop_reason: vendor }
        }
        Ending::Refused { vendor, message } => TurnEnd::Refused { vendor_stop_reason: vendor, message },
    }
}

#[cfg(test)]
mod tests;
