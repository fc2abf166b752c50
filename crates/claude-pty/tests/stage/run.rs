//! A session, driven from outside; it allows what it is asked, unless it is told otherwise.

use std::time::Duration;

use musher_backend::{
    Backend as _, BackendError, Command, DecisionGiven, Event, Input, Launch, Link, Report, RuntimeHalf,
    SessionOutcome, TurnEnd, Verdict,
};
use musher_claude_pty::{ClaudeOptions, ClaudePty};
use musher_protocol::{ApprovalId, InputKind, SessionId};
use tokio::{
    task::JoinSet,
    time::{Instant, timeout, timeout_at},
};

/// A wait that lasts this long fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) runtime: RuntimeHalf,
    task: JoinSet<Result<SessionOutcome, BackendError>>,
    /// The session's id, and whether it continues another, once it is known.
    pub(crate) session: Option<(SessionId, bool)>,
    /// The question that was asked last.
    pub(crate) asked: Option<serde_json::Value>,
    /// What every question is answered with.
    pub(crate) verdict: Verdict,
    /// Questions wait, and it is for the test to answer them.
    pub(crate) holds_answers: bool,
    pub(crate) held: Vec<ApprovalId>,
}

impl Run {
    pub(crate) fn start(options: ClaudeOptions, launch: Launch) -> Self {
        Self::on(ClaudePty::new(options), launch)
    }

    /// The same on a backend that runs other sessions, too.
    pub(crate) fn on(backend: ClaudePty, launch: Launch) -> Self {
        let (link, runtime) = Link::pair();
        let mut task = JoinSet::new();
        task.spawn(async move { backend.run(launch, link).await });
        let (verdict, holds_answers, held) = (Verdict::allow(), false, Vec::new());
        Self { runtime, task, session: None, asked: None, verdict, holds_answers, held }
    }

    pub(crate) async fn decide(&self, approval_id: ApprovalId) {
        let verdict = self.verdict.clone();
        self.tell(Command::Decision(DecisionGiven { approval_id, verdict })).await;
    }

    pub(crate) async fn say(&self, content: &str) {
        self.send(InputKind::User, content).await;
    }

    pub(crate) async fn send(&self, kind: InputKind, content: &str) {
        self.tell(Command::Input(Input { kind, ..Input::user(content) })).await;
    }

    pub(crate) async fn tell(&self, command: Command) {
        self.runtime.commands.send(command).await.expect("the session takes commands");
    }

    /// Says something; returns what happens until the turn or the attempt is over.
    pub(crate) async fn turn(&mut self, content: &str) -> Vec<Event> {
        self.say(content).await;
        self.until_over().await
    }

    /// As [`Run::turn`], for a turn that must complete.
    pub(crate) async fn completed(&mut self, content: &str) -> Vec<Event> {
        let events = self.turn(content).await;
        assert!(matches!(events.last(), Some(Event::TurnEnded(TurnEnd::Completed { .. }))), "{events:#?}");
        events
    }

    pub(crate) async fn until_over(&mut self) -> Vec<Event> {
        self.until(|event| matches!(event, Event::TurnEnded(_) | Event::RateLimited { .. })).await
    }

    /// What happens up to such an event.
    pub(crate) async fn until(&mut self, wanted: impl Fn(&Event) -> bool) -> Vec<Event> {
        let deadline = Instant::now() + PATIENCE;
        let mut events = Vec::new();
        while !events.last().is_some_and(&wanted) {
            match timeout_at(deadline, self.next()).await {
                Ok(Some(event)) => events.push(event),
                Ok(None) => panic!("the session ended after {events:#?}: {:?}", self.task.join_next().await),
                Err(_late) => panic!("it did not come: {events:#?}"),
            }
        }
        events
    }

    /// Ends the session.
    pub(crate) async fn end(self, grace: Duration) -> SessionOutcome {
        self.tell(Command::End { grace }).await;
        self.ended().await.expect("a session that is ended has an outcome")
    }

    /// Waits for the session's own end.
    pub(crate) async fn ended(self) -> Result<SessionOutcome, BackendError> {
        self.rest().await.1
    }

    /// The same, and all that happens until then.
    pub(crate) async fn rest(mut self) -> (Vec<Event>, Result<SessionOutcome, BackendError>) {
        let mut events = Vec::new();
        let rest = async {
            while let Some(event) = self.next().await {
                events.push(event);
            }
        };
        timeout(PATIENCE, rest).await.expect("the session ends");
        (events, self.task.join_next().await.expect("one session").expect("it does not panic"))
    }

    async fn next(&mut self) -> Option<Event> {
        loop {
            let report = self.runtime.reports.recv().await?;
            if let Some(event) = self.read(report).await {
                return Some(event);
            }
        }
    }

    /// Does what a runtime would; returns what there is to see.
    pub(crate) async fn read(&mut self, report: Report) -> Option<Event> {
        match report {
            Report::Event(event) | Report::EventWith { event, .. } => return Some(event),
            Report::Keep { name, .. } => panic!("the program keeps its own files, and `{name}` was kept"),
            Report::SessionStarted { session_id, resumed, recorded } => {
                self.session = Some((session_id, resumed));
                recorded.send(()).expect("the session waits for it");
            }
            Report::ApprovalRequested { request, recorded } => {
                let approval_id = ApprovalId::mint();
                self.asked = Some(request.input);
                recorded.send(approval_id.clone()).expect("the session waits for it");
                if self.holds_answers {
                    self.held.push(approval_id);
                } else {
                    self.decide(approval_id).await;
                }
            }
            Report::ApprovalWithdrawn(approval_id) => self.held.retain(|held| *held != approval_id),
        }
        None
    }
}
