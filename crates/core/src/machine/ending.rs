//! How turns and workers are ended on request.

use std::time::Duration;

use jiff::Timestamp;
use musher_backend as backend;
use musher_protocol::{EndRequested, EventId, Payload, Survivor, WorkerEnded};

use super::{Answer, Command, END_MARGIN, Effect, Refusal, Request, State, Step, Token, later, turn::Finish};
use crate::fold::{End, EndKind};

/// Why the open turn is being ended, and who waits for it.
#[derive(Clone, Debug)]
pub(super) struct TurnEnding {
    /// The store is full.
    pub(super) store_full: bool,
    /// The first request for an interrupt.
    pub(super) interrupt: Option<EventId>,
    /// When the session is ended, should the turn still be open.
    pub(super) escalate_at: Option<Timestamp>,
    pub(super) waiters: Vec<Token>,
}

/// Why the worker is being ended, and who waits for it.
#[derive(Clone, Debug)]
pub(super) struct WorkerEnding {
    kind: EndKind,
    event_id: EventId,
    reason: Option<String>,
    waiters: Vec<Token>,
}

impl WorkerEnding {
    /// The ending that a runtime which is gone had begun: nobody waits for it any more.
    pub(super) fn of(end: End) -> Self {
        Self { kind: end.kind, event_id: end.request, reason: end.reason, waiters: Vec::new() }
    }
}

/// Whether there has to be room for the key of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyRoom {
    /// None: the command ends something, which must be possible always. Its event is in the log for longer than its key.
    OnTop,
    /// None, but without room the key is not kept: the command does nothing that is not done or begun already, and a
    /// repetition finds the same answer in the log.
    IfAny,
    /// There has: without its key a repetition might do what the first did not, or do it twice.
    Required,
}

impl State {
    /// What the key of this command needs, should it be the first under it.
    pub(crate) fn key_room(&self, command: &Command) -> KeyRoom {
        let runs = !self.fold.status.is_terminal();
        let ends = |ends| if ends { KeyRoom::OnTop } else { KeyRoom::IfAny };
        match command {
            // A repetition of one that ended nothing could end a later turn.
            Command::Interrupt(_) if runs => {
                let is_interrupted = self.ending.as_ref().is_some_and(|ending| ending.interrupt.is_some());
                let ends = self.fold.turn.is_some() && self.end.is_none() && !is_interrupted;
                if ends { KeyRoom::OnTop } else { KeyRoom::Required }
            }
            Command::Stop(..) => ends(runs && self.end.is_none()),
            Command::Cancel(_) => {
                ends(runs && self.end.as_ref().is_none_or(|end| end.kind != EndKind::Cancel))
            }
            Command::Decide { approval_id, verdict, .. } if self.fold.approvals.contains_key(approval_id) => {
                match verdict {
                    backend::Verdict::Deny { .. } => KeyRoom::OnTop,
                    backend::Verdict::Allow { .. } => KeyRoom::Required,
                }
            }
            Command::Send { .. } | Command::RaiseLimits { .. } if runs => KeyRoom::Required,
            // These are refused.
            Command::Interrupt(_)
            | Command::Decide { .. }
            | Command::Send { .. }
            | Command::RaiseLimits { .. } => KeyRoom::IfAny,
        }
    }
}

impl Step<'_> {
    pub(super) fn interrupt(&mut self, request: Request, token: Token) {
        if self.state.fold.status.is_terminal() {
            return self.answer(token, Err(Refusal::NotRunning));
        }
        if self.state.fold.turn.is_none() {
            return self.answer(token, Ok(Answer::Done { event_id: None }));
        }
        // A stop or a cancel is stronger and ends the turn too: wait for that.
        if let Some(end) = &mut self.state.end {
            return end.waiters.push(token);
        }
        if let Some(ending) = &mut self.state.ending
            && ending.interrupt.is_some()
        {
            return ending.waiters.push(token);
        }
        let requested = EndRequested { reason: request.reason, by: request.by };
        let event_id = self.record(Payload::InterruptRequested(requested));
        let ending = self.end_turn();
        ending.interrupt = Some(event_id);
        ending.waiters.push(token);
        if self.state.parked.is_some() {
            self.finish_turn(Finish::interrupted());
        }
    }

    /// Asks the backend to end the turn, once, and sets when it is made to. A parked turn has nobody to ask.
    pub(super) fn end_turn(&mut self) -> &mut TurnEnding {
        if self.state.ending.is_none() && self.state.parked.is_none() {
            self.tell(backend::Command::Interrupt);
        }
        // A worker that is being ended has a grace of its own.
        let grace = self.state.spec.profile.grace;
        let escalate_at = self.state.end.is_none().then(|| later(self.now, grace));
        let begun = TurnEnding { store_full: false, interrupt: None, escalate_at, waiters: Vec::new() };
        self.state.ending.get_or_insert(begun)
    }

    pub(super) fn stop(&mut self, request: Request, grace: Option<Duration>, token: Token) {
        if self.answered_by_first_outcome(token) {
            return;
        }
        if let Some(end) = &mut self.state.end {
            return end.waiters.push(token);
        }
        let grace = grace.unwrap_or(self.state.spec.profile.grace);
        self.begin_end(EndKind::Stop, request, Some(token), grace);
    }

    /// A stop that the worker begins by itself.
    pub(super) fn begin_stop(&mut self, request: Request) {
        let grace = self.state.spec.profile.grace;
        self.begin_end(EndKind::Stop, request, None, grace);
    }

    pub(super) fn cancel(&mut self, request: Request, token: Token) {
        if self.answered_by_first_outcome(token) {
            return;
        }
        match &mut self.state.end {
            Some(end) if end.kind == EndKind::Cancel => end.waiters.push(token),
            // The strongest wins: whoever waits for the stop gets the cancel's outcome.
            Some(end) => {
                let waiters = std::mem::take(&mut end.waiters);
                self.begin_end(EndKind::Cancel, request, Some(token), Duration::ZERO);
                if let Some(end) = &mut self.state.end {
                    end.waiters.extend(waiters);
                }
            }
            None => self.begin_end(EndKind::Cancel, request, Some(token), Duration::ZERO),
        }
    }

    fn answered_by_first_outcome(&mut self, token: Token) -> bool {
        let end = self.state.fold.end.clone().filter(|_| self.state.fold.status.is_terminal());
        let Some(End { request, survivors, .. }) = end else { return false };
        let done = Answer::Done { event_id: Some(request) };
        self.answer(token, if survivors.is_empty() { Ok(done) } else { Err(Refusal::Survivors(survivors)) });
        true
    }

    fn begin_end(&mut self, kind: EndKind, request: Request, token: Option<Token>, grace: Duration) {
        let requested = EndRequested { reason: request.reason.clone(), by: request.by };
        let event_id = self.record(match kind {
            EndKind::Stop => Payload::StopRequested(requested),
            EndKind::Cancel => Payload::CancelRequested(requested),
        });
        self.state.end = Some(WorkerEnding {
            kind,
            event_id,
            reason: request.reason,
            waiters: token.into_iter().collect(),
        });
        if self.state.session.is_some() {
            self.end_session(grace);
        } else {
            self.finish_turn(Finish::interrupted());
            self.finish_worker(Vec::new());
        }
    }

    /// Tells the session to end, and sets when it will be dropped; a second time only with less grace.
    pub(super) fn end_session(&mut self, grace: Duration) {
        let drop_at = later(self.now, grace + END_MARGIN);
        let Some(session) = &mut self.state.session else { return };
        if !session.ends || session.drop_at.is_some_and(|old| drop_at < old) {
            session.ends = true;
            session.drop_at = Some(drop_at);
            self.tell(backend::Command::End { grace });
        }
    }

    /// The worker's last events: what waits is dropped, and everybody who waits gets the outcome.
    pub(super) fn finish_worker(&mut self, survivors: Vec<Survivor>) {
        let Some(end) = self.state.end.take() else { return };
        let dropped: Vec<_> = self.state.fold.queue.iter().map(|queued| queued.input_id.clone()).collect();
        for input_id in dropped {
            self.record(Payload::InputDropped { input_id, reason: "the worker ended".to_owned() });
        }
        let outcome = self.state.fold.outcome.clone();
        let ended = Box::new(WorkerEnded { reason: end.reason, survivors: survivors.clone(), outcome });
        self.record(match end.kind {
            EndKind::Stop => Payload::WorkerStopped(ended),
            EndKind::Cancel => Payload::WorkerCancelled(ended),
        });
        for token in end.waiters {
            let done = Answer::Done { event_id: Some(end.event_id.clone()) };
            self.answer(
                token,
                if survivors.is_empty() { Ok(done) } else { Err(Refusal::Survivors(survivors.clone())) },
            );
        }
        self.finish();
    }

    pub(super) fn finish(&mut self) {
        if !std::mem::replace(&mut self.state.finished, true) {
            self.effects.push(Effect::Finish);
        }
    }
}
