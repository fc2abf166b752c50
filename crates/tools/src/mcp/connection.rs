//! A connection to a server, and what ends with it.

use musher_backend::Workbench;
use rmcp::{
    RoleClient, ServiceError, ServiceExt,
    model::{
        CallToolRequestParams, CallToolResponse, ClientCapabilities, ClientConfig, ClientRequest,
        Implementation, ListToolsRequest, PaginatedRequestParams,
    },
    service::{ClientInitializeError, RunningService},
};
use serde_json::Value;

use super::{
    McpServer, Source, address::Address, offer::Offers, process::ServerProcess, remote, service::Running,
};

/// A server with so many pages sends them in a circle.
const PAGES_LIMIT: usize = 32;

/// A server, connected. Dropping it ends the connection, and the server where it is a process of its own.
#[derive(Debug)]
pub(super) struct Connection {
    server: String,
    address: Address,
    client: RunningService<RoleClient, ClientConfig>,
    partner: Partner,
}

/// What is on the other side.
#[derive(Debug)]
enum Partner {
    Process(Box<ServerProcess>),
    Remote,
    Service { _running: Running },
}

/// Why a server cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("start it")]
    Process(#[from] musher_process::Error),
    #[error("shake hands{}", words(.last_words))]
    Handshake {
        last_words: String,
        #[source]
        source: Box<ClientInitializeError>,
    },
    #[error("set up the connection")]
    Remote(#[from] remote::Error),
    #[error("serve it")]
    Service(#[from] super::service::Error),
    #[error("ask for its tools")]
    List(#[source] Box<ServiceError>),
    #[error("read its answer")]
    Answer(#[source] serde_json::Error),
    #[error("its answer has no list of tools")]
    NoList,
}

impl Connection {
    pub(super) async fn open(source: &Source, server: &str, bench: &Workbench) -> Result<Self, Error> {
        let (client, partner) = match source {
            Source::Server(McpServer::Command { program, args, environment }) => {
                let (process, stdio) =
                    ServerProcess::start(program, args, environment, server, bench).await?;
                match us().serve(stdio).await {
                    Ok(client) => (client, Partner::Process(Box::new(process))),
                    Err(error) => {
                        let last_words = process.last_words().await;
                        return Err(Error::Handshake { last_words, source: Box::new(error) });
                    }
                }
            }
            Source::Server(McpServer::Url { url, headers }) => {
                let transport = remote::transport(url, headers)?;
                (us().serve(transport).await.map_err(handshake)?, Partner::Remote)
            }
            Source::Service(service) => {
                let (ours, theirs) = super::service::line();
                // Each waits for the other.
                let (client, running) = tokio::join!(us().serve(ours), service.serve(theirs));
                (client.map_err(handshake)?, Partner::Service { _running: running? })
            }
        };
        Ok(Self { server: server.to_owned(), address: Address::of(source), client, partner })
    }

    /// What the server can do, page by page.
    pub(super) async fn offers(&self) -> Result<Offers, Error> {
        let mut offers = Offers::default();
        let mut cursor = None;
        for _ in 0..PAGES_LIMIT {
            let page = PaginatedRequestParams::default().with_cursor(cursor);
            let request = ClientRequest::ListToolsRequest(ListToolsRequest::with_param(page));
            let answer =
                self.client.send_request(request).await.map_err(|error| Error::List(Box::new(error)))?;
            // As it was sent: read as a whole, one tool that is wrong would make it another kind of answer.
            let answer = serde_json::to_value(answer).map_err(Error::Answer)?;
            let Value::Object(mut answer) = answer else { return Err(Error::NoList) };
            let Some(Value::Array(tools)) = answer.remove("tools") else { return Err(Error::NoList) };
            let takes_more = offers.add(tools);
            cursor = match answer.remove("nextCursor") {
                Some(Value::String(next)) if takes_more => Some(next),
                Some(_) | None => break,
            };
        }
        Ok(offers)
    }

    /// Calls a tool; an error is for the model. Dropping the future cancels the call.
    pub(super) async fn call(&self, request: CallToolRequestParams) -> Result<CallToolResponse, String> {
        let error = match self.client.call_tool_once(request).await {
            Ok(response) => return Ok(response),
            Err(error) => error,
        };
        let server = &self.server;
        if self.client.is_transport_closed() || matches!(error, ServiceError::TransportClosed) {
            let last_words = match &self.partner {
                Partner::Process(process) => process.last_words().await,
                Partner::Remote | Partner::Service { .. } => String::new(),
            };
            let words = words(&last_words);
            return Err(format!(
                "the MCP server `{server}` has ended; whether it did anything is unknown{words}"
            ));
        }
        // Its own words name the types of the library that could not send.
        if let ServiceError::TransportSend(error) = &error {
            let told = self.address.told(&*error.error);
            return Err(format!(
                "the MCP server `{server}` could not be asked: {told}; whether it did anything is unknown"
            ));
        }
        Err(format!("the MCP server `{server}` refused the call: {}", self.address.told(&error)))
    }
}

/// Who we are to servers: nobody who could be asked for anything.
fn us() -> ClientConfig {
    ClientConfig::new(ClientCapabilities::default(), Implementation::new("musher", env!("CARGO_PKG_VERSION")))
}

fn handshake(error: ClientInitializeError) -> Error {
    Error::Handshake { last_words: String::new(), source: Box::new(error) }
}

fn words(last_words: &str) -> String {
    if last_words.is_empty() { String::new() } else { format!("; its last words: {last_words}") }
}
