//! What a store has done since it was opened.

use std::sync::atomic::{AtomicU64, Ordering};

/// What a store has done since it was opened, for metrics and benchmarks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Transactions that became durable, each with one sync of the write-ahead log.
    pub batches: u64,
    /// Writes (appends, claims, prunes, deletes) that were in them.
    pub writes: u64,
    /// Events that were in them.
    pub events: u64,
    /// Times that the write-ahead log was merged into the database. Each costs two syncs more, and the next batch a
    /// third, for the header of a log that begins anew.
    pub checkpoints: u64,
    /// Transactions that removed a slice of what was deleted or pruned.
    pub slices: u64,
}

/// The counters, while they count.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    batches: AtomicU64,
    writes: AtomicU64,
    events: AtomicU64,
    checkpoints: AtomicU64,
    slices: AtomicU64,
}

impl Tally {
    pub(crate) fn batch(&self, writes: usize, events: u64) {
        self.batches.fetch_add(1, Ordering::Relaxed);
        self.writes.fetch_add(writes as u64, Ordering::Relaxed);
        self.events.fetch_add(events, Ordering::Relaxed);
    }

    pub(crate) fn checkpoint(&self) {
        self.checkpoints.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn slice(&self) {
        self.slices.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> Counters {
        Counters {
            batches: self.batches.load(Ordering::Relaxed),
            writes: self.writes.load(Ordering::Relaxed),
            events: self.events.load(Ordering::Relaxed),
            checkpoints: self.checkpoints.load(Ordering::Relaxed),
            slices: self.slices.load(Ordering::Relaxed),
        }
    }
}
