//! What the models of API workers can do: files of the workspace, a shell, and what MCP servers offer.
//!
//! A [`ToolSet`] is a [`Toolbox`](musher_backend::Toolbox): asked for a session's tools, it gives those that the
//! worker's capabilities allow. Whoever calls them asks for leave first and keeps the log; a tool never does.
//!
//! Invariant: a file tool looks every path up below a handle of the workspace; no name, link or race leads out of it.
//! Invariant: a file is replaced as a whole or not at all, and never when something else changed it in between.
//! Invariant: what a command starts is ended when the command is over, however that came about.
//! Invariant: whatever a tool reads, writes or waits for is bounded, and what a model is told even more so.
//! Invariant: a server or a tool of one that is no good costs a session that server or that tool, and is told.
//! Invariant: what a model can mend is an output that says how; nothing of it is an error of the session.
//!
//! | Tool | Arguments | Capability |
//! |---|---|---|
//! | `read_file` | `path`, `offset?`, `limit?` (lines) | `read` |
//! | `list_directory` | `path?` | `read` |
//! | `search` | `pattern`, `path?`, `glob?` | `read` |
//! | `write_file` | `path`, `content` | `write` |
//! | `edit_file` | `path`, `old`, `new`, `replace_all?` | `write` |
//! | `shell` | `command`, `timeout_secs?` | `shell` |
//! | `<server>__<tool>` | the server's own | `mcp:<server>` |
//!
//! The file tools stay in the workspace by themselves. A shell can do whatever its user can; where the kernel has
//! Landlock it, and all that it starts, writes only below the workspace and its own TMPDIR, unless the worker's profile says
//! otherwise ([`Sandbox`]). It reads everywhere and reaches the network in any case. An MCP server is no model's program but
//! its configurer's, so nothing holds it.
//!
//! [`Sandbox`]: musher_backend::Sandbox
//!
//! ```
//! use musher_backend::{Cancellation, Sandbox, ToolCall, Toolbox, Workbench};
//! use musher_protocol::Capability;
//! use musher_tools::ToolSet;
//! use serde_json::json;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let directory = tempfile::tempdir()?;
//! let bench = Workbench {
//!     worker_id: "wrk_1".parse()?,
//!     marker: "4f1c/wrk_1".to_owned(),
//!     working_dir: directory.path().to_owned(),
//!     temporary: None,
//!     roots: vec![],
//!     writable: vec![],
//!     pass_env: vec![],
//!     capabilities: [Capability::Read, Capability::Write].into(),
//!     sandbox: Sandbox::Auto,
//! };
//! let kit = ToolSet::workspace().tools(bench).await?;
//! let tool = |name: &str| kit.tools.iter().find(|tool| tool.spec().name == name);
//! assert!(tool("shell").is_none(), "the worker may not");
//!
//! let write = tool("write_file").expect("the worker may");
//! let (_wanted, cancellation) = Cancellation::pair();
//! let input = json!({"path": "notes/a.txt", "content": "mush\n"});
//! let output = write.call(ToolCall { tool_call_id: "call_1".parse()?, input, cancellation }).await;
//! assert_eq!(output.content, "created notes/a.txt (5 bytes)");
//! assert_eq!(output.diff.as_deref(), Some("--- /dev/null\n+++ b/notes/a.txt\n@@ -0,0 +1 @@\n+mush\n"));
//! # Ok(())
//! # }
//! ```
//!
//! # MCP
//!
//! A server is a program that each session starts for itself, an address ([`McpServer`]), or a service of the embedding
//! program: any [`rmcp::ServerHandler`], called in memory.
//!
//! ```
//! use musher_protocol::Capability;
//! use musher_backend::{Sandbox, Toolbox};
//! use musher_tools::{McpServer, ToolSet};
//! use std::collections::BTreeMap;
//!
//! /// A service of this program; what it offers is in the methods of the trait.
//! struct Tickets;
//! impl rmcp::ServerHandler for Tickets {}
//!
//! let set = ToolSet::workspace().with_service("tickets", Tickets).with_server(
//!     "wiki",
//!     McpServer::Url {
//!         url: "https://wiki.internal/mcp".to_owned(),
//!         headers: BTreeMap::from([("Authorization".to_owned(), "Bearer …".into())]),
//!     },
//! );
//! assert_eq!(set.missing(&Capability::Mcp("tickets".to_owned()), Sandbox::Auto), None);
//! assert!(set.missing(&Capability::Mcp("mail".to_owned()), Sandbox::Auto).is_some());
//! ```

mod sandbox;
mod toolset;

mod files;
mod mcp;
mod shell;

mod arguments;
mod bound;
mod directories;
mod refusal;
mod remains;
mod scratch;
mod workspace;

#[cfg(test)]
mod scene;

pub use crate::{mcp::McpServer, toolset::ToolSet};
