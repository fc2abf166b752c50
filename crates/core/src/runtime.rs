//! The runtime: the door to every worker.

mod asking;
mod reading;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use musher_backend::Availability;
use musher_process::{Marker, Owner};
use musher_protocol::{
    Actor, CreateWorker, RuntimeId, RuntimeLimits, RuntimeStatus, RuntimeSummary, WorkerDetail, WorkerId,
    WorkerRef,
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
};

use crate::{
    builder::{Builder, Catalog},
    create::{check_line, first_inputs, make_scratch, resolve},
    error::Error,
    fold::Fold,
    machine::Input,
    store::Store,
    task::{Asked, Parts, Task, now},
    view,
};

pub use self::reading::{EventPage, From};

/// Requests of one worker that wait for its task, which is busy only while it looks an input up in the store.
const ASKED: usize = 64;
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
            // Diagnostics are in workers' logs; the runtime itself has none to report.
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
        let forget_refused = forget.clone();
        let spawned = self.0.spawn(async move {
            if !task.live(Input::Created { by, first }, reply).await {
                forget();
            }
        });
        if let Err(error) = spawned {
            forget_refused();
            return Err(error);
        }
        created.await.unwrap_or(Err(Error::WorkerFailed(worker.clone())))?;
        self.worker_detail(&worker).await
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

fn check_actor(by: &Actor) -> Result<(), Error> {
    by.actor.as_ref().map_or(Ok(()), |actor| check_line("/actor", actor))
}
