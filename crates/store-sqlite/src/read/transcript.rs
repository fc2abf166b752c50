//! A worker's transcript.

use musher_core::{Head, Start, TranscriptSlice};
use musher_protocol::{TranscriptEntry, WorkerId};
use rusqlite::{Connection, Row, params};

use super::bounds;
use crate::{
    failure::{Fault, damaged, is_damage},
    seal,
};

/// A slice of a worker's transcript, with the head of the log at that moment.
pub(crate) fn transcript(
    connection: &Connection,
    worker: &WorkerId,
    start: Start,
    limit: usize,
) -> Result<TranscriptSlice, Fault> {
    let Some(bounds) = bounds(connection, worker)? else {
        return Ok(TranscriptSlice { start: 0, total: 0, entries: Vec::new(), head: Head::EMPTY });
    };
    let total: u64 = connection
        .prepare_cached("SELECT coalesce(max(sequence), 0) FROM stored_entry WHERE worker = ?1")?
        .query_row([bounds.number], |row| row.get(0))?;
    let start = match start {
        Start::Behind(n) => n.min(total),
        Start::BeforeEnd(n) => total.saturating_sub(n),
    };
    let mut statement = connection.prepare_cached(
        "SELECT sequence, body, seal FROM stored_entry
         WHERE worker = ?1 AND sequence > ?2 ORDER BY sequence LIMIT ?3",
    )?;
    let behind = i64::try_from(start).unwrap_or(i64::MAX);
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut rows = statement.query(params![bounds.number, behind, limit])?;
    let mut entries = Vec::new();
    loop {
        let sequence = start.saturating_add(entries.len() as u64 + 1);
        let entry = match rows.next() {
            Ok(Some(row)) => read(row, worker, sequence),
            Ok(None) => break,
            Err(error) => Err(error),
        };
        match entry {
            Ok(Some(entry)) => entries.push(entry),
            Ok(None) => return Err(damaged(worker, format!("transcript entry {sequence}")).into()),
            Err(error) if is_damage(&error) => {
                return Err(damaged(worker, format!("transcript entry {sequence}")).into());
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(TranscriptSlice { start, total, entries, head: bounds.head })
}

/// The entry that was read, or `None` when it is not what was written, or not the one that comes next.
fn read(row: &Row<'_>, worker: &WorkerId, sequence: u64) -> rusqlite::Result<Option<TranscriptEntry>> {
    let stored: u64 = row.get(0)?;
    let body = row.get_ref(1)?.as_bytes()?;
    let seal: u32 = row.get(2)?;
    if stored != sequence || seal != seal::entry(worker, sequence, body) {
        return Ok(None);
    }
    // An intact body that does not read is of a version that knew more; no entry is better than half of one.
    Ok(serde_json::from_slice(body).ok())
}
