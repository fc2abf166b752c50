//! The oldest events of a log are forgotten.

use musher_core::StoreError;
use musher_protocol::WorkerId;
use rusqlite::params;
use uuid::Uuid;

use super::{Desk, append::write_checkpoint};
use crate::{failure::Fault, queue::Write, seal};

/// Moves the beginning of a log and writes the checkpoint that stands for what was before it. The rows go later.
#[derive(Debug)]
pub(crate) struct Prune(pub(crate) musher_core::Prune);

impl Write for Prune {
    type Answer = ();

    fn worker(&self) -> Option<&WorkerId> {
        Some(&self.0.worker)
    }

    fn weight(&self) -> usize {
        self.0.checkpoint.body.len()
    }

    fn apply(&self, desk: &mut Desk<'_>) -> Result<(), Fault> {
        let musher_core::Prune { worker, epoch, oldest, checkpoint } = &self.0;
        let connection = desk.connection;
        let Some(place) = desk.place(worker)? else {
            return Err(StoreError::NoWorker(worker.clone()).into());
        };
        place.check_epoch(worker, *epoch)?;
        let bounds = &mut place.bounds;
        if oldest.seq <= bounds.oldest.seq {
            return Ok(());
        }
        if oldest.seq > bounds.head.seq {
            return Err(StoreError::Conflict { worker: worker.clone(), head: bounds.head.seq }.into());
        }
        bounds.oldest = oldest.clone();
        connection
            .prepare_cached(
                "UPDATE stored_worker
                 SET oldest_seq = ?2, oldest_checksum = ?3, pruned_batch = ?4, log_seal = ?5, sweep = 1
                 WHERE worker = ?1",
            )?
            .execute(params![
                bounds.number,
                oldest.seq,
                oldest.checksum,
                bounds.batch.map(Uuid::into_bytes),
                seal::log(worker, *epoch, oldest, bounds.batch),
            ])?;
        write_checkpoint(connection, worker, bounds.number, checkpoint)?;
        desk.leave_rows();
        Ok(())
    }
}
