//! The write-ahead log is merged into the database, so that it can begin anew.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use rusqlite::Connection;

use crate::{
    connection::{Merged, checkpoint},
    failure::OpenError,
};

/// Pages in the log from which on it is merged when nothing waits: 16 MiB, some tens of milliseconds of writing.
const DUE: u64 = 4 << 10;
/// Pages in the log from which on it is merged though writes wait: 64 MiB. The longer it is, the more often a page
/// that changes in every batch is written to the database once instead of many times.
const URGENT: u64 = 16 << 10;
/// How long a merge waits for readers that still need the old log. Reads are bounded, so it rarely does.
const READERS: Duration = Duration::from_millis(500);

/// The connection that merges, and how much there is to merge.
#[derive(Debug)]
pub(super) struct Merge {
    connection: Connection,
    /// Pages in the log, as the newest commit left it.
    pages: Arc<AtomicU64>,
    /// Pages that were in the log when it was last merged.
    merged: u64,
    /// How many pages more there must be for the next time that writes wait; grows while readers hold the log.
    urgent: u64,
}

impl Merge {
    pub(super) fn new(writer: &mut Connection, connection: Connection) -> rusqlite::Result<Self> {
        connection.busy_timeout(READERS)?;
        let pages = Arc::new(AtomicU64::new(0));
        let seen = Arc::clone(&pages);
        writer.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, n: i32| {
            seen.store(u64::try_from(n).unwrap_or(0), Ordering::Relaxed);
            Ok(())
        }))?;
        Ok(Self { connection, pages, merged: 0, urgent: URGENT })
    }

    /// Whether there is enough for a time when nothing waits.
    pub(super) fn is_due(&self) -> bool {
        let pages = self.pages.load(Ordering::Relaxed);
        // A log that began anew is shorter than what was merged.
        let new = pages.checked_sub(self.merged).unwrap_or(pages);
        new >= DUE
    }

    /// Whether there is so much that writes have to wait.
    pub(super) fn is_urgent(&self) -> bool {
        self.pages.load(Ordering::Relaxed) >= self.urgent
    }

    /// Merges, and lets the log begin anew where that is urgent.
    pub(super) fn run(&mut self) -> rusqlite::Result<()> {
        let pages = self.pages.load(Ordering::Relaxed);
        self.merged = pages;
        if pages < self.urgent {
            checkpoint(&self.connection, "PRAGMA wal_checkpoint(PASSIVE)")?;
            return Ok(());
        }
        match checkpoint(&self.connection, "PRAGMA wal_checkpoint(RESTART)")? {
            Merged::Done => self.urgent = URGENT,
            Merged::Busy => {
                tracing::warn!(pages, "a reader keeps the log from beginning anew");
                self.urgent = pages + URGENT;
            }
        }
        Ok(())
    }
}

/// Merges all of the log and empties it, before anything is served.
pub(crate) fn merge_all(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let merged = checkpoint(connection, "PRAGMA wal_checkpoint(TRUNCATE)");
    match merged.map_err(|source| OpenError::sqlite("merge the log of", path, source))? {
        Merged::Done => Ok(()),
        Merged::Busy => Err(OpenError::Busy { path: path.to_owned() }),
    }
}
