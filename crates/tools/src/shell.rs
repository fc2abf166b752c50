//! Runs a command of the model in a shell.

mod capture;

use std::{fs, io, path::PathBuf, time::Duration};

use musher_backend::{Cancellation, Tool, ToolCall, ToolOutput, ToolSpec, async_trait};
use musher_process::{
    Child, DRAIN_LIMIT, Ended, Environment, Error, Exit, Ladder, Marker, Overheard, PipeCommand, Program,
    hear,
};
use musher_protocol::Capability;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::{task, time};
use uuid::Uuid;

use crate::{arguments, refusal::Refusal, remains::Remains, sandbox::Level, scratch::Scratch};

const DESCRIPTION: &str = "Runs a command with bash, or sh where there is none, in the workspace. The answer has what it \
    wrote, and its exit code when that is not 0. There is no terminal and nothing to read: a command that asks for \
    something fails. Each call starts anew, so directory and variables are not kept; what a command leaves running in \
    the background is ended with it.";

/// Long enough for a build step, short enough that a command that hangs is noticed.
const DEFAULT_LIMIT: Duration = Duration::from_secs(120);

/// Test suites take so long; what takes longer belongs into several calls.
const LONGEST: Duration = Duration::from_secs(600);

/// How long a command may clean up after SIGTERM.
const GRACE: Duration = Duration::from_secs(2);

/// SIGKILL, looking for survivors, removing the control group and reaping are bounded by so much together; see
/// [`Child::end`].
const END_MARGIN: Duration = Duration::from_secs(5);

/// The shell of a worker.
#[derive(Debug)]
pub(crate) struct Shell {
    spec: ToolSpec,
    program: Program,
    environment: Environment,
    directory: PathBuf,
    marker: Marker,
    level: Level,
    /// Directories of others that it may write to.
    given: Vec<PathBuf>,
    /// TMPDIR of its commands.
    _scratch: Scratch,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Arguments {
    /// The command.
    command: String,
    /// After how many seconds it is ended, at most 600; 120 when left out.
    #[serde(default)]
    timeout_secs: Option<u64>,
}

/// Why a command is over.
enum Over {
    Exited(Result<Exit, Error>),
    TimeLimit(Duration),
    Canceled,
}

impl Shell {
    /// `scratch` must be among the directories that the level lets it write to.
    pub(crate) fn new(
        mut environment: Environment,
        directory: PathBuf,
        marker: Marker,
        level: Level,
        given: Vec<PathBuf>,
        scratch: Scratch,
    ) -> Result<Self, Error> {
        environment.set("TMPDIR", scratch.path())?;
        // There is none, and programs that believe in one write escape sequences to it.
        environment.set("TERM", "dumb")?;
        let program =
            Program::find("bash", &environment).or_else(|_| Program::find("/bin/sh", &environment))?;
        let spec = ToolSpec {
            name: "shell".to_owned(),
            description: DESCRIPTION.to_owned(),
            input_schema: arguments::schema::<Arguments>(),
            capability: Capability::Shell,
            is_read_only: false,
            limit: LONGEST + GRACE + DRAIN_LIMIT + END_MARGIN,
        };
        Ok(Self { spec, program, environment, directory, marker, level, given, _scratch: scratch })
    }

    /// What holds its commands.
    pub(crate) fn level(&self) -> &Level {
        &self.level
    }

    async fn run(&self, arguments: Arguments, cancellation: Cancellation) -> Result<ToolOutput, Refusal> {
        let limit = limit(arguments.timeout_secs)?;
        let failed = |attempt| move |source| Refusal::Process { attempt, source };
        // Of this call alone: its end must not be the end of another one beside it.
        let part = self.marker.part(Uuid::new_v4().simple().to_string());
        let marker = part.map_err(failed("mark the command"))?;
        let given = self.given.clone();
        let made = task::spawn_blocking(move || make_again(&given)).await;
        made.unwrap_or_else(|error| Err(error.into()))
            .map_err(|error| Refusal::io("make", "a directory that commands may write to", error))?;
        let command = PipeCommand {
            program: self.program.clone(),
            args: vec!["-c".into(), arguments.command.into()],
            environment: self.environment.clone(),
            directory: self.directory.clone(),
            marker: marker.clone(),
            confinement: self.level.confinement().cloned(),
        };
        // Ends what is left when this future is dropped.
        let remains = Remains::of(marker);
        let overheard = command.overhear().await.map_err(failed("start the shell"))?;
        let Overheard { mut child, output } = overheard;

        let mut ends = capture::begin();
        let (over, ended) = hear(ends.listen(output), run(&mut child, limit, cancellation)).await;
        let ended = ended.map_err(failed("end the command"))?;
        remains.are_gone();
        Ok(told(capture::output(ends), over, &ended))
    }
}

#[async_trait]
impl Tool for Shell {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    async fn call(&self, call: ToolCall) -> ToolOutput {
        let run = async { self.run(arguments::parse(call.input)?, call.cancellation).await };
        run.await.unwrap_or_else(|refusal| refusal.output())
    }
}

fn limit(asked: Option<u64>) -> Result<Duration, Refusal> {
    match asked {
        None => Ok(DEFAULT_LIMIT),
        Some(secs) if (1..=LONGEST.as_secs()).contains(&secs) => Ok(Duration::from_secs(secs)),
        Some(asked) => Err(Refusal::TimeLimit { asked, most: LONGEST.as_secs() }),
    }
}

/// Makes directories that have gone: git removes those of references that are empty for the moment.
fn make_again(directories: &[PathBuf]) -> io::Result<()> {
    directories.iter().try_for_each(|directory| match fs::create_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    })
}

/// Waits until a command is over, and ends all that is left of it.
async fn run(
    child: &mut Child,
    limit: Duration,
    mut cancellation: Cancellation,
) -> (Over, Result<Ended, Error>) {
    let over = tokio::select! {
        exit = child.wait() => Over::Exited(exit),
        () = time::sleep(limit) => Over::TimeLimit(limit),
        () = cancellation.comes() => Over::Canceled,
    };
    let ended = match &over {
        Over::Exited(_) => child.kill_now().await,
        Over::TimeLimit(_) | Over::Canceled => child.end(Ladder { grace: GRACE }).await,
    };
    (over, ended)
}

/// What the model is told of a command that is over.
fn told(mut output: ToolOutput, over: Over, ended: &Ended) -> ToolOutput {
    let mut notes = Vec::new();
    match over {
        Over::Exited(Ok(Exit { code: Some(0), .. })) => {}
        Over::Exited(Ok(exit)) => notes.push(format!("[{exit}]")),
        Over::Exited(Err(error)) => notes.push(format!("[{error}; how it ended is unknown]")),
        Over::TimeLimit(limit) => {
            notes.push(format!("[ended: it took longer than its limit of {} s]", limit.as_secs()));
        }
        Over::Canceled => notes.push("[ended: the call was canceled]".to_owned()),
    }
    if !ended.survivors.is_empty() {
        let names: Vec<&str> = ended.survivors.iter().map(|survivor| survivor.command.as_str()).collect();
        notes.push(format!("[could not be ended, and still runs: {}]", names.join(", ")));
    }
    output.is_error = !notes.is_empty();
    if output.content.is_empty() && notes.is_empty() {
        notes.push("[no output]".to_owned());
    }
    if !output.content.is_empty() && !output.content.ends_with('\n') && !notes.is_empty() {
        output.content.push('\n');
    }
    output.content.push_str(&notes.join("\n"));
    output
}

#[cfg(test)]
mod tests;
