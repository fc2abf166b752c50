//! A worker's log: its bounds and its events.

use bytes::Bytes;
use musher_core::{Extent, Head, Most, StoreError, StoredEvent};
use musher_protocol::{ApprovalId, Payload, WorkerId};
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use uuid::Uuid;

use super::{parsed, time};
use crate::{
    failure::{Fault, damaged, is_damage},
    seal,
};

/// Who may write a log, and where it begins and ends.
#[derive(Clone, Debug)]
pub(crate) struct Bounds {
    /// The worker's number in this database.
    pub(crate) number: i64,
    pub(crate) epoch: u64,
    pub(crate) oldest: Head,
    pub(crate) head: Head,
    /// The newest commit.
    pub(crate) batch: Option<Uuid>,
}

/// The bounds of a worker's log; `None` when there is no such worker.
pub(crate) fn bounds(connection: &Connection, worker: &WorkerId) -> Result<Option<Bounds>, Fault> {
    let Some(start) = start(connection, worker)? else { return Ok(None) };
    let mut statement = connection.prepare_cached(concat!(
        "SELECT ",
        columns!(),
        " FROM stored_event WHERE worker = ?1 ORDER BY seq DESC LIMIT 1"
    ))?;
    let mut rows = statement.query(params![start.number])?;
    let last = rows.next()?.map(|row| read(row, worker)).transpose()?;
    let (head, batch) = match last {
        // What was pruned is no longer part of the log, though its rows may still be there.
        Some(Some((event, batch))) if event.seq > start.oldest.seq => {
            (Head { seq: event.seq, checksum: event.checksum }, batch)
        }
        Some(None) => return Err(damaged(worker, "the last event").into()),
        Some(Some(_)) | None => (start.oldest.clone(), start.pruned_batch),
    };
    if head.seq < start.shown {
        return Err(damaged(worker, format!("event {}", start.shown)).into());
    }
    let Start { number, epoch, oldest, .. } = start;
    Ok(Some(Bounds { number, epoch, oldest, head, batch }))
}

/// Where a worker's log begins and ends; `None` when there is no such worker.
pub(crate) fn extent(connection: &Connection, worker: &WorkerId) -> Result<Option<Extent>, Fault> {
    let bounds = bounds(connection, worker)?;
    Ok(bounds.map(|bounds| Extent { oldest: bounds.oldest, head: bounds.head }))
}

/// Events behind a place.
pub(crate) fn events(
    connection: &Connection,
    worker: &WorkerId,
    after: u64,
    most: Most,
) -> Result<Vec<StoredEvent>, Fault> {
    let Some(start) = start(connection, worker)? else { return Ok(Vec::new()) };
    if after < start.oldest.seq {
        return Err(StoreError::Pruned { worker: worker.clone(), oldest: start.oldest }.into());
    }
    let mut statement = connection.prepare_cached(concat!(
        "SELECT ",
        columns!(),
        " FROM stored_event WHERE worker = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3"
    ))?;
    // The first event comes in any case.
    let limit = i64::try_from(most.events.max(1)).unwrap_or(i64::MAX);
    // No log is longer than what SQLite can count.
    let behind = i64::try_from(after).unwrap_or(i64::MAX);
    let mut rows = statement.query(params![start.number, behind, limit])?;

    let mut events: Vec<StoredEvent> = Vec::new();
    let mut bytes = 0;
    let mut expected = after.saturating_add(1);
    loop {
        let event = match rows.next() {
            Ok(Some(row)) => read(row, worker),
            Ok(None) if events.is_empty() && after < start.shown => Ok(None),
            Ok(None) => break,
            Err(error) if is_damage(&error) => Ok(None),
            Err(error) => Err(error),
        }?;
        match event {
            Some((event, _)) if event.seq == expected => {
                bytes += event.payload.len();
                if !events.is_empty() && bytes > most.bytes {
                    break;
                }
                expected = expected.saturating_add(1);
                events.push(event);
            }
            _ if events.is_empty() => return Err(damaged(worker, format!("event {expected}")).into()),
            // The next read begins with the damage.
            Some(_) | None => break,
        }
    }
    Ok(events)
}

/// The condition on types and the value that is compared are those of the index, to the letter. The signs before `seq` keep SQLite
/// from going through the whole log in its order instead, to save itself the sorting of two rows.
const APPROVAL_EVENTS: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM stored_event WHERE worker = ?1 AND type IN ('approval_requested', 'approval_resolved')
     AND CASE WHEN json_valid(payload) THEN payload ->> '$.approval_id' END = ?2
     AND +seq > ?3 ORDER BY +seq LIMIT 2"
);

/// The events about an approval.
pub(crate) fn approval_events(
    connection: &Connection,
    worker: &WorkerId,
    approval: &ApprovalId,
) -> Result<Vec<StoredEvent>, Fault> {
    let Some(start) = start(connection, worker)? else { return Ok(Vec::new()) };
    let mut statement = connection.prepare_cached(APPROVAL_EVENTS)?;
    let mut rows = statement.query(params![start.number, approval.as_str(), start.oldest.seq])?;
    let mut events = Vec::new();
    loop {
        let event = match rows.next() {
            Ok(Some(row)) => read(row, worker)?,
            Ok(None) => return Ok(events),
            Err(error) if is_damage(&error) => None,
            Err(error) => return Err(error.into()),
        };
        let Some((event, _)) = event else {
            return Err(damaged(worker, format!("what is said of {approval}")).into());
        };
        events.push(event);
    }
}

/// The beginning of a log, as the worker's row has it.
struct Start {
    number: i64,
    epoch: u64,
    oldest: Head,
    pruned_batch: Option<Uuid>,
    /// The place that the worker's row was folded to; the log goes as far, or further.
    shown: u64,
}

fn start(connection: &Connection, worker: &WorkerId) -> Result<Option<Start>, Fault> {
    let mut statement = connection.prepare_cached(
        "SELECT worker, epoch, oldest_seq, oldest_checksum, pruned_batch, log_seal, head_seq
         FROM stored_worker WHERE worker_id = ?1 AND status IS NOT NULL",
    )?;
    let read = |row: &Row<'_>| {
        let start = Start {
            number: row.get(0)?,
            epoch: row.get(1)?,
            oldest: Head { seq: row.get(2)?, checksum: row.get(3)? },
            pruned_batch: batch(row, 4)?,
            shown: row.get(6)?,
        };
        let seal: u32 = row.get(5)?;
        let is_intact = seal == seal::log(worker, start.epoch, &start.oldest, start.pruned_batch);
        Ok(is_intact.then_some(start))
    };
    match statement.query_row(params![worker.as_str()], read).optional() {
        Ok(None) => Ok(None),
        Ok(Some(Some(start))) => Ok(Some(start)),
        Ok(Some(None)) => Err(damaged(worker, "the beginning of the log").into()),
        Err(error) if is_damage(&error) => Err(damaged(worker, "the beginning of the log").into()),
        Err(error) => Err(error.into()),
    }
}

/// The columns that [`read`] reads, of `stored_event`.
macro_rules! columns {
    () => {
        "seq, event_id, at, type, checksum, payload, seal, batch, subject"
    };
}
use columns;

/// The event that was read and the commit that it ended, or `None` when it is not what was written.
fn read(row: &Row<'_>, worker: &WorkerId) -> rusqlite::Result<Option<(StoredEvent, Option<Uuid>)>> {
    match unchecked(row) {
        Ok((event, seal, batch, sealed)) => {
            let Sealed { type_name, subject } = sealed;
            let is_intact =
                event.is_intact() && seal == seal::event(worker, &event, type_name, batch, subject);
            Ok(is_intact.then_some((event, batch)))
        }
        Err(error) if is_damage(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What the seal is over besides the event.
struct Sealed<'row> {
    type_name: &'row str,
    subject: Option<&'row str>,
}

type Unchecked<'row> = (StoredEvent, u32, Option<Uuid>, Sealed<'row>);

fn unchecked<'row>(row: &'row Row<'_>) -> rusqlite::Result<Unchecked<'row>> {
    let sealed = Sealed { type_name: row.get_ref(3)?.as_str()?, subject: row.get_ref(8)?.as_str_or_null()? };
    let event = StoredEvent {
        seq: row.get(0)?,
        event_id: parsed(row, 1)?,
        at: time(row, 2)?,
        type_name: known(sealed.type_name),
        checksum: row.get(4)?,
        payload: Bytes::copy_from_slice(row.get_ref(5)?.as_bytes()?),
    };
    Ok((event, row.get(6)?, batch(row, 7)?, sealed))
}

/// The program's name of a type: that of an unknown one where a later version wrote it.
fn known(type_name: &str) -> &'static str {
    let known = Payload::TYPES.iter().find(|name| **name == type_name);
    known.copied().unwrap_or(Payload::Unknown.type_name())
}

fn batch(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Uuid>> {
    let batch: Option<[u8; 16]> = row.get(column)?;
    Ok(batch.map(Uuid::from_bytes))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::migration::migrate;

    #[test]
    fn an_approval_is_looked_up_and_not_looked_for() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, Path::new("a.db")).unwrap();
        let explain = format!("EXPLAIN QUERY PLAN {APPROVAL_EVENTS}");
        let mut statement = connection.prepare(&explain).unwrap();
        let plan = statement.query_map(params![1, "apr_1", 0], |row| row.get::<_, String>(3)).unwrap();
        let plan: Vec<_> = plan.map(Result::unwrap).collect();
        let search = "SEARCH stored_event USING INDEX stored_event_approval (worker=? AND <expr>=?)";
        assert_eq!(plan, [search, "USE TEMP B-TREE FOR ORDER BY"]);
    }
}
