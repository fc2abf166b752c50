//! How workers come into memory: created there, or read from the store by the first who asks for them.

use std::{
    collections::hash_map::Entry,
    sync::{Arc, Weak},
    time::Duration,
};

use jiff::Timestamp;
use musher_backend::Backend;
use musher_process::{Marker, Scope, Sweep};
use musher_protocol::{Survivor, WorkerId};
use tokio::sync::{mpsc, oneshot, watch};

use super::{Live, Runtime, Shared};
use crate::{
    absent::Absent,
    attention::Post,
    error::Error,
    figures::Meter,
    load::{Loaded, load},
    machine::Input,
    profile::WorkerSpec,
    session::survivors,
    store::{StoreError, WorkerRow},
    task::{Parts, Place, Task, TaskEnd},
    view,
};

/// Requests of one worker that wait for its task, which is busy only while it looks an input up in the store.
const ASKED: usize = 64;
/// Workers that are read at the same time at the start: enough to share syncs, few enough for memory.
const RECOVERED_AT_ONCE: usize = 256;
/// How long processes that an earlier life could not end may resist once more.
const SWEEP_LIMIT: Duration = Duration::from_secs(1);

/// The place of a worker in the runtime's memory, empty while it is read. One task fills it, however many wait, and
/// whether they stay or go.
pub(crate) type Slot = watch::Sender<Option<Result<Arc<Live>, Missing>>>;

/// A slot, seen by whoever waits until it is filled.
type Waiting = watch::Receiver<Option<Result<Arc<Live>, Missing>>>;

/// Why a worker could not be read.
#[derive(Clone, Debug)]
pub(crate) enum Missing {
    NotThere,
    Store(Arc<StoreError>),
}

/// A worker that is about to have its task.
pub(super) struct Seat {
    pub(super) worker: WorkerId,
    pub(super) spec: Arc<WorkerSpec>,
    pub(super) backend: Arc<dyn Backend>,
    pub(super) epoch: u64,
    pub(super) created_at: Timestamp,
}

impl Runtime {
    /// Reads every worker that an earlier life left something to do for; they write the truth about it first.
    pub(crate) async fn recover(&self) -> Result<(), Error> {
        let mut after = None;
        loop {
            let page = self.0.store.unsettled(after.as_ref(), RECOVERED_AT_ONCE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.clone());
            // Their commits share syncs, so they are begun together and waited for one by one.
            let slots: Vec<_> = page.iter().map(|worker| self.slot(worker)).collect::<Result<_, _>>()?;
            for (worker, slot) in page.iter().zip(slots) {
                match self.filled(worker, slot).await {
                    Ok(_) => {}
                    // It is read-only, and named in the diagnostics; the others are none the worse for it.
                    Err(Error::Store(error)) if matches!(*error, StoreError::Corrupt { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
        }
    }

    /// The task of a worker, and what its observers share.
    pub(super) async fn live(&self, worker: &WorkerId) -> Result<Arc<Live>, Error> {
        let slot = self.slot(worker)?;
        self.filled(worker, slot).await
    }

    async fn filled(&self, worker: &WorkerId, mut slot: Waiting) -> Result<Arc<Live>, Error> {
        let filled = slot.wait_for(Option::is_some).await;
        match filled.as_deref() {
            Ok(Some(Ok(live))) => Ok(live.clone()),
            Ok(Some(Err(Missing::NotThere))) => Err(Error::WorkerNotFound(worker.clone())),
            Ok(Some(Err(Missing::Store(error)))) => Err(Error::Store(error.clone())),
            // The task that was to fill it was dropped with its runtime.
            Ok(None) | Err(_) => Err(Error::Stopped),
        }
    }

    /// Waits for nothing: whoever finds no slot makes one, and has it filled.
    fn slot(&self, worker: &WorkerId) -> Result<Waiting, Error> {
        let mut workers = self.0.workers();
        let entry = match workers.entry(worker.clone()) {
            Entry::Occupied(entry) => return Ok(entry.get().subscribe()),
            Entry::Vacant(entry) => entry,
        };
        let slot = Slot::new(None);
        let (runtime, worker) = (self.clone(), worker.clone());
        let fills = slot.clone();
        let guard = Emptied { shared: Arc::downgrade(&self.0), worker: worker.clone(), slot: slot.clone() };
        self.0.spawn(async move {
            runtime.fill(worker, fills).await;
            drop(guard);
        })?;
        let filled = slot.subscribe();
        entry.insert(slot);
        Ok(filled)
    }

    /// Reads a worker into its slot and drives it from there.
    async fn fill(self, worker: WorkerId, slot: Slot) {
        match self.read(&worker).await {
            Ok(Some(Read::Terminal(live))) => {
                // Whoever asked holds it; it has no task, and is read again by the next.
                self.0.forget(&worker);
                slot.send_replace(Some(Ok(live)));
            }
            Ok(Some(Read::Running { task, live, survivors })) => {
                let shared = Arc::downgrade(&self.0);
                let (shared_too, worker_too) = (shared.clone(), worker.clone());
                // A worker's task must not keep the runtime from ending.
                drop(self);
                let (reply, begun) = oneshot::channel();
                let shown = async {
                    let filled = match begun.await {
                        Ok(Ok(())) => {
                            live.view.show_needs();
                            Ok(live)
                        }
                        Ok(Err(Error::Store(error))) => {
                            shared_too.upgrade().inspect(|shared| shared.note_damage(&worker_too, &error));
                            Err(Missing::Store(error))
                        }
                        Ok(Err(_)) | Err(_) => Err(Missing::Store(Arc::new(StoreError::Failed))),
                    };
                    slot.send_replace(Some(filled));
                };
                tokio::join!(drive(*task, Input::Recovered { survivors }, reply, shared, worker), shown);
            }
            Ok(None) | Err(StoreError::NoWorker(_)) => self.give_up(&worker, &slot, Missing::NotThere),
            Err(error) => {
                self.0.note_damage(&worker, &error);
                tracing::error!(%worker, error = &error as &dyn std::error::Error, "read a worker");
                self.give_up(&worker, &slot, Missing::Store(Arc::new(error)));
            }
        }
    }

    /// Whoever asks next tries again.
    fn give_up(&self, worker: &WorkerId, slot: &Slot, missing: Missing) {
        self.0.forget(worker);
        slot.send_replace(Some(Err(missing)));
    }

    async fn read(&self, worker: &WorkerId) -> Result<Option<Read>, StoreError> {
        let store = &*self.0.store;
        let Some(row) = store.worker(worker).await? else { return Ok(None) };
        let terminal = row.status().is_terminal();
        // Before the log is read: nobody else can write behind what is read then.
        let epoch = if terminal { None } else { store.claim(worker).await? };
        let loaded = load(store, &row, self.worker_ref(worker)).await?;
        let survivors = self.left_behind(&row).await;
        let WorkerRow { spec, created_at, updated_at, .. } = row;
        let Loaded { fold, head, last_event_id, uncovered, entries } = loaded;
        let post = Post::of(&self.0.board, &spec);
        let meter = Meter::new(&self.0.figures, &spec.profile);
        let view = Arc::new(view::Shared::at(fold.clone(), head.clone(), updated_at, entries, post, meter));
        view.found();
        let Some(epoch) = epoch else {
            view.close();
            let (asked, _nobody_listens) = mpsc::channel(1);
            return Ok(Some(Read::Terminal(Arc::new(Live { asked, view }))));
        };
        let backend = self.backend(&spec.profile.backend);
        let seat = Seat { worker: worker.clone(), spec, backend, epoch, created_at };
        let place = Place { fold, head, last_event_id: Some(last_event_id), uncovered };
        let (task, live) = self.seat(seat, place, view);
        Ok(Some(Read::Running { task: Box::new(task), live, survivors }))
    }

    /// Processes of a worker's earlier life that are still there.
    async fn left_behind(&self, row: &WorkerRow) -> Vec<Survivor> {
        let Some(owner) = self.0.left_behind.clone().filter(|_| row.unsettled()) else { return Vec::new() };
        let marker = Marker::new(owner, row.worker_id.as_str()).expect("an id is a marker");
        survivors(Sweep {
            scope: Scope::Worker(marker),
            root: None,
            grace: Duration::ZERO,
            limit: SWEEP_LIMIT,
        })
        .await
    }

    /// The backend that a profile names; one that the config no longer has can run nothing.
    fn backend(&self, name: &str) -> Arc<dyn Backend> {
        let known = self.0.catalog.backends.get(name).cloned();
        known.unwrap_or_else(|| Arc::new(Absent::new(name)))
    }

    /// A worker's task that has not begun, and the way to it.
    pub(super) fn seat(&self, seat: Seat, place: Place, view: Arc<view::Shared>) -> (Task, Arc<Live>) {
        let Seat { worker, spec, backend, epoch, created_at } = seat;
        let (asked_in, asked) = mpsc::channel(ASKED);
        let marker = Marker::new(self.0.owner.clone(), worker.as_str()).expect("an id is a marker");
        let parts = Parts {
            spec,
            backend,
            tools: self.0.catalog.tools.clone(),
            store: self.0.store.clone(),
            shared: view.clone(),
            changes: Arc::clone(&self.0.changes),
            marker,
            node: self.0.owner.as_str().into(),
            asked,
            created_at,
            epoch,
            retention: self.0.retention,
            max_keys: self.0.max_keys,
            temporary: self.0.temporary.clone(),
            diagnostics: Arc::clone(&self.0.diagnostics),
            desk: self.0.desk.clone(),
            vault: Arc::clone(&self.0.vault),
            phase: self.0.phase.subscribe(),
        };
        (Task::new(parts, place), Arc::new(Live { asked: asked_in, view }))
    }
}

/// Looks after a slot whose task ends without filling it, by a panic: whoever waits is told, and the next tries again.
struct Emptied {
    shared: Weak<Shared>,
    worker: WorkerId,
    slot: Slot,
}

impl Drop for Emptied {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(shared) = self.shared.upgrade()
        {
            shared.forget(&self.worker);
            self.slot.send_if_modified(|slot| {
                let empty = slot.is_none();
                if empty {
                    *slot = Some(Err(Missing::Store(Arc::new(StoreError::Failed))));
                }
                empty
            });
        }
    }
}

/// What was read.
enum Read {
    Terminal(Arc<Live>),
    Running { task: Box<Task>, live: Arc<Live>, survivors: Vec<Survivor> },
}

/// Runs a worker's task to its end. Whoever asks for the worker after that reads it from the store.
pub(super) async fn drive(
    task: Task,
    first: Input,
    reply: oneshot::Sender<Result<(), Error>>,
    shared: Weak<Shared>,
    worker: WorkerId,
) -> TaskEnd {
    let end = task.live(first, reply).await;
    let Some(shared) = shared.upgrade() else { return end };
    shared.forget(&worker);
    if end == TaskEnd::Cut {
        // What the task left open is closed in the log by whoever reads the worker next, and nobody may be served
        // before: read it now. Where that cannot be, because the runtime ends or its store has failed, the next life
        // does it.
        let _begun = Runtime(shared).slot(&worker);
    }
    end
}
