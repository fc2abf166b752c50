//! How many workers of which backend are doing what.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use musher_protocol::{Execution, RunState, WorkerId, WorkerStatus};

/// What a worker is doing, in one word: its run state, or how it ended.
pub(crate) fn worker_state(status: WorkerStatus, execution: &Execution) -> &'static str {
    match status {
        WorkerStatus::Stopped => "stopped",
        WorkerStatus::Cancelled => "cancelled",
        WorkerStatus::Running | WorkerStatus::Unknown => match execution.run_state {
            RunState::Unconnected => "unconnected",
            RunState::Idle => "idle",
            RunState::Busy => "busy",
            RunState::Waiting => "waiting",
            RunState::Background => "background",
            RunState::Parked => "parked",
            RunState::Errored => "errored",
            RunState::Stopped => "stopped",
            RunState::Unknown => "unknown",
        },
    }
}

/// The counts. Rows of an earlier life are read beside everything else, so until that is done it is known by name who was
/// counted; from then on all were, and only changes are.
#[derive(Debug)]
pub(crate) struct Census {
    /// Protects the counts for single changes.
    inner: Mutex<Inner>,
}

type Counts = BTreeMap<(Arc<str>, &'static str), i64>;

#[derive(Debug)]
struct Inner {
    /// A count may be below 0 between two changes of different threads.
    counts: Counts,
    counted: Option<HashSet<WorkerId>>,
}

impl Default for Census {
    fn default() -> Self {
        Self { inner: Mutex::new(Inner { counts: Counts::new(), counted: Some(HashSet::new()) }) }
    }
}

impl Census {
    /// A worker was created.
    pub(crate) fn created(&self, worker: &WorkerId, backend: &Arc<str>, state: &'static str) {
        let mut inner = self.lock();
        if let Some(counted) = &mut inner.counted {
            counted.insert(worker.clone());
        }
        inner.add(backend, state, 1);
    }

    /// A worker of an earlier life is this, and nothing has happened to it in this life.
    pub(crate) fn found(&self, worker: &WorkerId, backend: &Arc<str>, state: &'static str) {
        let mut inner = self.lock();
        if inner.counted.as_mut().is_some_and(|counted| counted.insert(worker.clone())) {
            inner.add(backend, state, 1);
        }
    }

    /// All workers of an earlier life were found.
    pub(crate) fn found_all(&self) {
        self.lock().counted = None;
    }

    /// A worker that was counted does something else now.
    pub(crate) fn changed(&self, backend: &Arc<str>, before: &'static str, now: &'static str) {
        if before == now {
            return;
        }
        let mut inner = self.lock();
        inner.add(backend, before, -1);
        inner.add(backend, now, 1);
    }

    /// A worker is no more. It was this at its end.
    pub(crate) fn deleted(&self, worker: &WorkerId, backend: &Arc<str>, state: &'static str) {
        let mut inner = self.lock();
        // One that had not been counted must not be when its row is come to.
        if !inner.counted.as_mut().is_some_and(|counted| counted.insert(worker.clone())) {
            inner.add(backend, state, -1);
        }
    }

    pub(super) fn read(&self) -> Counts {
        self.lock().counts.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Every change is whole before anything could panic.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn add(&mut self, backend: &Arc<str>, state: &'static str, n: i64) {
        *self.counts.entry((Arc::clone(backend), state)).or_default() += n;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_worker_is_counted_once_whoever_comes_first() {
        let census = Census::default();
        let backend = Arc::<str>::from("a");
        let worker = |n: usize| format!("wrk_{n}").parse::<WorkerId>().unwrap();
        let found = |n, state| census.found(&worker(n), &backend, state);
        // Read on demand, then changed, then come to by who reads all rows.
        found(1, "idle");
        census.changed(&backend, "idle", "busy");
        found(1, "busy");
        // Come to first, then read on demand.
        found(2, "idle");
        found(2, "idle");
        census.changed(&backend, "idle", "idle");
        // Created while rows are read, and come to.
        census.created(&worker(3), &backend, "unconnected");
        found(3, "unconnected");
        // Deleted before it was come to, in a page that was read before.
        census.deleted(&worker(4), &backend, "stopped");
        found(4, "stopped");
        // Deleted after.
        found(5, "stopped");
        census.deleted(&worker(5), &backend, "stopped");
        found(6, "stopped");
        census.found_all();
        // From here on reading a worker says nothing new.
        found(6, "stopped");
        found(7, "stopped");
        census.created(&worker(8), &backend, "unconnected");
        census.deleted(&worker(6), &backend, "stopped");
        let counts = ["busy", "idle", "stopped", "unconnected"].map(|state| (backend.clone(), state));
        assert_eq!(census.read(), counts.into_iter().zip([1, 1, 0, 2]).collect());
    }
}
