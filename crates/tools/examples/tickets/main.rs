//! An MCP server on stdin and stdout, for trying out a [`musher_tools::McpServer::Command`]. The tests of the crate run
//! it, so it has tools that misbehave, too.

mod tickets;

use rmcp::ServiceExt;
use tokio::io::{stdin, stdout};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let served = tickets::Tickets::default().serve((stdin(), stdout())).await?;
    served.waiting().await?;
    Ok(())
}
