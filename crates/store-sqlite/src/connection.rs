//! Connections to the database, each for one use.

use std::{path::Path, time::Duration};

use rusqlite::{CachedStatement, Connection, FileControl, MAIN_DB, OpenFlags, Result, config::DbConfig};

/// Small pages: a batch of many workers changes many leaves of the index, and each goes into the log whole.
const PAGE_SIZE: u32 = 4096;
/// KiB for the writer: the pages that a batch and the index of the active workers touch.
const WRITER_CACHE: i64 = 64 << 10;
/// KiB for a reader: some pages of events; the file system caches the rest.
const READER_CACHE: i64 = 8 << 10;
/// A log that a burst made longer than this is cut when it begins anew.
const LOG_LIMIT: i64 = 64 << 20;
/// Locks of the database are held for moments: by readers that begin, and by a process that recovers the index.
const BUSY: Duration = Duration::from_secs(5);
/// More than there are different statements in this crate.
const STATEMENTS: usize = 64;

/// The connection that writes. Makes the database where there is none.
pub(crate) fn writer(path: &Path) -> Result<Connection> {
    let connection = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)?;
    connection.pragma_update(None, "page_size", PAGE_SIZE)?;
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    // A commit returns when the log is synced; see the crate's durability notes in `writer/batch.rs`.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "cache_size", -WRITER_CACHE)?;
    // A batch fits into memory. Spilled pages would be frames of a transaction that may never be.
    connection.pragma_update(None, "cache_spill", false)?;
    connection.pragma_update_and_check(None, "journal_size_limit", LOG_LIMIT, |_| Ok(()))?;
    Ok(connection)
}

/// The connection that merges the log into the database.
pub(crate) fn checkpointer(path: &Path) -> Result<Connection> {
    let connection = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    Ok(connection)
}

/// A connection that reads, and can do nothing else.
pub(crate) fn reader(path: &Path) -> Result<Connection> {
    let connection = open(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.pragma_update(None, "query_only", true)?;
    connection.pragma_update(None, "cache_size", -READER_CACHE)?;
    Ok(connection)
}

fn open(path: &Path, mode: OpenFlags) -> Result<Connection> {
    // Every connection stays with one thread at a time, so SQLite need not lock it.
    let connection = Connection::open_with_flags(path, mode | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // Merging is done where its errors are seen: not after a commit, not when a connection is closed.
    connection.pragma_update_and_check(None, "wal_autocheckpoint", 0, |_| Ok(()))?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.file_control(Some(MAIN_DB), FileControl::PersistWal(&mut 1))?;
    // Nothing is put beside the database where its own disk is full or another's is.
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    Ok(connection)
}

/// How a checkpoint went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Merged {
    /// As far as readers let it.
    Done,
    /// Somebody held a lock for too long.
    Busy,
}

/// Merges the log into the database, in the mode that this pragma names.
///
/// SQLite syncs the log, writes the pages, and syncs the database before it says that the log may begin anew
/// (`walCheckpoint` in `wal.c`); when a sync fails, so does this call.
pub(crate) fn checkpoint(connection: &Connection, pragma: &str) -> Result<Merged> {
    let mut statement: CachedStatement<'_> = connection.prepare_cached(pragma)?;
    let busy: i64 = statement.query_row([], |row| row.get(0))?;
    Ok(if busy == 0 { Merged::Done } else { Merged::Busy })
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_bundled_sqlite_has_no_log_reset_bug() {
        // <https://sqlite.org/wal.html#walresetbug>: 3.7.0 to 3.51.2.
        assert!(rusqlite::version_number() >= 3_051_003, "SQLite {}", rusqlite::version());
    }
}
