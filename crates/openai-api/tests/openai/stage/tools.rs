//! Tools that show what became of them.

use std::{sync::Arc, time::Duration};

use musher_backend::{Tool, ToolCall, ToolOutput, ToolSpec, async_trait};
use musher_protocol::Capability;
use serde_json::{Value, json};

/// `look` only looks, `act` needs leave, `hang` ends when it is canceled, `stuck` never.
pub(crate) fn all() -> Vec<Arc<dyn Tool>> {
    let schema = || json!({"type": "object", "properties": {"path": {"type": "string"}}});
    vec![
        Arc::new(Fake(spec("look", true, schema()))),
        Arc::new(Fake(spec("act", false, schema()))),
        Arc::new(Fake(spec("hang", true, schema()))),
        Arc::new(Fake(spec("stuck", true, schema()))),
    ]
}

/// A tool with this name and schema.
pub(crate) fn tool(name: &str, schema: Value) -> Arc<dyn Tool> {
    Arc::new(Fake(spec(name, true, schema)))
}

/// A tool with this name that always says this, and only looks.
pub(crate) fn saying(name: &str, output: ToolOutput) -> Arc<dyn Tool> {
    Arc::new(Saying(spec(name, true, json!({"type": "object"})), output))
}

fn spec(name: &str, is_read_only: bool, input_schema: Value) -> ToolSpec {
    ToolSpec {
        name: name.to_owned(),
        description: format!("does {name}"),
        input_schema,
        capability: Capability::Read,
        is_read_only,
        limit: Duration::from_secs(600),
    }
}

#[derive(Debug)]
struct Fake(ToolSpec);

#[async_trait]
impl Tool for Fake {
    fn spec(&self) -> &ToolSpec {
        &self.0
    }

    async fn call(&self, mut call: ToolCall) -> ToolOutput {
        match self.0.name.as_str() {
            "hang" => {
                call.cancellation.comes().await;
                ToolOutput::error("stopped half way")
            }
            "stuck" => std::future::pending().await,
            _ => ToolOutput::ok(format!("ran with {}", call.input)),
        }
    }
}

#[derive(Debug)]
struct Saying(ToolSpec, ToolOutput);

#[async_trait]
impl Tool for Saying {
    fn spec(&self) -> &ToolSpec {
        &self.0
    }

    async fn call(&self, _: ToolCall) -> ToolOutput {
        self.1.clone()
    }
}
