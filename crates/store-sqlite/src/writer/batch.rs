//! Batches: many writes, one transaction, one sync.
//!
//! With `synchronous=FULL`, `COMMIT` writes the changed pages to the end of the write-ahead log, syncs it, and then
//! publishes them to readers, in this order (`walFrames` in SQLite's `wal.c`). So what is answered after it is
//! durable, and nobody saw it before. The first commit to a log that begins anew syncs its header, too.

use musher_core::StoreError;

use super::{Desk, Fatal, Writer};
use crate::{
    failure::{damaged, is_damage, is_full},
    queue::Job,
};

impl Writer {
    /// Writes a batch and answers everybody in it.
    pub(super) fn write(&mut self, mut batch: Vec<Box<dyn Job>>) -> Result<(), Fatal> {
        match self.commit(&mut batch) {
            Ok(()) => {
                batch.into_iter().for_each(Job::answer);
                Ok(())
            }
            Err(error) if is_full(&error) || is_damage(&error) => self.write_one_by_one(batch),
            Err(error) => Err(self.fail_batch(error, batch)),
        }
    }

    /// Writes what could not be written together once more, each by itself: a large one must not keep the small ones,
    /// which end what is under way, from the reserve, and pages of one worker that are damaged are its own trouble.
    fn write_one_by_one(&mut self, batch: Vec<Box<dyn Job>>) -> Result<(), Fatal> {
        let mut batch = batch.into_iter();
        while let Some(job) = batch.next() {
            let mut one = [job];
            let mut written = self.commit(&mut one);
            if written.as_ref().is_err_and(is_full) {
                self.give_up_reserve()?;
                written = self.commit(&mut one);
            }
            let [job] = one;
            match written {
                Ok(()) => job.answer(),
                Err(error) if is_full(&error) => job.fail(StoreError::Full),
                Err(error) if is_damage(&error) && job.worker().is_some() => {
                    let corrupt = job.worker().map(|worker| damaged(worker, "a page of the database"));
                    tracing::error!(%error, "a worker cannot be written");
                    job.fail(corrupt.unwrap_or(StoreError::Failed));
                }
                Err(error) => return Err(self.fail_batch(error, std::iter::once(job).chain(batch))),
            }
        }
        Ok(())
    }

    fn fail_batch(&self, error: rusqlite::Error, batch: impl IntoIterator<Item = Box<dyn Job>>) -> Fatal {
        let fatal = self.fail("write a commit", error);
        batch.into_iter().for_each(|job| job.fail(fatal.answer()));
        fatal
    }

    /// One transaction. After an error nothing of it is there, in the database and in the ledger.
    fn commit(&mut self, batch: &mut [Box<dyn Job>]) -> rusqlite::Result<()> {
        self.ledger.make_room(batch.len());
        let mut desk = Desk::new(&self.connection, &mut self.ledger);
        let written = self.connection.prepare_cached("BEGIN IMMEDIATE")?.execute([]).and_then(|_| {
            batch.iter_mut().try_for_each(|job| job.apply(&mut desk))?;
            desk.settle()?;
            self.connection.prepare_cached("COMMIT")?.execute([])
        });
        let leaves_rows = desk.leaves_rows();
        match written {
            Ok(_) => {
                if leaves_rows {
                    self.sweep.note();
                }
                let taken = batch.iter().filter(|job| job.is_taken());
                let n_events: usize = taken.map(|job| job.n_events()).sum();
                self.tally.batch(batch.len(), n_events as u64);
                Ok(())
            }
            Err(error) => {
                self.ledger.clear();
                self.undo()?;
                Err(error)
            }
        }
    }

    pub(super) fn roll_back(&self) -> Result<(), Fatal> {
        self.undo().map_err(|error| self.fail("roll back", error))
    }

    /// SQLite has rolled back by itself after some errors, and not after others.
    fn undo(&self) -> rusqlite::Result<()> {
        if self.connection.is_autocommit() { Ok(()) } else { self.connection.execute_batch("ROLLBACK") }
    }
}
