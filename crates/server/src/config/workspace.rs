//! Directories that workers may be created in.

use std::path::{Path, PathBuf};

use musher_core::{Workspace, WorkspaceIsolation};
use musher_process::Environment;
use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WorkspaceTable {
    path: PathBuf,
    #[serde(default)]
    isolation: IsolationKey,
    /// Whether a request may name a directory directly below it.
    #[serde(default)]
    children: bool,
    /// A command for a new worktree.
    setup: Option<String>,
    /// Variables of the server that processes in it get, too.
    #[serde(default)]
    pass_env: Vec<String>,
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
        let isolation = match (self.isolation, self.setup) {
            (IsolationKey::Direct, None) => WorkspaceIsolation::Direct,
            (IsolationKey::Direct, Some(_)) => {
                return Err((
                    "setup",
                    "only a new worktree is set up: `isolation = \"worktree\"`".to_owned(),
                ));
            }
            (IsolationKey::Worktree, Some(setup)) if setup.trim().is_empty() => {
                return Err(("setup", "a command needs words".to_owned()));
            }
            (IsolationKey::Worktree, setup) => WorkspaceIsolation::Worktree { setup },
        };
        let mut environment = Environment::empty();
        for name in &self.pass_env {
            // One that the server does not have is one that the processes do not get.
            let _is_there = environment.pass(name).map_err(|error| ("pass_env", error.to_string()))?;
        }
        let path = existing(directory, &self.path)?;
        Ok(Workspace { path, children: self.children, isolation, pass_env: self.pass_env })
    }
}

/// A directory that is there, by its absolute path.
pub(super) fn existing(directory: &Path, path: &Path) -> Result<PathBuf, (&'static str, String)> {
    let path = directory.join(path);
    let absolute = path.canonicalize().ok().filter(|path| path.is_dir());
    absolute.ok_or_else(|| ("path", format!("no directory {}", path.display())))
}
