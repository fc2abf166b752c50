//! What writes are checked against, and what they change.

use std::collections::HashMap;

use musher_core::StoreError;
use musher_protocol::{WorkerId, WorkerStatus};
use rusqlite::{Connection, params};

use crate::{
    failure::Fault,
    read::{Bounds, bounds, row},
};

/// So many workers that write are remembered: more than one machine runs at a time, in some ten MiB.
const REMEMBERED: usize = 65_536;

/// A worker's log, as the next write to it finds it.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) bounds: Bounds,
    pub(crate) status: WorkerStatus,
}

impl Place {
    /// Refuses a writer that is not the newest one.
    pub(crate) fn check_epoch(&self, worker: &WorkerId, epoch: u64) -> Result<(), StoreError> {
        if epoch == self.bounds.epoch {
            Ok(())
        } else {
            Err(StoreError::Fenced { worker: worker.clone(), epoch: self.bounds.epoch })
        }
    }
}

/// The places of workers that wrote lately, so that their next writes read nothing.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    places: HashMap<WorkerId, Place>,
}

impl Ledger {
    /// Begins anew when so many more would be too many. Which ones to keep is not worth keeping account of: a place
    /// is read again in some microseconds.
    pub(crate) fn make_room(&mut self, n: usize) {
        if self.places.len() + n > REMEMBERED {
            self.places.clear();
        }
    }

    pub(crate) fn clear(&mut self) {
        self.places.clear();
    }
}

/// What one transaction works on.
#[derive(Debug)]
pub(crate) struct Desk<'batch> {
    pub(crate) connection: &'batch Connection,
    ledger: &'batch mut Ledger,
    /// By how much the counts of workers change.
    active: i64,
    stopped: i64,
    cancelled: i64,
    counts_anew: bool,
    leaves_rows: bool,
}

impl<'batch> Desk<'batch> {
    pub(crate) fn new(connection: &'batch Connection, ledger: &'batch mut Ledger) -> Self {
        Self {
            connection,
            ledger,
            active: 0,
            stopped: 0,
            cancelled: 0,
            counts_anew: false,
            leaves_rows: false,
        }
    }

    /// The place of a worker, also when a write of this transaction moved it; `None` when there is no such worker.
    pub(crate) fn place(&mut self, worker: &WorkerId) -> Result<Option<&mut Place>, Fault> {
        if !self.ledger.places.contains_key(worker) {
            let Some(bounds) = bounds(self.connection, worker)? else { return Ok(None) };
            // A damaged row must not be built upon.
            let Some(row) = row(self.connection, worker)? else { return Ok(None) };
            let place = Place { bounds, status: row.status() };
            self.ledger.places.insert(worker.clone(), place);
        }
        Ok(self.ledger.places.get_mut(worker))
    }

    pub(crate) fn remember(&mut self, worker: WorkerId, place: Place) {
        self.ledger.places.insert(worker, place);
    }

    pub(crate) fn forget(&mut self, worker: &WorkerId) {
        self.ledger.places.remove(worker);
    }

    /// Counts workers of this status.
    pub(crate) fn count(&mut self, status: WorkerStatus, by: i64) {
        let count = match status {
            WorkerStatus::Running | WorkerStatus::Unknown => &mut self.active,
            WorkerStatus::Stopped => &mut self.stopped,
            WorkerStatus::Cancelled => &mut self.cancelled,
        };
        *count += by;
    }

    /// Has all workers counted again at the end of the transaction, in time that grows with their number.
    pub(crate) fn count_anew(&mut self) {
        self.counts_anew = true;
    }

    /// Notes that rows are left to remove.
    pub(crate) fn leave_rows(&mut self) {
        self.leaves_rows = true;
    }

    /// Whether rows are left to remove.
    pub(super) fn leaves_rows(&self) -> bool {
        self.leaves_rows
    }

    /// Writes what concerns the whole transaction, at its end.
    pub(crate) fn settle(&mut self) -> rusqlite::Result<()> {
        if self.counts_anew {
            self.connection.execute(
                "UPDATE stored_runtime SET
                 active = (SELECT count(*) FROM stored_worker WHERE status = 'running'),
                 stopped = (SELECT count(*) FROM stored_worker WHERE status = 'stopped'),
                 cancelled = (SELECT count(*) FROM stored_worker WHERE status = 'cancelled') WHERE one = 1",
                [],
            )?;
            return Ok(());
        }
        if (self.active, self.stopped, self.cancelled) == (0, 0, 0) {
            return Ok(());
        }
        self.connection
            .prepare_cached(
                "UPDATE stored_runtime
                 SET active = active + ?1, stopped = stopped + ?2, cancelled = cancelled + ?3 WHERE one = 1",
            )?
            .execute(params![self.active, self.stopped, self.cancelled])?;
        Ok(())
    }
}
