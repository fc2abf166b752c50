//! The runtime: the door to every worker.

mod asking;
mod attending;
mod bundling;
mod changing;
mod comparing;
mod creating;
mod deciding;
mod deleting;
mod housekeeping;
mod listing;
mod loading;
mod measuring;
mod offering;
mod reading;
mod tidying;

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use musher_backend::Vault;
use musher_process::Owner;
use musher_protocol::{
    Actor, RuntimeDiagnostic, RuntimeId, RuntimeLimits, RuntimeStatus, RuntimeSummary, WorkerId, WorkerRef,
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};

use crate::{
    attention::Board,
    builder::{Builder, Catalog},
    changes::Changes,
    create::check_line,
    diagnostics::Diagnostics,
    error::Error,
    figures::Figures,
    idempotency::{KeyPlace, Keyed},
    looks::Looks,
    retention::Retention,
    store::{Health, Store, StoreError},
    task::{Asked, now},
    temporary::Temporary,
    view,
    workspace::Desk,
};

pub(crate) use self::{comparing::Turns, loading::Slot};

pub use self::{
    changing::{CatalogChange, CatalogFeed, FeedError},
    deleting::UnsavedWork,
    listing::{WorkerFilter, WorkerPage},
    reading::{EventPage, From},
};

/// What `shutdown` gives workers to end: their own grace, and what is needed to look for what is left.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(25);

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
    /// Where repositories are looked at.
    pub(crate) desk: Desk,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) catalog: Catalog,
    pub(crate) limits: RuntimeLimits,
    pub(crate) retention: Retention,
    /// How many idempotency keys of one token are remembered.
    pub(crate) max_keys: u64,
    /// What no event may show.
    pub(crate) vault: Arc<Vault>,
    pub(crate) diagnostics: Arc<Diagnostics>,
    /// What waits for a person.
    pub(crate) board: Arc<Board>,
    /// What is counted.
    pub(crate) figures: Arc<Figures>,
    /// What becomes of workers.
    pub(crate) changes: Arc<Changes>,
    /// Workers whose logs were found damaged: nothing of them runs, whatever their rows say. Protects the set for single
    /// look-ups and inserts.
    pub(crate) damaged: Mutex<BTreeSet<WorkerId>>,
    pub(crate) phase: watch::Sender<Phase>,
    /// Whose processes those of the life before were, when some of them could not be ended.
    pub(crate) left_behind: Option<Owner>,
    /// Where sessions have their temporary directories, where they can have any.
    pub(crate) temporary: Option<Arc<Temporary>>,
    /// Who looks for what workers need.
    pub(crate) looks: Looks,
    /// Who compares files.
    pub(crate) comparing: Turns,
    /// How the store is.
    pub(crate) health: watch::Receiver<Health>,
    /// Workers that were asked for in this life and have a task. Protects the map for single look-ups and inserts.
    pub(crate) workers: Mutex<HashMap<WorkerId, Slot>>,
    /// Keys whose first request is under way, where no worker's task knows that: one for each request. Protects the set for
    /// single inserts and removals.
    pub(crate) keys_in_flight: Mutex<HashSet<KeyPlace>>,
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

impl Runtime {
    /// Puts a runtime together over a store.
    #[must_use]
    pub fn builder(store: impl Store) -> Builder {
        Builder::new(Arc::new(store))
    }

    /// The same over a store that others hold too, or whose kind is known only when the program runs.
    #[must_use]
    pub fn builder_on(store: Arc<dyn Store>) -> Builder {
        Builder::new(store)
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
            status: match (phase, self.readiness()) {
                (Phase::Stopped, _) | (_, Err(Error::Store(_))) => RuntimeStatus::Stopped,
                (Phase::Draining, _) => RuntimeStatus::Draining,
                (Phase::Running, _) => RuntimeStatus::Running,
            },
            worker_count: counts.active + counts.stopped + counts.cancelled,
            active_worker_count: counts.active,
            stopped_worker_count: counts.stopped,
            cancelled_worker_count: counts.cancelled,
            diagnostic_count: self.0.diagnostics.total(),
            worker_creation_available: phase == Phase::Running && self.check_space().is_ok(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            limits: self.0.limits,
        })
    }

    /// The newest diagnostics of the runtime itself, oldest first.
    #[must_use]
    pub fn diagnostics(&self) -> Vec<RuntimeDiagnostic> {
        self.0.diagnostics.newest()
    }

    /// Reports something that concerns no worker, for the program around the runtime: among its
    /// [diagnostics](Self::diagnostics), and in the program's log. Clients read the message, so it names no path and no
    /// secret.
    pub fn report(&self, code: &str, message: impl Into<String>) {
        self.0.diagnostics.report(code, message, None);
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
        // Every task hears that, also one that has just begun to read its worker.
        self.0.phase.send_replace(Phase::Draining);
        // A create that was under way is in the set now, or finds the runtime draining.
        let mut tasks = std::mem::take(&mut *self.0.tasks());
        let all = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(SHUTDOWN_LIMIT, all).await.is_err() {
            tracing::error!(left = tasks.len(), "workers did not end in time; their sessions are dropped");
            tasks.shutdown().await;
        }
        self.0.phase.send_replace(Phase::Stopped);
    }

    fn check_running(&self) -> Result<(), Error> {
        match *self.0.phase.borrow() {
            Phase::Running => Ok(()),
            Phase::Draining => Err(Error::Draining),
            Phase::Stopped => Err(Error::Stopped),
        }
    }

    /// Whether something new may begin.
    fn check_space(&self) -> Result<(), Error> {
        match &*self.0.health.borrow() {
            Health::Good => Ok(()),
            Health::Full => Err(Error::Store(Arc::new(StoreError::Full))),
            Health::Failed(error) => Err(Error::Store(error.clone())),
        }
    }

    /// Refuses the first request under a key where it could not be remembered.
    async fn check_room(&self, keyed: &Keyed) -> Result<(), Error> {
        keyed.check_room(&*self.0.store, self.0.max_keys, now()).await
    }

    /// Why the store failed, when it has.
    #[must_use]
    pub fn failure(&self) -> Option<Arc<StoreError>> {
        match &*self.0.health.borrow() {
            Health::Failed(error) => Some(error.clone()),
            Health::Good | Health::Full => None,
        }
    }

    /// Resolves when the store has failed, with why: nothing that is asked for from then on is done, and the process
    /// should end and say so.
    pub fn failed(&self) -> impl Future<Output = Arc<StoreError>> + Send + use<> {
        let mut health = self.0.health.clone();
        async move {
            loop {
                if let Health::Failed(error) = &*health.borrow_and_update() {
                    return error.clone();
                }
                if health.changed().await.is_err() {
                    // The store is gone with its runtime: it will not fail any more.
                    std::future::pending::<()>().await;
                }
            }
        }
    }

    /// Whether the runtime does what it is asked for. It does with a full store too, though it begins nothing new.
    ///
    /// # Errors
    ///
    /// When it is ending, or its store has failed.
    pub fn readiness(&self) -> Result<(), Error> {
        if let Some(error) = self.failure() {
            return Err(Error::Store(error));
        }
        if *self.0.phase.borrow() == Phase::Running { Ok(()) } else { Err(Error::Draining) }
    }

    fn worker_ref(&self, worker: &WorkerId) -> WorkerRef {
        WorkerRef { runtime_id: self.0.runtime_id.clone(), worker_id: worker.clone() }
    }
}

impl Shared {
    fn workers(&self) -> MutexGuard<'_, HashMap<WorkerId, Slot>> {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a worker out of memory. While the runtime ends, who asks for it is told so by what it had.
    fn forget(&self, worker: &WorkerId) {
        if *self.phase.borrow() == Phase::Running {
            self.workers().remove(worker);
        }
    }

    /// Remembers that a worker's log is damaged, and reports it: once, so that nobody can push other diagnostics out by
    /// asking again.
    fn note_damage(&self, worker: &WorkerId, error: &StoreError) {
        if matches!(error, StoreError::Corrupt { .. }) && self.damaged().insert(worker.clone()) {
            let message =
                format!("{error}; the worker can be read where it is whole, and takes nothing more");
            // Nothing can be decided about what is damaged.
            self.board.remove(worker);
            self.diagnostics.report("store.worker_damaged", message, Some(worker.clone()));
            self.changes.note(worker);
        }
    }

    fn damaged(&self) -> MutexGuard<'_, BTreeSet<WorkerId>> {
        self.damaged.lock().unwrap_or_else(PoisonError::into_inner)
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

fn check_actor(by: &Actor) -> Result<(), Error> {
    by.actor.as_ref().map_or(Ok(()), |actor| check_line("/actor", actor))
}
