//! What an operator decides about the backend.

use std::{collections::BTreeMap, fmt, path::PathBuf, time::Duration};

use crate::{McpServer, RecordLimits};

/// The variables that say whom Claude Code talks to and as whom, and where it keeps its sessions.
const PASS_ENV: [&str; 5] = [
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_AUTH_TOKEN",
    "ANTHROPIC_BASE_URL",
    "CLAUDE_CODE_OAUTH_TOKEN",
    "CLAUDE_CONFIG_DIR",
];

/// The program needs half a second to answer its first request, and ten times that on a machine that is busy.
const START_LIMIT: Duration = Duration::from_secs(60);
/// A program that is idle ends within a tenth of a second once its input does.
const EXIT_LIMIT: Duration = Duration::from_secs(2);

/// How Claude Code is run. `Debug` shows the names of variables only: values may be secrets.
#[derive(Clone)]
pub struct ClaudeOptions {
    /// The program: a name in PATH, or a path.
    pub program: String,
    /// Variables with their values, on top of everything else.
    pub env: BTreeMap<String, String>,
    /// Variables that are copied from Musher's own environment, where it has them.
    pub pass_env: Vec<String>,
    /// How long the program may take to answer its first request; one that has said nothing after this is something
    /// else, or hangs.
    pub start_limit: Duration,
    /// How long an idle program may take to end when its input does; then it is made to.
    pub exit_limit: Duration,
    /// How long a command of the model's may run; the program's own ten minutes when absent.
    pub tool_limit: Option<Duration>,
    /// The directory in which each session is recorded: one file of JSON lines with all that the program was told
    /// and all that it said, so prompts, files and the output of tools are in it. Values of variables that look
    /// like secrets are not. None: nothing is recorded.
    pub record: Option<PathBuf>,
    /// How much is kept in that directory, of whatever worker.
    pub record_limits: RecordLimits,
    /// MCP servers, by name: workers with the capability `mcp:<name>` have that one.
    pub mcp: BTreeMap<String, McpServer>,
}

impl Default for ClaudeOptions {
    fn default() -> Self {
        Self {
            program: "claude".to_owned(),
            env: BTreeMap::new(),
            pass_env: PASS_ENV.map(str::to_owned).to_vec(),
            start_limit: START_LIMIT,
            exit_limit: EXIT_LIMIT,
            tool_limit: None,
            record: None,
            record_limits: RecordLimits::default(),
            mcp: BTreeMap::new(),
        }
    }
}

impl fmt::Debug for ClaudeOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { program, env, pass_env, start_limit, exit_limit, tool_limit, record, record_limits, mcp } =
            self;
        f.debug_struct("ClaudeOptions")
            .field("program", program)
            .field("env", &env.keys())
            .field("pass_env", pass_env)
            .field("start_limit", start_limit)
            .field("exit_limit", exit_limit)
            .field("tool_limit", tool_limit)
            .field("record", record)
            .field("record_limits", record_limits)
            .field("mcp", mcp)
            .finish()
    }
}
