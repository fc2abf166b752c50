//! What a worker does about the end of its runtime: the truth first, then what its profile says.

use musher_protocol::{
    Actor, Delivery, InputId, InputKind, Payload, RunState, SessionEnded, Survivor, TurnCause, TurnError,
};

use super::{Finish, Step, ending::WorkerEnding};
use crate::{
    create::new_input,
    fold::{ON_RESTART, RESTARTED, Restart, STUCK},
    profile::OnRestart,
};

/// A turn that was cut off so often in a row may be what ends the runtime; then a person has to look.
const STUCK_AFTER: u32 = 3;

impl Finish {
    /// The runtime ended, and the turn with it.
    pub(super) fn restarted() -> Self {
        let message = "the runtime ended while the turn was open".to_owned();
        Self { error: Some(TurnError { code: RESTARTED.to_owned(), message }), ..Self::interrupted() }
    }
}

impl Step<'_> {
    /// The log is that of a runtime that is gone. First it is made true: nothing of that life runs any more. Then a
    /// requested end is finished, or the worker goes on.
    pub(super) fn recovered(&mut self, survivors: Vec<Survivor>) {
        let fold = &self.state.fold;
        if fold.execution.run_state == RunState::Parked {
            self.state.parked = fold.execution.until;
        }
        self.state.end = fold.end.clone().map(WorkerEnding::of);
        // A parked turn runs nothing, so nothing of it was cut off.
        let cut_off = fold.turn.is_some() && (self.state.parked.is_none() || self.state.end.is_some());
        self.close_usage();
        if cut_off {
            self.is_new_life = true;
            self.close_cut_off_turn();
        }
        if let Some(session) = self.state.fold.session.clone() {
            self.record(Payload::SessionEnded(Box::new(SessionEnded {
                session_id: Some(session.id),
                exit_ok: false,
                aborted: false,
                rate_limited: false,
                rate_limit_reset_at: None,
                usage: session.usage,
                exit_code: None,
                signal: None,
                stderr_tail: None,
                survivors: survivors.clone(),
            })));
        }
        if self.state.end.is_some() {
            self.finish_worker(survivors);
        } else {
            self.go_on_after_restart();
        }
    }

    /// Ends the turn as what was asked for before, or as cut off.
    fn close_cut_off_turn(&mut self) {
        let turn = self.state.fold.turn.as_ref();
        let asked_for = self.state.end.is_some()
            || turn.is_some_and(|turn| turn.interrupt.is_some() || turn.limit.is_some());
        self.close_turn_of_ended_session(if asked_for { Finish::interrupted() } else { Finish::restarted() });
    }

    pub(super) fn go_on_after_restart(&mut self) {
        let Some(restart) = self.state.fold.restart.clone().filter(|restart| restart.goes_on) else {
            return self.go_on();
        };
        if restart.n >= STUCK_AFTER && !restart.told {
            let message = format!(
                "{} turns in a row were cut off by the end of the runtime; the worker waits for its next input",
                restart.n
            );
            self.record(Payload::Diagnostic { code: STUCK.to_owned(), message });
        }
        if self.state.is_held() || self.state.store_full {
            return;
        }
        if restart.taken && self.state.spent(self.now).is_none() {
            self.say_what_was_cut_off(&restart);
        }
        self.go_on();
    }

    /// Begins a turn that tells the worker what happened, before anything else that waits.
    fn say_what_was_cut_off(&mut self, restart: &Restart) {
        let by = Actor::rule(ON_RESTART);
        let note = new_input(InputId::mint(), InputKind::System, note(restart), Delivery::Queue, by)
            .expect("the note is short and not empty");
        let input_id = note.input_id.clone();
        self.accept_quietly(note);
        self.begin_turn_with(&input_id, TurnCause::Resume);
    }
}

impl super::State {
    /// Whether the open turn ends for no other reason than the end of the runtime.
    pub(super) fn is_cut_off(&self) -> bool {
        self.draining && self.ending.is_none() && self.end.is_none()
    }

    /// Whether what waits is to wait for somebody's next input.
    pub(super) fn is_held(&self) -> bool {
        self.fold.restart.as_ref().is_some_and(|restart| {
            let waits = match self.spec.profile.on_restart {
                OnRestart::Wait => true,
                OnRestart::Resume => restart.n >= STUCK_AFTER,
            };
            waits && !restart.asked
        })
    }
}

fn note(restart: &Restart) -> String {
    let tool = match (&restart.last_tool, restart.tool_may_have_run) {
        (Some(tool), true) => format!(
            " You had called the tool `{tool}`; it may have run, in part or whole, and its result is lost. Look at what \
             it did before you do it again."
        ),
        (Some(tool), false) => format!(" The last tool that you used was `{tool}`; it had ended."),
        (None, _) => String::new(),
    };
    format!("The runtime restarted and cut off your last turn.{tool} Go on with what you were asked to do.")
}
