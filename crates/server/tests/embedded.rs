//! A program that runs workers itself, and has tools of its own for them: the real loop between the two.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{sync::Arc, time::Duration};

use musher_backend::{Tool, ToolCall, ToolOutput, ToolSpec};
use musher_core::{ApprovalMode, From, MemoryStore, Profile, Runtime};
use musher_openai_api::{Dialect, OpenAiApi, OpenAiOptions};
use musher_protocol::{
    Actor, Capability, CapabilityRequest, CreateWorker, Envelope, Frame, Intent, Payload, Until, WorkerId,
};
use musher_scripted::model_api::{ModelApi, Reply, chat};
use musher_tools::ToolSet;
use musher_turn_loop::ApiKey;
use serde_json::json;

const KEY: &str = "sk-test-0123456789abcdef";
/// Far longer than anything here takes.
const SOON: Duration = Duration::from_secs(60);

/// Says what it was called with.
#[derive(Debug)]
struct Saying(ToolSpec);

#[musher_backend::async_trait]
impl Tool for Saying {
    fn spec(&self) -> &ToolSpec {
        &self.0
    }

    async fn call(&self, call: ToolCall) -> ToolOutput {
        ToolOutput::ok(format!("{} of this program: {}", self.0.name, call.input))
    }
}

fn tool(name: &str, capability: Capability, is_read_only: bool) -> Arc<dyn Tool> {
    Arc::new(Saying(ToolSpec {
        name: name.to_owned(),
        description: "says what it was called with".to_owned(),
        input_schema: json!({"type": "object"}),
        capability,
        is_read_only,
        limit: Duration::from_secs(10),
    }))
}

/// A model that looks at the clock and orders a sled, then is done.
async fn model() -> ModelApi {
    let api = ModelApi::start(
        |received| chat::violations(received, KEY),
        |received, _| {
            let has_called = !chat::turn(received).results.is_empty();
            let calls = [("call_0", "clock", "{}"), ("call_1", "shop__order", r#"{"article": "sled"}"#)];
            chat::answer(&if has_called { Reply::text("done") } else { Reply::calls(&calls) })
        },
    );
    api.await.unwrap()
}

async fn runtime(api: &ModelApi) -> Runtime {
    let mut options = OpenAiOptions::new(&format!("{}/v1", api.url()));
    (options.dialect, options.model) = (Dialect::Chat, Some("plain".to_owned()));
    options.api_key = Some(ApiKey::new("KEY", KEY.into()));
    let shop = Capability::Mcp("shop".to_owned());
    let mut profile = Profile::of("openai");
    profile.approval.mode = ApprovalMode::Ask;
    profile.capabilities = [Capability::Read, shop.clone()].into();
    Runtime::builder(MemoryStore::new())
        .backend("openai", OpenAiApi::new(options).unwrap())
        .toolbox(ToolSet::workspace())
        .tool(tool("clock", Capability::Read, true))
        .tool(tool("shop__order", shop, false))
        .profile("clerk", profile)
        .scratch(tempfile::tempdir().unwrap().keep())
        .start()
        .await
        .unwrap()
}

fn task() -> CreateWorker {
    CreateWorker::new(Intent::Task { objective: "a sled, please".to_owned() })
}

async fn results(runtime: &Runtime, worker: &WorkerId) -> Vec<(String, bool)> {
    let page = runtime.read_worker_events(worker, From::Cursor(None), None, 256).await.unwrap();
    let payloads = page.frames.iter().map(|frame| {
        let Frame::Event { envelope } = serde_json::from_slice(&frame.text()).unwrap() else {
            panic!("an event, not {frame:?}")
        };
        let Envelope { payload, .. } = *envelope;
        payload
    });
    let result = |payload| {
        let Payload::ToolResult { content, is_error, .. } = payload else { return None };
        Some((content, is_error))
    };
    payloads.filter_map(result).collect()
}

/// The names of the tools that the model was told of at last.
fn offered(api: &ModelApi) -> Vec<String> {
    let last = api.requests().pop().unwrap();
    let tools = last.body["tools"].as_array().unwrap().iter();
    let mut names: Vec<_> = tools.map(|tool| tool["function"]["name"].as_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_tool_of_the_program_needs_leave_unless_it_only_looks() {
    let api = model().await;
    let runtime = runtime(&api).await;
    let me = || Actor::rule("test");
    let worker = runtime.create_worker(task(), me()).await.unwrap().worker_id;
    let asked = tokio::time::timeout(SOON, async {
        loop {
            if let Some(asked) = runtime.approvals(&worker).await.unwrap().pop() {
                return asked;
            }
            tokio::task::yield_now().await;
        }
    });
    let asked = asked.await.expect("somebody is asked");
    assert_eq!((asked.tool.as_str(), &asked.input), ("shop__order", &json!({"article": "sled"})));
    let clock = ("clock of this program: {}".to_owned(), false);
    let order = (r#"shop__order of this program: {"article":"sled"}"#.to_owned(), false);
    assert!(!results(&runtime, &worker).await.contains(&order), "nobody allowed it yet");

    let allow = serde_json::from_value(json!({"decision": "allow"})).unwrap();
    runtime.decide(&worker, &asked.approval_id, allow, me()).await.unwrap();
    let worker = runtime.wait_worker(&worker, Until::Idle, SOON).await.unwrap();
    assert_eq!(worker.outcome.unwrap().text, "done");
    assert_eq!(results(&runtime, &worker.worker_id).await, [clock, order]);
    let expected = ["clock", "list_directory", "read_file", "search", "shop__order"];
    assert_eq!(offered(&api), expected);
    assert_eq!(api.violations(), []);
}

#[tokio::test]
async fn a_worker_without_its_capability_cannot_call_a_tool_of_the_program() {
    let api = model().await;
    let runtime = runtime(&api).await;
    let read = CapabilityRequest { name: "read".to_owned(), reason: None };
    let request = CreateWorker { requested_capabilities: Some(vec![read]), ..task() };
    let worker = runtime.create_worker(request, Actor::rule("test")).await.unwrap().worker_id;
    runtime.wait_worker(&worker, Until::Idle, SOON).await.unwrap();
    assert_eq!(offered(&api), ["clock", "list_directory", "read_file", "search"]);
    let refused = "there is no tool `shop__order`; there are: clock, list_directory, read_file, search";
    assert_eq!(results(&runtime, &worker).await[1], (refused.to_owned(), true));
}
