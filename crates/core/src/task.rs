//! The worker's task: the only writer of its log. It waits, steps, writes, and performs what is durable.

mod answering;
mod history;
mod keyed;
mod starting;

use std::{
    collections::HashMap,
    future::Future,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use musher_backend::{Backend, Event, Report, Vault};
use musher_process::Marker;
use musher_protocol::{Ack, EventId, InputAck, WorkerRef};
use tokio::sync::{mpsc, oneshot, watch};
use tracing::Instrument as _;

use crate::{
    batch::{Batch, CheckpointAge, Sealed, Writer},
    changes::Changes,
    diagnostics::Diagnostics,
    error::Error,
    fold::{Fold, prefix},
    idempotency::{Answered, Keyed},
    machine::{Command, Effect, Input, NewInput, Prior, State, Token, step},
    profile::WorkerSpec,
    redaction::Shown,
    retention::Retention,
    runtime::Phase,
    session::{News, Session},
    store::{AcceptedInput, Checkpoint, Commit, Head, Health, Most, Prune, Store, StoreError},
    temporary::Temporary,
    tools::Tools,
    view::Shared,
    workspace::Desk,
};

use self::answering::Reply;
pub(crate) use self::{answering::input_ack, history::beside_entry};

/// Waits are cut here, so that a clock that jumps is noticed.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);
/// How long a commit that found no space waits for the store to say that there is some.
const SPACE_LOOK: Duration = Duration::from_secs(1);
/// As much of a wrong name as somebody needs to find it.
const MAX_NAME: usize = 64;
/// What a dropped session has to end, and what is left of it to be looked for.
const DROP_LIMIT: Duration = Duration::from_secs(10);

/// What somebody asks of the task.
#[derive(Debug)]
pub(crate) enum Asked {
    Send(NewInput, oneshot::Sender<Result<InputAck, Error>>),
    Command(Command, Option<Keyed>, oneshot::Sender<Result<Answered<Ack>, Error>>),
}

/// What the task is made of.
pub(crate) struct Parts {
    pub(crate) spec: Arc<WorkerSpec>,
    pub(crate) backend: Arc<dyn Backend>,
    /// Where the tools come from that the backend calls.
    pub(crate) tools: Tools,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) shared: Arc<Shared>,
    /// Where it is noted that the worker has changed.
    pub(crate) changes: Arc<Changes>,
    pub(crate) marker: Marker,
    pub(crate) node: Arc<str>,
    pub(crate) asked: mpsc::Receiver<Asked>,
    pub(crate) created_at: Timestamp,
    /// The right to write the log.
    pub(crate) epoch: u64,
    pub(crate) retention: Retention,
    /// How many idempotency keys of one token are remembered.
    pub(crate) max_keys: u64,
    /// Where sessions have their temporary directories, where they can have any.
    pub(crate) temporary: Option<Arc<Temporary>>,
    /// Where the runtime reports what is no worker's own doing.
    pub(crate) diagnostics: Arc<Diagnostics>,
    /// Where the worker's worktrees are found.
    pub(crate) desk: Desk,
    /// What no event may show.
    pub(crate) vault: Arc<Vault>,
    /// What the runtime is about.
    pub(crate) phase: watch::Receiver<Phase>,
}

/// Where a worker's log is when its task begins.
pub(crate) struct Place {
    pub(crate) fold: Fold,
    pub(crate) head: Head,
    pub(crate) last_event_id: Option<EventId>,
    /// How many events the newest checkpoint does not cover.
    pub(crate) uncovered: u64,
}

/// How a task ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TaskEnd {
    /// There is no such worker, or it could not be read: nothing was written.
    NotBegun,
    /// The worker is terminal.
    Terminal,
    /// The process ends, or the store failed.
    Cut,
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
    last_event_id: Option<EventId>,
    /// How many events the newest checkpoint does not cover.
    uncovered: u64,
    /// A checkpoint that was just written, and that older events could be forgotten for.
    checkpoint: Option<Checkpoint>,
    health: watch::Receiver<Health>,
    health_is_over: bool,
    asked_is_over: bool,
    drains: bool,
    finished: bool,
    /// The request that the worker is created by, where it has a key.
    created_under: Option<Keyed>,
}

enum Happened {
    Committed(Result<(), StoreError>),
    Asked(Option<Asked>),
    Drain,
    News(News),
    Health(Result<(), watch::error::RecvError>),
    Deadline,
}

impl Drop for Task {
    /// However the task ends, also by a panic, its observers are told that nothing more will come.
    fn drop(&mut self) {
        self.parts.shared.close();
    }
}

impl Task {
    pub(crate) fn new(parts: Parts, place: Place) -> Self {
        let Place { fold, head, last_event_id, uncovered } = place;
        let worker_ref = fold.worker_ref.clone();
        let store_full = matches!(*parts.store.health().borrow(), Health::Full);
        let state = State::new(parts.spec.clone(), parts.backend.capabilities(), fold, store_full, now());
        let mut health = parts.store.health();
        // What it is at the beginning is news too.
        health.mark_changed();
        Self {
            parts,
            worker_ref,
            state,
            session: None,
            replies: HashMap::new(),
            next_token: 0,
            batch: Batch::default(),
            committing: None,
            head,
            last_event_id,
            uncovered,
            checkpoint: None,
            health,
            health_is_over: false,
            asked_is_over: false,
            drains: false,
            finished: false,
            created_under: None,
        }
    }

    /// What the worker was created under is remembered with its first events.
    pub(crate) fn under(mut self, keyed: Option<Keyed>) -> Self {
        self.created_under = keyed;
        self
    }

    /// Begins with this input, which creates or recovers the worker, says that it is durable, and drives the worker to
    /// its end, or to the end of the process.
    pub(crate) async fn live(mut self, first: Input, reply: oneshot::Sender<Result<(), Error>>) -> TaskEnd {
        let result = self.begin(first).await;
        let begun = result.is_ok();
        // The caller may have gone; the worker is there all the same.
        drop(reply.send(result.map_err(Error::from)));
        if begun { self.run().await } else { TaskEnd::NotBegun }
    }

    /// Writes the first commit of this life. When it fails nothing is shown of it.
    async fn begin(&mut self, first: Input) -> Result<(), StoreError> {
        self.step(first);
        self.begin_commit();
        if let Some((sealed, committing)) = self.committing.take() {
            committing.await?;
            self.publish(&sealed);
            self.batch.extend(sealed.effects);
        }
        Ok(())
    }

    async fn run(mut self) -> TaskEnd {
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
                    self.drop_session().await;
                    return TaskEnd::Cut;
                }
            }
            if self.state.fold.status.is_terminal() { TaskEnd::Terminal } else { TaskEnd::Cut }
        }
        .instrument(span)
        .await
    }

    /// A session whose log cannot be written any more must not go on to act.
    async fn drop_session(&mut self) {
        let Some(mut session) = self.session.take() else { return };
        session.abort();
        let ended = async { while let News::Report(_) = session.next(true).await {} };
        if tokio::time::timeout(DROP_LIMIT, ended).await.is_err() {
            tracing::error!("the session did not end after it was dropped");
        }
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
            () = ends(&mut self.parts.phase), if !self.drains => Happened::Drain,
            asked = self.parts.asked.recv(), if !self.asked_is_over => Happened::Asked(asked),
            changed = self.health.changed(), if !self.health_is_over => Happened::Health(changed),
            // Before the news, so that a backend that never pauses cannot hold a deadline off.
            () = sleep_until(deadline) => Happened::Deadline,
            news = news => Happened::News(news),
        }
    }

    async fn perform(&mut self, happened: Happened) -> Result<(), StoreError> {
        match happened {
            Happened::Committed(result) => {
                let (sealed, _) = self.committing.take().expect("a commit was under way");
                match result {
                    Err(StoreError::Full) if sealed.events.is_empty() => self.refuse_keyed(&sealed.keys),
                    result => result?,
                }
                self.publish(&sealed);
                let Sealed { accepted, effects, .. } = sealed;
                self.perform_effects(effects, &accepted).await?;
                match self.prune().await {
                    // The next checkpoint tries again; what can be kept too long is no reason to end anything.
                    Err(
                        error @ (StoreError::Full
                        | StoreError::Corrupt { .. }
                        | StoreError::Pruned { .. }
                        | StoreError::NoWorker(_)),
                    ) => {
                        tracing::warn!(error = &error as &dyn std::error::Error, "old events are kept");
                        Ok(())
                    }
                    pruned => pruned,
                }
            }
            Happened::Asked(Some(asked)) => {
                self.asked(asked).await;
                Ok(())
            }
            // The runtime let go of the worker: nobody can ask any more, and it is told to drain.
            Happened::Asked(None) => {
                self.asked_is_over = true;
                Ok(())
            }
            Happened::Drain => {
                self.drains = true;
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
            Happened::Health(Ok(())) => {
                let health = self.health.borrow_and_update().clone();
                match health {
                    Health::Good => self.step(Input::StoreFull(false)),
                    Health::Full => self.step(Input::StoreFull(true)),
                    // Nothing of what is under way will ever be durable, and nobody may be told that it is.
                    Health::Failed(_) => return Err(StoreError::Failed),
                }
                Ok(())
            }
            Happened::Health(Err(_store_is_gone)) => {
                self.health_is_over = true;
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

    async fn asked(&mut self, asked: Asked) {
        match asked {
            Asked::Send(input, reply) => {
                let prior = match self.accepted_before(&input).await {
                    Ok(None) => Prior::New,
                    Ok(Some(digest)) if digest == input.digest => Prior::SameContent,
                    Ok(Some(_)) => Prior::OtherContent,
                    // Whether it was accepted cannot be told: that is for who asked, and nobody else.
                    Err(error) => return drop(reply.send(Err(error.into()))),
                };
                let token = self.token(Reply::Input(reply));
                self.step(Input::Command(Command::Send { input, prior }, token));
            }
            Asked::Command(command, keyed, reply) => self.command(command, keyed, reply).await,
        }
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

    fn report(&mut self, Shown { report, hidden }: Shown) {
        let input = match report {
            Report::Event(event) => Input::Event(event),
            Report::EventWith { event, private } => Input::EventWith { event, private },
            Report::Keep { name, bytes, recorded } => match history::file(&name, bytes) {
                Some(file) => Input::Keep { file, token: self.token(Reply::Recorded(recorded)) },
                // Dropping `recorded` tells the backend that it is not kept.
                None => Input::Event(Event::Diagnostic {
                    code: "backend.not_kept".to_owned(),
                    message: format!(
                        "the backend's file `{}` is not kept: that is no name",
                        prefix(&name, MAX_NAME)
                    ),
                }),
            },
            Report::SessionStarted { session_id, resumed, recorded } => {
                let token = self.token(Reply::Recorded(recorded));
                Input::SessionStarted { session_id, resumed, node: self.parts.node.clone(), token }
            }
            Report::ApprovalRequested { request, recorded } => {
                let token = self.token(Reply::Approval(recorded));
                let hidden = hidden.map(|hidden| *hidden).unwrap_or_default();
                Input::ApprovalRequested { request, hidden, token }
            }
            Report::ApprovalWithdrawn(approval_id) => Input::ApprovalWithdrawn(approval_id),
        };
        self.step(input);
    }

    /// Starts to write what waits, unless a commit is under way already.
    fn begin_commit(&mut self) {
        if self.committing.is_some() || self.batch.is_empty() {
            return;
        }
        let worker = &self.worker_ref.worker_id;
        let mut sealed = std::mem::take(&mut self.batch).seal(worker, &self.head);
        self.note_answers(&mut sealed);
        let committing: Committing = if sealed.events.is_empty() && sealed.keys.is_empty() {
            Box::pin(async { Ok(()) })
        } else if sealed.events.is_empty() {
            let (store, keys) = (self.parts.store.clone(), sealed.keys.clone());
            // Without space whoever waits for it is refused: nothing has happened yet, and an ending may be next.
            Box::pin(async move { store.remember(keys).await })
        } else {
            self.uncovered += sealed.events.len() as u64;
            let mut commit = sealed.commit(Writer {
                worker,
                epoch: self.parts.epoch,
                expected_head: self.head.seq,
                fold: &self.state.fold,
                spec: &self.parts.spec,
                created_at: self.parts.created_at,
                age: CheckpointAge::of(self.uncovered),
            });
            if let (Some(keyed), Some(row)) = (self.created_under.take(), &commit.row) {
                commit.keys.push(self.shown_under(&keyed, row));
            }
            if let Some(row) = &commit.row {
                commit.keys.extend(self.asked_to_show(&sealed).map(|keyed| self.shown_under(keyed, row)));
            }
            if commit.checkpoint.is_some() {
                self.uncovered = 0;
                // What is open or waits keeps its events: readers may want to see how it began.
                self.checkpoint = commit.checkpoint.clone().filter(|_| self.state.fold.is_quiet());
            }
            Box::pin(append(self.parts.store.clone(), commit, self.parts.shared.clone()))
        };
        self.committing = Some((sealed, committing));
    }

    fn publish(&mut self, sealed: &Sealed) {
        if let Some(last) = sealed.events.last() {
            self.head = sealed.head.clone();
            self.last_event_id = Some(last.event_id.clone());
            self.parts.shared.publish(&sealed.drafts, &sealed.events);
            if sealed.changes_row() {
                self.parts.changes.note(&self.worker_ref.worker_id);
            }
        }
    }

    /// Forgets old events after a checkpoint, where the runtime does not keep everything.
    async fn prune(&mut self) -> Result<(), StoreError> {
        let Some(checkpoint) = self.checkpoint.take() else { return Ok(()) };
        let (store, worker) = (&self.parts.store, &self.worker_ref.worker_id);
        let Some(extent) = store.extent(worker).await? else { return Ok(()) };
        let last = self.parts.retention.prune_to(extent.oldest.seq, checkpoint.head.seq);
        let Some(before) = last.and_then(|last| last.checked_sub(1)) else { return Ok(()) };
        let most = Most { events: 1, bytes: 0 };
        let Some(event) = store.events(worker, before, most).await?.pop() else { return Ok(()) };
        let oldest = Head { seq: event.seq, checksum: event.checksum };
        store.prune(Prune { worker: worker.clone(), epoch: self.parts.epoch, oldest, checkpoint }).await
    }

    async fn perform_effects(
        &mut self,
        effects: Vec<Effect>,
        accepted: &[AcceptedInput],
    ) -> Result<(), StoreError> {
        for effect in effects {
            match effect {
                Effect::Record(_) => unreachable!("a batch keeps events apart"),
                Effect::Start(beginning) => self.start_session(beginning).await?,
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
                Effect::Answer(token, answer) => self.answer(token, answer, accepted).await,
                Effect::Finish => self.finished = true,
            }
        }
        Ok(())
    }
}

/// Resolves when the runtime ends, or has gone.
async fn ends(phase: &mut watch::Receiver<Phase>) {
    // Without its sender nothing runs any more.
    drop(phase.wait_for(|phase| *phase != Phase::Running).await);
}

/// Writes a commit. One that finds no space at all waits until there is some: nothing of it is written, its events are
/// decided, and the backend is not heard meanwhile.
async fn append(store: Arc<dyn Store>, commit: Commit, shared: Arc<Shared>) -> Result<(), StoreError> {
    let mut health = store.health();
    let begun = Instant::now();
    loop {
        match store.append(commit.clone()).await {
            Err(StoreError::Full) => {
                tracing::warn!("the store has no space for what has happened; waiting for some");
                // A change or the time being up: either is a reason to try again.
                drop(tokio::time::timeout(SPACE_LOOK, health.changed()).await);
            }
            written => {
                if written.is_ok() {
                    shared.committed(begun.elapsed());
                }
                return written;
            }
        }
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
