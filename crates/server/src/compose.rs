//! The runtime that a config describes, with the guard that outlives it.

use std::{
    env,
    path::{Path, PathBuf},
    sync::Arc,
};

use musher_claude_pty::{ClaudePty, McpServer as ClaudeServer};
use musher_core::{Builder, MemoryStore, Runtime, StartError, Store};
use musher_gemini_api::GeminiApi;
use musher_openai_api::OpenAiApi;
use musher_process::{Exit, Owner};
use musher_protocol::ProfileSummary;
use musher_scripted::Scripted;
use musher_tools::{McpServer, ToolSet};
use uuid::Uuid;

use crate::{
    config::{BackendOptions, Config},
    failure::Failure,
    scratch::Scratch,
    secrets,
    store::StoreUrl,
    watch::{Post, Watch},
};

/// Where recordings are in the scratch directory.
const DESK: &str = "recordings";

/// Where worktrees of workers are, beside a store that lasts.
const WORKTREES: &str = "worktrees";

/// Where sessions of Claude Code are recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Recording {
    /// Where the config says, if anywhere.
    AsConfigured,
    /// Where workers do not come across it, in a directory that goes with the process, however that ends.
    Passing,
}

/// A runtime, and what has to live as long as it does.
#[derive(Debug)]
pub(crate) struct Composed {
    pub(crate) runtime: Runtime,
    guard: Watch,
    /// Workers without a workspace work in here.
    scratch: Scratch,
}

/// Puts the runtime of a config together over its store, and starts its guard. What an earlier life of the store left
/// is dealt with when it returns.
pub(crate) async fn compose(
    config: &Config,
    url: &StoreUrl,
    workspaces: impl IntoIterator<Item = (String, PathBuf)>,
    recording: Recording,
) -> Result<Composed, Failure> {
    let store = url.open()?;
    let scratch = Scratch::beside(url).map_err(|error| Failure::other("make a scratch directory", error))?;
    compose_in(config, store, scratch, workspaces, recording).await
}

/// The same over a store and a scratch directory that are there.
pub(crate) async fn compose_in(
    config: &Config,
    store: Arc<dyn Store>,
    scratch: Scratch,
    workspaces: impl IntoIterator<Item = (String, PathBuf)>,
    recording: Recording,
) -> Result<Composed, Failure> {
    secrets::hide_those_of(config);
    let owner = Owner::new(Uuid::now_v7().simple().to_string()).map_err(Failure::usage)?;
    let program =
        env::current_exe().map_err(|error| Failure::other("find this program's own file", error))?;
    #[cfg(feature = "planted-bugs")]
    let store = crate::planted::around(store).map_err(Failure::usage)?;
    let arguments = scratch.guard_arguments();
    let guard = Post { program, arguments, owner: owner.clone() }.start();
    let guard = guard.map_err(|error| Failure::other("start the guard", error))?;

    let recordings = match recording {
        Recording::AsConfigured => None,
        Recording::Passing => Some(scratch.path().join(DESK)),
    };
    let mut builder = builder(config, store, &scratch, recordings.as_deref())?
        .owner(owner)
        .limits(config.limits)
        .retention(config.retention)
        .scratch(scratch.path().to_owned())
        .vault(secrets::vault());
    if let Some(most) = config.max_keys_per_token {
        builder = builder.max_keys_per_token(most);
    }
    if let Some(name) = &config.display_name {
        builder = builder.display_name(name.as_str());
    }
    for (name, workspace) in &config.workspaces {
        builder = builder.workspace(name.as_str(), workspace.clone());
    }
    for (name, mount) in &config.mounts {
        builder = builder.mount(name.as_str(), mount.clone());
    }
    for (name, path) in workspaces {
        builder = builder.workspace(name, path);
    }
    if let Some(directory) = scratch.beside_lasting(WORKTREES) {
        builder = builder.worktrees(directory);
    }
    match builder.start().await {
        Ok(runtime) => Ok(Composed { runtime, guard, scratch }),
        Err(error) => {
            end(guard, scratch).await;
            Err(not_started(error))
        }
    }
}

/// What can run of a config, here and now.
pub(crate) async fn profiles(config: &Config) -> Result<Vec<ProfileSummary>, Failure> {
    let scratch = Scratch::passing().map_err(|error| Failure::other("make a scratch directory", error))?;
    let builder = builder(config, Arc::new(MemoryStore::new()), &scratch, None)?;
    let runtime = builder.start().await.map_err(not_started)?;
    let profiles = runtime.list_profiles().await;
    runtime.shutdown().await;
    scratch.close();
    Ok(profiles)
}

fn not_started(error: StartError) -> Failure {
    match error {
        StartError::Begin(_) | StartError::Recover(_) => Failure::other("start the runtime", error),
        // The config's names do not fit together.
        StartError::NoDefaultProfile(_) | StartError::NoBackend { .. } | _ => Failure::usage(error),
    }
}

/// A runtime with a config's backends, tools and profiles.
fn builder(
    config: &Config,
    store: Arc<dyn Store>,
    scratch: &Scratch,
    recordings: Option<&Path>,
) -> Result<Builder, Failure> {
    let mut builder = Runtime::builder_on(store)
        .default_profile(config.default_profile.as_str())
        .toolbox(toolbox(config, scratch));
    for (name, options) in &config.backends {
        builder = add(builder, name, options, config, recordings)?;
    }
    builder = config.open_to_bundles(builder);
    for (name, profile) in &config.profiles {
        builder = builder.profile(name.as_str(), profile.clone());
    }
    Ok(builder)
}

/// A server as Claude Code reaches it by itself.
fn for_claude(server: &McpServer) -> ClaudeServer {
    match server.clone() {
        McpServer::Command { program, args, environment } => {
            ClaudeServer::Command { program, args, environment }
        }
        McpServer::Url { url, headers } => ClaudeServer::Url { url, headers },
    }
}

/// Tools for the models of API backends.
fn toolbox(config: &Config, scratch: &Scratch) -> ToolSet {
    let set = ToolSet::workspace().with_temporary_in(scratch.path());
    config.mcp.iter().fold(set, |set, (name, server)| set.with_server(name.as_str(), server.clone()))
}

fn add(
    builder: Builder,
    name: &str,
    options: &BackendOptions,
    config: &Config,
    recordings: Option<&Path>,
) -> Result<Builder, Failure> {
    let failed = |error| Failure::other("prepare an API backend", error);
    Ok(match options.clone() {
        BackendOptions::Claude(mut options) => {
            options.record = recordings.map(Path::to_owned).or(options.record);
            options.mcp =
                config.mcp.iter().map(|(name, server)| (name.clone(), for_claude(server))).collect();
            builder.backend(name, ClaudePty::new(options))
        }
        BackendOptions::OpenAi(options) => builder.backend(name, OpenAiApi::new(options).map_err(failed)?),
        BackendOptions::Gemini(options) => builder.backend(name, GeminiApi::new(options).map_err(failed)?),
        BackendOptions::Scripted => builder.backend(name, Scripted),
    })
}

impl Composed {
    /// Ends every session, then the guard, which looks once more for what is left.
    ///
    /// What goes wrong is in the log: it does not change how the work itself ended.
    pub(crate) async fn finish(self) {
        self.finish_with(|_desk| ()).await;
    }

    /// The same. When every session has ended, and before their recordings go, they are `kept`.
    pub(crate) async fn finish_with<T>(self, kept: impl FnOnce(&Path) -> T) -> T {
        self.runtime.shutdown().await;
        let kept = kept(&self.scratch.path().join(DESK));
        end(self.guard, self.scratch).await;
        kept
    }
}

async fn end(guard: Watch, scratch: Scratch) {
    match guard.finish().await {
        Ok(Exit { code: Some(0), .. }) => {}
        Ok(Exit { code: Some(1), .. }) => {
            tracing::error!("the guard found processes of workers that it could not end");
        }
        Ok(exit) => {
            tracing::error!(%exit, "the guard ended without its work; processes of workers may be left");
        }
        Err(error) => tracing::error!(error = &error as &dyn std::error::Error, "end the guard"),
    }
    scratch.close();
}
