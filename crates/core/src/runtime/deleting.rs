//! How workers are deleted, and what they had in repositories goes or stays.

use std::{io, sync::Arc};

use musher_protocol::WorkerId;
use tokio::sync::oneshot;

use super::Runtime;
use crate::{
    changes::Labels,
    error::Error,
    figures::worker_state,
    store::{StoreError, WorkerRow},
    worktree::{Going, Unsaved, Worktree},
};

/// What is told of a worker when it is no more; nothing where its row cannot be read.
#[derive(Debug, Default)]
struct Told {
    /// As what it was counted: its backend and its state.
    counted: Option<(Arc<str>, &'static str)>,
    labels: Labels,
}

/// What becomes of work in a worker's worktrees that is nowhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnsavedWork {
    /// It is kept, and with it the worker.
    Keep,
    /// It goes with the worker.
    Discard,
}

impl UnsavedWork {
    fn going(self) -> Going {
        match self {
            Self::Keep => Going::Saved,
            Self::Discard => Going::Whatever,
        }
    }
}

impl Runtime {
    /// Deletes a worker that has ended: its log, its transcript, the private directory that it worked in, its worktrees
    /// with their branches, and what backends have of it.
    ///
    /// # Errors
    ///
    /// When there is no such worker, it still runs, work in its worktrees is nowhere else and not to be discarded, the
    /// runtime ends, or the store fails.
    pub async fn delete_worker(&self, worker: &WorkerId, unsaved: UnsavedWork) -> Result<(), Error> {
        let not_found = || Error::WorkerNotFound(worker.clone());
        let row = match self.0.store.worker(worker).await {
            Ok(row) => Some(row.ok_or_else(not_found)?),
            // What is damaged can be deleted: there is nothing else to be done with it.
            Err(StoreError::Corrupt { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        if row.as_ref().is_some_and(|row| !row.status().is_terminal()) && !self.is_damaged(worker).await? {
            return Err(Error::StillRunning(worker.clone()));
        }
        let worktrees = match self.0.desk.worktrees_of(worker).await {
            Ok(worktrees) => worktrees,
            Err(error) => {
                self.report_left(worker, &error);
                if unsaved == UnsavedWork::Keep {
                    return Err(unknown(row.as_ref()));
                }
                Vec::new()
            }
        };
        // In a task of its own: whoever asked may go away between two of its steps.
        let (reply, deleted) = oneshot::channel();
        let (runtime, id) = (self.clone(), worker.clone());
        self.0.spawn(async move {
            drop(reply.send(runtime.delete_with(&id, row, worktrees, unsaved).await));
        })?;
        deleted.await.unwrap_or(Err(Error::Stopped))
    }

    async fn delete_from_store(&self, worker: &WorkerId, told: Told) -> Result<(), Error> {
        if !self.0.store.delete(worker).await? {
            return Err(Error::WorkerNotFound(worker.clone()));
        }
        self.0.damaged().remove(worker);
        self.0.board.remove(worker);
        if let Some((backend, state)) = told.counted {
            self.0.figures.census.deleted(worker, &backend, state);
        }
        self.0.changes.note_deleted(worker, told.labels);
        Ok(())
    }

    /// Deletes a worker and what is of it: whatever happens between two steps, the next life knows what to do with its worktrees.
    async fn delete_with(
        &self,
        worker: &WorkerId,
        row: Option<WorkerRow>,
        worktrees: Vec<Worktree>,
        unsaved: UnsavedWork,
    ) -> Result<(), Error> {
        let alone = tokio::select! {
            alone = self.0.desk.removals.alone(&worktrees) => alone,
            () = self.draining() => return Err(Error::Draining),
        };
        // Somebody else may have been faster.
        match self.0.store.worker(worker).await {
            Ok(Some(_)) | Err(StoreError::Corrupt { .. }) => {}
            Ok(None) => return Err(Error::WorkerNotFound(worker.clone())),
            Err(error) => return Err(error.into()),
        }
        for worktree in &worktrees {
            let found = self.judge(worktree, None).await;
            if let (UnsavedWork::Keep, Some(unsaved)) = (unsaved, found) {
                let workspace = worktree.record.reference.clone();
                return Err(Error::WorkspaceDirty { workspace, unsaved });
            }
        }
        for worktree in &worktrees {
            let (goes, going) = (worktree.clone(), unsaved.going());
            let marked = tokio::task::spawn_blocking(move || goes.mark_as_going(going)).await;
            if let Err(error) = marked.unwrap_or_else(|error| Err(error.into())) {
                tracing::error!(%worker, %error, "mark a worktree as going");
                let workspace = worktree.record.reference.clone();
                return Err(Error::WorkspaceDirty { workspace, unsaved: Unsaved::Unknown });
            }
        }
        let told = row.as_ref().map_or_else(Told::default, Told::of);
        self.delete_from_store(worker, told).await?;
        for worktree in &worktrees {
            if let Err(error) = self.0.desk.remove(worktree).await {
                self.report_left(worker, &error);
            }
        }
        drop(alone);
        self.clear(worker, row.as_ref()).await;
        Ok(())
    }

    /// Removes what is of a worker that is no more in no repository. What stays is reported, for nobody asks again.
    async fn clear(&self, worker: &WorkerId, row: Option<&WorkerRow>) {
        let scratch = self.0.catalog.scratch.join(worker.as_str());
        if row.is_none_or(|row| row.spec.workspaces.is_empty() && row.spec.working_dir == scratch) {
            let removed = tokio::task::spawn_blocking(move || std::fs::remove_dir_all(scratch)).await;
            if let Ok(Err(error)) = removed
                && error.kind() != io::ErrorKind::NotFound
            {
                let message = format!("the directory that it worked in could not be removed: {error}");
                self.0.diagnostics.report("retention.scratch_left", message, Some(worker.clone()));
            }
        }
        for (name, backend) in &self.0.catalog.backends {
            if let Err(error) = backend.forget(worker).await {
                let message = format!("what backend `{name}` has of it could not be removed: {error}");
                self.0.diagnostics.report("retention.backend_left", message, Some(worker.clone()));
            }
        }
    }

    /// What of a worktree is nowhere else: of its commits alone where it was decided before that it goes.
    pub(super) async fn judge(&self, worktree: &Worktree, going: Option<Going>) -> Option<Unsaved> {
        match self.0.desk.view_of(&worktree.record).await {
            Ok(view) => match going {
                None => worktree.unsaved(view.as_ref()).await,
                Some(Going::Saved) => worktree.unsaved_commits(view.as_ref()).await,
                Some(Going::Whatever) => None,
            },
            Err(error) => {
                let worker = &worktree.record.worker_id;
                tracing::warn!(%worker, error = &error as &dyn std::error::Error, "look at a worktree");
                Some(Unsaved::Unknown)
            }
        }
    }

    /// Whether the worker's log cannot be read to its end, so that nothing of it can run.
    async fn is_damaged(&self, worker: &WorkerId) -> Result<bool, Error> {
        match self.live(worker).await {
            Ok(_) => Ok(false),
            Err(Error::Store(error)) if matches!(*error, StoreError::Corrupt { .. }) => Ok(true),
            Err(error) => Err(error),
        }
    }
}

impl Told {
    fn of(row: &WorkerRow) -> Self {
        let state = worker_state(row.facts.status, &row.facts.execution);
        let counted = Some((row.spec.profile.backend.as_str().into(), state));
        Self { counted, labels: row.spec.labels.clone() }
    }
}

/// Worktrees of a worker that cannot be looked at.
fn unknown(row: Option<&WorkerRow>) -> Error {
    let first = row.and_then(|row| row.spec.workspaces.first());
    let workspace = first.map_or_else(String::new, |workspace| workspace.reference.clone());
    Error::WorkspaceDirty { workspace, unsaved: Unsaved::Unknown }
}
