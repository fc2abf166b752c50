//! A session, driven as the runtime would.

use std::{collections::BTreeMap, time::Duration};

use musher_backend::{
    ApprovalRequest, BackendError, Command, DecisionGiven, Event, Input, Link, Report, RuntimeHalf,
    SessionOutcome, TurnEnd, Verdict,
};
use musher_protocol::{ApprovalId, InputId};
use serde_json::Value;
use tokio::{
    sync::oneshot,
    task::JoinSet,
    time::{Instant, timeout, timeout_at},
};

use super::{Footprint, Subject, WAIT, laws, processes};

/// A session of a backend. It panics, and says what it had seen, where the backend does not do as it must.
#[derive(Debug)]
pub struct Session {
    runtime: RuntimeHalf,
    run: JoinSet<Result<SessionOutcome, BackendError>>,
    marker: String,
    footprint: Footprint,
    seen: Vec<Event>,
    privates: Vec<(Event, Value)>,
    kept: BTreeMap<String, Vec<u8>>,
    withdrawn: Vec<ApprovalId>,
}

/// A turn, from its input to its end.
#[derive(Clone, Debug)]
pub struct Turn {
    /// What began it.
    pub input_id: InputId,
    /// All that came, its end included.
    pub events: Vec<Event>,
    /// How it ended.
    pub end: TurnEnd,
}

impl Session {
    /// Starts one, up to where its id is durable.
    pub async fn start(subject: &Subject) -> Self {
        let (session, recorded) = Self::start_unrecorded(subject).await;
        recorded.send(()).expect("the session waits until its id is recorded");
        session
    }

    /// Starts one, up to where it waits for its id to be durable.
    pub async fn start_unrecorded(subject: &Subject) -> (Self, oneshot::Sender<()>) {
        let launch = (subject.launch)();
        let (link, runtime) = Link::pair();
        let (marker, footprint) = (launch.marker.clone(), subject.footprint);
        let backend = subject.backend.clone();
        let mut run = JoinSet::new();
        run.spawn(async move { backend.run(launch, link).await });
        let mut session = Self {
            runtime,
            run,
            marker,
            footprint,
            seen: Vec::new(),
            privates: Vec::new(),
            kept: BTreeMap::new(),
            withdrawn: Vec::new(),
        };
        match session.report(Instant::now() + WAIT, "the session's id").await {
            Report::SessionStarted { resumed, recorded, .. } => {
                assert!(!resumed, "a launch without a session to continue begins a new one");
                (session, recorded)
            }
            early @ (Report::Event(_)
            | Report::EventWith { .. }
            | Report::Keep { .. }
            | Report::ApprovalRequested { .. }
            | Report::ApprovalWithdrawn(_)) => {
                panic!("this came before the session's id: {early:?}")
            }
        }
    }

    /// Sends a user's words.
    pub async fn input(&mut self, prompt: &str) -> InputId {
        let input = Input::user(prompt);
        let input_id = input.input_id.clone();
        self.command(Command::Input(input)).await;
        input_id
    }

    /// Sends a user's words into the running turn.
    pub async fn steer(&self, prompt: &str) -> InputId {
        let input = Input::user(prompt);
        let input_id = input.input_id.clone();
        self.command(Command::Steer(input)).await;
        input_id
    }

    /// Sends the words of an input again, as the runtime does when a rate limit has passed.
    pub async fn again(&self, input_id: &InputId, prompt: &str) {
        let input = Input { input_id: input_id.clone(), ..Input::user(prompt) };
        self.command(Command::Input(input)).await;
    }

    /// Asks for the open turn's end.
    pub async fn interrupt(&self) {
        self.command(Command::Interrupt).await;
    }

    /// Answers an approval.
    pub async fn decide(&self, approval_id: ApprovalId, verdict: Verdict) {
        self.command(Command::Decision(DecisionGiven { approval_id, verdict })).await;
    }

    /// Waits until the turn says or does something.
    pub async fn content(&mut self) {
        self.until("content", laws::is_content).await;
    }

    /// Waits until such an event has come since the last turn's end.
    pub async fn until(&mut self, awaited: &str, wanted: impl Fn(&Event) -> bool) {
        let deadline = Instant::now() + WAIT;
        while !self.seen.iter().any(&wanted) {
            self.step(deadline, awaited).await;
        }
    }

    /// Waits until the worker asks, and leaves it unanswered.
    pub async fn approval(&mut self) -> (ApprovalId, ApprovalRequest) {
        let deadline = Instant::now() + WAIT;
        loop {
            if let Some(asked) = self.event_or_approval(deadline, "an approval").await {
                return asked;
            }
        }
    }

    /// Waits for the turn's end; approvals on the way are allowed.
    pub async fn turn_end(&mut self, input_id: InputId) -> Turn {
        let deadline = Instant::now() + WAIT;
        loop {
            if let Some(Event::TurnEnded(end)) = self.seen.last() {
                let end = end.clone();
                return Turn { input_id, events: std::mem::take(&mut self.seen), end };
            }
            self.step(deadline, "the turn's end").await;
        }
    }

    /// The questions that were taken back.
    #[must_use]
    pub fn withdrawn(&self) -> &[ApprovalId] {
        &self.withdrawn
    }

    /// What came with a private body, from the session's start, in order.
    #[must_use]
    pub fn privates(&self) -> &[(Event, Value)] {
        &self.privates
    }

    /// The files that it kept.
    #[must_use]
    pub fn kept(&self) -> &BTreeMap<String, Vec<u8>> {
        &self.kept
    }

    /// Sends a user's words and waits for the end of their turn.
    pub async fn turn(&mut self, prompt: &str) -> Turn {
        let input_id = self.input(prompt).await;
        self.turn_end(input_id).await
    }

    /// Sends a user's words whose turn must complete.
    pub async fn completed_turn(&mut self, prompt: &str) -> Turn {
        let turn = self.turn(prompt).await;
        assert!(matches!(turn.end, TurnEnd::Completed { .. }), "the turn completes: {turn:#?}");
        turn
    }

    /// Takes what comes for a while, and panics at a question and at an event that must not come yet.
    pub async fn watch(&mut self, time: Duration, forbidden: impl Fn(&Event) -> bool) {
        let deadline = Instant::now() + time;
        while let Ok(report) = timeout_at(deadline, self.runtime.reports.recv()).await {
            match report {
                Some(Report::Event(event)) if !forbidden(&event) => self.seen.push(event),
                Some(Report::EventWith { event, private }) if !forbidden(&event) => {
                    self.see_with(event, private);
                }
                early => panic!("this came too early: {early:?}"),
            }
        }
    }

    /// Ends the session; returns how it ended and what came since the last turn's end.
    pub async fn end(self, grace: Duration) -> (SessionOutcome, Vec<Event>) {
        self.command(Command::End { grace }).await;
        self.ended().await
    }

    /// Waits until the session has ended by itself; returns the same.
    pub async fn ended(mut self) -> (SessionOutcome, Vec<Event>) {
        let drained = timeout(WAIT, self.drain()).await;
        drained.unwrap_or_else(|_late| panic!("the session ends; it had said {:#?}", self.seen));
        (self.outcome().await, self.seen)
    }

    /// Lets go of the session as a runtime that dies does; returns when it has ended.
    pub async fn let_go(self) {
        let Self { runtime, mut run, marker, footprint, .. } = self;
        drop(runtime);
        let ended = timeout(WAIT, run.join_next()).await.expect("the session ends by itself");
        // How it ended no longer matters to anyone, as long as it did not panic.
        drop(ended.expect("one session").expect("the session does not panic"));
        processes::assert_none(footprint, &marker).await;
    }

    /// Drops the session's future, the runtime's last resort.
    pub async fn drop_future(mut self) {
        self.run.shutdown().await;
        processes::assert_none(self.footprint, &self.marker).await;
    }

    /// Makes sure that the session has a process with its marker, where it should: else looking for what is
    /// left of it would prove nothing.
    pub async fn assert_marked(&self) {
        processes::assert_some(self.footprint, &self.marker).await;
    }

    fn see_with(&mut self, event: Event, private: Value) {
        self.privates.push((event.clone(), private));
        self.seen.push(event);
    }

    fn keep(&mut self, name: String, bytes: Vec<u8>, recorded: oneshot::Sender<()>) {
        self.kept.insert(name, bytes);
        // A session may stop waiting for this when its turn is cut.
        let _nobody_waits = recorded.send(());
    }

    async fn command(&self, command: Command) {
        let sent = timeout(WAIT, self.runtime.commands.send(command)).await.expect("room for a command");
        sent.expect("the session takes commands until it ends");
    }

    /// Takes one report; an approval is allowed.
    async fn step(&mut self, deadline: Instant, awaited: &str) {
        if let Some((approval_id, _)) = self.event_or_approval(deadline, awaited).await {
            self.decide(approval_id, Verdict::allow()).await;
        }
    }

    async fn event_or_approval(
        &mut self,
        deadline: Instant,
        awaited: &str,
    ) -> Option<(ApprovalId, ApprovalRequest)> {
        match self.report(deadline, awaited).await {
            Report::Event(event) => self.seen.push(event),
            Report::EventWith { event, private } => self.see_with(event, private),
            Report::Keep { name, bytes, recorded } => self.keep(name, bytes, recorded),
            Report::ApprovalRequested { request, recorded } => {
                return Some((record(recorded), request));
            }
            Report::ApprovalWithdrawn(approval_id) => self.withdrawn.push(approval_id),
            Report::SessionStarted { .. } => panic!("a session has one id; it had said {:#?}", self.seen),
        }
        None
    }

    async fn report(&mut self, deadline: Instant, awaited: &str) -> Report {
        let Ok(report) = timeout_at(deadline, self.runtime.reports.recv()).await else {
            panic!("{awaited} did not come; what came: {:#?}", self.seen)
        };
        match report {
            Some(report) => report,
            None => panic!("the session ended instead of {awaited}: {:?}", self.outcome().await),
        }
    }

    /// Takes what still comes until the session has ended. What it asks now is not decided any more.
    async fn drain(&mut self) {
        while let Some(report) = self.runtime.reports.recv().await {
            match report {
                Report::Event(event) => self.seen.push(event),
                Report::EventWith { event, private } => self.see_with(event, private),
                Report::Keep { name, bytes, recorded } => self.keep(name, bytes, recorded),
                Report::ApprovalRequested { recorded, .. } => drop(record(recorded)),
                Report::ApprovalWithdrawn(approval_id) => self.withdrawn.push(approval_id),
                Report::SessionStarted { .. } => panic!("a session has one id; it had said {:#?}", self.seen),
            }
        }
    }

    async fn outcome(&mut self) -> SessionOutcome {
        let ended = timeout(WAIT, self.run.join_next()).await.expect("the session's future returns");
        let ended = ended.expect("one session").expect("the session does not panic");
        let outcome = ended.expect("the session has an outcome");
        processes::assert_none(self.footprint, &self.marker).await;
        outcome
    }
}

/// Records a question, as the runtime does before anyone sees it.
fn record(recorded: oneshot::Sender<ApprovalId>) -> ApprovalId {
    let approval_id = ApprovalId::mint();
    // A session may stop waiting for this when its turn is cut.
    drop(recorded.send(approval_id.clone()));
    approval_id
}
