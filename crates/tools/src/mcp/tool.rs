//! One tool of a server.

use std::{sync::Arc, time::Duration};

use musher_backend::{Tool, ToolCall, ToolOutput, ToolSpec, async_trait};
use musher_protocol::Capability;
use rmcp::model::CallToolRequestParams;
use serde_json::Value;
use tokio::time;

use super::{connection::Connection, name, offer::Offer, reply};

/// Servers answer within seconds. One that takes longer than this has most often lost the request.
const LIMIT: Duration = Duration::from_secs(120);

/// A tool that a model can call, and what the server calls it.
#[derive(Debug)]
pub(super) struct McpTool {
    spec: ToolSpec,
    name: String,
    connection: Arc<Connection>,
}

impl McpTool {
    pub(super) fn new(server: &str, offer: Offer, connection: Arc<Connection>) -> Self {
        let spec = ToolSpec {
            name: name::name(server, &offer.name),
            description: offer.description,
            input_schema: offer.input_schema,
            capability: Capability::Mcp(server.to_owned()),
            // A server's own word on this is not trusted.
            is_read_only: false,
            limit: LIMIT,
        };
        Self { spec, name: offer.name, connection }
    }
}

#[async_trait]
impl Tool for McpTool {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    async fn call(&self, call: ToolCall) -> ToolOutput {
        let ToolCall { input, mut cancellation, .. } = call;
        let Value::Object(arguments) = input else {
            return ToolOutput::error("the arguments must be an object");
        };
        let request = CallToolRequestParams::new(self.name.clone()).with_arguments(arguments);
        // Dropping the request tells the server that it is no longer wanted, also when this future is dropped.
        tokio::select! {
            answer = self.connection.call(request) => answer.map_or_else(ToolOutput::error, reply::output),
            () = time::sleep(LIMIT) => ToolOutput::error(format!(
                "the server did not answer within {} s; whether it did anything is unknown", LIMIT.as_secs(),
            )),
            () = cancellation.comes() => {
                ToolOutput::error("the call was canceled; whether the server did anything is unknown")
            }
        }
    }
}
