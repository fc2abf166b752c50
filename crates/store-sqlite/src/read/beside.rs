//! What is kept beside a worker's log: accepted inputs, the checkpoint, large bodies, the backend's own.

use std::io;

use bytes::Bytes;
use musher_core::{AcceptedInput, Blob, Checkpoint, Head, Kept, KeyRecord, Most, OwnedKeys, StoreError};
use musher_protocol::{Digest, IdempotencyKey, InputId, WorkerId};
use rusqlite::{Connection, OptionalExtension as _, Row, params, types::ValueRef};

use super::{parsed, time};
use crate::{
    failure::{Fault, damaged, is_damage},
    seal,
};

/// The ack of an accepted input.
pub(crate) fn accepted_input(
    connection: &Connection,
    worker: &WorkerId,
    input: &InputId,
) -> Result<Option<AcceptedInput>, Fault> {
    let mut statement = connection.prepare_cached(
        "SELECT i.digest, i.event_id, i.transcript_sequence, i.cursor, i.seal
         FROM stored_worker w JOIN stored_input i ON i.worker = w.worker
         WHERE w.worker_id = ?1 AND w.status IS NOT NULL AND i.input_id = ?2",
    )?;
    let read = |row: &Row<'_>| {
        let accepted = AcceptedInput {
            input_id: input.clone(),
            digest: row.get(0)?,
            event_id: parsed(row, 1)?,
            transcript_sequence: row.get(2)?,
            cursor: parsed(row, 3)?,
        };
        let seal: u32 = row.get(4)?;
        Ok((seal == seal::input(worker, &accepted)).then_some(accepted))
    };
    let read = statement.query_row(params![worker.as_str(), input.as_str()], read).optional();
    intact(read, worker, || format!("input {input}"))
}

/// The newest checkpoint.
pub(crate) fn checkpoint(connection: &Connection, worker: &WorkerId) -> Result<Option<Checkpoint>, Fault> {
    let mut statement = connection.prepare_cached(
        "SELECT c.seq, c.checksum, c.body, c.seal
         FROM stored_worker w JOIN stored_checkpoint c ON c.worker = w.worker
         WHERE w.worker_id = ?1 AND w.status IS NOT NULL",
    )?;
    let read = |row: &Row<'_>| {
        let checkpoint = Checkpoint {
            head: Head { seq: row.get(0)?, checksum: row.get(1)? },
            body: Bytes::copy_from_slice(row.get_ref(2)?.as_blob()?),
        };
        let seal: u32 = row.get(3)?;
        Ok((seal == seal::checkpoint(worker, &checkpoint)).then_some(checkpoint))
    };
    let read = statement.query_row(params![worker.as_str()], read).optional();
    intact(read, worker, || "the checkpoint".to_owned())
}

/// A large body.
pub(crate) fn blob(
    connection: &Connection,
    worker: &WorkerId,
    digest: Digest,
) -> Result<Option<Bytes>, Fault> {
    let mut statement = connection.prepare_cached(
        "SELECT b.bytes FROM stored_worker w JOIN stored_blob b ON b.worker = w.worker
         WHERE w.worker_id = ?1 AND w.status IS NOT NULL AND b.digest = ?2",
    )?;
    let read = |row: &Row<'_>| {
        let bytes = row.get_ref(0)?.as_blob()?;
        Ok((Blob::digest_of(bytes) == digest).then(|| Bytes::copy_from_slice(bytes)))
    };
    let read = statement.query_row(params![worker.as_str(), digest.0], read).optional();
    intact(read, worker, || format!("blob {digest}"))
}

/// What a worker's backend keeps, behind a name.
pub(crate) fn kept(
    connection: &Connection,
    worker: &WorkerId,
    after: Option<&str>,
    most: Most,
) -> Result<Vec<Kept>, Fault> {
    let mut statement = connection.prepare_cached(
        "SELECT k.name, k.bytes, k.seal FROM stored_worker w JOIN stored_kept k ON k.worker = w.worker
         WHERE w.worker_id = ?1 AND w.status IS NOT NULL AND k.name > ?2 ORDER BY k.name LIMIT ?3",
    )?;
    let read = |row: &Row<'_>| {
        let bytes = Bytes::copy_from_slice(row.get_ref(1)?.as_blob()?);
        let seal: u32 = row.get(2)?;
        Ok((Kept { name: row.get(0)?, bytes }, seal))
    };
    // The empty text is before every name.
    let behind = after.unwrap_or_default();
    // The first record comes in any case.
    let limit = i64::try_from(most.events.max(1)).unwrap_or(i64::MAX);
    let mut kept: Vec<Kept> = Vec::new();
    let mut bytes = 0;
    for record in statement.query_map(params![worker.as_str(), behind, limit], read)? {
        let (record, seal) = match record {
            Ok(read) => read,
            Err(error) if is_damage(&error) => return Err(damaged(worker, "a kept record").into()),
            Err(error) => return Err(error.into()),
        };
        bytes += record.bytes.len();
        if !kept.is_empty() && bytes > most.bytes {
            break;
        }
        if seal != seal::kept(worker, &record) {
            // What is no name was not written as one, and names nothing.
            let name = Some(&record.name).filter(|name| Kept::is_name(name));
            let what = name.map_or("a kept record".to_owned(), |name| format!("kept record {name}"));
            return Err(damaged(worker, what).into());
        }
        kept.push(record);
    }
    Ok(kept)
}

/// What is tried when a key is looked up.
pub(crate) const READ_A_KEY: &str = "read what is remembered of a key";

/// What is remembered of a key. What is damaged is an error: whoever took it for nothing would do something twice.
pub(crate) fn remembered(
    connection: &Connection,
    scope: &str,
    key: &IdempotencyKey,
) -> Result<Option<KeyRecord>, Fault> {
    let mut statement = connection.prepare_cached(
        "SELECT digest, outcome, at, seal, owner FROM stored_key WHERE scope = ?1 AND key = ?2",
    )?;
    let read = |row: &Row<'_>| {
        let record = KeyRecord {
            owner: row.get(4)?,
            scope: scope.to_owned(),
            key: key.clone(),
            digest: row.get(0)?,
            outcome: Bytes::copy_from_slice(row.get_ref(1)?.as_blob()?),
            at: time(row, 2)?,
        };
        let seal: u32 = row.get(3)?;
        Ok((seal == seal::key(&record)).then_some(record))
    };
    let damaged = || {
        let source = io::Error::new(io::ErrorKind::InvalidData, "the record is damaged");
        Fault::from(StoreError::Io { attempt: READ_A_KEY, source })
    };
    match statement.query_row(params![scope, key.as_str()], read).optional() {
        Ok(None) => Ok(None),
        Ok(Some(Some(record))) => Ok(Some(record)),
        Ok(Some(None)) => Err(damaged()),
        Err(error) if is_damage(&error) => Err(damaged()),
        Err(error) => Err(error.into()),
    }
}

/// How many keys of an owner are remembered, and with how many bytes.
pub(crate) fn keys_of(connection: &Connection, owner: &str) -> Result<OwnedKeys, Fault> {
    let mut statement = connection.prepare_cached(
        "SELECT keys, bytes, (SELECT min(at) FROM stored_key WHERE owner = ?1)
         FROM stored_key_count WHERE owner = ?1",
    )?;
    let keys = statement.query_row([owner], |row| {
        let oldest = if row.get_ref(2)? == ValueRef::Null { None } else { Some(time(row, 2)?) };
        Ok(OwnedKeys { count: row.get(0)?, bytes: row.get(1)?, oldest })
    });
    Ok(keys.optional()?.unwrap_or_default())
}

/// What was read, when it is intact.
fn intact<T>(
    read: rusqlite::Result<Option<Option<T>>>,
    worker: &WorkerId,
    what: impl FnOnce() -> String,
) -> Result<Option<T>, Fault> {
    match read {
        Ok(None) => Ok(None),
        Ok(Some(Some(found))) => Ok(Some(found)),
        Ok(Some(None)) => Err(damaged(worker, what()).into()),
        Err(error) if is_damage(&error) => Err(damaged(worker, what()).into()),
        Err(error) => Err(error.into()),
    }
}
