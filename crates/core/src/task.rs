//! The worker's task: the only writer of its log. It waits, steps, writes, and performs what is durable.

use std::{collections::HashMap, future::Future, pin::Pin, sync::Arc, time::Duration};

use jiff::Timestamp;
use musher_backend::{Backend, Launch, Report, Resume};
use musher_process::Marker;
use musher_protocol::{Ack, ApprovalId, InputAck, SessionId, WorkerRef};
use tokio::sync::{mpsc, oneshot};
use tracing::Instrument as _;

use crate::{
    batch::{Batch, Sealed},
    error::Error,
    machine::{Answer, Command, Effect, Input, NewInput, Prior, Refusal, State, Token, step},
    profile::WorkerSpec,
    session::{News, Session},
    store::{AcceptedInput, Head, Store, StoreError},
    view::Shared,
};

/// Waits are cut here, so that a clock that jumps is noticed.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// What somebody asks of the task.
#[derive(Debug)]
pub(crate) enum Asked {
    Send(NewInput, oneshot::Sender<Result<InputAck, Error>>),
    Command(Command, oneshot::Sender<Result<Ack, Error>>),
    Drain,
}

/// What the task is made of.
pub(crate) struct Parts {
    pub(crate) spec: Arc<WorkerSpec>,
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) marker: Marker,
    pub(crate) node: Arc<str>,
    pub(crate) asked: mpsc::Receiver<Asked>,
    pub(crate) created_at: Timestamp,
}

/// Whom an answer goes to.
enum Reply {
    Input(oneshot::Sender<Result<InputAck, Error>>),
    Ack(oneshot::Sender<Result<Ack, Error>>),
    Approval(oneshot::Sender<ApprovalId>),
    Recorded(oneshot::Sender<()>),
}

type Committing = Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send>>;

pub(crate) struct Task {
    parts: Parts,
    worker_ref: WorkerRef,
    state: State,
    session: Option<Session>,
    /// One for each request that waits; requests are bounded where they come in.
    replies: HashMap<Token, Reply>,
    next_token: u64,
    batch: Batch,
    committing: Option<(Sealed, Committing)>,
    /// The place of the newest event that is durable.
    head: Head,
    last_event_id: Option<musher_protocol::EventId>,
    asked_is_over: bool,
    finished: bool,
}

enum Happened {
    Committed(Result<(), StoreError>),
    Asked(Option<Asked>),
    News(News),
    Deadline,
}

impl Drop for Task {
    /// However the task ends, also by a panic, its observers are told that nothing more will come.
    fn drop(&mut self) {
        self.parts.shared.close();
    }
}

impl Task {
    pub(crate) fn new(parts: Parts, worker_ref: WorkerRef) -> Self {
        let state = State::new(
            parts.spec.clone(),
            parts.backend.capabilities(),
            worker_ref.clone(),
            parts.created_at,
        );
        Self {
            parts,
            worker_ref,
            state,
            session: None,
            replies: HashMap::new(),
            next_token: 0,
            batch: Batch::default(),
            committing: None,
            head: Head::EMPTY,
            last_event_id: None,
            asked_is_over: false,
            finished: false,
        }
    }

    /// Creates the worker, says so, and drives it to its end, or to the end of the process. Whether there is such
    /// a worker at all.
    pub(crate) async fn live(mut self, created: Input, reply: oneshot::Sender<Result<(), Error>>) -> bool {
        let result = self.create(created).await;
        let exists = result.is_ok();
        // The caller may have gone; the worker is there all the same.
        drop(reply.send(result.map_err(Error::from)));
        if exists {
            self.run().await;
        }
        exists
    }

    /// Writes the first commit of a new worker. When it fails there is no such worker.
    async fn create(&mut self, created: Input) -> Result<(), StoreError> {
        self.step(created);
        self.begin_commit();
        if let Some((sealed, committing)) = self.committing.take() {
            committing.await?;
            self.publish(&sealed);
            self.batch.extend(sealed.effects);
        }
        Ok(())
    }

    async fn run(mut self) {
        let span = tracing::info_span!("worker", worker = %self.worker_ref.worker_id);
        async {
            while !self.finished {
                self.begin_commit();
                let happened = self.wait().await;
                if let Err(error) = self.perform(happened).await {
                    // Whoever waits is told by the drop of its reply; nothing more is written or acknowledged.
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "store failed; the worker's task ends"
                    );
                    return;
                }
            }
        }
        .instrument(span)
        .await;
    }

    async fn wait(&mut self) -> Happened {
        let hears_reports = !self.batch.is_full();
        // While the store holds the backend up, its silence is not its own.
        let deadline = if hears_reports { self.state.next_deadline() } else { self.state.last_resort() };
        let committing = async {
            match &mut self.committing {
                Some((_, committing)) => committing.await,
                None => std::future::pending().await,
            }
        };
        let news = async {
            match &mut self.session {
                Some(session) => session.next(hears_reports).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            result = committing => Happened::Committed(result),
            asked = self.parts.asked.recv(), if !self.asked_is_over => Happened::Asked(asked),
            // Before the news, so that a backend that never pauses cannot hold a deadline off.
            () = sleep_until(deadline) => Happened::Deadline,
            news = news => Happened::News(news),
        }
    }

    async fn perform(&mut self, happened: Happened) -> Result<(), StoreError> {
        match happened {
            Happened::Committed(result) => {
                let (sealed, _) = self.committing.take().expect("a commit was under way");
                result?;
                self.publish(&sealed);
                let Sealed { accepted, effects, .. } = sealed;
                self.perform_effects(effects, &accepted).await
            }
            Happened::Asked(Some(asked)) => self.asked(asked).await,
            // The runtime let go of the worker: nobody can ask any more.
            Happened::Asked(None) => {
                self.asked_is_over = true;
                self.step(Input::Drain);
                Ok(())
            }
            Happened::News(News::Report(report)) => {
                self.report(report);
                Ok(())
            }
            Happened::News(News::Ended { outcome, survivors }) => {
                self.session = None;
                self.step(Input::SessionEnded { outcome, survivors });
                Ok(())
            }
            Happened::Deadline => {
                self.step(Input::DeadlineReached);
                Ok(())
            }
        }
    }

    fn step(&mut self, input: Input) {
        let effects = step(&mut self.state, input, now());
        self.batch.extend(effects);
    }

    async fn asked(&mut self, asked: Asked) -> Result<(), StoreError> {
        match asked {
            Asked::Send(input, reply) => {
                let prior = match self.accepted_before(&input).await? {
                    None => Prior::New,
                    Some(digest) if digest == input.digest => Prior::SameContent,
                    Some(_) => Prior::OtherContent,
                };
                let token = self.token(Reply::Input(reply));
                self.step(Input::Command(Command::Send { input, prior }, token));
            }
            Asked::Command(command, reply) => {
                let token = self.token(Reply::Ack(reply));
                self.step(Input::Command(command, token));
            }
            Asked::Drain => self.step(Input::Drain),
        }
        Ok(())
    }

    /// The digest that this input was accepted with, be it durable or on the way.
    async fn accepted_before(&mut self, input: &NewInput) -> Result<Option<[u8; 32]>, StoreError> {
        let id = &input.input_id;
        let under_way = self
            .committing
            .iter()
            .flat_map(|(sealed, _)| &sealed.accepted)
            .find(|accepted| accepted.input_id == *id);
        match self.batch.accepts(id).or(under_way.map(|accepted| accepted.digest)) {
            Some(digest) => Ok(Some(digest)),
            None => {
                let stored = self.parts.store.accepted_input(&self.worker_ref.worker_id, id).await?;
                Ok(stored.map(|accepted| accepted.digest))
            }
        }
    }

    fn report(&mut self, report: Report) {
        let input = match report {
            Report::Event(event) => Input::Event(event),
            Report::SessionStarted { session_id, resumed, recorded } => {
                let token = self.token(Reply::Recorded(recorded));
                Input::SessionStarted { session_id, resumed, node: self.parts.node.clone(), token }
            }
            Report::ApprovalRequested { request, recorded } => {
                let token = self.token(Reply::Approval(recorded));
                Input::ApprovalRequested { request, token }
            }
            Report::ApprovalWithdrawn(approval_id) => Input::ApprovalWithdrawn(approval_id),
        };
        self.step(input);
    }

    fn token(&mut self, reply: Reply) -> Token {
        self.next_token += 1;
        let token = Token(self.next_token);
        self.replies.insert(token, reply);
        token
    }

    /// Starts to write what waits, unless a commit is under way already.
    fn begin_commit(&mut self) {
        if self.committing.is_some() || self.batch.is_empty() {
            return;
        }
        let worker = &self.worker_ref.worker_id;
        let sealed = std::mem::take(&mut self.batch).seal(worker, &self.head);
        let committing: Committing = if sealed.events.is_empty() {
            Box::pin(async { Ok(()) })
        } else {
            let commit = sealed.commit(
                worker,
                self.head.seq,
                &self.state.fold,
                &self.parts.spec,
                self.parts.created_at,
            );
            let store = self.parts.store.clone();
            Box::pin(async move { store.append(commit).await })
        };
        self.committing = Some((sealed, committing));
    }

    fn publish(&mut self, sealed: &Sealed) {
        if let Some(last) = sealed.events.last() {
            self.head = sealed.head.clone();
            self.last_event_id = Some(last.event_id.clone());
            self.parts.shared.publish(&sealed.drafts, &sealed.events);
        }
    }

    async fn perform_effects(
        &mut self,
        effects: Vec<Effect>,
        accepted: &[AcceptedInput],
    ) -> Result<(), StoreError> {
        for effect in effects {
            match effect {
                Effect::Record(_) => unreachable!("a batch keeps events apart"),
                Effect::Start { resume } => self.start_session(resume),
                Effect::Tell(command) => {
                    if let Some(session) = &mut self.session {
                        session.tell(command);
                    }
                }
                Effect::Drop => {
                    if let Some(session) = &mut self.session {
                        tracing::warn!("the session did not end in time; it is dropped");
                        session.abort();
                    }
                }
                Effect::Answer(token, answer) => self.answer(token, answer, accepted).await?,
                Effect::Finish => self.finished = true,
            }
        }
        Ok(())
    }

    fn start_session(&mut self, resume: Option<SessionId>) {
        let spec = &self.parts.spec;
        let launch = Launch {
            worker_id: self.worker_ref.worker_id.clone(),
            marker: self.parts.marker.to_string(),
            working_dir: spec.working_dir.clone(),
            instructions: spec.instructions(),
            model: spec.profile.model.clone(),
            options: spec.profile.options.clone(),
            resume: resume.map(|session_id| Resume { session_id }),
        };
        self.session = Some(Session::start(self.parts.backend.clone(), launch, self.parts.marker.clone()));
    }

    /// Answers whoever waits. A receiver that has gone is no fault: what was asked for is done all the same.
    async fn answer(
        &mut self,
        token: Token,
        answer: Result<Answer, Refusal>,
        accepted: &[AcceptedInput],
    ) -> Result<(), StoreError> {
        let Some(reply) = self.replies.remove(&token) else { return Ok(()) };
        match (reply, answer) {
            (Reply::Input(reply), Ok(Answer::Input { input_id, duplicate })) => {
                let here = accepted.iter().find(|accepted| accepted.input_id == input_id).cloned();
                let accepted = match here {
                    Some(accepted) => Some(accepted),
                    None => self.parts.store.accepted_input(&self.worker_ref.worker_id, &input_id).await?,
                };
                let accepted = accepted.expect("an input is answered when its acceptance is durable");
                drop(reply.send(Ok(input_ack(
                    &self.worker_ref,
                    self.parts.shared.status(),
                    accepted,
                    duplicate,
                ))));
            }
            (Reply::Input(reply), Err(refusal)) => drop(reply.send(Err(self.error(refusal)))),
            (Reply::Ack(reply), Ok(Answer::Done { event_id })) => {
                let event_id = event_id
                    .or(self.last_event_id.clone())
                    .expect("a worker's log has its creation at least");
                let cursor = self.head.cursor(&self.worker_ref.worker_id);
                let status = self.parts.shared.status();
                drop(reply.send(Ok(Ack { worker_ref: self.worker_ref.clone(), status, event_id, cursor })));
            }
            (Reply::Ack(reply), Err(refusal)) => drop(reply.send(Err(self.error(refusal)))),
            (Reply::Approval(reply), Ok(Answer::Approval(approval_id))) => drop(reply.send(approval_id)),
            (Reply::Recorded(reply), Ok(Answer::Recorded)) => drop(reply.send(())),
            (Reply::Input(_) | Reply::Ack(_) | Reply::Approval(_) | Reply::Recorded(_), answer) => {
                unreachable!("the machine answers what was asked, not {answer:?}")
            }
        }
        Ok(())
    }

    fn error(&self, refusal: Refusal) -> Error {
        let worker = self.worker_ref.worker_id.clone();
        match refusal {
            Refusal::NotRunning => Error::NotRunning(worker),
            Refusal::Draining => Error::Draining,
            Refusal::Busy => Error::Busy(worker),
            Refusal::QueueFull { limit } => Error::QueueFull { worker, limit },
            Refusal::QueueTooLarge { limit } => Error::QueueTooLarge { worker, limit },
            Refusal::OtherContent(input_id) => Error::InputIdReused(input_id),
            Refusal::ApprovalNotPending => Error::ApprovalNotPending,
            Refusal::Survivors(survivors) => Error::ProcessesSurvived { worker, survivors },
        }
    }
}

pub(crate) fn input_ack(
    worker_ref: &WorkerRef,
    status: musher_protocol::WorkerStatus,
    accepted: AcceptedInput,
    duplicate: bool,
) -> InputAck {
    InputAck {
        worker_ref: worker_ref.clone(),
        status,
        transcript_sequence: accepted.transcript_sequence,
        event_id: accepted.event_id,
        input_id: accepted.input_id,
        duplicate,
        cursor: accepted.cursor,
    }
}

/// The time of an event: microseconds are what people and other programs can use.
pub(crate) fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_microsecond(now.as_microsecond()).expect("a time of now is in range")
}

async fn sleep_until(deadline: Option<Timestamp>) {
    match deadline {
        Some(at) => {
            let wait = Duration::try_from(at.duration_since(Timestamp::now())).unwrap_or_default();
            // A timer that is due already would still yield once, to whatever else is ready.
            if !wait.is_zero() {
                tokio::time::sleep(wait.min(LONGEST_SLEEP)).await;
            }
        }
        None => std::future::pending().await,
    }
}
