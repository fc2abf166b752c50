//! A worker that is followed to its end: what it does is printed, what it asks is put to the person at the terminal, and
//! signals end it.

use std::{future::pending, io, time::Duration};

use musher_core::{Error, Observation, Runtime};
use musher_protocol::{Actor, Cursor, Envelope, Frame, Outcome, Payload, RunState, TurnOutcome, WorkerId};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};

use crate::{
    display::{Display, ending},
    failure::Failure,
    person::{CLEAR_LINE, Person},
    rule::Decider,
    terminal::{self, Printer},
    waiting::Waiting,
};

/// The exit code where somebody ended the worker.
pub(crate) const INTERRUPTED: u8 = 130;
/// How long the last words have, on a stdout that may be stalled, once somebody asked for the end.
const FAREWELL: Duration = Duration::from_secs(2);
/// How long a stalled stderr holds up the stop that it is to tell of.
const ASIDE: Duration = Duration::from_millis(200);

/// Why a worker cannot be followed any further.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FollowError {
    #[error("the event log is not what this program wrote")]
    Event(#[source] serde_json::Error),
    #[error("the worker's task ended without a last event")]
    Cut,
}

/// The signals that end a worker that is followed.
pub(crate) struct Signals {
    interrupts: Signal,
    terminate: Signal,
}

impl Signals {
    /// From here on they are caught: one that comes before the worker is there ends it then.
    pub(crate) fn catch() -> io::Result<Self> {
        Ok(Self { interrupts: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Waits for the next one. Cancel safe.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupts.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// A worker, and how it is followed.
pub(crate) struct Following {
    pub(crate) runtime: Runtime,
    pub(crate) worker: WorkerId,
    /// In whose name the person at the terminal decides and ends the worker.
    pub(crate) by: Actor,
    pub(crate) decider: Decider,
    /// What is shown of it; nothing where the events themselves are printed.
    pub(crate) display: Display,
    pub(crate) json: bool,
}

impl Following {
    /// Prints what the worker does until it is terminal, and ends it when somebody asks to. The exit code says how it
    /// ended.
    pub(crate) async fn follow(self, signals: &mut Signals, max_wait: Duration) -> Result<u8, Failure> {
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
                () = moment(leaves_at) => return Ok(INTERRUPTED),
                Some(_) = ends.join_next() => {
                    leaves_at = leaves_at.or_else(|| Some(Instant::now() + FAREWELL));
                    continue;
                }
                () = signals.next() => n_asked += 1,
            }
            ends.spawn(end(self.runtime.clone(), self.worker.clone(), self.by.clone(), n_asked));
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
        let mut display = self.display.clone();
        let mut printed = Printed { outcome: None, gave_up: false };
        let mut waiting = Waiting::new();
        let (asks, rule) = match self.decider {
            Decider::Profile => (false, None),
            Decider::Person => (true, None),
            Decider::Ruled(rule) => (true, Some(rule)),
        };
        let mut person = Person::new(self.by.clone(), rule);
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
                let aside = if asks { person.follow(&event.payload) } else { None };
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
                    printer.err(display.end_line() + &aside.said).await;
                    let decided = aside.decide(&self.runtime, &self.worker).await;
                    decided.map_err(|error| Failure::other("decide what the worker asks", error))?;
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
        if observation.is_complete() {
            Ok(printed)
        } else {
            Err(Failure::other("follow the worker", FollowError::Cut))
        }
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
        let stopped = self
            .runtime
            .stop_worker(&self.worker, None, Some("--max-wait".to_owned()), self.by.clone())
            .await;
        stopped.map_err(|error| Failure::other("stop the worker", error))?;
        Ok(true)
    }
}

/// Ends a worker as somebody at the terminal asked: first in order, then at once.
async fn end(runtime: Runtime, worker: WorkerId, by: Actor, n_asked: u32) {
    let ended = if n_asked == 1 {
        let _unheard = timeout(ASIDE, terminal::aside("stopping; once more ends the worker at once")).await;
        runtime.stop_worker(&worker, None, Some("interrupted at the terminal".to_owned()), by).await
    } else {
        runtime.cancel_worker(&worker, Some("interrupted twice at the terminal".to_owned()), by).await
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

fn exit_code(printed: &Printed, interrupted: bool) -> u8 {
    match printed.outcome.as_ref().map(|outcome| outcome.outcome) {
        _ if interrupted => INTERRUPTED,
        _ if printed.gave_up => 3,
        Some(TurnOutcome::Completed) => 0,
        Some(TurnOutcome::LimitReached) => 3,
        Some(TurnOutcome::Refused) => 4,
        Some(TurnOutcome::Interrupted) => INTERRUPTED,
        Some(TurnOutcome::Failed | TurnOutcome::Unknown) | None => 1,
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

/// The event of a frame.
pub(crate) fn event(frame: &musher_core::Frame) -> Result<Envelope, FollowError> {
    match serde_json::from_slice(&frame.text()).map_err(FollowError::Event)? {
        Frame::Event { envelope } => Ok(*envelope),
        Frame::Catalog { .. }
        | Frame::Attention { .. }
        | Frame::Subscribed { .. }
        | Frame::Unsubscribed { .. }
        | Frame::Diagnostic { .. }
        | Frame::Unknown => unreachable!("a runtime's own frames are events"),
    }
}
