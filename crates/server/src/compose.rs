//! The runtime that a config describes, with the guard that outlives it.

use std::{env, path::PathBuf};

use musher_claude_pty::{ClaudeOptions, ClaudePty};
use musher_core::{MemoryStore, Runtime};
use musher_process::{Guard, Owner};
use musher_scripted::Scripted;
use tempfile::TempDir;
use uuid::Uuid;

use crate::{config::Config, failure::Failure};

/// A runtime, and what has to live as long as it does.
#[derive(Debug)]
pub(crate) struct Composed {
    pub(crate) runtime: Runtime,
    guard: Guard,
    /// Workers without a workspace work in here; it goes with the process, as the store in memory does.
    scratch: TempDir,
}

/// Where a runtime keeps its logs that this version cannot.
#[derive(Debug, thiserror::Error)]
#[error("no store `{0}`; this version has `memory`")]
pub(crate) struct NoStore(String);

/// Puts the runtime of a config together, and starts its guard.
pub(crate) fn compose(
    config: &Config,
    workspaces: impl IntoIterator<Item = (String, PathBuf)>,
) -> Result<Composed, Failure> {
    match config.store.as_deref() {
        None | Some("memory") => {}
        Some(other) => return Err(Failure::usage(NoStore(other.to_owned()))),
    }
    let owner = Owner::new(Uuid::now_v7().simple().to_string()).map_err(Failure::usage)?;
    let program =
        env::current_exe().map_err(|error| Failure::other("find this program's own file", error))?;
    let guard = Guard::start(&program, ["guard"], &owner)
        .map_err(|error| Failure::other("start the guard", error))?;
    let scratch = tempfile::Builder::new().prefix("musher-").tempdir();
    let scratch = scratch.map_err(|error| Failure::other("make a scratch directory", error))?;

    let mut claude = ClaudeOptions { env: config.claude.env.clone(), ..ClaudeOptions::default() };
    if let Some(program) = &config.claude.program {
        claude.program.clone_from(program);
    }
    if let Some(pass_env) = &config.claude.pass_env {
        claude.pass_env.clone_from(pass_env);
    }
    let mut builder = Runtime::builder(MemoryStore::new())
        .owner(owner)
        .limits(config.limits)
        .scratch(scratch.path().to_owned())
        .backend("claude-pty", ClaudePty::new(claude))
        .backend("scripted", Scripted)
        .default_profile(config.default_profile.as_str());
    if let Some(name) = &config.display_name {
        builder = builder.display_name(name.as_str());
    }
    for (name, profile) in &config.profiles {
        builder = builder.profile(name.as_str(), profile.clone());
    }
    for (name, path) in config.workspaces.clone().into_iter().chain(workspaces) {
        builder = builder.workspace(name, path);
    }
    let runtime = builder.build().map_err(Failure::usage)?;
    Ok(Composed { runtime, guard, scratch })
}

impl Composed {
    /// Ends every session, then the guard, which looks once more for what is left.
    pub(crate) async fn finish(self) -> Result<(), Failure> {
        self.runtime.shutdown().await;
        let exit = self.guard.finish().await.map_err(|error| Failure::other("end the guard", error))?;
        if exit.code != Some(0) {
            tracing::error!(%exit, "the guard found processes that it could not end");
        }
        self.scratch.close().map_err(|error| Failure::other("remove the scratch directory", error))
    }
}
