//! The backend itself.

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use musher_backend::{
    Availability, Backend, BackendError, Capabilities, Launch, Link, Root, SessionOutcome, Wanted,
    async_trait,
};
use musher_process::Program;
use musher_protocol::{Capability, WorkerId};
use tokio::task;

use crate::{
    ClaudeOptions, ClaudeProfile, invocation,
    invocation::Invocation,
    recording::{self, Recording},
    roots,
    session::{self, Limits},
    tenancy::Tenancy,
};

/// The program gives a command 10 minutes at most, unless it is told otherwise.
const TOOL_LIMIT: Duration = Duration::from_secs(10 * 60);
/// What a command that is out of time needs to come to its end.
const TOOL_MARGIN: Duration = Duration::from_secs(60);

const NOT_HELD: &str = "a sandbox for `shell`, for some mounts are read-only and nothing holds the commands of Claude \
    Code: ask for no `shell`, or declare the mounts `writable = true`";
const HAS_HOOKS: &str = "a profile without `settings_sources`, for some mounts are read-only and nothing holds the hooks \
    of settings: load none, or declare the mounts `writable = true`";

/// The backend `claude-pty`.
#[derive(Clone, Debug)]
pub struct ClaudePty {
    options: ClaudeOptions,
    tenancy: Tenancy,
    /// Held by who looks for old recordings.
    looking: Arc<Mutex<()>>,
}

impl ClaudePty {
    /// A backend that runs Claude Code as the options say. Nothing is looked for and nothing is started yet.
    #[must_use]
    pub fn new(options: ClaudeOptions) -> Self {
        Self { options, tenancy: Tenancy::default(), looking: Arc::default() }
    }
}

#[async_trait]
impl Backend for ClaudePty {
    fn kind(&self) -> &str {
        "claude-pty"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            steer: false,
            resume: true,
            history: false,
            tools: false,
            roots: true,
            tool_limit: Some(self.options.tool_limit.unwrap_or(TOOL_LIMIT) + TOOL_MARGIN),
        }
    }

    async fn availability(&self) -> Availability {
        let environment = match invocation::environment(&self.options, None, &[]) {
            Ok(environment) => environment,
            Err(error) => return Availability::Missing(vec![format!("{error}: see backends.claude-pty")]),
        };
        let program = self.options.program.clone();
        // A directory of PATH may be on a disk that does not answer.
        let found = task::spawn_blocking(move || Program::find(&program, &environment)).await;
        if let Ok(Ok(_)) = found {
            return Availability::Ready;
        }
        let program = Program::shown(&self.options.program);
        Availability::Missing(vec![format!(
            "program `{program}`: install Claude Code or name it in backends.claude-pty.program"
        )])
    }

    fn missing(&self, wanted: &Wanted<'_>) -> Vec<String> {
        missing(wanted)
    }

    fn lacking(&self, root: &Root) -> Option<String> {
        roots::lacking(root).map(str::to_owned)
    }

    async fn server_missing(&self, server: &str) -> Option<String> {
        let Some(found) = self.options.mcp.get(server).cloned() else {
            return Some(format!(
                "an MCP server `{server}` for Claude Code: it calls no tools of the runtime's"
            ));
        };
        let name = server.to_owned();
        // A directory of PATH may be on a disk that does not answer.
        let looked = task::spawn_blocking(move || found.missing(&name)).await;
        looked.unwrap_or_else(|_panicked| Some(format!("a look for the MCP server `{server}` that ends")))
    }

    async fn run(&self, launch: Launch, link: Link) -> Result<SessionOutcome, BackendError> {
        let mut invocation = Invocation::new(&self.options, &launch)?;
        let Some(_tenant) = self.tenancy.take(&invocation.session_id) else {
            let message = format!("session `{}` is another worker's right now", invocation.session_id);
            return Err(BackendError { code: "session_in_use", message, source: None });
        };
        let told = invocation.tell_servers(launch.temporary.as_deref()).await?;
        let ClaudeOptions { start_limit, exit_limit, .. } = self.options;
        let recording = Recording::of(&self.options, &launch, &invocation);
        let limits = Limits { start: start_limit, exit: exit_limit };
        let outcome = session::run(invocation, told, recording, link, limits).await;
        if let Some(directory) = self.options.record.clone() {
            recording::make_room(Arc::clone(&self.looking), directory, self.options.record_limits);
        }
        outcome
    }

    async fn forget(&self, worker: &WorkerId) -> io::Result<()> {
        let Some(directory) = self.options.record.clone() else { return Ok(()) };
        let worker = worker.clone();
        task::spawn_blocking(move || recording::remove_recordings_of(&directory, &worker)).await?
    }
}

/// The program has a model of its own, and says itself what it costs. What changes files behind its back cannot be kept
/// from what is read-only.
fn missing(Wanted { model: _, cost_limit: _, capabilities, options, read_only }: &Wanted<'_>) -> Vec<String> {
    // Keys that cannot be read are refused where the profile is, and when a session starts.
    let has_settings =
        ClaudeProfile::from_options(options).is_ok_and(|profile| !profile.settings_sources.is_empty());
    let lacks = [
        (*read_only && capabilities.contains(&Capability::Shell)).then_some(NOT_HELD),
        (*read_only && has_settings).then_some(HAS_HOOKS),
    ];
    lacks.into_iter().flatten().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use serde_json::{Map, Value, json};

    use super::*;

    #[test]
    fn nothing_is_read_only_beside_what_runs_commands() {
        let check = |read_only: bool, capabilities: &[&str], options: Value, expected: &[&str]| {
            let capabilities: BTreeSet<_> = capabilities.iter().map(|name| name.parse().unwrap()).collect();
            let options: Map<_, _> = options.as_object().unwrap().clone();
            let wanted = Wanted { read_only, ..Wanted::new(&capabilities, &options) };
            assert_eq!(missing(&wanted), expected, "{wanted:?}");
        };
        let settings = || json!({ "settings_sources": ["user"] });
        let none = || json!({ "settings_sources": [] });
        check(false, &["read", "write", "shell", "network"], settings(), &[]);
        check(true, &["read", "write", "network"], none(), &[]);
        check(true, &["read", "shell"], json!({}), &[NOT_HELD]);
        check(true, &["read"], settings(), &[HAS_HOOKS]);
        check(true, &["shell"], settings(), &[NOT_HELD, HAS_HOOKS]);
    }

    #[tokio::test]
    async fn availability_names_what_is_missing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().to_str().unwrap().to_owned();
        for (program, env, expected) in [
            ("/bin/sh", BTreeMap::new(), Availability::Ready),
            (
                "/opt/of/mine/claude",
                BTreeMap::new(),
                Availability::Missing(vec![
                    "program `claude`: install Claude Code or name it in backends.claude-pty.program"
                        .to_owned(),
                ]),
            ),
            (
                "claude",
                BTreeMap::from([("PATH".to_owned(), path)]),
                Availability::Missing(vec![
                    "program `claude`: install Claude Code or name it in backends.claude-pty.program"
                        .to_owned(),
                ]),
            ),
            (
                "/bin/sh",
                BTreeMap::from([("A-B".to_owned(), String::new())]),
                Availability::Missing(vec![
                    "`A-B` is not a portable variable name, or its value holds NUL: see backends.claude-pty"
                        .to_owned(),
                ]),
            ),
        ] {
            let options = ClaudeOptions { program: program.to_owned(), env, ..ClaudeOptions::default() };
            assert_eq!(ClaudePty::new(options).availability().await, expected);
        }
    }
}
