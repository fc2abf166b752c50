//! The runtime: the door to every worker.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use musher_backend::{Availability, Verdict};
use musher_process::{Marker, Owner};
use musher_protocol::{
    Ack, Actor, ApprovalId, CreateWorker, Cursor, InputAck, InputId, InputRequest, RuntimeId, RuntimeLimits,
    RuntimeStatus, RuntimeSummary, TranscriptPage, Until, WorkerDetail, WorkerId, WorkerRef, WorkerStatus,
    WorkerSummary,
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
};

use crate::{
    builder::{Builder, Catalog},
    create::{check_line, first_inputs, make_scratch, new_input, resolve},
    error::{Error, ReadError},
    fold::{End, Fold},
    frame::Frame,
    machine::{Command, Input, Request},
    observe::{Observation, check_cursor, read},
    show,
    store::{Most, Start, Store},
    task::{Asked, Parts, Task, input_ack, now},
    view,
};

/// Requests of one worker that wait for its task, which is busy only while it looks an input up in the store.
const ASKED: usize = 64;
/// What `shutdown` gives workers to end: their own grace, and what is needed to look for what is left.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(25);
/// What a page of a log holds at most: events may be large, and a page is put together in memory.
const PAGE_BYTES: usize = 8 << 20;
/// The grace of a stop that names none.
const STOP_GRACE: Duration = crate::machine::DEFAULT_GRACE;

/// A runtime: one catalog of workers with one store. A clone is the same runtime.
///
/// Its calls may be dropped at any time; what they had asked for goes on. An ack means that what it names is
/// durable.
#[derive(Clone, Debug)]
pub struct Runtime(Arc<Shared>);

/// What the clones of a runtime share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) runtime_id: RuntimeId,
    pub(crate) display_name: String,
    pub(crate) owner: Owner,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) catalog: Catalog,
    pub(crate) limits: RuntimeLimits,
    pub(crate) phase: watch::Sender<Phase>,
    /// Protects the map for single look-ups and inserts.
    pub(crate) workers: Mutex<HashMap<WorkerId, Arc<Live>>>,
    /// Protects the set while a task is added or the set is taken by `shutdown`.
    pub(crate) tasks: Mutex<JoinSet<()>>,
}

/// Whether the runtime takes work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Running,
    Draining,
    Stopped,
}

/// A worker of this runtime, and the way to its task.
#[derive(Debug)]
pub(crate) struct Live {
    asked: mpsc::Sender<Asked>,
    view: Arc<view::Shared>,
}

/// A page of a log.
#[derive(Clone, Debug)]
pub struct EventPage {
    /// The events, in order.
    pub frames: Vec<Frame>,
    /// The place to go on from, also behind events that were left out.
    pub next: Cursor,
    /// Whether there are events behind `next`.
    pub has_more: bool,
}

/// Where a page of a log begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// Behind this place; the log's beginning when there is none.
    Cursor(Option<Cursor>),
    /// So many events before the end.
    Tail(u64),
}

impl Runtime {
    /// Puts a runtime together over a store.
    #[must_use]
    pub fn builder(store: impl Store) -> Builder {
        Builder::new(Arc::new(store))
    }

    pub(crate) fn new(shared: Shared) -> Self {
        Self(Arc::new(shared))
    }

    /// The runtime's id.
    #[must_use]
    pub fn runtime_id(&self) -> &RuntimeId {
        &self.0.runtime_id
    }

    /// The largest pages.
    #[must_use]
    pub fn limits(&self) -> RuntimeLimits {
        self.0.limits
    }

    /// The runtime in constant time, whatever the number of its workers.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub async fn summary(&self) -> Result<RuntimeSummary, Error> {
        let counts = self.0.store.counts().await?;
        let phase = *self.0.phase.borrow();
        Ok(RuntimeSummary {
            runtime_id: self.0.runtime_id.clone(),
            display_name: self.0.display_name.clone(),
            store: self.0.store.kind(),
            status: match phase {
                Phase::Running => RuntimeStatus::Running,
                Phase::Draining => RuntimeStatus::Draining,
                Phase::Stopped => RuntimeStatus::Stopped,
            },
            worker_count: counts.active + counts.stopped + counts.cancelled,
            active_worker_count: counts.active,
            stopped_worker_count: counts.stopped,
            cancelled_worker_count: counts.cancelled,
            diagnostic_count: 0,
            worker_creation_available: phase == Phase::Running,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            limits: self.0.limits,
        })
    }

    /// Creates a worker. A refused request leaves nothing behind and takes no id.
    ///
    /// # Errors
    ///
    /// When the request makes no sense, names what is not there, or the store fails.
    pub async fn create_worker(&self, request: CreateWorker, by: Actor) -> Result<WorkerDetail, Error> {
        self.check_running()?;
        check_actor(&by)?;
        let worker = WorkerId::mint();
        let spec = Arc::new(resolve(&self.0.catalog, request.clone(), &worker)?);
        let first = first_inputs(&request, &worker, &by)?;
        let name = &spec.profile.backend;
        let backend =
            self.0.catalog.backends.get(name).expect("the builder checked every profile's backend").clone();
        if let Availability::Missing(missing) = backend.availability().await {
            return Err(Error::Unavailable { backend: name.clone(), missing });
        }
        if spec.workspaces.is_empty()
            && let Err(source) = make_scratch(&spec.working_dir)
        {
            let missing = vec!["a scratch directory that can be made".to_owned()];
            tracing::error!(error = &source as &dyn std::error::Error, "make scratch directory");
            return Err(Error::Unavailable { backend: name.clone(), missing });
        }
        let scratch = spec.workspaces.is_empty().then(|| spec.working_dir.clone());
        let created_at = now();
        let worker_ref = self.worker_ref(&worker);
        let view = Arc::new(view::Shared::new(Fold::new(worker_ref.clone(), created_at), created_at));
        let (asked_in, asked) = mpsc::channel(ASKED);
        let marker = Marker::new(self.0.owner.clone(), worker.as_str()).expect("a minted id is a marker");
        let parts = Parts {
            spec,
            backend,
            store: self.0.store.clone(),
            shared: view.clone(),
            marker,
            node: self.0.owner.as_str().into(),
            asked,
            created_at,
        };
        let task = Task::new(parts, worker_ref);
        self.0.workers().insert(worker.clone(), Arc::new(Live { asked: asked_in, view }));
        // The worker's own task creates it, so that nothing is half-created when the caller goes away.
        let (reply, created) = oneshot::channel();
        let (shared, id) = (Arc::downgrade(&self.0), worker.clone());
        let forget = move || {
            shared.upgrade().map(|shared| shared.workers().remove(&id));
            // Empty as it is; one that cannot be removed is one directory too many, and no fault of the caller's.
            let _left = scratch.map(std::fs::remove_dir);
        };
        let spawned = self.0.spawn(async move {
            if !task.live(Input::Created { by, first }, reply).await {
                forget();
            }
        });
        if let Err(error) = spawned {
            self.0.workers().remove(&worker);
            return Err(error);
        }
        created.await.unwrap_or(Err(Error::WorkerFailed(worker.clone())))?;
        self.worker_detail(&worker).await
    }

    /// Rows of workers, oldest first, behind `after`.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub async fn list_workers(
        &self,
        status: Option<WorkerStatus>,
        after: Option<&WorkerId>,
        limit: usize,
    ) -> Result<Vec<WorkerSummary>, Error> {
        let rows = self.0.store.workers(status, after, limit).await?;
        Ok(rows.iter().map(|row| show::summary(row, self.worker_ref(&row.worker_id))).collect())
    }

    /// A worker, whole, at the place of its cursor.
    ///
    /// # Errors
    ///
    /// When there is no such worker, or the store cannot be read.
    pub async fn worker_detail(&self, worker: &WorkerId) -> Result<WorkerDetail, Error> {
        let row = self.0.store.worker(worker).await?.ok_or_else(|| Error::WorkerNotFound(worker.clone()))?;
        Ok(show::detail(&row, self.worker_ref(worker)))
    }

    /// Waits until this holds, or until the time is up, and answers with the worker then.
    ///
    /// # Errors
    ///
    /// When there is no such worker, or the store cannot be read.
    pub async fn wait_worker(
        &self,
        worker: &WorkerId,
        until: Until,
        at_most: Duration,
    ) -> Result<WorkerDetail, Error> {
        let live = self.live(worker).await?;
        let mut progress = live.view.watch();
        let holds = progress.wait_for(|progress| {
            let terminal = live.view.status().is_terminal();
            progress.over
                || match until {
                    Until::Idle => terminal || live.view.is_idle(),
                    Until::Terminal => terminal,
                }
        });
        // The time being up is an answer as good as any: the detail says what holds.
        drop(tokio::time::timeout(at_most, holds).await);
        self.worker_detail(worker).await
    }

    /// Says something to a worker. The same id twice runs once and gives the first ack again.
    ///
    /// # Errors
    ///
    /// When the worker takes no inputs, or not this one now.
    pub async fn send_input(
        &self,
        worker: &WorkerId,
        request: InputRequest,
        by: Actor,
    ) -> Result<InputAck, Error> {
        check_actor(&by)?;
        let live = self.live(worker).await?;
        let input_id = request.input_id.unwrap_or_else(InputId::mint);
        let input = new_input(input_id.clone(), request.kind, request.content, request.delivery, by)?;
        let digest = input.digest;
        let (reply, answer) = oneshot::channel();
        let sent = live.asked.send(Asked::Send(input, reply)).await;
        if sent.is_ok()
            && let Ok(answer) = answer.await
        {
            return answer;
        }
        // The task has gone. What it had accepted before stays accepted.
        match self.0.store.accepted_input(worker, &input_id).await? {
            Some(accepted) if accepted.digest == digest => {
                Ok(input_ack(&self.worker_ref(worker), live.view.status(), accepted, true))
            }
            Some(_) => Err(Error::InputIdReused(input_id)),
            None => Err(self.gone(worker, &live)),
        }
    }

    /// Ends the open turn and keeps the session; returns when the turn is over. Nothing happens without a turn.
    ///
    /// # Errors
    ///
    /// When the worker is terminal.
    pub async fn interrupt_worker(
        &self,
        worker: &WorkerId,
        reason: Option<String>,
        by: Actor,
    ) -> Result<Ack, Error> {
        let request = request(reason, by)?;
        self.ask(worker, Command::Interrupt(request)).await
    }

    /// Ends a worker gracefully; returns when no process of it is left. Repeats answer with the first outcome.
    ///
    /// # Errors
    ///
    /// When processes could not be ended; the worker is stopped all the same, and its last event names them.
    pub async fn stop_worker(
        &self,
        worker: &WorkerId,
        grace: Option<Duration>,
        reason: Option<String>,
        by: Actor,
    ) -> Result<Ack, Error> {
        let request = request(reason, by)?;
        self.end(worker, Command::Stop(request, grace.unwrap_or(STOP_GRACE))).await
    }

    /// Ends a worker at once; returns when no process of it is left. Repeats answer with the first outcome.
    ///
    /// # Errors
    ///
    /// When processes could not be ended; the worker is cancelled all the same, and its last event names them.
    pub async fn cancel_worker(
        &self,
        worker: &WorkerId,
        reason: Option<String>,
        by: Actor,
    ) -> Result<Ack, Error> {
        let request = request(reason, by)?;
        self.end(worker, Command::Cancel(request)).await
    }

    /// Answers an approval.
    ///
    /// # Errors
    ///
    /// When the approval is not pending.
    pub async fn decide(
        &self,
        worker: &WorkerId,
        approval_id: ApprovalId,
        verdict: Verdict,
        by: Actor,
    ) -> Result<Ack, Error> {
        check_actor(&by)?;
        self.ask(worker, Command::Decide { approval_id, verdict, by }).await
    }

    /// A page of a worker's transcript; a negative `start` counts from the end.
    ///
    /// # Errors
    ///
    /// When there is no such worker, or the store cannot be read.
    pub async fn transcript_projection(
        &self,
        worker: &WorkerId,
        start: Start,
        limit: usize,
    ) -> Result<TranscriptPage, Error> {
        self.live(worker).await?;
        let slice = self.0.store.transcript(worker, start, limit).await?;
        Ok(show::transcript(slice, self.worker_ref(worker), limit))
    }

    /// A page of a worker's log.
    ///
    /// # Errors
    ///
    /// When there is no such worker, the cursor leads nowhere, or the store cannot be read.
    pub async fn read_worker_events(
        &self,
        worker: &WorkerId,
        from: From,
        types: Option<&[&str]>,
        limit: usize,
    ) -> Result<EventPage, ReadError> {
        self.live(worker).await?;
        let store = &*self.0.store;
        let head = store.head(worker).await?;
        let (after, from) = match from {
            From::Cursor(None) => (0, Cursor::new(worker, 0, 0)),
            From::Cursor(Some(cursor)) => {
                check_cursor(store, worker, cursor).await?;
                (cursor.seq(), cursor)
            }
            From::Tail(0) => (head.seq, head.cursor(worker)),
            From::Tail(n) => (head.seq.saturating_sub(n), Cursor::new(worker, 0, 0)),
        };
        let mut frames = read(store, worker, after, Most { events: limit, bytes: PAGE_BYTES }).await?;
        let next = frames.last().map_or(from, Frame::cursor);
        let has_more = next.seq() < store.head(worker).await?.seq;
        if let Some(types) = types {
            frames.retain(|frame| types.contains(&frame.type_name()));
        }
        Ok(EventPage { frames, next, has_more })
    }

    /// Waits until a worker's log goes further than this place, or until the time is up.
    ///
    /// # Errors
    ///
    /// When there is no such worker.
    pub async fn wait_events(
        &self,
        worker: &WorkerId,
        after: Cursor,
        at_most: Duration,
    ) -> Result<(), Error> {
        let live = self.live(worker).await?;
        let mut progress = live.view.watch();
        let further = progress.wait_for(|progress| progress.over || progress.seq > after.seq());
        // The time being up, or the worker's end, is no fault: the page that follows says what there is.
        drop(tokio::time::timeout(at_most, further).await);
        Ok(())
    }

    /// Streams a worker's log: a snapshot first, then every event behind it. With a cursor the snapshot holds the
    /// status only and the events behind the cursor follow.
    ///
    /// # Errors
    ///
    /// When there is no such worker, or the cursor leads nowhere.
    pub async fn observe_worker(
        &self,
        worker: &WorkerId,
        cursor: Option<Cursor>,
    ) -> Result<Observation, ReadError> {
        let live = self.live(worker).await?;
        if let Some(cursor) = cursor {
            check_cursor(&*self.0.store, worker, cursor).await?;
        }
        Ok(Observation::new(self.0.store.clone(), live.view.clone(), worker.clone(), cursor))
    }

    /// Resolves when the runtime begins to end.
    pub fn draining(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut phase = self.0.phase.subscribe();
        async move {
            // The sender lives as long as the runtime; without it nothing runs any more.
            let _ended = phase.wait_for(|phase| *phase != Phase::Running).await;
        }
    }

    /// Ends every session and waits until nothing runs. Workers stay what they are; no work is taken from now on.
    pub async fn shutdown(&self) {
        self.0.phase.send_replace(Phase::Draining);
        // A create that was under way is in the set now, or finds the runtime draining.
        let mut tasks = std::mem::take(&mut *self.0.tasks());
        let lives: Vec<_> = self.0.workers().values().cloned().collect();
        let all = async {
            for live in lives {
                // A task that has gone has ended its session already.
                let _gone = live.asked.send(Asked::Drain).await;
            }
            while tasks.join_next().await.is_some() {}
        };
        if tokio::time::timeout(SHUTDOWN_LIMIT, all).await.is_err() {
            tracing::error!(left = tasks.len(), "workers did not end in time; their sessions are dropped");
            tasks.shutdown().await;
        }
        self.0.phase.send_replace(Phase::Stopped);
    }

    /// The task of a worker, and what its observers share.
    async fn live(&self, worker: &WorkerId) -> Result<Arc<Live>, Error> {
        self.0.workers().get(worker).cloned().ok_or_else(|| Error::WorkerNotFound(worker.clone()))
    }

    async fn ask(&self, worker: &WorkerId, command: Command) -> Result<Ack, Error> {
        let live = self.live(worker).await?;
        let (reply, answer) = oneshot::channel();
        if live.asked.send(Asked::Command(command, reply)).await.is_ok()
            && let Ok(answer) = answer.await
        {
            return answer;
        }
        Err(self.gone(worker, &live))
    }

    /// As [`Runtime::ask`], but a worker that has ended answers with its first outcome.
    async fn end(&self, worker: &WorkerId, command: Command) -> Result<Ack, Error> {
        match self.ask(worker, command).await {
            Err(Error::NotRunning(_)) => {
                let row = self.0.store.worker(worker).await?;
                let row = row.ok_or_else(|| Error::WorkerNotFound(worker.clone()))?;
                let End { request, survivors } =
                    row.facts.end.expect("a terminal worker was ended by a request");
                if !survivors.is_empty() {
                    return Err(Error::ProcessesSurvived { worker: worker.clone(), survivors });
                }
                let cursor = row.head.cursor(worker);
                Ok(Ack {
                    worker_ref: self.worker_ref(worker),
                    status: row.facts.status,
                    event_id: request,
                    cursor,
                })
            }
            answer => answer,
        }
    }

    /// Why a worker's task is not there.
    fn gone(&self, worker: &WorkerId, live: &Live) -> Error {
        if live.view.status().is_terminal() {
            Error::NotRunning(worker.clone())
        } else {
            self.check_running().err().unwrap_or(Error::WorkerFailed(worker.clone()))
        }
    }

    fn check_running(&self) -> Result<(), Error> {
        match *self.0.phase.borrow() {
            Phase::Running => Ok(()),
            Phase::Draining => Err(Error::Draining),
            Phase::Stopped => Err(Error::Stopped),
        }
    }

    fn worker_ref(&self, worker: &WorkerId) -> WorkerRef {
        WorkerRef { runtime_id: self.0.runtime_id.clone(), worker_id: worker.clone() }
    }
}

impl Shared {
    fn workers(&self) -> MutexGuard<'_, HashMap<WorkerId, Arc<Live>>> {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tasks(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> Result<(), Error> {
        let mut tasks = self.tasks();
        if *self.phase.borrow() != Phase::Running {
            return Err(Error::Draining);
        }
        // Those that have ended are taken out here, so that the set holds running workers only.
        while let Some(ended) = tasks.try_join_next() {
            if let Err(error) = ended {
                tracing::error!(%error, "a worker's task panicked");
            }
        }
        tasks.spawn(task);
        Ok(())
    }
}

fn request(reason: Option<String>, by: Actor) -> Result<Request, Error> {
    if let Some(reason) = &reason {
        check_line("/reason", reason)?;
    }
    check_actor(&by)?;
    Ok(Request { reason, by })
}

fn check_actor(by: &Actor) -> Result<(), Error> {
    by.actor.as_ref().map_or(Ok(()), |actor| check_line("/actor", actor))
}
