//! What an earlier life left of worktrees: those of workers stay, others go unless they hold work.
//!
//! Who is there is found out before anything is served. What has no worker then never gets one, for ids are not used
//! again, and nobody can delete it: so it is looked at beside everything else, however long git takes.

use std::io;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use musher_protocol::WorkerId;

use super::Runtime;
use crate::{
    error::Error,
    git::GitError,
    store::StoreError,
    worktree::{Unsaved, Worktree},
};

/// The diagnostic of a worktree that stays without a worker.
const KEPT: &str = "worktree.kept";
/// The diagnostic of a worktree that cannot be looked at or removed.
const LEFT: &str = "worktree.left";

/// Rows that are asked for at once: enough for a store's readers, and few beside what serves.
const LOOKS: usize = 16;
/// Workers whose worktrees are looked at and removed at once: each is a few processes and their reading of a disk, beside
/// workers that begin.
const AT_ONCE: usize = 4;

/// A worker's worktrees, as they were found.
type Found = (WorkerId, io::Result<Vec<Worktree>>);

impl Runtime {
    /// Finds what an earlier life left of worktrees, and begins to remove what has no worker: what was to be removed, and
    /// what holds no work. Others stay, and are reported.
    pub(crate) async fn tidy_worktrees(&self) -> Result<(), Error> {
        let found = match self.0.desk.all_worktrees().await {
            Ok(found) => found,
            Err(error) => {
                let message = format!("worktrees of an earlier life cannot be looked for: {error}");
                self.0.diagnostics.report(LEFT, message, None);
                return Ok(());
            }
        };
        let looks = stream::iter(found).map(|(worker, worktrees)| async move {
            let is_known = match self.0.store.worker(&worker).await {
                Ok(row) => row.is_some(),
                Err(StoreError::Corrupt { .. }) => true,
                Err(error) => return Err(Error::from(error)),
            };
            Ok((is_known, (worker, worktrees)))
        });
        let seen: Vec<(bool, Found)> = looks.buffer_unordered(LOOKS).try_collect().await?;
        let (known, orphaned): (Vec<_>, Vec<_>) = seen.into_iter().partition(|(is_known, _)| *is_known);
        self.take_back(known.into_iter().map(|(_, found)| found).collect()).await;
        let mut goes = Vec::new();
        for (worker, worktrees) in orphaned.into_iter().map(|(_, found)| found) {
            match worktrees {
                Ok(worktrees) => goes.push((worker, worktrees)),
                Err(error) => self.report_left(&worker, &error),
            }
        }
        if goes.is_empty() {
            return Ok(());
        }
        let runtime = self.clone();
        self.0.spawn(async move {
            let runtime = &runtime;
            let tidied = stream::iter(goes).for_each_concurrent(AT_ONCE, |(worker, worktrees)| async move {
                runtime.tidy(&worker, worktrees).await;
            });
            tokio::select! {
                () = tidied => {}
                // No end waits for it.
                () = runtime.draining() => {}
            }
        })
    }

    /// Says of worktrees that have a worker that they stay: a deletion that was begun did not come about.
    async fn take_back(&self, known: Vec<Found>) {
        let taken_back = tokio::task::spawn_blocking(move || {
            let failed = known.into_iter().filter_map(|(worker, worktrees)| {
                let stay = worktrees.and_then(|all| all.iter().try_for_each(Worktree::mark_as_staying));
                stay.err().map(|error| (worker, error))
            });
            failed.collect::<Vec<_>>()
        });
        match taken_back.await {
            Ok(failed) => failed.iter().for_each(|(worker, error)| self.report_left(worker, error)),
            Err(error) => self.0.diagnostics.report(LEFT, format!("worktrees of workers: {error}"), None),
        }
    }

    /// Removes the worktrees of a worker that is not there, as far as they hold no work. Where it is cut off, the next life
    /// goes on.
    async fn tidy(&self, worker: &WorkerId, worktrees: Vec<Worktree>) {
        let _alone = self.0.desk.removals.alone(&worktrees).await;
        for worktree in worktrees {
            match self.tidy_one(&worktree).await {
                Ok(None) => {}
                Ok(Some(unsaved)) => {
                    let message = format!(
                        "a worktree of workspace `{}`, on branch `{}`, belongs to no worker and stays: it has {}",
                        worktree.record.reference,
                        worktree.record.branch(),
                        unsaved.as_str()
                    );
                    self.0.diagnostics.report(KEPT, message, Some(worker.clone()));
                }
                Err(error) => self.report_left(worker, &error),
            }
        }
    }

    /// Removes a worktree, or answers with what it holds.
    async fn tidy_one(&self, worktree: &Worktree) -> Result<Option<Unsaved>, GitError> {
        let looked = worktree.clone();
        let goes = tokio::task::spawn_blocking(move || looked.goes()).await;
        if !goes.map_err(|error| GitError::io("look at a worktree")(error.into()))? {
            if let Some(unsaved) = self.judge(worktree).await {
                return Ok(Some(unsaved));
            }
            // Half of it removed, it could no longer be judged.
            let marks = worktree.clone();
            let marked = tokio::task::spawn_blocking(move || marks.mark_as_going()).await;
            marked
                .unwrap_or_else(|error| Err(error.into()))
                .map_err(GitError::io("mark a worktree as going"))?;
        }
        self.0.desk.remove(worktree).await?;
        Ok(None)
    }

    pub(super) fn report_left(&self, worker: &WorkerId, error: &(dyn std::error::Error + 'static)) {
        tracing::error!(%worker, error, "a worktree");
        let message = "a worktree could not be looked at, or not be removed; the server's log says why";
        self.0.diagnostics.report(LEFT, message, Some(worker.clone()));
    }
}
