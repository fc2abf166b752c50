//! Tools of MCP servers: processes, addresses, and services of the embedding program.

mod address;
mod connection;
mod name;
mod offer;
mod process;
mod remote;
mod reply;
mod schema;
mod service;
mod tool;

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use musher_backend::{Tool, ToolDiagnostic, Workbench};
use musher_process::{Environment, Program};
use secrecy::SecretString;
use tokio::time;

use self::{address::Address, connection::Connection, offer::Offers, service::Service, tool::McpTool};

/// A server answers within seconds; one that a package runner fetches first may take longer, and a session waits for
/// it. After this it does without.
const CONNECT_LIMIT: Duration = Duration::from_secs(30);

/// How an MCP server is reached. `Debug` shows no address: a key may be in it.
#[derive(Clone)]
pub enum McpServer {
    /// A program that speaks on its stdin and stdout. Each session starts one of its own, with the worker's marker and
    /// in its working directory, and ends it. It is a program of whoever configures it, so no sandbox holds it.
    Command {
        /// Its name in PATH, or its path.
        program: String,
        /// Its arguments.
        args: Vec<String>,
        /// Its environment, to which only the marker is added.
        environment: Environment,
    },
    /// An address that speaks streamable HTTP.
    Url {
        /// The address, `http` or `https`.
        url: String,
        /// Headers of every request, such as `Authorization`.
        headers: BTreeMap<String, SecretString>,
    },
}

/// Where the tools of one server come from.
#[derive(Clone)]
pub(crate) enum Source {
    Server(McpServer),
    Service(Arc<dyn Service>),
}

/// What a session got of one server.
pub(crate) struct Got {
    pub(crate) tools: Vec<Arc<dyn Tool>>,
    pub(crate) diagnostics: Vec<ToolDiagnostic>,
}

impl Source {
    /// What is missing for it on this host. Starts nothing.
    pub(crate) fn missing(&self, server: &str) -> Option<String> {
        match self {
            Self::Server(McpServer::Command { program, environment, .. }) => {
                let shown = Program::shown(program);
                Program::find(program, environment)
                    .err()
                    .map(|_| format!("the program `{shown}` of the MCP server `{server}` was not found"))
            }
            Self::Server(McpServer::Url { .. }) | Self::Service(_) => None,
        }
    }

    /// Connects, and asks for the tools. A server that cannot be had costs the session its tools, not its life.
    pub(crate) async fn tools(&self, server: &str, bench: &Workbench) -> Got {
        let connecting = async {
            let connection = Connection::open(self, server, bench).await?;
            let offers = connection.offers().await?;
            Ok::<_, connection::Error>((connection, offers))
        };
        let reason = match time::timeout(CONNECT_LIMIT, connecting).await {
            Ok(Ok((connection, offers))) => return Got::new(server, connection, offers),
            Ok(Err(error)) => Address::of(self).told(&error),
            Err(_) => format!("no answer within {} s", CONNECT_LIMIT.as_secs()),
        };
        let message = format!("the MCP server `{server}` cannot be used, its tools are left out: {reason}");
        let diagnostic = ToolDiagnostic { code: "tools.mcp_unavailable".to_owned(), message };
        Got { tools: Vec::new(), diagnostics: vec![diagnostic] }
    }
}

impl Got {
    fn new(server: &str, connection: Connection, offers: Offers) -> Self {
        let connection = Arc::new(connection);
        let tool = |offer| Arc::new(McpTool::new(server, offer, connection.clone())) as Arc<dyn Tool>;
        let tools = offers.offers.into_iter().map(tool).collect();
        let refused = offers.refused.into_iter().map(|refused| ToolDiagnostic {
            code: "tools.mcp_tool_refused".to_owned(),
            message: format!("a tool of the MCP server `{server}` is left out: {refused}"),
        });
        Self { tools, diagnostics: refused.collect() }
    }
}

impl fmt::Debug for McpServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Command { program, args: _, environment } => f
                .debug_struct("Command")
                .field("program", program)
                .field("environment", environment)
                .finish_non_exhaustive(),
            Self::Url { url: _, headers } => {
                f.debug_struct("Url").field("headers", headers).finish_non_exhaustive()
            }
        }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(server) => server.fmt(f),
            Self::Service(_) => f.write_str("Service"),
        }
    }
}

pub(crate) use self::service::erase;

#[cfg(test)]
mod tests;
