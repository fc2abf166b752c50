//! `musher run`: one worker in a runtime of its own, streamed to the terminal.

use std::{env, process::ExitCode, time::Duration};

use musher_core::{ApprovalMode, Error, Profile};
use musher_protocol::{Actor, CreateWorker, Intent, OnIdle, ProfileSelector, WorkspaceRef};

use crate::{
    cli::RunArguments,
    compose::{Composed, Recording, compose},
    config::{Config, backticked},
    display::Display,
    failure::Failure,
    following::{Following, Signals},
    paths,
    rule::Decider,
    store::StoreUrl,
};

/// The name that the current directory has in a run.
const HERE: &str = "here";
/// The profile that `--backend` makes.
const OF_BACKEND: &str = "backend";

/// Why a run does not begin.
#[derive(Debug, thiserror::Error)]
enum RunError {
    #[error("no backend `{name}`; there are {}", backticked(.known))]
    NoBackend { name: String, known: Vec<String> },
    #[error("no profile `{name}`; there are {}", backticked(known))]
    NoProfile { name: String, known: Vec<String> },
}

pub(crate) async fn run(arguments: RunArguments) -> Result<ExitCode, Failure> {
    let (config, profile) = resolve(&arguments)?;
    let (composed, ran) = run_as(&config, profile, &arguments, Recording::AsConfigured).await?;
    composed.finish().await;
    ran
}

/// The config of a run, and the profile of it that runs.
pub(crate) fn resolve(arguments: &RunArguments) -> Result<(Config, String), Failure> {
    let file = arguments.config.clone().or_else(paths::default_config);
    let mut config = Config::load(file.as_deref()).map_err(Failure::usage)?;
    let profile = profile(&mut config, arguments)?;
    Ok((config, profile))
}

/// Runs one worker of a profile of the config, and answers with how that went and what is to be finished now.
pub(crate) async fn run_as(
    config: &Config,
    profile: String,
    arguments: &RunArguments,
    recording: Recording,
) -> Result<(Composed, Result<ExitCode, Failure>), Failure> {
    let decider = match config.profiles[&profile].approval.mode {
        ApprovalMode::Ask => Decider::Person,
        ApprovalMode::Allow | ApprovalMode::Deny => Decider::Profile,
    };
    let here = env::current_dir().map_err(|error| Failure::other("find the current directory", error))?;
    let mut signals = Signals::catch().map_err(|error| Failure::other("catch signals", error))?;

    let composed = compose(config, &StoreUrl::Memory, [(HERE.to_owned(), here)], recording).await?;
    let request = CreateWorker {
        profile: ProfileSelector::Named { value: profile },
        workspace_refs: vec![WorkspaceRef { name: "main".to_owned(), reference: HERE.to_owned() }],
        on_idle: OnIdle::Stop,
        ..CreateWorker::new(Intent::Task { objective: arguments.objective.clone() })
    };
    let by = Actor::rule("run");
    let ran = match composed.runtime.create_worker(request, by.clone()).await {
        Ok(worker) => {
            let (runtime, json) = (composed.runtime.clone(), arguments.json);
            let following = Following {
                runtime,
                worker: worker.worker_id,
                by,
                decider,
                display: Display::default(),
                json,
            };
            let max_wait = Duration::from_secs(arguments.max_wait);
            following.follow(&mut signals, max_wait).await.map(ExitCode::from)
        }
        Err(error @ Error::Unavailable { .. }) => {
            Err(Failure::other("run", error).next("to see Musher work without it: musher demo"))
        }
        Err(error) => Err(Failure::other("run", error)),
    };
    Ok((composed, ran))
}

/// The profile that the arguments name; `--backend` makes one.
fn profile(config: &mut Config, arguments: &RunArguments) -> Result<String, Failure> {
    let Some(backend) = &arguments.backend else {
        let name = arguments.profile.as_ref().unwrap_or(&config.default_profile);
        if !config.profiles.contains_key(name) {
            let known = config.profiles.keys().cloned().collect();
            return Err(Failure::usage(RunError::NoProfile { name: name.clone(), known }));
        }
        return Ok(name.clone());
    };
    if !config.backends.contains_key(backend) {
        let known = config.backends.keys().cloned().collect();
        return Err(Failure::usage(RunError::NoBackend { name: backend.clone(), known }));
    }
    config.profiles.insert(OF_BACKEND.to_owned(), Profile::of(backend));
    Ok(OF_BACKEND.to_owned())
}
