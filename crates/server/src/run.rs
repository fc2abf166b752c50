//! `musher run`: one worker in a runtime of its own, streamed to the terminal.

use std::{env, future::pending, process::ExitCode, time::Duration};

use musher_core::{ApprovalMode, Error, Observation, Profile, Runtime};
use musher_protocol::{
    Actor, CreateWorker, Cursor, Envelope, Frame, Intent, OnIdle, Outcome, Payload, ProfileSelector,
    RunState, TurnOutcome, WorkerId, WorkspaceRef,
};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};

use crate::{
    cli::RunArguments,
    compose::{Composed, Recording, compose},
    config::{Config, backticked},
    display::{Display, ending},
    failure::Failure,
    paths,
    person::{CLEAR_LINE, Person},
    store::StoreUrl,
    terminal::{self, Printer},
    waiting::Waiting,
};

/// The name that the current directory has in a run.
const HERE: &str = "here";
/// The profile that `--backend` makes.
const OF_BACKEND: &str = "backend";
/// The exit code of a run that somebody ended.
const INTERRUPTED: u8 = 130;
/// How long the last words have, on a stdout that may be stalled, once somebody asked for the end.
const FAREWELL: Duration = Duration::from_secs(2);
/// How long a stalled stderr holds up the stop that it is to tell of.
const ASIDE: Duration = Duration::from_millis(200);

/// Why a run does not begin, or cannot go on.
#[derive(Debug, thiserror::Error)]
enum RunError {
    #[error("no backend `{name}`; there are {}", backticked(.known))]
    NoBackend { name: String, known: Vec<String> },
    #[error("no profile `{name}`; there are {}", backticked(known))]
    NoProfile { name: String, known: Vec<String> },
    #[error("the event log is not what this program wrote")]
    Event(#[source] serde_json::Error),
    #[error("the worker's task ended without a last event")]
    Cut,
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
    let asks = config.profiles[&profile].approval.mode == ApprovalMode::Ask;
    let here = env::current_dir().map_err(|error| Failure::other("find the current directory", error))?;
    let interrupts =
        signal(SignalKind::interrupt()).map_err(|error| Failure::other("catch signals", error))?;
    let terminate =
        signal(SignalKind::terminate()).map_err(|error| Failure::other("catch signals", error))?;

    let composed = compose(config, &StoreUrl::Memory, [(HERE.to_owned(), here)], recording).await?;
    let request = CreateWorker {
        profile: ProfileSelector::Named { value: profile },
        workspace_refs: vec![WorkspaceRef { name: "main".to_owned(), reference: HERE.to_owned() }],
        on_idle: OnIdle::Stop,
        ..CreateWorker::new(Intent::Task { objective: arguments.objective.clone() })
    };
    let ran = match composed.runtime.create_worker(request, me()).await {
        Ok(worker) => {
            let (runtime, json) = (composed.runtime.clone(), arguments.json);
            let run = Run { runtime, worker: worker.worker_id, asks, json };
            run.follow(Signals { interrupts, terminate }, Duration::from_secs(arguments.max_wait)).await
        }
        Err(error @ Error::Unavailable { .. }) => Err(Failure::other("run", error)
            .next("to see Musher work without it: musher run --profile echo \"hello\"")),
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

pub(crate) fn me() -> Actor {
    Actor::rule("run")
}

struct Signals {
    interrupts: Signal,
    terminate: Signal,
}

struct Run {
    runtime: Runtime,
    worker: WorkerId,
    /// Whoever is at the terminal decides what the worker asks.
    asks: bool,
    json: bool,
}

impl Run {
    /// Prints what the worker does until it is terminal, and ends it when somebody asks to.
    async fn follow(self, mut signals: Signals, max_wait: Duration) -> Result<ExitCode, Failure> {
        let beginning = Cursor::new(&self.worker, 0, 0);
        let observation = self.runtime.observe_worker(&self.worker, Some(beginning)).await;
        let observation = observation.map_err(|error| Failure::other("observe the worker", error))?;
        let printer = Printer::start().map_err(|error| Failure::other("start the printer", error))?;
        let mut printing = std::pin::pin!(self.print(observation, max_wait, printer));
        let mut n_asked = 0;
        // Stops and cancels wait for the worker's end, which the printing has to see meanwhile.
        let mut ends = JoinSet::new();
        let mut leaves_at = None;
        loop {
            tokio::select! {
                printed = &mut printing => {
                    let printed = printed?;
                    while ends.join_next().await.is_some() {}
                    return Ok(exit_code(&printed, n_asked > 0));
                }
                // The worker has ended as asked, and nobody reads what is left to print.
                () = moment(leaves_at) => return Ok(ExitCode::from(INTERRUPTED)),
                Some(_) = ends.join_next() => {
                    leaves_at = leaves_at.or_else(|| Some(Instant::now() + FAREWELL));
                    continue;
                }
                _ = signals.interrupts.recv() => n_asked += 1,
                _ = signals.terminate.recv() => n_asked += 1,
            }
            ends.spawn(end(self.runtime.clone(), self.worker.clone(), n_asked));
        }
    }

    /// Prints all that is to be printed, and the last line.
    async fn print(
        &self,
        observation: Observation,
        max_wait: Duration,
        printer: Printer,
    ) -> Result<Printed, Failure> {
        let printed = self.print_events(observation, max_wait, &printer).await;
        if let Ok(Printed { outcome, .. }) = &printed {
            if self.json {
                printer.out(format!("{}\n", last_line(outcome.as_ref()))).await;
            } else if let Some(outcome) = outcome {
                printer.err(format!("{}\n", ending(outcome))).await;
            }
        }
        printer.finish().await;
        printed
    }

    async fn print_events(
        &self,
        mut observation: Observation,
        max_wait: Duration,
        printer: &Printer,
    ) -> Result<Printed, Failure> {
        let mut display = Display::default();
        let mut printed = Printed { outcome: None, gave_up: false };
        let mut waiting = Waiting::new();
        let mut person = Person::new();
        loop {
            let frames = tokio::select! {
                frames = observation.next() => frames.map_err(|error| Failure::other("read the log", error))?,
                () = waiting.pause(), if !display.is_mid_line() && !person.is_asked() => {
                    printer.err(waiting.show()).await;
                    continue;
                }
                line = person.line() => {
                    let heard = person.hear(line, &self.runtime, &self.worker, printer).await;
                    heard.map_err(|error| Failure::other("decide what the worker asks", error))?;
                    self.put(&mut person, printer, false).await?;
                    continue;
                }
            };
            let Some(frames) = frames else { break };
            let mut said = false;
            for frame in frames {
                let event = event(&frame).map_err(|error| Failure::other("read the log", error))?;
                if matches!(event.payload, Payload::Snapshot(_)) {
                    continue;
                }
                printed.gave_up |= self.gives_up(&event, max_wait, printer).await?;
                let text = if self.json {
                    format!("{}\n", String::from_utf8_lossy(&frame.envelope()))
                } else {
                    display.show(&event)
                };
                let was_asked = person.is_asked();
                let aside = if self.asks { person.follow(&event.payload) } else { None };
                if !text.is_empty() || aside.is_some() {
                    if let Some(room) = waiting.clear() {
                        printer.err(room).await;
                    }
                    said = true;
                }
                // What is said, and what is asked next, begins on a line of its own.
                if was_asked && (said || !person.is_asked()) {
                    printer.err(CLEAR_LINE.to_owned()).await;
                }
                if !text.is_empty() {
                    printer.out(text).await;
                }
                if let Some(aside) = aside {
                    printer.err(display.end_line() + &aside).await;
                }
                if let Payload::WorkerStopped(ended) | Payload::WorkerCancelled(ended) = event.payload {
                    printed.outcome = ended.outcome;
                }
            }
            if person.is_waited_for() {
                let room = waiting.clear().unwrap_or_default() + &display.end_line();
                printer.err(room).await;
            }
            self.put(&mut person, printer, said).await?;
        }
        if let Some(room) = waiting.clear() {
            printer.err(room).await;
        }
        if observation.is_complete() { Ok(printed) } else { Err(Failure::other("run", RunError::Cut)) }
    }

    async fn put(&self, person: &mut Person, printer: &Printer, said: bool) -> Result<(), Failure> {
        let put = person.put(printer, said).await;
        put.map_err(|error| Failure::other("ask at the terminal", error))
    }

    /// Stops a worker that is parked for longer than anybody at the terminal wants to wait.
    async fn gives_up(
        &self,
        event: &Envelope,
        max_wait: Duration,
        printer: &Printer,
    ) -> Result<bool, Failure> {
        let Payload::Status { execution, .. } = &event.payload else { return Ok(false) };
        let (RunState::Parked, Some(until)) = (execution.run_state, execution.until) else {
            return Ok(false);
        };
        let wait = Duration::try_from(until.duration_since(event.at)).unwrap_or_default();
        if wait <= max_wait {
            printer.err(format!("waiting for the rate limit until {until}\n")).await;
            return Ok(false);
        }
        printer.err(format!("the rate limit lasts until {until}, longer than --max-wait\n")).await;
        let stopped = self.runtime.stop_worker(&self.worker, None, Some("--max-wait".to_owned()), me()).await;
        stopped.map_err(|error| Failure::other("stop the worker", error))?;
        Ok(true)
    }
}

/// Ends a worker as somebody at the terminal asked: first in order, then at once.
async fn end(runtime: Runtime, worker: WorkerId, n_asked: u32) {
    let ended = if n_asked == 1 {
        let _unheard = timeout(ASIDE, terminal::aside("stopping; once more ends the worker at once")).await;
        runtime.stop_worker(&worker, None, Some("interrupted at the terminal".to_owned()), me()).await
    } else {
        runtime.cancel_worker(&worker, Some("interrupted twice at the terminal".to_owned()), me()).await
    };
    match ended {
        // It may have ended by itself, and only its words are still under way.
        Ok(_) | Err(Error::NotRunning(_)) => {}
        Err(error) => tracing::error!(error = &error as &dyn std::error::Error, "the worker was not ended"),
    }
}

async fn moment(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => pending().await,
    }
}

fn exit_code(printed: &Printed, interrupted: bool) -> ExitCode {
    let code = match printed.outcome.as_ref().map(|outcome| outcome.outcome) {
        _ if interrupted => INTERRUPTED,
        _ if printed.gave_up => 3,
        Some(TurnOutcome::Completed) => 0,
        Some(TurnOutcome::LimitReached) => 3,
        Some(TurnOutcome::Refused) => 4,
        Some(TurnOutcome::Interrupted) => INTERRUPTED,
        Some(TurnOutcome::Failed | TurnOutcome::Unknown) | None => 1,
    };
    ExitCode::from(code)
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
