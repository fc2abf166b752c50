//! A worker is deleted.

use musher_protocol::{WorkerId, WorkerStatus};
use rusqlite::{OptionalExtension as _, params};

use super::Desk;
use crate::{
    failure::{Fault, is_damage},
    queue::Write,
    read::row,
};

/// Hides a worker for ever; answers whether there was one. Its rows go later. A damaged worker can be deleted like
/// any other.
#[derive(Debug)]
pub(crate) struct Delete(pub(crate) WorkerId);

impl Write for Delete {
    type Answer = bool;

    fn worker(&self) -> Option<&WorkerId> {
        Some(&self.0)
    }

    fn weight(&self) -> usize {
        0
    }

    fn apply(&self, desk: &mut Desk<'_>) -> Result<bool, Fault> {
        let Self(worker) = self;
        let found = desk
            .connection
            .prepare_cached(
                "SELECT worker, status FROM stored_worker WHERE worker_id = ?1 AND status IS NOT NULL",
            )?
            .query_row([worker.as_str()], |row| {
                let status = match row.get_ref(1)?.as_str()? {
                    "stopped" => WorkerStatus::Stopped,
                    "cancelled" => WorkerStatus::Cancelled,
                    _running => WorkerStatus::Running,
                };
                Ok((row.get::<_, i64>(0)?, status))
            })
            .optional()?;
        let Some((number, status)) = found else { return Ok(false) };
        let is_intact = match row(desk.connection, worker) {
            Ok(_) => true,
            Err(Fault::Refused(_damaged)) => false,
            Err(Fault::Sqlite(error)) if is_damage(&error) => false,
            Err(Fault::Sqlite(error)) => return Err(error.into()),
        };
        desk.connection
            .prepare_cached(
                "UPDATE stored_worker SET status = NULL, unsettled = 0, facts = '', sweep = 1 WHERE worker = ?1",
            )?
            .execute(params![number])?;
        if is_intact {
            desk.count(status, -1);
        } else {
            // Nobody knows as what it was counted.
            desk.count_anew();
        }
        desk.forget(worker);
        desk.leave_rows();
        Ok(true)
    }
}
