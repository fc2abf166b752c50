//! A worker's row.

use musher_core::{Head, RowParts, WorkerRow};
use musher_protocol::{WorkerId, WorkerStatus};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::{parsed, time};
use crate::{
    failure::{Fault, damaged, is_damage},
    seal,
};

/// The columns that [`checked`] reads, of `stored_worker w` and `stored_spec s`.
macro_rules! columns {
    () => {
        "w.worker_id, w.status, w.unsettled, w.facts, w.head_seq, w.head_checksum, w.last_event_id, w.created_at,
         w.updated_at, w.seal, s.spec, s.seal"
    };
}
pub(super) use columns;

/// A worker's row; `None` when there is no such worker.
pub(crate) fn row(connection: &Connection, worker: &WorkerId) -> Result<Option<WorkerRow>, Fault> {
    let mut statement = connection.prepare_cached(concat!(
        "SELECT ",
        columns!(),
        " FROM stored_worker w LEFT JOIN stored_spec s ON s.worker = w.worker
         WHERE w.worker_id = ?1 AND w.status IS NOT NULL"
    ))?;
    let row = statement.query_row(params![worker.as_str()], |row| Ok(checked(row))).optional()?;
    match row {
        None => Ok(None),
        Some(Ok(Some(row))) => Ok(Some(row)),
        Some(Ok(None)) => Err(damaged(worker, "the row").into()),
        Some(Err(error)) if is_damage(&error) => Err(damaged(worker, "the row").into()),
        Some(Err(error)) => Err(error.into()),
    }
}

/// The row that was read, or `None` when it is not what was written.
pub(super) fn checked(row: &Row<'_>) -> rusqlite::Result<Option<WorkerRow>> {
    let status: String = row.get(1)?;
    let unsettled: bool = row.get(2)?;
    let parts = RowParts {
        worker_id: parsed(row, 0)?,
        spec: row.get(10)?,
        facts: row.get(3)?,
        head: Head { seq: row.get(4)?, checksum: row.get(5)? },
        last_event_id: parsed(row, 6)?,
        created_at: time(row, 7)?,
        updated_at: time(row, 8)?,
    };
    let seals: (u32, u32) = (row.get(9)?, row.get(11)?);
    if seals != (seal::row(&parts, &status, unsettled), seal::spec(&parts.worker_id, &parts.spec)) {
        return Ok(None);
    }
    // With its seals intact, a row that does not read was written like that, by a version that knew more.
    Ok(WorkerRow::from_parts(parts).ok())
}

/// A status as its column holds it.
pub(crate) fn status_text(status: WorkerStatus) -> &'static str {
    match status {
        WorkerStatus::Running | WorkerStatus::Unknown => "running",
        WorkerStatus::Stopped => "stopped",
        WorkerStatus::Cancelled => "cancelled",
    }
}
