//! Sessions: how they start and end.

use musher_backend::{BackendError, SessionOutcome};
use musher_protocol::{Payload, SessionEnded, SessionId, SessionStarted, Survivor, TurnError, Usage};

use super::{Answer, Step, Token, turn::Finish};

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
        if self.state.session.take().is_none() {
            return;
        }
        let (outcome, error) = match outcome {
            Ok(outcome) => (outcome, None),
            Err(error) => (SessionOutcome::aborted(), Some(error)),
        };
        let refused = error.as_ref().is_some_and(|error| error.code == BackendError::RESUME_REFUSED);
        // A parked turn runs nothing, so no session has to live for it.
        if self.state.parked.is_none() || self.state.end.is_some() {
            let wanted = self.state.ending.is_some() || self.state.end.is_some() || self.state.draining;
            let finish = if self.state.is_cut_off() {
                Finish::restarted()
            } else if wanted {
                Finish::interrupted()
            } else {
                Finish::failed(error.unwrap_or_else(|| broke_off(&outcome)))
            };
            self.close_turn_of_ended_session(finish);
        }
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
            survivors: survivors.clone(),
        })));
        if refused {
            let code = "session.resume_refused".to_owned();
            let message = "the session cannot be continued; the next input begins a new one, which knows nothing of what was said".to_owned();
            self.record(Payload::Diagnostic { code, message });
        }
        if self.state.end.is_some() {
            self.finish_worker(survivors);
        } else if self.state.draining {
            self.finish();
        } else {
            self.go_on();
        }
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
