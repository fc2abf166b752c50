//! What workers changed, compared when somebody asks.

use std::{io, time::Duration};

use musher_protocol::{WorkerId, WorkspaceDiff};
use tokio::{sync::Semaphore, time};

use super::Runtime;
use crate::{diff::Difference, error::Error, git::GitError, workspace::NotHad};

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
    /// When there is no such worker or workspace, when no such commit or directory is there, when it takes too long or too
    /// many others compare, or when the store, the disk or git fails.
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
        let refused = |error| not_compared(worker, &shown.name, error);
        let Some(base_commit) = &shown.base_commit else {
            return Err(missing(&shown.name, "a git repository with a commit"));
        };
        let turn = time::timeout(PATIENCE, self.0.comparing.0.acquire()).await;
        let _turn = turn.map_err(|_elapsed| Error::ManyDiffs { limit: AT_ONCE })?;
        let versioned = self.0.desk.versioned(worker, workplace).await.map_err(refused)?;
        let compared = self.0.desk.diff(worker, &versioned, base_commit).await;
        let Difference { files, patch, is_cut } = compared.map_err(refused)?;
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

/// What is told of a comparison that did not come about: what is not there, and whether another try may succeed.
fn not_compared(worker: &WorkerId, workspace: &str, error: NotHad) -> Error {
    let workspace = workspace.to_owned();
    let missing = error.missing().to_owned();
    let told = match &error {
        NotHad::Missing(_) | NotHad::Git(GitError::Format) => Error::NotVersioned { workspace, missing },
        // What git fails at is a repository that its worker, or somebody else, has damaged.
        NotHad::Gone
        | NotHad::NoRepository
        | NotHad::NoChild(_)
        | NotHad::Git(
            GitError::Missing(_)
            | GitError::Failed { .. }
            | GitError::Permission { .. }
            | GitError::Long { .. },
        ) => Error::NotComparable { workspace, missing },
        NotHad::Git(GitError::Time { limit, .. }) => Error::DiffTime { workspace, limit: *limit },
        NotHad::Git(GitError::Space { .. }) => Error::DiffSpace(workspace),
        NotHad::Io { .. } | NotHad::Git(GitError::Io { .. }) if error.is_for_space() => {
            Error::DiffSpace(workspace)
        }
        NotHad::Io { source, .. } | NotHad::Git(GitError::Io { source, .. })
            if source.kind() == io::ErrorKind::PermissionDenied =>
        {
            Error::NotComparable { workspace, missing }
        }
        NotHad::Io { .. }
        | NotHad::Git(GitError::Io { .. } | GitError::Run { .. } | GitError::Killed { .. }) => {
            return Error::Diff { workspace, source: error.into() };
        }
    };
    tracing::warn!(%worker, error = &error as &dyn std::error::Error, "compare files with a commit");
    told
}

#[cfg(test)]
mod tests {
    use musher_process::Exit;

    use super::*;

    #[test]
    fn what_is_told_of_a_failed_comparison_is_what_happened() {
        let io = |kind: io::ErrorKind| NotHad::Io { attempt: "write /srv/x", source: kind.into() };
        let attempt = "compare";
        let no_git = || musher_process::Error::ProgramMissing { program: "git".to_owned() };
        let exit = Exit { code: Some(128), signal: None };
        let killed = || GitError::Killed { attempt, exit: Exit { code: None, signal: Some(9) } };
        let limit = Duration::from_secs(60);
        let workspace = || "main".to_owned();
        let not_versioned =
            |missing: &str| Error::NotVersioned { workspace: workspace(), missing: missing.to_owned() };
        let not_comparable =
            |missing: &str| Error::NotComparable { workspace: workspace(), missing: missing.to_owned() };
        let failed = |source: NotHad| Error::Diff { workspace: workspace(), source: source.into() };
        let cases = [
            (NotHad::Missing("a git repository"), not_versioned("a git repository")),
            (GitError::Format.into(), not_versioned("a repository whose references are files")),
            (NotHad::Gone, not_comparable("its directory")),
            (NotHad::NoRepository, not_comparable("its repository")),
            (GitError::Missing(no_git()).into(), not_comparable("program `git`")),
            (
                GitError::Failed { attempt, exit, said: "fatal: bad object".to_owned() }.into(),
                not_comparable("a repository that git can use; the server's log says more"),
            ),
            (
                io(io::ErrorKind::PermissionDenied),
                not_comparable("permission to use its directory or its repository"),
            ),
            (
                GitError::Permission { attempt, said: "error: x: Permission denied".to_owned() }.into(),
                not_comparable("permission to use its directory or its repository"),
            ),
            (GitError::Time { attempt, limit }.into(), Error::DiffTime { workspace: workspace(), limit }),
            (io(io::ErrorKind::StorageFull), Error::DiffSpace(workspace())),
            (
                GitError::Io { attempt, source: io::ErrorKind::QuotaExceeded.into() }.into(),
                Error::DiffSpace(workspace()),
            ),
            (
                GitError::Space { attempt, said: "No space left on device".to_owned() }.into(),
                Error::DiffSpace(workspace()),
            ),
            (
                GitError::Long { attempt, most: 3 }.into(),
                not_comparable("a repository that is small enough; the server's log says more"),
            ),
            (killed().into(), failed(killed().into())),
            (io(io::ErrorKind::Other), failed(io(io::ErrorKind::Other))),
            (
                GitError::Run { attempt, source: no_git() }.into(),
                failed(GitError::Run { attempt, source: no_git() }.into()),
            ),
        ];
        for (error, expected) in cases {
            let told = not_compared(&"wrk_1".parse().unwrap(), "main", error);
            assert_eq!(format!("{told:?}"), format!("{expected:?}"));
        }
    }
}
