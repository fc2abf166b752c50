//! Sessions: how they start and end.

use musher_backend::{BackendError, SessionOutcome};
use musher_protocol::{
    Payload, ResumeRequest, SessionEnded, SessionId, SessionStarted, Survivor, TurnError, Usage,
};

use super::{Answer, Beginning, State, Step, Token, turn::Finish};
use crate::fold::SESSION_LOST;

impl Step<'_> {
    pub(super) fn session_started(&mut self, session_id: SessionId, resumed: bool, node: &str, token: Token) {
        self.state.last_activity = self.now;
        let profile = &self.state.spec.profile;
        self.record(Payload::SessionStarted(SessionStarted {
            session_id,
            backend: profile.backend.clone(),
            model: profile.model.clone(),
            resumed,
            node: node.to_owned(),
        }));
        self.answer(token, Ok(Answer::Recorded));
    }

    pub(super) fn session_ended(
        &mut self,
        outcome: Result<SessionOutcome, TurnError>,
        survivors: Vec<Survivor>,
    ) {
        let Some(super::LiveSession { told, resumed, .. }) = self.state.session.take() else { return };
        let (outcome, error) = match outcome {
            Ok(outcome) => (outcome, None),
            Err(error) => (SessionOutcome::aborted(), Some(error)),
        };
        self.state.background = 0;
        self.state.wakes_until = None;
        self.close_usage();
        let refused = error.as_ref().is_some_and(|error| error.code == BackendError::RESUME_REFUSED);
        // What a new session is told instead of the one that the vendor does not have.
        let again = told.zip(resumed).filter(|(_, resumed)| refused && self.state.may_begin_anew(resumed));
        let again = again.map(|(told, _)| told);
        // A parked turn runs nothing, so no session has to live for it.
        if again.is_none() && (self.state.parked.is_none() || self.state.end.is_some()) {
            let finish = if self.state.is_cut_off() {
                Finish::restarted()
            } else if self.state.is_ending() {
                Finish::interrupted()
            } else {
                Finish::failed(error.unwrap_or_else(|| broke_off(&outcome)))
            };
            self.close_turn_of_ended_session(finish);
        }
        self.record_session_end(outcome, survivors.clone());
        if refused {
            self.record(Payload::Diagnostic {
                code: SESSION_LOST.to_owned(),
                message: lost(again.is_some()),
            });
        }
        if self.state.end.is_some() {
            self.finish_worker(survivors);
        } else if self.state.draining {
            self.finish();
        } else if let Some(input) = again {
            self.hand_over(input);
        } else {
            self.go_on();
        }
    }

    fn record_session_end(&mut self, outcome: SessionOutcome, survivors: Vec<Survivor>) {
        let session = self.state.fold.session.clone();
        self.record(Payload::SessionEnded(Box::new(SessionEnded {
            session_id: session.as_ref().map(|session| session.id.clone()),
            exit_ok: outcome.exit_ok,
            aborted: outcome.aborted,
            rate_limited: outcome.rate_limited,
            rate_limit_reset_at: outcome.rate_limit_reset_at,
            usage: session.map_or_else(Usage::zero, |session| session.usage),
            exit_code: outcome.exit_code,
            signal: outcome.signal,
            stderr_tail: outcome.stderr_tail,
            survivors,
        })));
    }

    /// Finishes the open turn without beginning another: the session's end comes first in the log.
    pub(super) fn close_turn_of_ended_session(&mut self, finish: Finish) {
        let draining = std::mem::replace(&mut self.state.draining, true);
        self.finish_turn(finish);
        self.state.draining = draining;
    }

    pub(super) fn drain(&mut self) {
        self.state.draining = true;
        if self.state.session.is_some() {
            self.end_session(super::DRAIN_GRACE);
        } else {
            self.finish();
        }
    }
}

impl State {
    /// How a session begins now.
    pub(super) fn beginning(&self) -> Beginning {
        let created_in = self.spec.resume.as_ref().filter(|_| !self.fold.has_begun);
        let session = self.fold.last_session.as_ref().or(created_in.map(|resume| &resume.session_id));
        let resume = session.filter(|_| self.capabilities.resume).cloned();
        let (entries, untold) = (self.fold.transcript_len, self.fold.untold());
        Beginning { is_lost: resume.is_none() && self.fold.lost_session, resume, entries, untold }
    }

    /// Whether a new session may take the place of one that the vendor does not have: it is told what was said. A
    /// session that another program had is not known here; only who named it can say what to tell then.
    fn may_begin_anew(&self, resumed: &SessionId) -> bool {
        let is_unknown = |resume: &&ResumeRequest| resume.session_id == *resumed && !self.fold.was_taken;
        let untold = self.spec.resume.as_ref().filter(is_unknown);
        let can_be_told = untold.is_none_or(|resume| resume.fresh_prompt.is_some());
        can_be_told && !self.is_ending() && self.parked.is_none() && self.fold.turn.is_some()
    }
}

fn lost(begins_anew: bool) -> String {
    let next = if begins_anew {
        "a new one begins with what was said so far"
    } else {
        "the next input begins a new one, which is told what was said so far"
    };
    format!("the vendor does not have the session that was to be continued; {next}")
}

fn broke_off(outcome: &SessionOutcome) -> TurnError {
    let how = match (outcome.exit_code, outcome.signal) {
        (Some(code), _) => format!("with exit code {code}"),
        (None, Some(signal)) => format!("by signal {signal}"),
        (None, None) => "without an exit code".to_owned(),
    };
    let when = if outcome.aborted { "before it was established" } else { "in the middle of the turn" };
    let tail = outcome.stderr_tail.as_deref().map(str::trim).filter(|tail| !tail.is_empty());
    let said = tail.map_or_else(String::new, |tail| format!("; it said last: {tail}"));
    TurnError { code: "session_ended".to_owned(), message: format!("the session ended {when}, {how}{said}") }
}
