//! Commits of workers.

use std::io;

use musher_core::{Checkpoint, Commit, Head, Kept, RowParts, StoreError, StoredEvent};
use musher_protocol::{Role, TranscriptEntry, WorkerId, WorkerStatus};
use rusqlite::{
    Connection, OptionalExtension as _, params,
    types::{ToSqlOutput, ValueRef},
};
use serde::Deserialize;
use uuid::Uuid;

use super::{Desk, Remember, desk::Place};
use crate::{
    failure::Fault,
    queue::Write,
    read::{Bounds, status_text},
    seal,
};

/// A commit, in the form that it is written in.
#[derive(Debug)]
pub(crate) struct Append {
    commit: Commit,
    /// Beside each of the commit's events.
    events: Vec<EventRow>,
    entries: Vec<EntryRow>,
    row: Option<Row>,
    /// Beside each of the commit's kept records.
    kept_seals: Vec<u32>,
    keys: Remember,
    weight: usize,
}

#[derive(Debug)]
struct EventRow {
    at: i64,
    seal: u32,
    subject: Option<String>,
}

#[derive(Debug)]
struct EntryRow {
    body: String,
    role: &'static str,
    seal: u32,
}

#[derive(Debug)]
struct Row {
    parts: RowParts,
    status: WorkerStatus,
    unsettled: bool,
    created_at: i64,
    updated_at: i64,
    seal: u32,
}

impl Append {
    /// Prepares a commit in its caller's time, so that the thread that writes has only to write.
    pub(crate) fn new(mut commit: Commit) -> Result<Self, StoreError> {
        if commit.events.is_empty() || !is_gapless(&commit) {
            return Err(invalid("its events are not numbered from the head"));
        }
        if !commit.kept.iter().all(|kept| Kept::is_name(&kept.name)) {
            return Err(invalid("a kept record has a name that is none"));
        }
        let Commit { worker, batch_id, .. } = &commit;
        let last = commit.events.len() - 1;
        let events = commit.events.iter().enumerate();
        let events = events.map(|(n, event)| EventRow::of(worker, event, (n == last).then_some(*batch_id)));
        let events = events.collect::<Result<Vec<_>, _>>()?;
        let entries = commit.entries.iter().map(|entry| EntryRow::of(worker, entry)).collect::<Vec<_>>();
        let kept_seals = commit.kept.iter().map(|kept| seal::kept(worker, kept)).collect();
        let keys = Remember::new(std::mem::take(&mut commit.keys))?;
        let row = commit.row.take().map(|row| Row::of(&row)).transpose()?;
        let weight = commit.events.iter().map(|event| event.payload.len()).sum::<usize>()
            + entries.iter().map(|entry| entry.body.len()).sum::<usize>()
            + commit.blobs.iter().map(|blob| blob.bytes.len()).sum::<usize>()
            + commit.kept.iter().map(|kept| kept.name.len() + kept.bytes.len()).sum::<usize>()
            + keys.bytes()
            + row.as_ref().map_or(0, |row| row.parts.facts.len() + row.parts.spec.len())
            + commit.checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.body.len());
        Ok(Self { commit, events, entries, row, kept_seals, keys, weight })
    }
}

impl Write for Append {
    type Answer = ();

    fn worker(&self) -> Option<&WorkerId> {
        Some(&self.commit.worker)
    }

    fn weight(&self) -> usize {
        self.weight
    }

    fn n_events(&self) -> usize {
        self.events.len()
    }

    fn apply(&self, desk: &mut Desk<'_>) -> Result<(), Fault> {
        let Commit { worker, epoch, expected_head, batch_id, .. } = &self.commit;
        let connection = desk.connection;
        let number = match desk.place(worker)? {
            Some(place) => {
                place.check_epoch(worker, *epoch)?;
                if place.bounds.batch == Some(*batch_id) {
                    return Ok(());
                }
                if place.bounds.head.seq != *expected_head {
                    let head = place.bounds.head.seq;
                    return Err(StoreError::Conflict { worker: worker.clone(), head }.into());
                }
                place.bounds.head = self.commit.head();
                place.bounds.batch = Some(*batch_id);
                let number = place.bounds.number;
                if let Some(row) = &self.row {
                    let before = std::mem::replace(&mut place.status, row.status);
                    row.update(connection, number)?;
                    if before != row.status {
                        desk.count(before, -1);
                        desk.count(row.status, 1);
                    }
                }
                number
            }
            None => self.create(desk)?,
        };
        self.write(connection, number)?;
        Ok(())
    }
}

impl Append {
    /// Makes the worker whose first commit this is; answers with its number.
    fn create(&self, desk: &mut Desk<'_>) -> Result<i64, Fault> {
        let Commit { worker, epoch, expected_head: 0, batch_id, .. } = &self.commit else {
            return Err(StoreError::NoWorker(self.commit.worker.clone()).into());
        };
        let Some(row) = &self.row else { return Err(StoreError::NoWorker(worker.clone()).into()) };
        if *epoch != Commit::FIRST_EPOCH {
            return Err(StoreError::NoWorker(worker.clone()).into());
        }
        let was_deleted = desk
            .connection
            .prepare_cached("SELECT 1 FROM stored_worker WHERE worker_id = ?1")?
            .query_row([worker.as_str()], |_| Ok(()))
            .optional()?;
        if was_deleted.is_some() {
            return Err(StoreError::NoWorker(worker.clone()).into());
        }
        let number = row.insert(desk.connection)?;
        desk.count(row.status, 1);
        let bounds = Bounds {
            number,
            epoch: Commit::FIRST_EPOCH,
            oldest: Head::EMPTY,
            head: self.commit.head(),
            batch: Some(*batch_id),
        };
        desk.remember(worker.clone(), Place { bounds, status: row.status });
        Ok(number)
    }

    /// Writes what is in every commit.
    fn write(&self, connection: &Connection, worker: i64) -> rusqlite::Result<()> {
        let Commit { events, batch_id, entries, accepted, blobs, kept, checkpoint, .. } = &self.commit;
        let mut insert = connection.prepare_cached(
            "INSERT INTO stored_event (worker, seq, type, at, checksum, seal, batch, subject, event_id, payload)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )?;
        let last = events.len() - 1;
        for (n, (event, row)) in events.iter().zip(&self.events).enumerate() {
            let batch = (n == last).then(|| batch_id.as_bytes());
            insert.execute(params![
                worker,
                event.seq,
                event.type_name,
                row.at,
                event.checksum,
                row.seal,
                batch,
                row.subject,
                event.event_id.as_str(),
                // Checked to be text when the commit was prepared.
                ToSqlOutput::Borrowed(ValueRef::Text(&event.payload)),
            ])?;
        }
        for (entry, row) in entries.iter().zip(&self.entries) {
            let turn = entry.turn_id.as_ref().map(musher_protocol::TurnId::as_str);
            connection
                .prepare_cached(
                    "INSERT INTO stored_entry (worker, sequence, turn_id, role, body, seal)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                     ON CONFLICT (worker, sequence) DO UPDATE SET
                     turn_id = excluded.turn_id, role = excluded.role, body = excluded.body, seal = excluded.seal",
                )?
                .execute(params![worker, entry.sequence, turn, row.role, row.body, row.seal])?;
        }
        for input in accepted {
            connection
                .prepare_cached(
                    "INSERT INTO stored_input (worker, input_id, digest, event_id, transcript_sequence, cursor, seal)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
                     ON CONFLICT (worker, input_id) DO UPDATE SET
                     digest = excluded.digest, event_id = excluded.event_id,
                     transcript_sequence = excluded.transcript_sequence, cursor = excluded.cursor,
                     seal = excluded.seal",
                )?
                .execute(params![
                    worker,
                    input.input_id.as_str(),
                    input.digest,
                    input.event_id.as_str(),
                    input.transcript_sequence,
                    input.cursor.to_string(),
                    seal::input(&self.commit.worker, input),
                ])?;
        }
        self.keys.write(connection)?;
        for blob in blobs {
            connection
                .prepare_cached(
                    "INSERT INTO stored_blob (worker, digest, bytes) VALUES (?1, ?2, ?3)
                     ON CONFLICT (worker, digest) DO NOTHING",
                )?
                .execute(params![worker, blob.digest.0, &blob.bytes[..]])?;
        }
        for (kept, seal) in kept.iter().zip(&self.kept_seals) {
            connection
                .prepare_cached(
                    "INSERT INTO stored_kept (worker, name, bytes, seal) VALUES (?1, ?2, ?3, ?4)
                     ON CONFLICT (worker, name) DO UPDATE SET bytes = excluded.bytes, seal = excluded.seal",
                )?
                .execute(params![worker, kept.name, &kept.bytes[..], seal])?;
        }
        if let Some(checkpoint) = checkpoint {
            write_checkpoint(connection, &self.commit.worker, worker, checkpoint)?;
        }
        Ok(())
    }
}

/// Writes a checkpoint of a worker, in the place of an older one.
pub(super) fn write_checkpoint(
    connection: &Connection,
    worker: &WorkerId,
    number: i64,
    checkpoint: &Checkpoint,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO stored_checkpoint (worker, seq, checksum, body, seal) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (worker) DO UPDATE SET
             seq = excluded.seq, checksum = excluded.checksum, body = excluded.body, seal = excluded.seal
             WHERE excluded.seq >= seq",
        )?
        .execute(params![
            number,
            checkpoint.head.seq,
            checkpoint.head.checksum,
            &checkpoint.body[..],
            seal::checkpoint(worker, checkpoint),
        ])?;
    Ok(())
}

impl EventRow {
    fn of(worker: &WorkerId, event: &StoredEvent, batch: Option<Uuid>) -> Result<Self, StoreError> {
        str::from_utf8(&event.payload).map_err(|_not_text| invalid("a payload is not UTF-8"))?;
        let subject = subject(event);
        let seal = seal::event(worker, event, event.type_name, batch, subject.as_deref());
        Ok(Self { at: nanoseconds(event.at)?, seal, subject })
    }
}

/// The turn or the tool call that the event begins, ends or counts for, so that queries find it by that.
fn subject(event: &StoredEvent) -> Option<String> {
    #[derive(Deserialize)]
    struct Names {
        turn_id: Option<String>,
        tool_call_id: Option<String>,
    }
    let is_tool = match event.type_name {
        "turn_started" | "turn_finished" | "usage" => false,
        "tool_call_started" | "tool_call_done" | "tool_result" => true,
        // What every event might have, few have worth finding; the others keep the index small.
        _ => return None,
    };
    // A payload of another form is kept as it is; only queries by subject do not find it.
    let names: Names = serde_json::from_slice(&event.payload).ok()?;
    if is_tool { names.tool_call_id } else { names.turn_id }
}

impl EntryRow {
    fn of(worker: &WorkerId, entry: &TranscriptEntry) -> Self {
        let body = serde_json::to_string(entry).expect("an entry is JSON");
        let seal = seal::entry(worker, entry.sequence, body.as_bytes());
        let role = match entry.role {
            Role::User => "user",
            Role::Assistant => "assistant",
            Role::Thinking => "thinking",
            Role::Tool => "tool",
            Role::System => "system",
            Role::Unknown => "unknown",
        };
        Self { body, role, seal }
    }
}

impl Row {
    fn of(row: &musher_core::WorkerRow) -> Result<Self, StoreError> {
        let parts = RowParts {
            worker_id: row.worker_id.clone(),
            spec: row.spec_json(),
            facts: row.facts_json(),
            head: row.head.clone(),
            last_event_id: row.last_event_id.clone(),
            created_at: row.created_at,
            updated_at: row.updated_at,
        };
        let (status, unsettled) = (row.status(), row.unsettled());
        let seal = seal::row(&parts, status_text(status), unsettled);
        let (created_at, updated_at) = (nanoseconds(row.created_at)?, nanoseconds(row.updated_at)?);
        Ok(Self { parts, status, unsettled, created_at, updated_at, seal })
    }

    fn insert(&self, connection: &Connection) -> rusqlite::Result<i64> {
        let RowParts { worker_id, spec, facts, head, last_event_id, .. } = &self.parts;
        connection
            .prepare_cached(
                "INSERT INTO stored_worker (worker_id, status, unsettled, facts, head_seq, head_checksum,
                     last_event_id, created_at, updated_at, seal, epoch, oldest_seq, oldest_checksum, log_seal, sweep)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, 0, 0, ?12, 0)",
            )?
            .execute(params![
                worker_id.as_str(),
                status_text(self.status),
                self.unsettled,
                facts,
                head.seq,
                head.checksum,
                last_event_id.as_str(),
                self.created_at,
                self.updated_at,
                self.seal,
                Commit::FIRST_EPOCH,
                seal::log(worker_id, Commit::FIRST_EPOCH, &Head::EMPTY, None),
            ])?;
        let number = connection.last_insert_rowid();
        connection
            .prepare_cached("INSERT INTO stored_spec (worker, spec, seal) VALUES (?1, ?2, ?3)")?
            .execute(params![number, spec, seal::spec(worker_id, spec)])?;
        Ok(number)
    }

    /// Replaces all but the spec, which never changes.
    fn update(&self, connection: &Connection, number: i64) -> rusqlite::Result<()> {
        let RowParts { facts, head, last_event_id, .. } = &self.parts;
        connection
            .prepare_cached(
                "UPDATE stored_worker SET status = ?2, unsettled = ?3, facts = ?4, head_seq = ?5, head_checksum = ?6,
                 last_event_id = ?7, created_at = ?8, updated_at = ?9, seal = ?10 WHERE worker = ?1",
            )?
            .execute(params![
                number,
                status_text(self.status),
                self.unsettled,
                facts,
                head.seq,
                head.checksum,
                last_event_id.as_str(),
                self.created_at,
                self.updated_at,
                self.seal,
            ])?;
        Ok(())
    }
}

fn is_gapless(commit: &Commit) -> bool {
    commit.events.iter().zip(1..).all(|(event, n)| commit.expected_head.checked_add(n) == Some(event.seq))
}

pub(crate) fn nanoseconds(time: jiff::Timestamp) -> Result<i64, StoreError> {
    i64::try_from(time.as_nanosecond()).map_err(|_too_far| invalid("a time is before 1678 or after 2262"))
}

fn invalid(why: &'static str) -> StoreError {
    StoreError::Io { attempt: "write a commit", source: io::Error::new(io::ErrorKind::InvalidInput, why) }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use musher_protocol::EventId;

    use super::*;

    fn commit(kept: &[(&str, usize)]) -> Commit {
        let event = StoredEvent {
            seq: 1,
            event_id: EventId::mint(),
            at: jiff::Timestamp::UNIX_EPOCH,
            type_name: "status",
            checksum: 0,
            payload: Bytes::from_static(b"{}"),
        };
        let kept =
            kept.iter().map(|&(name, size)| Kept { name: name.to_owned(), bytes: vec![0; size].into() });
        Commit {
            worker: WorkerId::mint(),
            epoch: Commit::FIRST_EPOCH,
            expected_head: 0,
            batch_id: Uuid::nil(),
            events: vec![event],
            entries: Vec::new(),
            accepted: Vec::new(),
            blobs: Vec::new(),
            kept: kept.collect(),
            keys: Vec::new(),
            row: None,
            checkpoint: None,
        }
    }

    #[test]
    fn what_is_kept_takes_its_share_of_the_queue() {
        let weight = |kept| Append::new(commit(kept)).unwrap().weight();
        let bare = weight(&[]);
        assert_eq!(weight(&[("a", 1000), ("item/1", 0), ("a", 24)]) - bare, 1000 + 24 + "aitem/1a".len());
    }
}
