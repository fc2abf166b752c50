//! Tools that show what became of them.

use std::{sync::Arc, time::Duration};

use musher_backend::{Tool, ToolCall, ToolOutput, ToolSpec, async_trait};
use musher_protocol::Capability;
use serde_json::json;

/// `look` only looks, `act` needs leave.
pub(crate) fn all() -> Vec<Arc<dyn Tool>> {
    vec![Arc::new(Fake(spec("look", true))), Arc::new(Fake(spec("act", false)))]
}

fn spec(name: &str, is_read_only: bool) -> ToolSpec {
    ToolSpec {
        name: name.to_owned(),
        description: format!("does {name}"),
        input_schema: json!({"type": "object", "properties": {"path": {"type": "string"}}}),
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

    async fn call(&self, call: ToolCall) -> ToolOutput {
        ToolOutput::ok(format!("ran with {}", call.input))
    }
}
