//! What is remembered of idempotency keys.

use musher_core::{KeyRecord, StoreError};
use musher_protocol::WorkerId;
use rusqlite::{Connection, params};

use super::{Desk, nanoseconds};
use crate::{failure::Fault, queue::Write, seal};

/// Writes records that no commit of a worker's brings.
#[derive(Debug)]
pub(crate) struct Remember(Vec<(KeyRecord, i64)>);

impl Remember {
    /// Prepares records in their caller's time.
    pub(crate) fn new(keys: Vec<KeyRecord>) -> Result<Self, StoreError> {
        let timed = keys.into_iter().map(|record| {
            let at = nanoseconds(record.at)?;
            Ok((record, at))
        });
        timed.collect::<Result<_, _>>().map(Self)
    }

    /// About how many bytes they have.
    pub(crate) fn bytes(&self) -> usize {
        let bytes: u64 = self.0.iter().map(|(record, _)| record.bytes()).sum();
        usize::try_from(bytes).expect("what is in memory is counted by a usize")
    }

    pub(crate) fn write(&self, connection: &Connection) -> rusqlite::Result<()> {
        for (record, at) in &self.0 {
            connection
                .prepare_cached(
                    "INSERT INTO stored_key (scope, key, digest, outcome, at, seal, owner)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
                     ON CONFLICT (scope, key) DO UPDATE SET owner = excluded.owner,
                     digest = excluded.digest, outcome = excluded.outcome, at = excluded.at, seal = excluded.seal",
                )?
                .execute(params![
                    record.scope,
                    record.key.as_str(),
                    record.digest,
                    &record.outcome[..],
                    at,
                    seal::key(record),
                    record.owner,
                ])?;
        }
        Ok(())
    }
}

impl Write for Remember {
    type Answer = ();

    fn worker(&self) -> Option<&WorkerId> {
        None
    }

    fn weight(&self) -> usize {
        self.bytes()
    }

    fn apply(&self, desk: &mut Desk<'_>) -> Result<(), Fault> {
        Ok(self.write(desk.connection)?)
    }
}

/// Forgets records that are older than this, so many at most.
#[derive(Debug)]
pub(crate) struct ForgetKeys {
    pub(crate) before: i64,
    pub(crate) limit: i64,
}

impl Write for ForgetKeys {
    type Answer = usize;

    fn worker(&self) -> Option<&WorkerId> {
        None
    }

    fn weight(&self) -> usize {
        0
    }

    fn apply(&self, desk: &mut Desk<'_>) -> Result<usize, Fault> {
        let forgotten = desk
            .connection
            .prepare_cached(
                "DELETE FROM stored_key WHERE key_record IN
                 (SELECT key_record FROM stored_key WHERE at < ?1 ORDER BY at LIMIT ?2)",
            )?
            .execute(params![self.before, self.limit])?;
        Ok(forgotten)
    }
}
