//! How the program is started: its arguments, its environment, its session.

use std::ffi::OsString;

use musher_backend::{BackendError, Launch};
use musher_process::{Environment, Error, Marker, Program, PtyCommand};
use musher_protocol::SessionId;
use uuid::Uuid;

use crate::{ClaudeOptions, conversation::Opening};

/// What keeps the program to what it was asked: no updates, no reports, and nothing that goes on behind a
/// turn's end.
const QUIET: [(&str, &str); 5] = [
    ("DISABLE_AUTOUPDATER", "1"),
    ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"),
    ("DISABLE_TELEMETRY", "1"),
    ("DISABLE_ERROR_REPORTING", "1"),
    ("CLAUDE_CODE_DISABLE_BACKGROUND_TASKS", "1"),
];

/// Lines of JSON on the pipes, every question to us, and nothing from settings files: those of a repository
/// would run its hooks and programs before anybody was asked, those of a person would allow tools that the
/// worker's profile wants asked.
const ARGUMENTS: [&str; 13] = [
    "-p",
    "--input-format",
    "stream-json",
    "--output-format",
    "stream-json",
    "--verbose",
    "--include-partial-messages",
    "--permission-prompt-tool",
    "stdio",
    "--permission-mode",
    "default",
    "--strict-mcp-config",
    "--setting-sources=",
];

/// Tools that wake the model after its turn has ended: a worker that is idle stays so until it is told
/// something.
const WAKING_TOOLS: &str =
    "--disallowedTools=CronCreate,CronDelete,CronList,Monitor,ScheduleWakeup,SendMessage,Workflow";

/// Everything that a session starts with.
#[derive(Debug)]
pub(crate) struct Invocation {
    pub(crate) command: PtyCommand,
    pub(crate) session_id: SessionId,
    pub(crate) opening: Opening,
}

impl Invocation {
    /// Decides all there is to decide, and starts nothing.
    ///
    /// # Errors
    ///
    /// When the program is missing, an option cannot be used, or the session to continue is not one of the
    /// program's.
    pub(crate) fn new(options: &ClaudeOptions, launch: &Launch) -> Result<Self, BackendError> {
        let environment = environment(options)
            .map_err(|error| BackendError::new("options_invalid", "read the options of claude-pty", error))?;
        let program = Program::find(&options.program, &environment)
            .map_err(|error| BackendError::new("program_missing", "find Claude Code", error))?;
        let marker: Marker = launch
            .marker
            .parse()
            .map_err(|error: Error| BackendError::new("launch_invalid", "read the worker's marker", error))?;
        let (session_id, session) = session(launch)?;
        let mut args: Vec<OsString> = ARGUMENTS.map(OsString::from).to_vec();
        args.push(WAKING_TOOLS.into());
        args.push(session.into());
        // One word each, so that no value can pass for an option.
        args.extend(launch.model.iter().map(|model| format!("--model={model}").into()));
        let opening = Opening {
            is_resumed: launch.resume.is_some(),
            instructions: launch.instructions.clone(),
            env_keys: environment.names().map(str::to_owned).chain([Marker::VARIABLE.to_owned()]).collect(),
        };
        let directory = launch.working_dir.clone();
        Ok(Self {
            command: PtyCommand { program, args, environment, directory, marker },
            session_id,
            opening,
        })
    }
}

/// The program's environment, built from empty: later layers replace earlier ones.
pub(crate) fn environment(options: &ClaudeOptions) -> Result<Environment, Error> {
    let mut environment = Environment::base();
    for (name, value) in QUIET {
        environment.set(name, value)?;
    }
    for name in &options.pass_env {
        environment.pass(name)?;
    }
    for (name, value) in &options.env {
        environment.set(name, value)?;
    }
    Ok(environment)
}

fn session(launch: &Launch) -> Result<(SessionId, String), BackendError> {
    match &launch.resume {
        None => {
            let id = Uuid::new_v4().to_string();
            Ok((id.parse().expect("a UUID is an id"), format!("--session-id={id}")))
        }
        // The program would look for a session whose title is like this.
        Some(resume) => match Uuid::parse_str(resume.session_id.as_str()) {
            Ok(_) => Ok((resume.session_id.clone(), format!("--resume={}", resume.session_id))),
            Err(error) => {
                let message =
                    format!("continue session `{}`, which Claude Code never had", resume.session_id);
                Err(BackendError::new(BackendError::RESUME_REFUSED, message, error))
            }
        },
    }
}

#[cfg(test)]
mod tests;
