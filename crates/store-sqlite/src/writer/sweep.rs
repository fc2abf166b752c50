//! Rows of what was pruned or deleted go in slices, between batches.

use std::collections::BTreeSet;

use rusqlite::{Connection, params};

/// Rows of one slice: some milliseconds, which a batch that comes meanwhile waits for.
const SLICE: i64 = 512;
/// Large bodies of one slice, and as many kept records: 16 MiB each at most.
const BODIES: i64 = 4;

/// What is left to remove.
#[derive(Debug)]
pub(super) struct Sweep {
    due: bool,
    /// The worker whose rows a slice is of.
    current: i64,
    /// Workers whose rows are in damaged pages: they stay where they are for this life.
    left: BTreeSet<i64>,
}

impl Default for Sweep {
    /// What the life before left may be there.
    fn default() -> Self {
        Self { due: true, current: 0, left: BTreeSet::new() }
    }
}

/// What a deleted worker leaves, each with its rows of one slice. Only what may be long goes in several.
const LEFT_BY_DELETE: [(&str, i64); 7] = [
    (
        "DELETE FROM stored_event WHERE event IN (SELECT event FROM stored_event WHERE worker = ?1 ORDER BY seq LIMIT ?2)",
        SLICE,
    ),
    (
        "DELETE FROM stored_entry WHERE entry IN (SELECT entry FROM stored_entry WHERE worker = ?1 LIMIT ?2)",
        SLICE,
    ),
    (
        "DELETE FROM stored_input WHERE (worker, input_id) IN
         (SELECT worker, input_id FROM stored_input WHERE worker = ?1 LIMIT ?2)",
        SLICE,
    ),
    (
        "DELETE FROM stored_blob WHERE blob IN (SELECT blob FROM stored_blob WHERE worker = ?1 LIMIT ?2)",
        BODIES,
    ),
    (
        "DELETE FROM stored_kept WHERE kept IN (SELECT kept FROM stored_kept WHERE worker = ?1 LIMIT ?2)",
        BODIES,
    ),
    ("DELETE FROM stored_checkpoint WHERE worker = ?1 AND ?2", 1),
    ("DELETE FROM stored_spec WHERE worker = ?1 AND ?2", 1),
];

const LEFT_BY_PRUNE: &str = "DELETE FROM stored_event WHERE event IN
    (SELECT event FROM stored_event WHERE worker = ?1 AND seq <= ?2 ORDER BY seq LIMIT ?3)";

impl Sweep {
    pub(super) fn is_due(&self) -> bool {
        self.due
    }

    pub(super) fn note(&mut self) {
        self.due = true;
    }

    /// Leaves the rows of the last slice where they are.
    pub(super) fn leave(&mut self) {
        self.left.insert(self.current);
    }

    /// The next worker with rows to remove, whether it was deleted, and where its log begins.
    fn next(&self, connection: &Connection) -> rusqlite::Result<Option<(i64, bool, i64)>> {
        let mut statement = connection.prepare_cached(
            "SELECT worker, status IS NULL, oldest_seq FROM stored_worker WHERE sweep = 1 ORDER BY worker",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let worker = row.get(0)?;
            if !self.left.contains(&worker) {
                return Ok(Some((worker, row.get(1)?, row.get(2)?)));
            }
        }
        Ok(None)
    }

    /// Removes one slice, in a transaction of its own.
    pub(super) fn slice(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let Some((worker, is_deleted, oldest)) = self.next(connection)? else {
            self.due = false;
            return Ok(());
        };
        self.current = worker;
        connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        let is_done =
            if is_deleted { deleted(connection, worker)? } else { pruned(connection, worker, oldest)? };
        if is_done {
            connection
                .prepare_cached("UPDATE stored_worker SET sweep = 0 WHERE worker = ?1")?
                .execute([worker])?;
        }
        connection.prepare_cached("COMMIT")?.execute([])?;
        Ok(())
    }
}

/// Removes a slice of what a deleted worker left; whether that was all.
fn deleted(connection: &Connection, worker: i64) -> rusqlite::Result<bool> {
    for (delete, limit) in LEFT_BY_DELETE {
        let removed = connection.prepare_cached(delete)?.execute(params![worker, limit])?;
        if i64::try_from(removed).is_ok_and(|removed| removed >= limit && limit > 1) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn pruned(connection: &Connection, worker: i64, oldest: i64) -> rusqlite::Result<bool> {
    let removed = connection.prepare_cached(LEFT_BY_PRUNE)?.execute(params![worker, oldest, SLICE])?;
    Ok(i64::try_from(removed).is_ok_and(|removed| removed < SLICE))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::migration::migrate;

    /// How many rows are left behind each slice.
    fn check(insert: &str, count: &str, expected: &[i64]) {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, Path::new("a.db")).unwrap();
        let deleted = "INSERT INTO stored_worker VALUES
            (1, 'wrk_1', NULL, 0, '', 1, 0, 'evt_1', 0, 0, 0, 1, 0, 0, NULL, 0, 1)";
        connection.execute_batch(deleted).unwrap();
        for n in 0..9 {
            connection.execute(insert, [n]).unwrap();
        }
        let mut sweep = Sweep::default();
        let mut left = Vec::new();
        while sweep.is_due() {
            sweep.slice(&connection).unwrap();
            left.push(connection.query_row(count, [], |row| row.get::<_, i64>(0)).unwrap());
        }
        assert_eq!(left, expected, "{insert}");
    }

    #[test]
    fn what_may_be_large_goes_a_few_at_a_time() {
        // The last look finds nothing more to do.
        let expected = [5, 1, 0, 0];
        check(
            "INSERT INTO stored_blob (worker, digest, bytes) VALUES (1, CAST(?1 AS BLOB), x'00')",
            "SELECT count(*) FROM stored_blob",
            &expected,
        );
        check(
            "INSERT INTO stored_kept (worker, name, bytes, seal) VALUES (1, 'item/' || ?1, x'00', 0)",
            "SELECT count(*) FROM stored_kept",
            &expected,
        );
    }
}
