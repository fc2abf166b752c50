//! Where the tools of workers come from: a toolbox, and the program that the runtime is a part of.

use std::{collections::BTreeSet, sync::Arc};

use musher_backend::{Sandbox, Tool, ToolDiagnostic, Toolbox, ToolboxError, Toolkit, Workbench};
use musher_protocol::Capability;

/// What sessions get their tools from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tools {
    pub(crate) toolbox: Option<Arc<dyn Toolbox>>,
    /// Those of this program, which all sessions share.
    pub(crate) own: Vec<Arc<dyn Tool>>,
}

impl Tools {
    /// The name that two tools of this program have.
    pub(crate) fn doubled_name(&self) -> Option<&str> {
        let mut names = BTreeSet::new();
        self.own.iter().map(|tool| tool.spec().name.as_str()).find(|name| !names.insert(*name))
    }

    /// Why a worker whose backend calls these tools could not be given those of this capability right now.
    pub(crate) fn missing(&self, capability: &Capability, sandbox: Sandbox) -> Option<String> {
        match (capability, &self.toolbox) {
            // The program itself is that server then.
            (Capability::Mcp(_), _) if self.have_own(capability) => None,
            (_, Some(toolbox)) => toolbox.missing(capability, sandbox),
            (Capability::Mcp(server), None) => Some(format!("an MCP server `{server}`")),
            // What a worker may do and has no tool for, it does not do.
            (Capability::Read | Capability::Write | Capability::Shell | Capability::Network, None) => None,
        }
    }

    /// The tools of a session. The program's own stand before others of their names: whoever put the runtime together
    /// chose them by name, and what a server offers must not take their place.
    ///
    /// # Errors
    ///
    /// When the toolbox has none to give.
    pub(crate) async fn prepare(&self, bench: Workbench) -> Result<Toolkit, ToolboxError> {
        let is_allowed = |tool: &&Arc<dyn Tool>| bench.capabilities.contains(&tool.spec().capability);
        let own: Vec<_> = self.own.iter().filter(is_allowed).cloned().collect();
        let mut kit = match &self.toolbox {
            Some(toolbox) => toolbox.tools(bench).await?,
            None => Toolkit::default(),
        };
        let is_own = |name: &str| own.iter().any(|own| own.spec().name == name);
        for tool in std::mem::take(&mut kit.tools) {
            let name = &tool.spec().name;
            if is_own(name) {
                let message =
                    format!("the toolbox's tool `{name}` is left out: the program has one of its own");
                kit.diagnostics.push(ToolDiagnostic { code: "tools.name_taken".to_owned(), message });
            } else {
                kit.tools.push(tool);
            }
        }
        kit.tools.extend(own);
        Ok(kit)
    }

    /// Whether the program has tools of a server of this name.
    pub(crate) fn have_server(&self, name: &str) -> bool {
        self.have_own(&Capability::Mcp(name.to_owned()))
    }

    fn have_own(&self, capability: &Capability) -> bool {
        self.own.iter().any(|tool| tool.spec().capability == *capability)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use musher_backend::{ToolCall, ToolOutput, ToolSpec, async_trait};
    use serde_json::json;

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

    fn tool(name: &str, capability: &str, description: &str) -> Arc<dyn Tool> {
        Arc::new(Named(ToolSpec {
            name: name.to_owned(),
            description: description.to_owned(),
            input_schema: json!({"type": "object"}),
            capability: capability.parse().unwrap(),
            is_read_only: false,
            limit: Duration::from_secs(1),
        }))
    }

    /// Has what it is given, and no MCP server and no shell.
    #[derive(Debug)]
    struct Shelf(Vec<Arc<dyn Tool>>);

    #[async_trait]
    impl Toolbox for Shelf {
        fn missing(&self, capability: &Capability, _: Sandbox) -> Option<String> {
            matches!(capability, Capability::Shell | Capability::Mcp(_)).then(|| format!("no {capability}"))
        }

        async fn tools(&self, _: Workbench) -> Result<Toolkit, ToolboxError> {
            Ok(Toolkit { tools: self.0.clone(), ..Toolkit::default() })
        }
    }

    fn tools(toolbox: Option<Vec<Arc<dyn Tool>>>, own: Vec<Arc<dyn Tool>>) -> Tools {
        Tools { toolbox: toolbox.map(|tools| Arc::new(Shelf(tools)) as Arc<dyn Toolbox>), own }
    }

    /// Each tool with whose it is, then the diagnostics.
    async fn prepared(tools: &Tools, capabilities: &[&str]) -> Vec<String> {
        let bench = Workbench {
            worker_id: "wrk_1".parse().unwrap(),
            marker: "m/wrk_1".to_owned(),
            working_dir: "/".into(),
            temporary: None,
            roots: Vec::new(),
            writable: Vec::new(),
            capabilities: capabilities.iter().map(|name| name.parse().unwrap()).collect(),
            sandbox: Sandbox::Auto,
            pass_env: Vec::new(),
        };
        let kit = tools.prepare(bench).await.unwrap();
        let tool = |tool: &Arc<dyn Tool>| format!("{} {}", tool.spec().description, tool.spec().name);
        let told = kit.diagnostics.iter().map(|diagnostic| diagnostic.message.clone());
        kit.tools.iter().map(tool).chain(told).collect()
    }

    #[tokio::test]
    async fn a_worker_gets_the_programs_tools_of_its_capabilities_beside_the_toolboxs() {
        let own = || vec![tool("clock", "read", "own"), tool("shop__order", "mcp:shop", "own")];
        let files = || vec![tool("read_file", "read", "box")];
        for (toolbox, capabilities, expected) in [
            (None, vec!["read", "mcp:shop"], vec!["own clock", "own shop__order"]),
            (None, vec!["mcp:shop"], vec!["own shop__order"]),
            (None, vec!["write"], vec![]),
            (Some(files()), vec!["read"], vec!["box read_file", "own clock"]),
        ] {
            assert_eq!(prepared(&tools(toolbox, own()), &capabilities).await, expected);
        }
    }

    #[tokio::test]
    async fn a_tool_of_the_program_stands_before_one_of_its_name() {
        let own = || vec![tool("search", "read", "own")];
        let others = || vec![tool("search", "write", "box"), tool("read_file", "read", "box")];
        let told = "the toolbox's tool `search` is left out: the program has one of its own";
        let tools = tools(Some(others()), own());
        assert_eq!(prepared(&tools, &["read"]).await, ["box read_file", "own search", told]);
        // A worker that may not call it gets the other.
        assert_eq!(prepared(&tools, &["write"]).await, ["box search", "box read_file"]);
    }

    #[test]
    fn two_tools_of_one_name_are_found() {
        let [a, b] = ["a", "b"].map(|name| tool(name, "read", ""));
        assert_eq!(tools(None, vec![a.clone(), b.clone()]).doubled_name(), None);
        assert_eq!(tools(None, vec![a.clone(), b, a]).doubled_name(), Some("a"));
    }

    #[test]
    fn what_is_missing_is_what_nothing_gives() {
        let own = || vec![tool("shop__order", "mcp:shop", ""), tool("run", "shell", "")];
        let alone = tools(None, own());
        let beside = tools(Some(Vec::new()), own());
        let none = Tools::default();
        let reached = |tools: &Tools, name: &str| tools.missing(&name.parse().unwrap(), Sandbox::Auto);
        let told = |text: &str| Some(text.to_owned());
        for (name, of_own, with_a_toolbox, of_nothing) in [
            ("read", None, None, None),
            // The toolbox's own tools of that capability would be missing.
            ("shell", None, told("no shell"), None),
            ("mcp:shop", None, None, told("an MCP server `shop`")),
            ("mcp:mail", told("an MCP server `mail`"), told("no mcp:mail"), told("an MCP server `mail`")),
        ] {
            let found = [&alone, &beside, &none].map(|tools| reached(tools, name));
            assert_eq!(found, [of_own, with_a_toolbox, of_nothing], "{name}");
        }
    }
}
