//! Directories that workers may be created in.

use std::path::{Path, PathBuf};

use musher_core::{Workspace, WorkspaceIsolation};
use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WorkspaceTable {
    path: PathBuf,
    #[serde(default)]
    isolation: IsolationKey,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum IsolationKey {
    #[default]
    Direct,
    Worktree,
}

impl WorkspaceTable {
    /// The workspace; what is wrong comes with its key.
    pub(super) fn resolve(self, directory: &Path) -> Result<Workspace, (&'static str, String)> {
        let isolation = match self.isolation {
            IsolationKey::Direct => WorkspaceIsolation::Direct,
            IsolationKey::Worktree => WorkspaceIsolation::Worktree,
        };
        Ok(Workspace { path: existing(directory, &self.path)?, children: false, isolation })
    }
}

/// A directory that is there, by its absolute path.
fn existing(directory: &Path, path: &Path) -> Result<PathBuf, (&'static str, String)> {
    let path = directory.join(path);
    let absolute = path.canonicalize().ok().filter(|path| path.is_dir());
    absolute.ok_or_else(|| ("path", format!("no directory {}", path.display())))
}
