//! `musher demo`: a worker whose model is scripted, and in which all else is real.

mod bill;
mod course;
mod ruling;
mod script;
mod sequel;
mod timeline;

use std::{collections::BTreeSet, env, fs, io, path::Path, process::ExitCode, time::Duration};

use musher_core::{ApprovalMode, ApprovalPolicy, From, Profile, Runtime};
use musher_openai_api::{Dialect, OpenAiOptions};
use musher_protocol::{
    Capability, CreateWorker, Envelope, Intent, OnIdle, ProfileSelector, WorkerId, WorkspaceRef,
};
use musher_scripted::model_api::ModelApi;
use musher_turn_loop::ApiKey;
use uuid::Uuid;

use self::{course::DemoError, sequel::Offer};
use crate::{
    cli::DemoArguments,
    compose::{Recording, compose_in},
    config::{BackendOptions, Config},
    display::Display,
    failure::Failure,
    following::{Following, INTERRUPTED, Signals, event},
    paths,
    rule::Decider,
    scratch::Scratch,
    store::StoreUrl,
    terminal::{self, Printer},
};

/// The names of the demo's profile, its backend and its workspace.
const DEMO: &str = "demo";
/// Long enough to read what is asked; a demo that nobody answers ends by itself.
const DEADLINE: Duration = Duration::from_secs(300);
/// Nothing in the script lasts so long, so that a demo that hangs ends, too.
const INACTIVITY: Duration = Duration::from_secs(60);
/// More than a demo has events.
const MAX_EVENTS: usize = 1000;
/// What is offered where the program does not know how it was called.
const DEFAULT_PROGRAM: &str = "musher";

/// What was seen of a demo.
struct Seen {
    code: u8,
    log: Vec<Envelope>,
    /// What did not go as scripted.
    fault: Option<DemoError>,
}

pub(crate) async fn demo(arguments: DemoArguments) -> Result<ExitCode, Failure> {
    let file = arguments.config.clone().or_else(paths::default_config);
    let own = Config::load(file.as_deref()).map_err(Failure::usage)?;
    let mut signals = Signals::catch().map_err(failed("catch signals"))?;
    // What is wrong with a config is told before anything is shown.
    let offer = Offer::of(&own).await?;
    let scratch = Scratch::passing().map_err(failed("make a scratch directory"))?;
    let place = scratch.path().to_owned();
    let workspace = place.join("work");
    fs::create_dir(&workspace).map_err(failed("make the demo's workspace"))?;
    let key = format!("sk-demo-{}", Uuid::new_v4().simple());
    let api = script::serve(key.clone()).await.map_err(failed("start the scripted model server"))?;
    terminal::print(&prologue(&api, &place));

    let store = StoreUrl::Sqlite(place.join("store")).open()?;
    let config = config(&api, key)?;
    let workspaces = [(DEMO.to_owned(), workspace.clone())];
    let composed = compose_in(&config, store, scratch, workspaces, Recording::AsConfigured).await?;
    let seen = see(composed.runtime.clone(), &workspace, &mut signals).await;
    composed.finish().await;
    let Seen { code, log, fault } = seen?;
    if code == INTERRUPTED {
        return Ok(ExitCode::from(INTERRUPTED));
    }
    if place.exists() {
        return Err(Failure::other("demo", DemoError::Remains(place)));
    }
    let program = env::args_os().next().unwrap_or_else(|| DEFAULT_PROGRAM.into());
    let commands = offer.commands(&program.to_string_lossy(), arguments.config.as_deref());
    let printer = Printer::start().map_err(failed("start the printer"))?;
    printer.out(epilogue(&log, &place, &commands)).await;
    tokio::select! {
        () = printer.finish() => {}
        // Nobody reads the rest.
        () = signals.next() => return Ok(ExitCode::from(INTERRUPTED)),
    }
    let violation = api.violations().first().map(|violation| DemoError::Violation(violation.to_string()));
    match violation.or(fault) {
        Some(fault) => Err(Failure::other("demo", fault)),
        None => Ok(ExitCode::SUCCESS),
    }
}

fn failed(attempt: &'static str) -> impl FnOnce(io::Error) -> Failure {
    move |error| Failure::other(attempt, error)
}

/// Nothing of the user's own config: what that says is for workers with a model.
fn config(api: &ModelApi, key: String) -> Result<Config, Failure> {
    let mut config = Config::load(None).map_err(Failure::usage)?;
    let options = OpenAiOptions {
        api_key: Some(ApiKey::new("the demo's own key", key.into())),
        dialect: Dialect::Responses,
        ..OpenAiOptions::new(&format!("{}/v1", api.url()))
    };
    let mut profile = Profile::of(&options.name);
    profile.model = Some(script::MODEL.to_owned());
    profile.capabilities = BTreeSet::from([Capability::Read, Capability::Write, Capability::Shell]);
    profile.approval = ApprovalPolicy { mode: ApprovalMode::Ask, deadline: DEADLINE };
    profile.limits.inactivity = INACTIVITY;
    // A model of the vendor's shows its thoughts only when it is asked for them.
    profile.options.insert("reasoning_effort".to_owned(), "low".into());
    config.backends.insert(options.name.clone(), BackendOptions::OpenAi(options));
    config.profiles.insert(DEMO.to_owned(), profile);
    Ok(config)
}

/// Runs the worker, and reads its log back when it has ended.
async fn see(runtime: Runtime, workspace: &Path, signals: &mut Signals) -> Result<Seen, Failure> {
    let request = CreateWorker {
        profile: ProfileSelector::Named { value: DEMO.to_owned() },
        workspace_refs: vec![WorkspaceRef { name: "main".to_owned(), reference: DEMO.to_owned() }],
        on_idle: OnIdle::Stop,
        ..CreateWorker::new(Intent::Task { objective: script::OBJECTIVE.to_owned() })
    };
    let created = runtime.create_worker(request, ruling::me()).await;
    let worker = created.map_err(|error| Failure::other("create the demo's worker", error))?.worker_id;
    let following = Following {
        runtime: runtime.clone(),
        worker: worker.clone(),
        by: ruling::person(),
        decider: Decider::Ruled(ruling::rule),
        display: Display::default().with_thoughts(),
        json: false,
    };
    // No limit is in the script.
    let code = following.follow(signals, Duration::ZERO).await?;
    let log = read(&runtime, &worker).await?;
    let fault = course::check(&log).and_then(|()| course::check_file(workspace)).err();
    Ok(Seen { code, log, fault })
}

async fn read(runtime: &Runtime, worker: &WorkerId) -> Result<Vec<Envelope>, Failure> {
    let page = runtime.read_worker_events(worker, From::Cursor(None), None, MAX_EVENTS).await;
    let page = page.map_err(|error| Failure::other("read the log back", error))?;
    let events: Result<Vec<_>, _> = page.frames.iter().map(event).collect();
    events.map_err(|error| Failure::other("read the log back", error))
}

fn prologue(api: &ModelApi, place: &Path) -> String {
    format!(
        "musher demo: no key, no account, no model\n\n\
         scripted   what the model thinks, says and calls, what it used, and one connection that breaks\n\
         real       OpenAI's protocol over HTTP on {}, the loop and its retry, tools and files,\n           \
                    approvals, the shell, the log in SQLite\n\
         all in     {}, which goes with the demo\n\n",
        api.url().trim_start_matches("http://"),
        place.display(),
    )
}

fn epilogue(log: &[Envelope], place: &Path, commands: &str) -> String {
    format!(
        "\nwhat happened, read back from the log\n{}\n{}gone   {} with all in it\n\ntry next\n{commands}",
        timeline::timeline(log),
        bill::bill(log),
        place.display(),
    )
}

/// A log of these payloads, 10 ms apart.
#[cfg(test)]
fn log(payloads: &[serde_json::Value]) -> Vec<Envelope> {
    let worker_id: WorkerId = "wrk_1".parse().expect("an id");
    let envelope = |(n, payload): (u64, &serde_json::Value)| {
        let envelope = serde_json::json!({
            "cursor": musher_protocol::Cursor::new(&worker_id, n + 1, 0), "seq": n + 1,
            "event_id": format!("evt_{n}"), "worker_id": worker_id,
            "at": format!("2026-11-20T10:00:00.{:03}Z", 10 * n), "payload": payload,
        });
        serde_json::from_value(envelope).expect("an envelope")
    };
    (0..).zip(payloads).map(envelope).collect()
}
