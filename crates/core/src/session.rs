//! A running session, as the worker's task drives it: reports first, then its end, then a look for what is left.

use std::{collections::VecDeque, path::PathBuf, sync::Arc, time::Duration};

use musher_backend::{
    Backend, BackendError, Cancellation, Chain, Command, Event, Launch, Link, Report, RuntimeHalf, Sandbox,
    SessionOutcome, ToolDiagnostic, Toolkit, Workbench,
};
use musher_process::{Marker, Scope, Sweep};
use musher_protocol::{Survivor, TurnError};
use tokio::{
    sync::{mpsc, watch},
    task::{JoinError, JoinSet},
};

use crate::{
    redaction::{Redaction, Shown},
    setup::{Prepared, Setup},
    temporary,
    tools::Tools,
    workspace::{is_as_it_was, look},
};

/// How long processes that a backend left behind may resist before they count as survivors.
const SWEEP_LIMIT: Duration = Duration::from_secs(5);

/// A session under way.
#[derive(Debug)]
pub(crate) struct Session {
    commands: mpsc::Sender<Command>,
    reports: mpsc::Receiver<Report>,
    reports_are_over: bool,
    redaction: Redaction,
    /// What one report became that was not told yet: some pieces at most that waited.
    ready: VecDeque<Shown>,
    /// Ends what comes before the backend runs; it listens to no commands.
    canceled: watch::Sender<bool>,
    run: JoinSet<Result<SessionOutcome, BackendError>>,
    outcome: Option<Result<SessionOutcome, TurnError>>,
    marker: Marker,
    /// A directory that goes when nothing of the session is left.
    temporary: Option<PathBuf>,
    look: JoinSet<Vec<Survivor>>,
}

/// What the tools of a session are prepared of.
#[derive(Clone, Debug)]
pub(crate) struct Equipment {
    pub(crate) tools: Tools,
    pub(crate) sandbox: Sandbox,
}

/// What a session has to tell.
#[derive(Debug)]
pub(crate) enum News {
    Report(Shown),
    Ended { outcome: Result<SessionOutcome, TurnError>, survivors: Vec<Survivor> },
}

impl Session {
    /// Starts a session; the equipment is for a backend that calls our tools, and the directories have to be there as they
    /// were.
    pub(crate) fn start(
        backend: Arc<dyn Backend>,
        launch: Launch,
        marker: Marker,
        equipment: Option<Equipment>,
        directories: Vec<PathBuf>,
        setups: Result<Vec<Setup>, BackendError>,
        redaction: Redaction,
    ) -> Self {
        let temporary = launch.temporary.clone();
        let (link, RuntimeHalf { commands, reports }) = Link::pair();
        let mut run = JoinSet::new();
        let (canceled, mut cancellation) = Cancellation::pair();
        run.spawn(async move {
            require(directories).await?;
            for setup in setups? {
                match setup.run(&launch, &link, cancellation.clone()).await? {
                    Prepared::Ready => {}
                    Prepared::Canceled => return Ok(SessionOutcome::ended()),
                }
            }
            let launch = match equipment {
                Some(equipment) => tokio::select! {
                    biased;
                    () = cancellation.comes() => return Ok(SessionOutcome::ended()),
                    launch = equip(launch, equipment, &link) => launch?,
                },
                None => launch,
            };
            backend.run(launch, link).await
        });
        Self {
            commands,
            reports,
            reports_are_over: false,
            redaction,
            ready: VecDeque::new(),
            canceled,
            run,
            outcome: None,
            marker,
            temporary,
            look: JoinSet::new(),
        }
    }

    /// Sends a command. A session that does not take its commands is beyond asking: it is dropped.
    ///
    /// A server that tools come from may let one wait, and a backend that was not started yet hears nothing. So what
    /// ends a turn or a session ends one whose tools are still being prepared: it has no other turn, and the next input
    /// begins a session that knows what was said to this one.
    pub(crate) fn tell(&mut self, command: Command) {
        match &command {
            Command::Interrupt | Command::End { .. } => {
                self.canceled.send_replace(true);
            }
            Command::Input(_) | Command::Steer(_) | Command::Decision(_) => {}
        }
        match self.commands.try_send(command) {
            Ok(()) => {}
            // It has ended; its outcome is on the way.
            Err(mpsc::error::TrySendError::Closed(_)) => {}
            Err(mpsc::error::TrySendError::Full(_)) => self.abort(),
        }
    }

    /// Drops the session's future: the last resort.
    pub(crate) fn abort(&mut self) {
        self.run.abort_all();
    }

    /// Waits for what comes next; only for its end when `hears_reports` is false. Cancel safe.
    pub(crate) async fn next(&mut self, hears_reports: bool) -> News {
        if !self.reports_are_over || !self.ready.is_empty() {
            if !hears_reports {
                std::future::pending::<()>().await;
            }
            while self.ready.is_empty() && !self.reports_are_over {
                match self.reports.recv().await {
                    Some(report) => self.ready.extend(self.redaction.take(report)),
                    None => {
                        self.reports_are_over = true;
                        self.ready.extend(self.redaction.finish());
                    }
                }
            }
            if let Some(report) = self.ready.pop_front() {
                return News::Report(report);
            }
        }
        if self.outcome.is_none() {
            let ended = self.run.join_next().await.expect("the run is joined once");
            self.outcome = Some(self.redaction.outcome(outcome(ended)));
            let sweep = Sweep {
                scope: Scope::Worker(self.marker.clone()),
                root: None,
                grace: Duration::ZERO,
                limit: SWEEP_LIMIT,
            };
            self.look.spawn(tidy_up(sweep, self.temporary.take()));
        }
        let survivors = self.look.join_next().await.expect("the look is joined once");
        let survivors = survivors.unwrap_or_else(|error| vec![unseen(&error.to_string())]);
        let outcome = self.outcome.take().expect("the session has ended");
        News::Ended { outcome, survivors: self.redaction.survivors(survivors) }
    }
}

/// Requires that the worker's directories are those that it was created with.
async fn require(directories: Vec<PathBuf>) -> Result<(), BackendError> {
    let are_there = move || directories.iter().all(|directory| is_as_it_was(directory));
    // One that does not answer is as good as gone.
    if look(are_there).await.unwrap_or(false) {
        return Ok(());
    }
    let message = "a directory of the worker is gone, or has become a link".to_owned();
    Err(BackendError { code: "workspace_gone", message, source: None })
}

/// Adds the tools that the worker may use, and tells what they had to do without.
async fn equip(
    launch: Launch,
    Equipment { tools, sandbox }: Equipment,
    link: &Link,
) -> Result<Launch, BackendError> {
    let bench = Workbench {
        worker_id: launch.worker_id.clone(),
        marker: launch.marker.clone(),
        working_dir: launch.working_dir.clone(),
        temporary: launch.temporary.clone(),
        roots: launch.roots.clone(),
        writable: launch.writable.clone(),
        pass_env: launch.pass_env.clone(),
        capabilities: launch.capabilities.clone(),
        sandbox,
    };
    let kit = tools.prepare(bench).await;
    let Toolkit { tools, sandbox, diagnostics } = kit
        .map_err(|error| BackendError::new("tools_unavailable", "prepare the tools of the session", error))?;
    for ToolDiagnostic { code, message } in diagnostics {
        if link.emit(Event::Diagnostic { code, message }).await.is_err() {
            // Nobody listens any more; the backend finds that out by itself.
            break;
        }
    }
    Ok(Launch { tools, sandbox, ..launch })
}

/// Looks for what is left of a session; where nothing is, its directory goes, too.
async fn tidy_up(sweep: Sweep, directory: Option<PathBuf>) -> Vec<Survivor> {
    let left = survivors(sweep).await;
    if let Some(directory) = directory.filter(|_| left.is_empty()) {
        temporary::remove(directory).await;
    }
    left
}

pub(crate) async fn survivors(sweep: Sweep) -> Vec<Survivor> {
    match sweep.run().await {
        Ok(found) => found
            .into_iter()
            .map(|found| Survivor {
                pid: i32::try_from(found.pid).unwrap_or(i32::MAX),
                command: found.command,
            })
            .collect(),
        Err(error) => {
            tracing::error!(%error, "could not look for processes that are left");
            vec![unseen(&error.to_string())]
        }
    }
}

/// Nobody could look, so nobody may say that nothing is left.
fn unseen(why: &str) -> Survivor {
    Survivor { pid: 0, command: format!("unknown: {why}") }
}

fn outcome(
    ended: Result<Result<SessionOutcome, BackendError>, JoinError>,
) -> Result<SessionOutcome, TurnError> {
    match ended {
        Ok(Ok(outcome)) => Ok(outcome),
        Ok(Err(error)) => Err(TurnError { code: error.code.to_owned(), message: Chain(&error).to_string() }),
        Err(error) if error.is_cancelled() => Ok(SessionOutcome::crashed()),
        Err(error) => {
            tracing::error!(%error, "backend panicked");
            Err(TurnError { code: "internal".to_owned(), message: "the backend panicked".to_owned() })
        }
    }
}
