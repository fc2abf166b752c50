//! A service of tools, some of which behave.

use std::{
    fs, process,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{
        CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, ListToolsResult,
        PaginatedRequestParams, ServerCapabilities, ServerConfig, Tool,
    },
    service::RequestContext,
};
use serde_json::{Map, Value, json};

/// Counts the tickets of all its sessions.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tickets {
    n_created: Arc<AtomicU64>,
}

impl ServerHandler for Tickets {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
    }

    async fn list_tools(
        &self,
        page: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let tool = |name: &'static str, schema: Value| Tool::new(name, "A tool.", object(schema));
        // On two pages, as a server with many tools has them.
        let is_first = page.and_then(|page| page.cursor).is_none();
        let mut tools = ListToolsResult::default();
        if is_first {
            tools.tools = vec![
                tool("create", json!({"type": "object", "properties": {"title": {"type": "string"}}})),
                tool("wrong", json!({"type": "array"})),
            ];
            tools.next_cursor = Some("2".to_owned());
        } else {
            tools.tools = vec![
                tool("hang.up", json!({"type": "object"})),
                tool("die", json!({"type": "object"})),
                tool("fail", json!({"type": "object"})),
            ];
        }
        Ok(tools)
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        asked: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let arguments = request.arguments.unwrap_or_default();
        let text = |name: &str| arguments.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let said = match request.name.as_ref() {
            "create" => {
                let n = self.n_created.fetch_add(1, Ordering::Relaxed) + 1;
                format!("ticket {n}: {}", text("title"))
            }
            "hang.up" => {
                // The caller learns from files what happened here.
                note(&text("begun"));
                asked.ct.cancelled().await;
                note(&text("canceled"));
                "canceled".to_owned()
            }
            "die" => {
                eprintln!("out of paper");
                process::exit(3);
            }
            _ => return Err(ErrorData::invalid_params("no such ticket", None)),
        };
        Ok(CallToolResult::success(vec![ContentBlock::text(said)]).into())
    }
}

fn note(path: &str) {
    if let Err(error) = fs::write(path, "") {
        eprintln!("cannot note at `{path}`: {error}");
    }
}

fn object(schema: Value) -> Arc<Map<String, Value>> {
    Arc::new(schema.as_object().cloned().unwrap_or_default())
}
