//! The right to write a log changes hands.

use musher_protocol::WorkerId;
use rusqlite::params;

use super::Desk;
use crate::{failure::Fault, queue::Write, seal};

/// Takes the exclusive right to write a worker's log.
#[derive(Debug)]
pub(crate) struct Claim(pub(crate) WorkerId);

impl Write for Claim {
    type Answer = Option<u64>;

    fn worker(&self) -> Option<&WorkerId> {
        Some(&self.0)
    }

    fn weight(&self) -> usize {
        0
    }

    fn apply(&self, desk: &mut Desk<'_>) -> Result<Option<u64>, Fault> {
        let Self(worker) = self;
        let connection = desk.connection;
        let Some(place) = desk.place(worker)? else { return Ok(None) };
        let epoch = place.bounds.epoch + 1;
        place.bounds.epoch = epoch;
        // The log's seal has the commit that a prune kept, not the newest.
        let batch: Option<[u8; 16]> = connection
            .prepare_cached("SELECT pruned_batch FROM stored_worker WHERE worker = ?1")?
            .query_row([place.bounds.number], |row| row.get(0))?;
        let seal = seal::log(worker, epoch, &place.bounds.oldest, batch.map(uuid::Uuid::from_bytes));
        connection
            .prepare_cached("UPDATE stored_worker SET epoch = ?2, log_seal = ?3 WHERE worker = ?1")?
            .execute(params![place.bounds.number, epoch, seal])?;
        Ok(Some(epoch))
    }
}
