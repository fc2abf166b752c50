//! `[mcp.NAME]`: servers whose tools the models of workers can call.

use std::fmt;

use musher_process::Environment;
use musher_protocol::Capability;
use musher_tools::McpServer;
use serde::Deserialize;

use super::variables::Variables;

/// Why an MCP server cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum McpError {
    #[error("no capability can name it: a server's name is 1 to 64 letters, digits, `-` and `_`")]
    Name,
    #[error("one of `command` and `url` is needed")]
    NoAddress,
    #[error("`{key}` does not go with `{with}`")]
    Misplaced { key: &'static str, with: &'static str },
    #[error("{key}")]
    Environment {
        key: &'static str,
        #[source]
        source: musher_process::Error,
    },
}

/// A program, with its arguments and variables, or an address, with headers. `Debug` shows neither arguments nor
/// addresses, and of variables and headers only names: the rest may be secrets.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct McpTable {
    command: Option<String>,
    args: Option<Vec<String>>,
    env: Option<Variables>,
    /// Variables of the server that the program gets too.
    pass_env: Option<Vec<String>>,
    url: Option<String>,
    headers: Option<Variables>,
}

impl McpError {
    /// The key of the table that is wrong.
    pub(super) fn key(&self) -> &'static str {
        match self {
            Self::Name | Self::NoAddress => "",
            Self::Misplaced { key, .. } | Self::Environment { key, .. } => key,
        }
    }
}

impl McpTable {
    /// The server of this name.
    pub(super) fn resolve(self, name: &str) -> Result<McpServer, McpError> {
        if format!("mcp:{name}").parse::<Capability>().is_err() {
            return Err(McpError::Name);
        }
        let misplaced = |key, with| Err(McpError::Misplaced { key, with });
        match self {
            Self { command: Some(_), url: Some(_), .. } => misplaced("url", "command"),
            Self { command: Some(_), headers: Some(_), .. } => misplaced("headers", "command"),
            Self { url: Some(_), args: Some(_), .. } => misplaced("args", "url"),
            Self { url: Some(_), env: Some(_), .. } => misplaced("env", "url"),
            Self { url: Some(_), pass_env: Some(_), .. } => misplaced("pass_env", "url"),
            Self { command: Some(program), args, env, pass_env, .. } => {
                let mut environment = Environment::base();
                let named = |key| move |source| McpError::Environment { key, source };
                for name in pass_env.unwrap_or_default() {
                    // One that the server does not have is one that the program does not get.
                    let _is_there = environment.pass(&name).map_err(named("pass_env"))?;
                }
                for (name, value) in env.unwrap_or_default().0 {
                    environment.set(&name, value).map_err(named("env"))?;
                }
                Ok(McpServer::Command { program, args: args.unwrap_or_default(), environment })
            }
            Self { url: Some(url), headers, .. } => {
                let headers = headers.unwrap_or_default().0;
                let headers = headers.into_iter().map(|(name, value)| (name, value.into()));
                Ok(McpServer::Url { url, headers: headers.collect() })
            }
            Self { command: None, url: None, .. } => Err(McpError::NoAddress),
        }
    }
}

impl fmt::Debug for McpTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { command, args: _, env, pass_env, url: _, headers } = self;
        f.debug_struct("McpTable")
            .field("command", command)
            .field("env", env)
            .field("pass_env", pass_env)
            .field("headers", headers)
            .finish_non_exhaustive()
    }
}
