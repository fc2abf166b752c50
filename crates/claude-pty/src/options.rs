//! What an operator decides about the backend.

use std::{collections::BTreeMap, fmt};

/// The variables that say whom Claude Code talks to and as whom, and where it keeps its sessions.
const PASS_ENV: [&str; 5] = [
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_AUTH_TOKEN",
    "ANTHROPIC_BASE_URL",
    "CLAUDE_CODE_OAUTH_TOKEN",
    "CLAUDE_CONFIG_DIR",
];

/// How Claude Code is run. `Debug` shows the names of variables only: values may be secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct ClaudeOptions {
    /// The program: a name in PATH, or a path.
    pub program: String,
    /// Variables with their values, on top of everything else.
    pub env: BTreeMap<String, String>,
    /// Variables that are copied from Musher's own environment, where it has them.
    pub pass_env: Vec<String>,
}

impl Default for ClaudeOptions {
    fn default() -> Self {
        Self {
            program: "claude".to_owned(),
            env: BTreeMap::new(),
            pass_env: PASS_ENV.map(str::to_owned).to_vec(),
        }
    }
}

impl fmt::Debug for ClaudeOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { program, env, pass_env } = self;
        f.debug_struct("ClaudeOptions")
            .field("program", program)
            .field("env", &env.keys())
            .field("pass_env", pass_env)
            .finish()
    }
}
