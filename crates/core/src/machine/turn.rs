//! Turns: how they begin, what happens in them, how they end.

use std::time::Duration;

use jiff::Timestamp;
use musher_backend::{self as backend, Event, ToolOutput, TurnEnd};
use musher_protocol::{
    Decision, InputId, InputKind, OnIdle, Payload, Retrying, StopReason, ToolCallId, TurnCause, TurnError,
    TurnFinished, TurnId, TurnOutcome, Usage,
};
use serde_json::Value;

use super::{Answer, Effect, Request, Step, Token, ending::TurnEnding, later};
use crate::{
    fold::{CUT_OFF, QueuedInput, RESTARTED},
    profile::RateLimitPolicy,
    store::Kept,
    task::beside_entry,
};

/// Why an approval is withdrawn that was open when its runtime ended.
pub(super) const CUT_OFF_QUESTION: &str = "the runtime ended while the question was open";
/// The shortest wait for a limit; it doubles with each refusal of the same turn, up to [`BLIND_PARK`].
const FIRST_PARK: Duration = Duration::from_secs(1);
/// How long to wait for a limit whose reset the vendor does not tell.
const BLIND_PARK: Duration = Duration::from_secs(60);
/// A program that is told of a task's end asks its model within a second; a busy machine takes some more.
const WAKE_GRACE: Duration = Duration::from_secs(10);
/// What a parked turn that had begun to run is told when it goes on.
const CONTINUE: &str = "The wait that the vendor asked for is over. Continue where you left off.";

/// How a turn ends in the log.
pub(super) struct Finish {
    pub(super) outcome: TurnOutcome,
    pub(super) stop_reason: Option<StopReason>,
    pub(super) vendor_stop_reason: Option<String>,
    pub(super) error: Option<TurnError>,
}

impl Finish {
    pub(super) fn interrupted() -> Self {
        Self { outcome: TurnOutcome::Interrupted, stop_reason: None, vendor_stop_reason: None, error: None }
    }

    pub(super) fn failed(error: TurnError) -> Self {
        Self { outcome: TurnOutcome::Failed, error: Some(error), ..Self::interrupted() }
    }

    fn of(end: TurnEnd) -> Self {
        match end {
            TurnEnd::Completed { stop_reason, vendor_stop_reason } => Self {
                outcome: TurnOutcome::Completed,
                stop_reason: Some(stop_reason),
                vendor_stop_reason,
                error: None,
            },
            TurnEnd::Interrupted => Self::interrupted(),
            TurnEnd::Failed(error) => Self::failed(error),
            TurnEnd::Refused { vendor_stop_reason, message } => Self {
                outcome: TurnOutcome::Refused,
                vendor_stop_reason,
                error: Some(TurnError { code: "refused".to_owned(), message }),
                ..Self::interrupted()
            },
        }
    }
}

impl Step<'_> {
    /// Begins a turn with the oldest input in the queue, if it may begin, and answers with that input and its place
    /// in the transcript.
    pub(super) fn begin_turn(&mut self) -> Option<(InputId, u64)> {
        let oldest = self.state.fold.queue.front()?.input_id.clone();
        let sequence = self.begin_turn_with(&oldest, TurnCause::Input)?;
        Some((oldest, sequence))
    }

    /// The same with an input that is somewhere in the queue.
    pub(super) fn begin_turn_with(&mut self, input_id: &InputId, cause: TurnCause) -> Option<u64> {
        let state = &mut *self.state;
        let may_begin = state.fold.turn.is_none()
            && state.end.is_none()
            && !state.draining
            && !state.store_full
            && !state.is_held()
            && state.spent(self.now).is_none();
        let ends = state.session.is_some() && !state.is_live();
        if !may_begin || ends {
            return None;
        }
        state.last_activity = self.now;
        let (input, sequence) = self.deliver(input_id);
        let turn_id = self.state.fold.turn.as_ref().expect("a delivered input opens its turn").id.clone();
        self.record(Payload::TurnStarted { turn_id, input_ids: vec![input_id.clone()], cause });
        self.hand_over(input);
        Some(sequence)
    }

    /// Moves an input from the queue into the open turn, or into a new one.
    pub(super) fn deliver(&mut self, input_id: &InputId) -> (backend::Input, u64) {
        let turn_id = self.state.fold.turn.as_ref().map_or_else(TurnId::mint, |turn| turn.id.clone());
        self.record(Payload::InputDelivered { input_id: input_id.clone(), turn_id });
        let turn = self.state.fold.turn.as_ref().expect("a delivered input opens its turn");
        let QueuedInput { input_id, kind, content, blob: _, said } =
            turn.inputs.last().expect("the turn has the input").input.clone();
        // What was said before a restart is in the transcript already.
        let sequence = said.unwrap_or_else(|| {
            let (input_id, content) = (input_id.clone(), content.clone());
            self.record(match kind {
                InputKind::User => Payload::UserMessage { input_id, content, blob: None },
                InputKind::System => Payload::SystemItem { content, blob: None, input_id: Some(input_id) },
            });
            self.state.fold.transcript_len
        });
        (backend::Input { input_id, kind, content }, sequence)
    }

    /// Gives an input to the session; starts one where there is none.
    pub(super) fn hand_over(&mut self, input: backend::Input) {
        if self.state.session.is_none() {
            let beginning = self.state.beginning();
            self.state.session =
                Some(super::LiveSession { resumed: beginning.resume.clone(), ..Default::default() });
            self.effects.push(Effect::Start(beginning));
        }
        if let Some(session) = &mut self.state.session {
            session.told = Some(input.clone());
        }
        self.tell(backend::Command::Input(input));
    }

    pub(super) fn event(&mut self, event: Event) {
        self.state.last_activity = self.now;
        let turn_id = self.state.fold.turn.as_ref().map(|turn| turn.id.clone());
        match (event, turn_id) {
            (Event::Alive, _) => {}
            (Event::Background { tasks }, turn_id) => {
                self.state.background = tasks;
                let may_wake = tasks == 0 && turn_id.is_none();
                self.state.wakes_until = may_wake.then(|| later(self.now, WAKE_GRACE));
            }
            (Event::Environment(environment), _) => {
                drop(self.record(Payload::SessionEnvironment(environment)))
            }
            (Event::Diagnostic { code, message }, _) => {
                drop(self.record(Payload::Diagnostic { code, message }))
            }
            (Event::Usage(usage), _) => self.usage(&usage),
            (Event::TurnStarted, None) => {
                self.state.wakes_until = None;
                let turn_id = TurnId::mint();
                self.record(Payload::TurnStarted {
                    turn_id,
                    input_ids: Vec::new(),
                    cause: TurnCause::Background,
                });
                if self.state.store_full {
                    self.end_turn().store_full = true;
                } else {
                    self.check_woken();
                }
            }
            // Work that woke beside a turn of the log, which goes on: it is parked, or its input came in between.
            (Event::WokenEnded(_), Some(_)) if self.state.answers_input() => {}
            (Event::WokenEnded(_), None) => {}
            (Event::WokenEnded(end), Some(turn_id)) => self.turn_event(Event::TurnEnded(end), turn_id),
            // The backend learns by the session's end, or by another input, that the runtime ended a parked turn.
            (Event::TurnEnded(TurnEnd::Interrupted), None) => {}
            (event, Some(turn_id)) => self.turn_event(event, turn_id),
            (event, None) => self.stray(&event),
        }
    }

    /// What stands beside an event stands beside the entry that it makes; one that makes none has no place for it.
    pub(super) fn event_with(&mut self, event: Event, private: &Value) {
        let before = self.effects.len();
        self.event(event);
        let drafts = self.effects[before..].iter_mut().filter_map(|effect| {
            if let Effect::Record(draft) = effect {
                draft.entries.first().map(|entry| entry.sequence).zip(Some(draft))
            } else {
                None
            }
        });
        for (sequence, draft) in drafts.take(1) {
            draft.kept.push(beside_entry(sequence, private));
        }
    }

    /// Keeps a file of the backend's; that it did is an event, for a commit has one.
    pub(super) fn keep(&mut self, file: Kept, token: Token) {
        let message = format!("the backend kept `{}`, {} bytes", file.name, file.bytes.len());
        let place = self.effects.len();
        self.record(Payload::Diagnostic { code: "backend.kept".to_owned(), message });
        if let Some(Effect::Record(draft)) = self.effects.get_mut(place) {
            draft.kept.push(file);
        }
        self.answer(token, Ok(Answer::Recorded));
    }

    fn turn_event(&mut self, event: Event, turn_id: TurnId) {
        let payload = match event {
            Event::InputTaken { input_id } => {
                let taken = |turn: &crate::fold::Turn| {
                    turn.inputs.iter().any(|input| input.input.input_id == input_id && !input.taken)
                };
                if !self.state.fold.turn.as_ref().is_some_and(taken) {
                    return;
                }
                Payload::InputTaken { input_id }
            }
            // Nobody asked for that but the runtime, which is ending.
            Event::TurnEnded(TurnEnd::Interrupted) if self.state.is_cut_off() => {
                return self.finish_turn(Finish::restarted());
            }
            Event::TurnEnded(end) => return self.finish_turn(Finish::of(end)),
            Event::RateLimited { scope, reset_at } => return self.rate_limited(scope, reset_at),
            Event::TextDelta { block, text } => Payload::TextDelta { turn_id, block, text },
            Event::TextDone { block, text } => Payload::TextDone { turn_id, block, text, blob: None },
            Event::ThinkingDelta { block, text } => Payload::ThinkingDelta { turn_id, block, text },
            Event::ThinkingDone { block, text } => Payload::ThinkingDone { turn_id, block, text, blob: None },
            Event::ToolCallStarted { tool_call_id, name } => {
                Payload::ToolCallStarted { turn_id, tool_call_id, name }
            }
            Event::ToolCallDelta { tool_call_id, arguments } => {
                Payload::ToolCallDelta { tool_call_id, arguments }
            }
            Event::ToolCallDone { tool_call_id, name, input } => {
                Payload::ToolCallDone { tool_call_id, name, input, blob: None }
            }
            Event::ToolResult { tool_call_id, output } => {
                self.tool_result(tool_call_id, output);
                return self.check_tool_rounds();
            }
            Event::Retrying { attempt, max_attempts, delay_ms, reason, discarded_blocks } => {
                Payload::Retrying(Retrying {
                    turn_id,
                    attempt,
                    max_attempts,
                    delay_ms,
                    reason,
                    discarded_blocks,
                })
            }
            // A turn runs already: the work that woke belongs to it.
            Event::TurnStarted | Event::WokenEnded(_) => return,
            Event::Alive
            | Event::Background { .. }
            | Event::Environment(_)
            | Event::Diagnostic { .. }
            | Event::Usage(_) => return,
        };
        self.record(payload);
        self.check_tool_rounds();
    }

    fn tool_result(&mut self, tool_call_id: ToolCallId, output: ToolOutput) {
        let ToolOutput { content, whole, is_error, diff } = output;
        let place = self.effects.len();
        self.record(Payload::ToolResult {
            tool_call_id,
            content,
            blob: None,
            is_error,
            diff,
            diff_blob: None,
        });
        if let Some(Effect::Record(draft)) = self.effects.get_mut(place) {
            draft.whole = whole;
        }
    }

    /// Whoever could say it has ended: what was used and not told is unknown from here on.
    pub(super) fn close_usage(&mut self) {
        if let Some((unsaid, turn_id)) = self.state.fold.unsaid_usage().zip(self.turn_of_usage()) {
            self.record(Payload::usage(turn_id, &unsaid));
        }
    }

    /// Usage belongs to the worker also when it is told late: it is never lost.
    fn usage(&mut self, usage: &Usage) {
        let Some(turn_id) = self.turn_of_usage() else { return };
        self.record(Payload::usage(turn_id, usage));
        self.check_usage();
    }

    /// The open turn, or the last one.
    fn turn_of_usage(&self) -> Option<TurnId> {
        let fold = &self.state.fold;
        let open = fold.turn.as_ref().map(|turn| &turn.id);
        open.or_else(|| fold.outcome.as_ref().map(|outcome| &outcome.turn_id)).cloned()
    }

    /// What a session says outside a turn has no place in the log; that it said something has, once.
    fn stray(&mut self, event: &Event) {
        if let Some(session) = &mut self.state.session
            && !std::mem::replace(&mut session.stray_reported, true)
        {
            let kind = format!("{event:?}");
            let name = kind.split([' ', '(', '{']).next().unwrap_or_default();
            let message = format!("the backend reported {name} while no turn was open; it was left out");
            self.record(Payload::Diagnostic { code: "backend.event_outside_turn".to_owned(), message });
        }
    }

    /// Ends the open turn, exactly once, and goes on with what waits.
    pub(super) fn finish_turn(&mut self, finish: Finish) {
        let Some(turn) = self.state.fold.turn.clone() else { return };
        let ending = self.state.ending.take();
        let limit = turn.limit;
        let full = ending.as_ref().is_some_and(|ending| ending.store_full);
        self.state.parked = None;
        self.state.refusals = super::Refusals::default();
        let is_cut_off = finish.error.as_ref().is_some_and(|error| error.code == RESTARTED);
        let why = if is_cut_off { CUT_OFF_QUESTION } else { "the turn ended" };
        for approval_id in self.state.fold.approvals.keys().cloned().collect::<Vec<_>>() {
            self.resolve(approval_id, Decision::Withdrawn, why);
        }
        let cut_off: Vec<_> =
            turn.calls.iter().filter(|call| call.may_have_run()).map(|call| call.id.clone()).collect();
        let tool_may_have_run = !cut_off.is_empty();
        for tool_call_id in cut_off {
            self.tool_result(tool_call_id, ToolOutput::error(CUT_OFF));
        }
        let outcome = match (finish.outcome, limit) {
            (TurnOutcome::Completed, _) => TurnOutcome::Completed,
            (_, Some(_)) => TurnOutcome::LimitReached,
            (outcome, None) => outcome,
        };
        let completed = outcome == TurnOutcome::Completed;
        let error = finish.error.or_else(|| (full && !completed).then(store_full));
        self.record(Payload::TurnFinished(Box::new(TurnFinished {
            turn_id: turn.id.clone(),
            outcome,
            stop_reason: finish.stop_reason,
            vendor_stop_reason: finish.vendor_stop_reason,
            limit: limit.filter(|_| !completed),
            error,
            usage: turn.usage.clone(),
            text_so_far: turn.text_so_far(),
            blob: None,
            last_tool: turn.last_tool.filter(|_| !completed),
            tool_may_have_run,
        })));
        if let Some(TurnEnding { interrupt, waiters, .. }) = ending {
            for token in waiters {
                self.answer(token, Ok(Answer::Done { event_id: interrupt.clone() }));
            }
        }
        self.go_on();
    }

    /// Begins what waits; a worker that was created to stop when idle stops here.
    pub(super) fn go_on(&mut self) {
        let state = &*self.state;
        // What waits for a worker whose limits are used up waits for nothing.
        let idle = state.fold.turn.is_none()
            && (state.fold.queue.is_empty() || state.spent(self.now).is_some())
            && state.background == 0
            && state.wakes_until.is_none()
            && state.end.is_none()
            && !state.draining;
        if idle && state.spec.on_idle == OnIdle::Stop && state.fold.outcome.is_some() {
            let by = musher_protocol::Actor::rule("on_idle");
            self.begin_stop(Request { reason: None, by });
        } else {
            self.begin_turn();
        }
    }

    /// Nothing new begins in a store that is full, and what runs is ended while there is space to say so.
    pub(super) fn store_full(&mut self, full: bool) {
        let was_full = std::mem::replace(&mut self.state.store_full, full);
        if !full {
            if was_full {
                self.go_on_after_restart();
            }
            return;
        }
        let runs = self.state.fold.turn.is_some() && self.state.end.is_none() && self.state.parked.is_none();
        if runs {
            self.end_turn().store_full = true;
        }
    }

    fn rate_limited(&mut self, scope: String, reset_at: Option<Timestamp>) {
        self.record(Payload::RateLimited { scope: scope.clone(), reset_at });
        // A repeated refusal parks again; one that comes while the turn is being ended changes nothing.
        if self.state.ending.is_some() || self.state.end.is_some() {
            return self.finish_turn(Finish::interrupted());
        }
        let told = reset_at
            .map_or(BLIND_PARK, |at| Duration::try_from(at.duration_since(self.now)).unwrap_or_default());
        // A vendor whose clock is wrong says a time that has passed, as often as it is asked.
        let refusals = &mut self.state.refusals;
        let wait = told.max(FIRST_PARK.saturating_mul(1 << refusals.n.min(6)).min(BLIND_PARK));
        match self.state.spec.profile.rate_limit {
            RateLimitPolicy::Park { at_most } if refusals.waited + wait <= at_most => {
                refusals.n += 1;
                refusals.waited += wait;
                self.state.parked = Some(later(self.now, wait + self.jitter(wait)));
            }
            RateLimitPolicy::Park { .. } | RateLimitPolicy::End => {
                let (code, message) = if scope == Event::OVERLOADED {
                    let until = reset_at.map_or_else(String::new, |at| format!(" until {at}"));
                    (scope, format!("the vendor has too much to do{until}"))
                } else {
                    ("rate_limited".to_owned(), format!("the vendor refuses: limit `{scope}`"))
                };
                self.finish_turn(Finish::failed(TurnError { code, message }));
            }
        }
    }

    /// Up to a tenth of the wait and a minute at most, so that many workers do not come back at the same moment.
    /// Taken from the turn's id: the same decision for the same log.
    fn jitter(&self, wait: Duration) -> Duration {
        let most = (wait / 10).min(Duration::from_secs(60));
        let id = self.state.fold.turn.as_ref().map_or("", |turn| turn.id.as_str());
        let share = f64::from(crc32fast::hash(id.as_bytes())) / f64::from(u32::MAX);
        most.mul_f64(share)
    }

    /// The limit has passed: the same input again when nothing of it had run, else a word to continue.
    pub(super) fn unpark(&mut self) {
        self.state.parked = None;
        self.state.last_activity = self.now;
        let Some(turn) = &self.state.fold.turn else { return };
        let Some(first) = turn.inputs.first().map(|input| input.input.clone()) else {
            return self.finish_turn(Finish::failed(TurnError {
                code: "rate_limited".to_owned(),
                message: "work that woke by itself met a rate limit; it has no input to send again"
                    .to_owned(),
            }));
        };
        let (kind, content) =
            if turn.has_run { (InputKind::System, CONTINUE.to_owned()) } else { (first.kind, first.content) };
        self.hand_over(backend::Input { input_id: first.input_id, kind, content });
    }
}

impl super::State {
    /// Whether the open turn is that of an input, and not of work that woke by itself.
    fn answers_input(&self) -> bool {
        self.fold.turn.as_ref().is_some_and(|turn| !turn.inputs.is_empty())
    }
}

fn store_full() -> TurnError {
    let message = "the store is full; the turn was ended while there was space to say so".to_owned();
    TurnError { code: "store_full".to_owned(), message }
}
