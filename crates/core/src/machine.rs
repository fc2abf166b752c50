//! The worker's state machine: pure decisions over a [`Fold`]. No clock, no await, no lock.
//!
//! What happens comes in as an [`Input`], what is to be done about it goes out as [`Effect`]s, in order. The task
//! around it performs an effect only when every event recorded before it is durable.

mod approval;
mod command;
mod ending;
mod limits;
mod restart;
mod session;
mod turn;

#[cfg(test)]
#[expect(clippy::wildcard_enum_match_arm, reason = "a test names the few events that it is about")]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use musher_backend as backend;
use musher_protocol::{
    Actor, ApprovalId, Connection, Delivery, EventId, Execution, InputId, InputKind, LimitKind, Payload,
    Remember, RunState, SessionId, Survivor, TranscriptEntry, TurnError, WorkerLimits, WorkerStatus,
};

use serde_json::Value;

pub(crate) use self::ending::KeyRoom;
use self::turn::Finish;
use crate::{
    fold::{Decided, Fold},
    profile::WorkerSpec,
    redaction::{Hidden, UnclearMark},
    store::Kept,
};

/// What a backend needs on top of the grace for its own kill ladder; then its session is dropped.
const END_MARGIN: Duration = Duration::from_secs(5);
/// How long sessions have to end when the process does, within the 30 seconds that `serve` promises.
const DRAIN_GRACE: Duration = Duration::from_secs(5);

/// Whom an answer goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Token(pub(crate) u64);

/// Something that happened.
#[derive(Clone, Debug)]
pub(crate) enum Input {
    /// The worker was just created; nothing is in its log.
    Created { by: Actor, first: Vec<NewInput> },
    /// A client asks for something.
    Command(Command, Token),
    /// The session reports something.
    Event(backend::Event),
    /// The same, with what the backend wants back beside the transcript entry that it makes.
    EventWith { event: backend::Event, private: Value },
    /// A file of the backend's is to be kept.
    Keep { file: Kept, token: Token },
    /// The session has its id.
    SessionStarted { session_id: SessionId, resumed: bool, node: Arc<str>, token: Token },
    /// The worker asks before it acts.
    ApprovalRequested { request: backend::ApprovalRequest, hidden: Hidden, token: Token },
    /// The worker no longer needs an answer.
    ApprovalWithdrawn(ApprovalId),
    /// The session is over, its processes were looked for.
    SessionEnded { outcome: Result<backend::SessionOutcome, TurnError>, survivors: Vec<Survivor> },
    /// [`State::next_deadline`] has come.
    DeadlineReached,
    /// The process is about to end; the worker is not.
    Drain,
    /// The log was read from the store: whatever it says that runs belonged to a runtime that is gone. These
    /// processes of it are left.
    Recovered { survivors: Vec<Survivor> },
    /// The store has little space left, or has enough again.
    StoreFull(bool),
}

/// What a client asks for.
#[derive(Clone, Debug)]
pub(crate) enum Command {
    Send {
        input: NewInput,
        prior: Prior,
    },
    Interrupt(Request),
    /// With the profile's grace unless it names its own.
    Stop(Request, Option<Duration>),
    Cancel(Request),
    Decide {
        approval_id: ApprovalId,
        verdict: backend::Verdict,
        /// What is said with an allowance, for the log.
        note: Option<String>,
        remember: Option<Remember>,
        by: Actor,
    },
    RaiseLimits {
        limits: WorkerLimits,
        by: Actor,
    },
}

/// Who asks, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) reason: Option<String>,
    pub(crate) by: Actor,
}

/// An input that may be new.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NewInput {
    pub(crate) input_id: InputId,
    pub(crate) kind: InputKind,
    pub(crate) content: String,
    pub(crate) delivery: Delivery,
    pub(crate) by: Actor,
    pub(crate) digest: [u8; 32],
}

/// Whether an input's id was accepted before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Prior {
    New,
    SameContent,
    OtherContent,
}

/// Something to be done.
#[derive(Clone, Debug)]
pub(crate) enum Effect {
    /// Append this event.
    Record(Box<Draft>),
    /// Start a session.
    Start(Beginning),
    /// Send this to the session.
    Tell(backend::Command),
    /// Drop the session: the last resort.
    Drop,
    /// Answer whoever waits.
    Answer(Token, Result<Answer, Refusal>),
    /// There is nothing more to do: the worker is terminal, or the process ends.
    Finish,
}

/// How a session begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Beginning {
    /// The session that it continues.
    pub(crate) resume: Option<SessionId>,
    /// How many entries the transcript has.
    pub(crate) entries: u64,
    /// Those of them that are no past for it: it is told them now, or later.
    pub(crate) untold: BTreeSet<u64>,
    /// The vendor no longer has the session that held them: this one is told.
    pub(crate) is_lost: bool,
}

/// An event that is decided and has no place in the log yet.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) event_id: EventId,
    pub(crate) at: Timestamp,
    pub(crate) payload: Payload,
    pub(crate) entries: Vec<TranscriptEntry>,
    /// The ack to remember, for an input that the event accepts.
    pub(crate) accepts: Option<Accepts>,
    /// What the backend keeps, from this event on.
    pub(crate) kept: Vec<Kept>,
    /// All that a tool said, where the event and its entry hold what its model was told. It becomes a large body of
    /// the event's.
    pub(crate) whole: Option<String>,
}

#[derive(Clone, Debug)]
pub(crate) struct Accepts {
    pub(crate) input_id: InputId,
    pub(crate) digest: [u8; 32],
    pub(crate) transcript_sequence: Option<u64>,
}

/// What was asked for is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Input {
        input_id: InputId,
        duplicate: bool,
    },
    /// The request's event; the worker's last one where nothing had to be done.
    Done {
        event_id: Option<EventId>,
    },
    Approval(ApprovalId),
    Recorded,
}

/// Why something that was asked for is not done. Nothing of it is in the log.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Refusal {
    NotRunning,
    Draining,
    Busy,
    QueueFull {
        limit: usize,
    },
    QueueTooLarge {
        limit: usize,
    },
    OtherContent(InputId),
    LimitReached(LimitKind),
    /// The limit of this place in a request is this now, or not there.
    LowersLimit {
        place: &'static str,
        present: Option<f64>,
    },
    StoreFull,
    ApprovalNotPending(ApprovalId),
    UnclearMark(UnclearMark),
    Survivors(Vec<Survivor>),
}

/// A worker's log so far, and what is under way.
#[derive(Clone, Debug)]
pub(crate) struct State {
    spec: Arc<WorkerSpec>,
    capabilities: backend::Capabilities,
    pub(crate) fold: Fold,
    session: Option<LiveSession>,
    /// What is not shown of the approvals that are open.
    hidden: BTreeMap<ApprovalId, Hidden>,
    /// Why the open turn is being ended.
    ending: Option<ending::TurnEnding>,
    /// Why the worker is being ended.
    end: Option<ending::WorkerEnding>,
    /// When the open turn goes on: it is parked until then.
    parked: Option<Timestamp>,
    /// How often the vendor refused the open turn for a rate limit, and how long it waited for that.
    refusals: Refusals,
    /// The last sign of life of the open turn.
    last_activity: Timestamp,
    /// How many tasks live on that a turn left running.
    background: u32,
    /// The last of them has ended just now: until then it may wake the model.
    wakes_until: Option<Timestamp>,
    draining: bool,
    /// The store has only space left for endings.
    store_full: bool,
    finished: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Refusals {
    n: u32,
    waited: Duration,
}

/// A session that was started and has not ended.
#[derive(Clone, Debug, Default)]
struct LiveSession {
    /// What it was told last.
    told: Option<backend::Input>,
    /// The session that it was started to continue.
    resumed: Option<SessionId>,
    /// It was told to end: nothing new is given to it.
    ends: bool,
    /// When it is dropped, should it not have ended by then.
    drop_at: Option<Timestamp>,
    /// An event without a turn was reported; once is enough for the log.
    stray_reported: bool,
}

impl State {
    pub(crate) fn new(
        spec: Arc<WorkerSpec>,
        capabilities: backend::Capabilities,
        fold: Fold,
        store_full: bool,
        now: Timestamp,
    ) -> Self {
        Self {
            spec,
            capabilities,
            fold,
            session: None,
            hidden: BTreeMap::new(),
            ending: None,
            end: None,
            parked: None,
            refusals: Refusals::default(),
            last_activity: now,
            background: 0,
            wakes_until: None,
            draining: false,
            store_full,
            finished: false,
        }
    }

    /// When [`Input::DeadlineReached`] is due.
    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        let ending = self.ending.as_ref().and_then(|ending| ending.escalate_at);
        let approvals = self.fold.approvals.values().map(|approval| approval.deadline_at).min();
        let wakes = self.wakes_until;
        [
            self.last_resort(),
            ending,
            self.unpark_at(),
            self.inactive_at(),
            self.time_is_up_at(),
            approvals,
            wakes,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// When the parked turn goes on; a worker that is being ended, a process that is, and a full store leave it where
    /// it is.
    fn unpark_at(&self) -> Option<Timestamp> {
        self.parked.filter(|_| self.end.is_none() && !self.draining && !self.store_full)
    }

    /// When the open turn has been silent for too long.
    fn inactive_at(&self) -> Option<Timestamp> {
        let turn = self.fold.turn.as_ref()?;
        if self.parked.is_some() || self.is_ending() || !self.fold.approvals.is_empty() {
            return None;
        }
        let tool = if turn.calls.is_empty() { None } else { self.capabilities.tool_limit };
        Some(later(self.last_activity, self.limits().inactivity + tool.unwrap_or_default()))
    }

    /// When the session is dropped, should it not have ended: the one deadline that a slow store does not move.
    pub(crate) fn last_resort(&self) -> Option<Timestamp> {
        self.session.as_ref().and_then(|session| session.drop_at)
    }

    /// Whether the open turn, the worker or the process is being ended: nothing new may begin.
    fn is_ending(&self) -> bool {
        self.ending.is_some() || self.end.is_some() || self.draining
    }

    fn is_live(&self) -> bool {
        self.session.as_ref().is_some_and(|session| !session.ends)
    }

    /// What the worker does right now, as clients see it.
    fn execution(&self) -> (Connection, RunState) {
        let connection =
            if self.fold.session.is_some() { Connection::Connected } else { Connection::Unconnected };
        let run_state = if self.fold.status.is_terminal() {
            RunState::Stopped
        } else if self.fold.turn.is_some() {
            match (self.parked, self.fold.approvals.is_empty()) {
                (Some(_), _) => RunState::Parked,
                (None, false) => RunState::Waiting,
                (None, true) => RunState::Busy,
            }
        } else if self.fold.session.is_some() && self.background > 0 {
            RunState::Background
        } else if self.fold.session.is_some() {
            RunState::Idle
        } else if self.fold.errored {
            RunState::Errored
        } else {
            RunState::Unconnected
        };
        (connection, run_state)
    }
}

/// Decides what is to be done about an input.
pub(crate) fn step(state: &mut State, input: Input, now: Timestamp) -> Vec<Effect> {
    let mut step = Step { state, now, effects: Vec::new(), is_new_life: false };
    match input {
        Input::Created { by, first } => step.created(by, first),
        Input::Command(command, token) => step.command(command, token),
        Input::Event(event) => step.event(event),
        Input::EventWith { event, private } => step.event_with(event, &private),
        Input::Keep { file, token } => step.keep(file, token),
        Input::SessionStarted { session_id, resumed, node, token } => {
            step.session_started(session_id, resumed, &node, token)
        }
        Input::ApprovalRequested { request, hidden, token } => {
            step.approval_requested(request, hidden, token)
        }
        Input::ApprovalWithdrawn(approval_id) => step.approval_withdrawn(approval_id),
        Input::SessionEnded { outcome, survivors } => step.session_ended(outcome, survivors),
        Input::DeadlineReached => step.deadline_reached(),
        Input::Drain => step.drain(),
        Input::Recovered { survivors } => step.recovered(survivors),
        Input::StoreFull(full) => step.store_full(full),
    }
    step.report_status();
    step.effects
}

/// One call of [`step`]: the parts of the machine are its methods, one module for each concern.
struct Step<'a> {
    state: &'a mut State,
    now: Timestamp,
    effects: Vec<Effect>,
    /// Whatever the worker does, it does since now.
    is_new_life: bool,
}

impl Step<'_> {
    /// Appends an event: from here on the fold holds it.
    fn record(&mut self, payload: Payload) -> EventId {
        self.record_draft(payload, None)
    }

    fn record_draft(&mut self, payload: Payload, accepts: Option<Accepts>) -> EventId {
        let event_id = EventId::mint();
        let entries = self.state.fold.apply(Decided { event_id: &event_id, at: self.now, payload: &payload });
        self.effects.push(Effect::Record(Box::new(Draft {
            event_id: event_id.clone(),
            at: self.now,
            payload,
            entries,
            accepts,
            kept: Vec::new(),
            whole: None,
        })));
        event_id
    }

    fn tell(&mut self, command: backend::Command) {
        self.effects.push(Effect::Tell(command));
    }

    fn answer(&mut self, token: Token, answer: Result<Answer, Refusal>) {
        self.effects.push(Effect::Answer(token, answer));
    }

    fn deadline_reached(&mut self) {
        if let Some(session) = &mut self.state.session
            && session.drop_at.is_some_and(|at| at <= self.now)
        {
            session.drop_at = None;
            self.effects.push(Effect::Drop);
        }
        if self.state.unpark_at().is_some_and(|until| until <= self.now) {
            self.unpark();
        }
        self.expire_approvals();
        if let Some(ending) = &mut self.state.ending
            && ending.escalate_at.is_some_and(|at| at <= self.now)
        {
            ending.escalate_at = None;
            self.end_session(Duration::ZERO);
        }
        if self.state.inactive_at().is_some_and(|at| at <= self.now) {
            self.limit_reached(LimitKind::InactivitySecs);
        }
        if self.state.time_is_up_at().is_some_and(|at| at <= self.now) {
            self.time_is_up();
        }
        if self.state.wakes_until.take_if(|at| *at <= self.now).is_some() {
            self.go_on();
        }
    }

    /// Appends a `status` event when a client would see another status or execution than before.
    fn report_status(&mut self) {
        let state = &mut *self.state;
        let (connection, run_state) = state.execution();
        let old = &state.fold.execution;
        let goes_on = run_state == old.run_state && !self.is_new_life;
        let since_at = if goes_on { old.since_at } else { self.now };
        let turn_id = state.fold.turn.as_ref().map(|turn| turn.id.clone());
        let execution = Execution {
            connection,
            run_state,
            since_at,
            turn_id,
            until: state.parked,
            last_result: state.fold.last_result,
        };
        // A terminal event is the last of its log.
        if !state.fold.status.is_terminal() && execution != *old {
            self.record(Payload::Status { status: WorkerStatus::Running, execution });
        }
    }
}

/// Far times stay in range: what never comes need not be exact.
fn later(at: Timestamp, by: Duration) -> Timestamp {
    SignedDuration::try_from(by).ok().and_then(|by| at.checked_add(by).ok()).unwrap_or(Timestamp::MAX)
}
