//! `[mcp.NAME]`: servers whose tools the models of API backends can call.

use std::collections::BTreeMap;

use musher_process::Environment;
use musher_tools::McpServer;
use serde::Deserialize;

/// Why an MCP server cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum McpError {
    #[error("one of `command` and `url` is needed")]
    NoAddress,
    #[error("`{key}` does not go with `{with}`")]
    Misplaced { key: &'static str, with: &'static str },
    #[error("env")]
    Environment(#[source] musher_process::Error),
}

/// A program, with its arguments and variables, or an address, with headers.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct McpTable {
    command: Option<String>,
    args: Option<Vec<String>>,
    env: Option<BTreeMap<String, String>>,
    /// Variables of the server that the program gets too.
    pass_env: Option<Vec<String>>,
    url: Option<String>,
    headers: Option<BTreeMap<String, String>>,
}

impl McpTable {
    pub(super) fn resolve(self) -> Result<McpServer, McpError> {
        let misplaced = |key, with| Err(McpError::Misplaced { key, with });
        match self {
            Self { command: Some(_), url: Some(_), .. } => misplaced("url", "command"),
            Self { command: Some(_), headers: Some(_), .. } => misplaced("headers", "command"),
            Self { url: Some(_), args: Some(_), .. } => misplaced("args", "url"),
            Self { url: Some(_), env: Some(_), .. } => misplaced("env", "url"),
            Self { url: Some(_), pass_env: Some(_), .. } => misplaced("pass_env", "url"),
            Self { command: Some(program), args, env, pass_env, .. } => {
                let mut environment = Environment::base();
                for name in pass_env.unwrap_or_default() {
                    // One that the server does not have is one that the program does not get.
                    let _is_there = environment.pass(&name).map_err(McpError::Environment)?;
                }
                for (name, value) in env.unwrap_or_default() {
                    environment.set(&name, value).map_err(McpError::Environment)?;
                }
                Ok(McpServer::Command { program, args: args.unwrap_or_default(), environment })
            }
            Self { url: Some(url), headers, .. } => {
                let headers =
                    headers.unwrap_or_default().into_iter().map(|(name, value)| (name, value.into()));
                Ok(McpServer::Url { url, headers: headers.collect() })
            }
            Self { command: None, url: None, .. } => Err(McpError::NoAddress),
        }
    }
}
