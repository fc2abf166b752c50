//! The MCP servers of a session: those that its capabilities name, and no others.
//!
//! The program starts them, or speaks to them, by itself. It is told of them in a file of its user's alone, for the
//! values of variables and headers are secrets and an argument list is everybody's to read. The file goes as soon as the
//! program has read it, so that no tool of the worker's comes across it.

mod told;

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    ffi::{OsStr, OsString},
    fmt,
    io::{self, Write as _},
    iter,
    path::Path,
};

use musher_backend::{Launch, credential, query_values};
use musher_process::{Environment, Marker, Program};
use musher_protocol::Capability;
use secrecy::{ExposeSecret as _, SecretString};
use tempfile::TempPath;
use tokio::task;

/// How the program reaches an MCP server. `Debug` shows no address: a key may be in it.
#[derive(Clone)]
pub enum McpServer {
    /// A program that speaks on its stdin and stdout. Claude Code starts one for each session, in the worker's working
    /// directory, and ends it.
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

/// The servers of a session.
#[derive(Clone, Debug, Default)]
pub(crate) struct Servers {
    given: BTreeMap<String, McpServer>,
    /// Those that the program is not told of, and why.
    left_out: BTreeMap<String, LeftOut>,
}

/// Why the program is not told of a server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LeftOut {
    #[error("no such server is configured")]
    Unknown,
    #[error("the program `{0}` was not found")]
    NoProgram(String),
    #[error("the variable `{0}` is no text")]
    NoText(String),
}

impl McpServer {
    /// What is missing for it on this host. Starts nothing.
    pub(crate) fn missing(&self, server: &str) -> Option<String> {
        match self {
            Self::Command { program, environment, .. } => {
                let shown = Program::shown(program);
                Program::find(program, environment)
                    .err()
                    .map(|_| format!("the program `{shown}` of the MCP server `{server}` was not found"))
            }
            Self::Url { .. } => None,
        }
    }

    /// The same with its program found, and nothing in it that the program could not be told.
    fn found(&self) -> Result<Self, LeftOut> {
        let Self::Command { program, args, environment } = self else { return Ok(self.clone()) };
        let found = Program::find(program, environment).ok();
        let found = found.as_ref().and_then(|found| found.path().to_str());
        let Some(found) = found else {
            return Err(LeftOut::NoProgram(Program::shown(program).to_owned()));
        };
        let is_text = |name: &&str| environment.get(name).is_some_and(|value| value.to_str().is_some());
        if let Some(odd) = environment.names().find(|name| !is_text(name)) {
            return Err(LeftOut::NoText(odd.to_owned()));
        }
        let environment = environment.clone();
        Ok(Self::Command { program: found.to_owned(), args: args.clone(), environment })
    }
}

impl Servers {
    /// The servers that a launch's capabilities name, out of all that there are.
    pub(crate) fn of(all: &BTreeMap<String, McpServer>, launch: &Launch) -> Self {
        let mut servers = Self::default();
        for name in named(&launch.capabilities) {
            match all.get(name).map_or(Err(LeftOut::Unknown), McpServer::found) {
                Ok(server) => {
                    servers.given.insert(name.to_owned(), server);
                }
                Err(why) => {
                    servers.left_out.insert(name.to_owned(), why);
                }
            }
        }
        servers
    }

    /// Those that the program is told of, each with its address where it has one.
    pub(crate) fn given(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.given.iter().map(|(name, server)| match server {
            McpServer::Command { .. } => (name.as_str(), None),
            McpServer::Url { url, .. } => (name.as_str(), Some(url.as_str())),
        })
    }

    /// Those that it is not told of, and why.
    pub(crate) fn left_out(&self) -> impl Iterator<Item = (&str, &LeftOut)> {
        self.left_out.iter().map(|(name, why)| (name.as_str(), why))
    }

    /// What of them may be a secret, by a name that says so of headers.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = (String, OsString)> {
        let of = |(name, server): (&String, &McpServer)| match server {
            McpServer::Command { environment, .. } => {
                let value =
                    |variable: &str| Some((variable.to_owned(), environment.get(variable)?.to_owned()));
                environment.names().filter_map(value).collect::<Vec<_>>()
            }
            McpServer::Url { url, headers } => {
                // Its user is looked for in any value.
                let address = iter::once((format!("mcp.{name}.url"), url.into()));
                let keys = query_values(url).map(|key| (format!("mcp.{name}.url.key"), key.into()));
                let header = |(header, value): (&String, &SecretString)| {
                    let (known, value) = (format!("mcp.{name}.headers.{header}"), value.expose_secret());
                    // The program that has read it once says it in another form.
                    let forms = [value, credential(value)].map(|form| [form.to_owned(), told::literal(form)]);
                    let forms: BTreeSet<_> = forms.into_iter().flatten().collect();
                    forms.into_iter().map(move |form| (known.clone(), form.into()))
                };
                headers.iter().flat_map(header).chain(address).chain(keys).collect()
            }
        };
        self.given.iter().flat_map(of)
    }

    /// Writes down what the program is told of them, in the session's private directory or, without one, in that of the
    /// host; none when there is nothing to tell. The file is its user's alone, and goes when this is dropped.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub(crate) async fn write(
        &self,
        directory: Option<&Path>,
        marker: &Marker,
    ) -> io::Result<Option<TempPath>> {
        if self.given.is_empty() {
            return Ok(None);
        }
        let told = told::config(&self.given, marker).to_string();
        let directory = directory.map_or_else(env::temp_dir, Path::to_owned);
        let write = move || {
            let mut file = tempfile::Builder::new().prefix("mcp-").suffix(".json").tempfile_in(directory)?;
            file.write_all(told.as_bytes())?;
            Ok(Some(file.into_temp_path()))
        };
        task::spawn_blocking(write).await.map_err(io::Error::other)?
    }
}

/// The servers that capabilities name.
fn named(capabilities: &BTreeSet<Capability>) -> impl Iterator<Item = &str> {
    capabilities.iter().filter_map(|capability| match capability {
        Capability::Mcp(name) => Some(name.as_str()),
        Capability::Read | Capability::Write | Capability::Shell | Capability::Network => None,
    })
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

/// A variable's value, which was looked at before ([`McpServer::found`]).
fn text(value: &OsStr) -> &str {
    value.to_str().expect("it was looked at before")
}

#[cfg(test)]
mod tests;
