//! What workers changed, compared when somebody asks.

use std::time::Duration;

use musher_protocol::{WorkerId, WorkspaceDiff};
use tokio::{sync::Semaphore, time};

use super::Runtime;
use crate::{diff::Difference, error::Error, workspace::NotHad};

/// Comparisons at once: each has some processes, and up to some hundred megabytes of memory and disk for a moment.
const AT_ONCE: usize = 2;
/// How long a comparison waits for its turn.
const PATIENCE: Duration = Duration::from_secs(10);

/// Whose turn it is to compare.
#[derive(Debug)]
pub(crate) struct Turns(Semaphore);

impl Default for Turns {
    fn default() -> Self {
        Self(Semaphore::new(AT_ONCE))
    }
}

impl Runtime {
    /// Compares the files of a worker's directory, its first one or the one of this name, with the commit that the worker
    /// began at. The worker may run meanwhile: then each file is as it was when it was read.
    ///
    /// Takes up to a minute, and ends when it is dropped.
    ///
    /// # Errors
    ///
    /// When there is no such worker or directory, the directory has no such commit, or too many others compare.
    pub async fn worker_diff(
        &self,
        worker: &WorkerId,
        workspace: Option<&str>,
    ) -> Result<WorkspaceDiff, Error> {
        let row = self.0.store.worker(worker).await?.ok_or_else(|| Error::WorkerNotFound(worker.clone()))?;
        let spec = &row.spec;
        let n = match workspace {
            None => 0,
            Some(name) => {
                spec.workspaces.iter().position(|shown| shown.name == name).ok_or_else(|| {
                    Error::NoWorkspace { worker: worker.clone(), workspace: name.to_owned() }
                })?
            }
        };
        let missing = |name: &str, missing: &str| Error::NotVersioned {
            workspace: name.to_owned(),
            missing: missing.to_owned(),
        };
        let (Some(shown), Some(workplace)) = (spec.workspaces.get(n), spec.workplaces.get(n)) else {
            return Err(missing("scratch", "a workspace: the worker has a private directory"));
        };
        let refused = |error: &NotHad| {
            tracing::warn!(%worker, error = error as &dyn std::error::Error, "compare files with a commit");
            missing(&shown.name, error.missing())
        };
        let Some(base_commit) = &shown.base_commit else {
            return Err(missing(&shown.name, "a git repository with a commit"));
        };
        let turn = time::timeout(PATIENCE, self.0.comparing.0.acquire()).await;
        let _turn = turn.map_err(|_elapsed| Error::ManyDiffs { limit: AT_ONCE })?;
        let versioned = self.0.desk.versioned(worker, workplace).await.map_err(|error| refused(&error))?;
        let compared = self.0.desk.diff(worker, &versioned, base_commit).await;
        let Difference { files, patch, is_cut } = compared.map_err(|error| refused(&error))?;
        Ok(WorkspaceDiff {
            workspace: shown.name.clone(),
            branch: shown.branch.clone(),
            base_commit: base_commit.clone(),
            files,
            patch,
            truncated: is_cut,
        })
    }
}
