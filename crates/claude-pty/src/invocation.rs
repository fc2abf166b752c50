//! How the program is started: its arguments, its environment, its session.

use std::{ffi::OsString, path::Path};

use musher_backend::{BackendError, Launch};
use musher_process::{Environment, Error, Marker, Program, PtyCommand};
use musher_protocol::SessionId;
use tempfile::TempPath;
use uuid::Uuid;

use crate::{
    ClaudeOptions, ClaudeProfile, SettingsSource, conversation::Opening, git, roots::Roots, servers::Servers,
    tools,
};

/// What keeps the program to what it was asked: no updates and no reports.
const QUIET: [(&str, &str); 4] = [
    ("DISABLE_AUTOUPDATER", "1"),
    ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"),
    ("DISABLE_TELEMETRY", "1"),
    ("DISABLE_ERROR_REPORTING", "1"),
];

/// Nothing goes on behind a turn's end.
const NO_BACKGROUND: &str = "CLAUDE_CODE_DISABLE_BACKGROUND_TASKS";
/// How long a command gets, in milliseconds, when the model says nothing, and at most.
const COMMAND_LIMITS: [&str; 2] = ["BASH_DEFAULT_TIMEOUT_MS", "BASH_MAX_TIMEOUT_MS"];

/// Lines of JSON on the pipes, every question to us, and no MCP server but those that were asked for.
const ARGUMENTS: [&str; 12] = [
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
];

/// Everything that a session starts with.
#[derive(Debug)]
pub(crate) struct Invocation {
    pub(crate) command: PtyCommand,
    pub(crate) session_id: SessionId,
    pub(crate) opening: Opening,
    pub(crate) roots: Roots,
}

impl Invocation {
    /// Decides all there is to decide, and starts nothing.
    ///
    /// # Errors
    ///
    /// When the program is missing, an option or the path of a directory cannot be used, or the session to continue
    /// is not one of the program's.
    pub(crate) fn new(options: &ClaudeOptions, launch: &Launch) -> Result<Self, BackendError> {
        let invalid = |error| BackendError::new("options_invalid", "read the options of claude-pty", error);
        let mut environment =
            environment(options, launch.temporary.as_deref(), &launch.pass_env).map_err(invalid)?;
        if !launch.background {
            environment.set(NO_BACKGROUND, "1").map_err(invalid)?;
        }
        let roots = Roots::of(launch)?;
        for (name, value) in git::variables(&launch.capabilities) {
            environment.set(name, *value).map_err(invalid)?;
        }
        let profile = ClaudeProfile::from_options(&launch.options)
            .map_err(|error| BackendError::new("options_invalid", "read the profile", error))?;
        let program = Program::find(&options.program, &environment)
            .map_err(|error| BackendError::new("program_missing", "find Claude Code", error))?;
        let marker: Marker = launch
            .marker
            .parse()
            .map_err(|error: Error| BackendError::new("launch_invalid", "read the worker's marker", error))?;
        let (session_id, session) = session(launch)?;
        let mut args: Vec<OsString> = ARGUMENTS.map(OsString::from).to_vec();
        let settings: Vec<_> = profile.settings_sources.iter().map(SettingsSource::to_string).collect();
        args.push(format!("--setting-sources={}", settings.join(",")).into());
        args.extend(tools::arguments(&launch.capabilities).into_iter().map(OsString::from));
        args.extend(roots.arguments().into_iter().map(OsString::from));
        args.push(session.into());
        // One word each, so that no value can pass for an option.
        args.extend(launch.model.iter().map(|model| format!("--model={model}").into()));
        let opening = Opening {
            is_resumed: launch.resume.is_some(),
            instructions: launch.instructions.clone(),
            preface: launch.preface.clone(),
            settings_sources: settings,
            has_background: launch.background,
            servers: Servers::of(&options.mcp, launch),
            env_keys: environment.names().map(str::to_owned).chain([Marker::VARIABLE.to_owned()]).collect(),
        };
        let directory = launch.working_dir.clone();
        Ok(Self {
            command: PtyCommand { program, args, environment, directory, marker },
            session_id,
            opening,
            roots,
        })
    }

    /// Lets the program know its MCP servers, by a file in this directory which goes when what is returned is dropped.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub(crate) async fn tell_servers(
        &mut self,
        directory: Option<&Path>,
    ) -> Result<Option<TempPath>, BackendError> {
        let told = self.opening.servers.write(directory, &self.command.marker).await;
        let told = told.map_err(|error| {
            BackendError::new("claude_not_started", "tell Claude Code its MCP servers", error)
        })?;
        if let Some(file) = &told {
            let mut argument = OsString::from("--mcp-config=");
            argument.push(file);
            self.command.args.push(argument);
        }
        Ok(told)
    }
}

/// The program's environment, built from empty: later layers replace earlier ones. The program puts its sockets and
/// what its tools print into `TMPDIR`, and hands that on to them.
pub(crate) fn environment(
    options: &ClaudeOptions,
    temporary: Option<&Path>,
    pass_env: &[String],
) -> Result<Environment, Error> {
    let mut environment = Environment::base();
    if let Some(directory) = temporary {
        environment.set("TMPDIR", directory)?;
    }
    for (name, value) in QUIET {
        environment.set(name, value)?;
    }
    if let Some(limit) = options.tool_limit {
        for name in COMMAND_LIMITS {
            environment.set(name, limit.as_millis().to_string())?;
        }
    }
    for name in options.pass_env.iter().chain(pass_env) {
        environment.pass(name)?;
    }
    for (name, value) in &options.env {
        environment.set(name, value)?;
    }
    Ok(environment)
}

/// The command that continues the session which this one begins; none when it does not begin one.
pub(crate) fn continuing(command: &PtyCommand, id: &SessionId) -> Option<PtyCommand> {
    let begins = OsString::from(new_session(id));
    let place = command.args.iter().position(|argument| *argument == begins)?;
    let mut command = command.clone();
    command.args[place] = continued(id).into();
    Some(command)
}

fn new_session(id: &SessionId) -> String {
    format!("--session-id={id}")
}

fn continued(id: &SessionId) -> String {
    format!("--resume={id}")
}

fn session(launch: &Launch) -> Result<(SessionId, String), BackendError> {
    let Some(resume) = &launch.resume else {
        let id: SessionId = Uuid::new_v4().to_string().parse().expect("a UUID is an id");
        let argument = new_session(&id);
        return Ok((id, argument));
    };
    // The program would look for a session whose title is like this.
    if let Err(error) = Uuid::parse_str(resume.session_id.as_str()) {
        let message = format!("continue session `{}`, which Claude Code never had", resume.session_id);
        return Err(BackendError::new(BackendError::RESUME_REFUSED, message, error));
    }
    Ok((resume.session_id.clone(), continued(&resume.session_id)))
}

#[cfg(test)]
mod tests;
