//! What an earlier life left of worktrees: those of workers stay, others go unless they hold work.
//!
//! Who is there is found out before anything is served. What has no worker then never gets one, for ids are not used
//! again, and nobody can delete it: so it is looked at beside everything else, however long git takes.

use std::{io, slice, sync::Arc};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use musher_protocol::WorkerId;

use super::Runtime;
use crate::{
    error::Error,
    git::GitError,
    store::StoreError,
    worktree::{Going, Unsaved, Worktree},
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
        // It must not keep the runtime from ending.
        let shared = Arc::downgrade(&self.0);
        let tidied = stream::iter(goes).for_each_concurrent(AT_ONCE, move |(worker, worktrees)| {
            let shared = shared.clone();
            async move {
                for worktree in worktrees {
                    let Some(runtime) = shared.upgrade().map(Self) else { return };
                    runtime.tidy(&worker, &worktree).await;
                }
            }
        });
        self.0.spawn(tidied)
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

    /// Removes a worktree of a worker that is not there, unless it holds work or the runtime ends. The end waits for what is
    /// under way, for git is not to be cut off in the middle; the rest the next life finds.
    async fn tidy(&self, worker: &WorkerId, worktree: &Worktree) {
        let _alone = tokio::select! {
            // In this order: a turn that is free is none in a runtime that ends.
            biased;
            () = self.draining() => return,
            alone = self.0.desk.removals.alone(slice::from_ref(worktree)) => alone,
        };
        match self.remove_unless_used(worktree).await {
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

    /// Removes a worktree, or answers with what it holds.
    async fn remove_unless_used(&self, worktree: &Worktree) -> Result<Option<Unsaved>, GitError> {
        let looks = worktree.clone();
        let going = tokio::task::spawn_blocking(move || looks.going()).await;
        let going =
            going.unwrap_or_else(|error| Err(error.into())).map_err(GitError::io("look at a worktree"))?;
        if let Some(unsaved) = self.judge(worktree, going).await {
            return Ok(Some(unsaved));
        }
        if going.is_none() {
            // Half of it removed, its files could no longer be judged.
            let marks = worktree.clone();
            let marked = tokio::task::spawn_blocking(move || marks.mark_as_going(Going::Saved)).await;
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
