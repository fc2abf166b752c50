//! The runtime that a config describes, with the guard that outlives it.

use std::{env, io, path::PathBuf};

use musher_claude_pty::{ClaudeOptions, ClaudePty};
use musher_core::{MemoryStore, Runtime};
use musher_process::{Exit, Owner};
use musher_scripted::Scripted;
use tempfile::TempDir;
use uuid::Uuid;

use crate::{
    config::Config,
    failure::Failure,
    scratch,
    watch::{Post, Watch},
};

/// A runtime, and what has to live as long as it does.
#[derive(Debug)]
pub(crate) struct Composed {
    pub(crate) runtime: Runtime,
    guard: Watch,
    /// Workers without a workspace work in here.
    scratch: TempDir,
}

/// Where a runtime keeps its logs that this version cannot.
#[derive(Debug, thiserror::Error)]
#[error("no store `{0}`; this version has `memory`")]
pub(crate) struct NoStore(String);

/// Puts the runtime of a config together, and starts its guard.
pub(crate) async fn compose(
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
    let scratch = scratch::make().map_err(|error| Failure::other("make a scratch directory", error))?;
    let arguments = vec!["guard".into(), "--scratch".into(), scratch.path().into()];
    let guard = Post { program, arguments, owner: owner.clone() }.start();
    let guard = guard.map_err(|error| Failure::other("start the guard", error))?;

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
    let runtime = builder.start().await.map_err(Failure::usage)?;
    Ok(Composed { runtime, guard, scratch })
}

impl Composed {
    /// Ends every session, then the guard, which looks once more for what is left.
    ///
    /// What goes wrong is in the log: it does not change how the work itself ended.
    pub(crate) async fn finish(self) {
        self.runtime.shutdown().await;
        match self.guard.finish().await {
            Ok(Exit { code: Some(0), .. }) => {}
            Ok(Exit { code: Some(1), .. }) => {
                tracing::error!("the guard found processes of workers that it could not end");
            }
            Ok(exit) => {
                tracing::error!(%exit, "the guard ended without its work; processes of workers may be left");
            }
            Err(error) => tracing::error!(error = &error as &dyn std::error::Error, "end the guard"),
        }
        let directory = self.scratch.path().to_owned();
        match self.scratch.close() {
            Ok(()) => {}
            // The guard was faster.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                let directory = directory.display();
                tracing::warn!(%directory, %error, "the scratch directory stays");
            }
        }
    }
}
