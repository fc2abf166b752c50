//! `musher run`: one worker in a runtime of its own, streamed to the terminal.

use std::{
    collections::BTreeMap,
    env,
    io::{self, Write as _},
    process::ExitCode,
    time::Duration,
};

use musher_core::{Error, Observation, Profile, Runtime};
use musher_protocol::{
    Actor, CreateWorker, Cursor, Envelope, Frame, Intent, OnIdle, Outcome, Payload, ProfileSelector,
    RunState, TurnOutcome, WorkerId, WorkspaceRef,
};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{
    cli::RunArguments,
    compose::compose,
    config::Config,
    display::{Display, ending},
    failure::Failure,
    paths,
    waiting::Waiting,
};

/// The name that the current directory has in a run.
const HERE: &str = "here";
/// The profile that `--backend` makes.
const OF_BACKEND: &str = "backend";

/// Why a run does not begin, or cannot go on.
#[derive(Debug, thiserror::Error)]
enum RunError {
    #[error("no backend `{0}`; there are `claude-pty` and `scripted`")]
    NoBackend(String),
    #[error("{source}. {next}")]
    Create { source: Error, next: &'static str },
    #[error("the event log is not what this program wrote")]
    Event(#[source] serde_json::Error),
    #[error("the worker's task ended without a last event")]
    Cut,
}

pub(crate) async fn run(arguments: RunArguments) -> Result<ExitCode, Failure> {
    let file = arguments.config.clone().or_else(paths::default_config);
    let mut config = Config::load(file.as_deref()).map_err(Failure::usage)?;
    config.store = None;
    let profile = profile(&mut config, &arguments)?;
    let here = env::current_dir().map_err(|error| Failure::other("find the current directory", error))?;
    let interrupts =
        signal(SignalKind::interrupt()).map_err(|error| Failure::other("catch signals", error))?;
    let terminate =
        signal(SignalKind::terminate()).map_err(|error| Failure::other("catch signals", error))?;

    let composed = compose(&config, [(HERE.to_owned(), here)])?;
    let request = CreateWorker {
        intent: Intent::Task { objective: arguments.objective.clone() },
        profile: ProfileSelector::Named { value: profile },
        workspace_refs: vec![WorkspaceRef { name: "main".to_owned(), reference: HERE.to_owned() }],
        initial_input: None,
        on_idle: OnIdle::Stop,
        labels: BTreeMap::new(),
        display_name: None,
    };
    let ran = match composed.runtime.create_worker(request, me()).await {
        Ok(worker) => {
            let run =
                Run { runtime: composed.runtime.clone(), worker: worker.worker_id, json: arguments.json };
            run.follow(Signals { interrupts, terminate }, Duration::from_secs(arguments.max_wait)).await
        }
        Err(source) => {
            let next = next_step(&source);
            Err(Failure::other("run", RunError::Create { source, next }))
        }
    };
    composed.finish().await?;
    ran
}

/// The profile that the arguments name; `--backend` makes one.
fn profile(config: &mut Config, arguments: &RunArguments) -> Result<String, Failure> {
    let Some(backend) = &arguments.backend else {
        return Ok(arguments.profile.clone().unwrap_or_else(|| config.default_profile.clone()));
    };
    if !["claude-pty", "scripted"].contains(&backend.as_str()) {
        return Err(Failure::usage(RunError::NoBackend(backend.clone())));
    }
    config.profiles.insert(OF_BACKEND.to_owned(), Profile::of(backend));
    Ok(OF_BACKEND.to_owned())
}

fn next_step(error: &Error) -> &'static str {
    if matches!(error, Error::Unavailable { .. }) {
        "To see Musher work without it: musher run --profile echo \"hello\""
    } else {
        "Nothing was started"
    }
}

fn me() -> Actor {
    Actor::rule("run")
}

struct Signals {
    interrupts: Signal,
    terminate: Signal,
}

struct Run {
    runtime: Runtime,
    worker: WorkerId,
    json: bool,
}

impl Run {
    /// Prints what the worker does until it is terminal, and ends it when somebody asks to.
    async fn follow(self, mut signals: Signals, max_wait: Duration) -> Result<ExitCode, Failure> {
        let beginning = Cursor::new(&self.worker, 0, 0);
        let observation = self.runtime.observe_worker(&self.worker, Some(beginning)).await;
        let observation = observation.map_err(|error| Failure::other("observe the worker", error))?;
        let mut printing = std::pin::pin!(self.print(observation, max_wait));
        let mut n_asked = 0;
        // Stops and cancels wait for the worker's end, which the printing below has to see meanwhile.
        let mut ends = tokio::task::JoinSet::new();
        loop {
            tokio::select! {
                printed = &mut printing => {
                    let Printed { outcome, gave_up } = printed?;
                    while ends.join_next().await.is_some() {}
                    return Ok(self.conclude(outcome, n_asked > 0, gave_up));
                }
                _ = signals.interrupts.recv() => n_asked += 1,
                _ = signals.terminate.recv() => n_asked += 1,
            }
            let (runtime, worker) = (self.runtime.clone(), self.worker.clone());
            ends.spawn(async move {
                let ended = if n_asked == 1 {
                    eprintln!("stopping; once more ends the worker at once");
                    runtime
                        .stop_worker(&worker, None, Some("interrupted at the terminal".to_owned()), me())
                        .await
                } else {
                    runtime
                        .cancel_worker(&worker, Some("interrupted twice at the terminal".to_owned()), me())
                        .await
                };
                if let Err(error) = ended {
                    eprintln!("end the worker: {error}");
                }
            });
        }
    }

    async fn print(&self, mut observation: Observation, max_wait: Duration) -> Result<Printed, Failure> {
        let mut display = Display::default();
        let mut printed = Printed { outcome: None, gave_up: false };
        let mut stdout = io::stdout();
        let mut waiting = Waiting::new();
        loop {
            let frames = tokio::select! {
                frames = observation.next() => frames.map_err(|error| Failure::other("read the log", error))?,
                () = waiting.pause(), if !display.is_mid_line() => {
                    waiting.show();
                    continue;
                }
            };
            let Some(frames) = frames else { break };
            for frame in frames {
                let event = event(&frame).map_err(|error| Failure::other("read the log", error))?;
                if matches!(event.payload, Payload::Snapshot(_)) {
                    continue;
                }
                printed.gave_up |= self.gives_up(&event, max_wait).await?;
                let text = if self.json {
                    format!("{}\n", String::from_utf8_lossy(&frame.envelope()))
                } else {
                    display.show(&event)
                };
                if !text.is_empty() {
                    waiting.clear();
                }
                // A closed pipe is no reason to leave the worker alone: it goes on, unseen.
                let _unseen = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
                if let Payload::WorkerStopped(ended) | Payload::WorkerCancelled(ended) = event.payload {
                    printed.outcome = ended.outcome;
                }
            }
        }
        waiting.clear();
        if observation.is_complete() { Ok(printed) } else { Err(Failure::other("run", RunError::Cut)) }
    }

    /// Stops a worker that is parked for longer than anybody at the terminal wants to wait.
    async fn gives_up(&self, event: &Envelope, max_wait: Duration) -> Result<bool, Failure> {
        let Payload::Status { execution, .. } = &event.payload else { return Ok(false) };
        let (RunState::Parked, Some(until)) = (execution.run_state, execution.until) else {
            return Ok(false);
        };
        let wait = Duration::try_from(until.duration_since(event.at)).unwrap_or_default();
        if wait <= max_wait {
            eprintln!("waiting for the rate limit until {until}");
            return Ok(false);
        }
        eprintln!("the rate limit lasts until {until}, longer than --max-wait");
        let stopped = self.runtime.stop_worker(&self.worker, None, Some("--max-wait".to_owned()), me()).await;
        stopped.map_err(|error| Failure::other("stop the worker", error))?;
        Ok(true)
    }

    /// The last line, and the exit code.
    fn conclude(&self, outcome: Option<Outcome>, interrupted: bool, gave_up: bool) -> ExitCode {
        if self.json {
            println!("{}", last_line(outcome.as_ref()));
        } else if let Some(outcome) = &outcome {
            eprintln!("{}", ending(outcome));
        }
        let code = match outcome.map(|outcome| outcome.outcome) {
            _ if interrupted => 130,
            _ if gave_up => 3,
            Some(TurnOutcome::Completed) => 0,
            Some(TurnOutcome::LimitReached) => 3,
            Some(TurnOutcome::Refused) => 4,
            Some(TurnOutcome::Interrupted) => 130,
            Some(TurnOutcome::Failed | TurnOutcome::Unknown) | None => 1,
        };
        ExitCode::from(code)
    }
}

/// What was seen of a run when it was over.
struct Printed {
    outcome: Option<Outcome>,
    gave_up: bool,
}

/// In the field order of the wire, as every other line.
fn last_line(outcome: Option<&Outcome>) -> String {
    let outcome = serde_json::to_string(&outcome).expect("an outcome is JSON");
    format!(r#"{{"outcome":{outcome}}}"#)
}

fn event(frame: &musher_core::Frame) -> Result<Envelope, RunError> {
    match serde_json::from_slice(&frame.text()).map_err(RunError::Event)? {
        Frame::Event { envelope } => Ok(*envelope),
        Frame::Diagnostic { .. } | Frame::Unknown => unreachable!("a runtime's own frames are events"),
    }
}
