//! `[backends.claude-pty]`.

use std::{collections::BTreeMap, num::NonZeroU32, path::PathBuf, time::Duration};

use musher_claude_pty::ClaudeOptions;
use serde::Deserialize;

/// How Claude Code is run; what is absent is as [`ClaudeOptions::default`] has it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClaudeTable {
    /// The program, by name or path.
    program: Option<String>,
    /// Variables of the worker's processes.
    #[serde(default)]
    env: BTreeMap<String, String>,
    /// Variables of the server that the worker's processes get too.
    pass_env: Option<Vec<String>>,
    /// How long the program may take to show that it works.
    start_secs: Option<NonZeroU32>,
    /// How long an idle program may take to end.
    exit_secs: Option<NonZeroU32>,
    /// How long a command of the model's may run.
    tool_secs: Option<NonZeroU32>,
    /// The directory in which sessions are recorded.
    pub(crate) record: Option<PathBuf>,
}

impl ClaudeTable {
    pub(crate) fn options(&self) -> ClaudeOptions {
        let Self { program, env, pass_env, start_secs, exit_secs, tool_secs, record } = self.clone();
        let default = ClaudeOptions::default();
        let duration = |secs: NonZeroU32| Duration::from_secs(secs.get().into());
        ClaudeOptions {
            program: program.unwrap_or(default.program),
            env,
            pass_env: pass_env.unwrap_or(default.pass_env),
            start_limit: start_secs.map_or(default.start_limit, duration),
            exit_limit: exit_secs.map_or(default.exit_limit, duration),
            tool_limit: tool_secs.map(duration),
            record,
        }
    }
}
