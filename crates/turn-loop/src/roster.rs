//! The tools of a session.

use std::{collections::BTreeMap, sync::Arc};

use musher_backend::{Tool, ToolSpec};

/// What every vendor takes in a tool's name.
const MAX_NAME: usize = 64;
/// A schema that is larger costs more than its tool is worth, at every call.
const MAX_SCHEMA: usize = 64 << 10;

/// The tools that the model is told of, by their names.
#[derive(Debug, Default)]
pub(crate) struct Roster {
    specs: Vec<ToolSpec>,
    tools: BTreeMap<String, Arc<dyn Tool>>,
}

/// A tool that a vendor would refuse together with everything else in its request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dropped {
    pub(crate) name: String,
    pub(crate) why: &'static str,
}

impl Roster {
    /// Takes the tools that every vendor takes, and leaves out the rest: one bad tool must not cost the others.
    pub(crate) fn new(tools: Vec<Arc<dyn Tool>>) -> (Self, Vec<Dropped>) {
        let mut roster = Self::default();
        let mut dropped = Vec::new();
        for tool in tools {
            let spec = tool.spec();
            match objection(spec)
                .or_else(|| roster.tools.contains_key(&spec.name).then_some("another tool has the same name"))
            {
                Some(why) => dropped.push(Dropped { name: spec.name.clone(), why }),
                None => {
                    roster.specs.push(spec.clone());
                    roster.tools.insert(spec.name.clone(), tool);
                }
            }
        }
        (roster, dropped)
    }

    pub(crate) fn specs(&self) -> &[ToolSpec] {
        &self.specs
    }

    pub(crate) fn find(&self, name: &str) -> Option<&Arc<dyn Tool>> {
        self.tools.get(name)
    }

    /// All names, for a model that asks for another one.
    pub(crate) fn names(&self) -> String {
        let names: Vec<_> = self.tools.keys().map(String::as_str).collect();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    }
}

fn objection(spec: &ToolSpec) -> Option<&'static str> {
    let is_name = (1..=MAX_NAME).contains(&spec.name.len())
        && spec.name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    if !is_name {
        return Some("its name is none that vendors take");
    }
    if spec.input_schema["type"] != "object" {
        return Some("its schema is not an object's");
    }
    let properties = &spec.input_schema["properties"];
    if !(properties.is_null() || properties.is_object()) {
        return Some("the properties of its schema are no object");
    }
    if crate::answer::size_of_value(&spec.input_schema) > MAX_SCHEMA {
        return Some("its schema is larger than 64 KiB");
    }
    None
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use musher_backend::{ToolCall, ToolOutput, async_trait};
    use musher_protocol::Capability;
    use serde_json::{Value, json};

    use super::*;

    #[derive(Debug)]
    struct Named(ToolSpec);

    #[async_trait]
    impl Tool for Named {
        fn spec(&self) -> &ToolSpec {
            &self.0
        }

        async fn call(&self, _: ToolCall) -> ToolOutput {
            ToolOutput::ok("")
        }
    }

    fn tool(name: &str, input_schema: Value) -> Arc<dyn Tool> {
        Arc::new(Named(ToolSpec {
            name: name.to_owned(),
            description: String::new(),
            input_schema,
            capability: Capability::Read,
            is_read_only: true,
            limit: Duration::ZERO,
        }))
    }

    #[test]
    fn one_bad_tool_costs_no_other() {
        let object = || json!({"type": "object"});
        let (roster, dropped) = Roster::new(vec![
            tool("b", object()),
            tool("tickets/list", object()),
            tool("array", json!({"type": "array"})),
            tool("list", json!({"type": "object", "properties": []})),
            tool("large", json!({"type": "object", "description": "a".repeat(MAX_SCHEMA)})),
            tool("a", object()),
            tool("b", object()),
        ]);
        assert_eq!(roster.names(), "a, b");
        let dropped: Vec<_> = dropped.iter().map(|dropped| (dropped.name.as_str(), dropped.why)).collect();
        assert_eq!(
            dropped,
            [
                ("tickets/list", "its name is none that vendors take"),
                ("array", "its schema is not an object's"),
                ("list", "the properties of its schema are no object"),
                ("large", "its schema is larger than 64 KiB"),
                ("b", "another tool has the same name"),
            ]
        );
    }
}
