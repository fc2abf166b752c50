//! Workers, many at a time.

use std::fs;

use musher_core::{StoreError, WorkerCounts, WorkerRow};
use musher_protocol::{Order, WorkerId, WorkerStatus};
use rusqlite::{Connection, params};

use super::{
    parsed,
    row::{checked, columns, status_text},
};
use crate::failure::{Fault, is_damage};

/// What stands behind every id: its first byte is in none.
const BEHIND_ALL: &str = "\u{7f}";

macro_rules! listing {
    ($which:literal) => {
        concat!(
            "SELECT ",
            columns!(),
            " FROM stored_worker w LEFT JOIN stored_spec s ON s.worker = w.worker WHERE ",
            $which
        )
    };
}

/// Rows in this order of creation, which is that of the ids, without damaged ones.
pub(crate) fn workers(
    connection: &Connection,
    status: Option<WorkerStatus>,
    order: Order,
    after: Option<&WorkerId>,
    limit: usize,
) -> Result<Vec<WorkerRow>, Fault> {
    let sql = match (status, order) {
        (None, Order::Asc) => {
            listing!("w.worker_id > ?1 AND w.status IS NOT NULL AND ?2 IS NULL ORDER BY w.worker_id")
        }
        (None, Order::Desc) => {
            listing!("w.worker_id < ?1 AND w.status IS NOT NULL AND ?2 IS NULL ORDER BY w.worker_id DESC")
        }
        (Some(_), Order::Asc) => listing!("w.worker_id > ?1 AND w.status = ?2 ORDER BY w.worker_id"),
        (Some(_), Order::Desc) => listing!("w.worker_id < ?1 AND w.status = ?2 ORDER BY w.worker_id DESC"),
    };
    let before_all = match order {
        Order::Asc => "",
        Order::Desc => BEHIND_ALL,
    };
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows =
        statement.query(params![after.map_or(before_all, WorkerId::as_str), status.map(status_text)])?;
    let mut found = Vec::new();
    // No limit in the statement: damaged rows do not count.
    while found.len() < limit
        && let Some(row) = rows.next()?
    {
        match checked(row) {
            Ok(Some(row)) => found.push(row),
            Ok(None) => tracing::error!(worker = ?row.get_ref(0)?, "the row of a worker is damaged"),
            Err(error) if is_damage(&error) => {
                tracing::error!(worker = ?row.get_ref(0)?, %error, "the row of a worker is damaged");
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(found)
}

/// Ids of unsettled workers in the order of creation.
pub(crate) fn unsettled(
    connection: &Connection,
    after: Option<&WorkerId>,
    limit: usize,
) -> Result<Vec<WorkerId>, Fault> {
    let mut statement = connection.prepare_cached(
        "SELECT worker_id FROM stored_worker WHERE unsettled = 1 AND worker_id > ?1 ORDER BY worker_id",
    )?;
    let mut rows = statement.query(params![after.map_or("", WorkerId::as_str)])?;
    let mut found = Vec::new();
    // No limit in the statement: what is damaged does not count.
    while found.len() < limit
        && let Some(row) = rows.next()?
    {
        match parsed(row, 0) {
            Ok(worker) => found.push(worker),
            Err(error) if is_damage(&error) => {
                tracing::error!(worker = ?row.get_ref(0)?, %error, "the id of a worker is damaged");
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(found)
}

/// How much the database and its log take on the disk.
pub(crate) fn bytes(connection: &Connection) -> Result<u64, Fault> {
    let size = |path: &str| match fs::metadata(path) {
        Ok(file) => Ok(file.len()),
        Err(source) => Err(StoreError::Io { attempt: "measure the database", source }),
    };
    let database = connection.path().expect("it is a file");
    Ok(size(database)? + size(&format!("{database}-wal"))?)
}

/// How many workers there are.
pub(crate) fn counts(connection: &Connection) -> Result<WorkerCounts, Fault> {
    let mut statement =
        connection.prepare_cached("SELECT active, stopped, cancelled FROM stored_runtime WHERE one = 1")?;
    Ok(statement.query_row([], |row| {
        Ok(WorkerCounts { active: row.get(0)?, stopped: row.get(1)?, cancelled: row.get(2)? })
    })?)
}
