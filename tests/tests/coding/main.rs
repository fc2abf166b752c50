//! A coding task from its beginning to its end, in a real repository, by each backend on a scripted model.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod coder;
mod repository;

use musher_e2e::{ALLOW, Claude, Client, Fleet, Home, claude_config, on_both_versions};
use musher_protocol::{Envelope, Payload};
use musher_scripted::model_api::{
    Answer, ModelApi, Received, Reply, Turn, Violation, chat, generate, responses,
};
use musher_testkit::messages_api::MessagesApi;
use serde_json::{Value, json};

use self::{
    coder::{DONE, RIGHT, Step, TASK, Tools, USAGE, WRONG},
    repository::{Repository, SUM, SUM_PATCH, USAGE_PATCH, patch},
};

const KEY: &str = "sk-test-0123456789abcdef";

/// A protocol of a vendor, and the backend that speaks it.
#[derive(Clone, Copy)]
struct Protocol {
    violations: fn(&Received, &str) -> Vec<Violation>,
    turn: fn(&Received) -> Turn,
    answer: fn(&Reply) -> Answer,
    /// Lines of the backend's table.
    backend: &'static str,
    /// What its base URL has behind the server.
    base: &'static str,
}

/// A call as the log has it.
#[derive(Debug, PartialEq)]
struct Logged {
    name: String,
    input: Value,
    content: String,
    is_error: bool,
    diff: Option<String>,
}

/// What each step's tool says, and whether the step failed.
type Told<'a> = [(&'a str, bool); 8];

const FAILS_TWICE: &str = "not ok: the sum of 1 2 3 is 3, not 6\nnot ok: docs/usage.md does not name sum";
const FAILS_ONCE: &str = "not ok: docs/usage.md does not name sum";
const PASSES: &str = "ok: all checks passed";
const COMMITTED: &str = "sum: add up all numbers\nstart";

/// The calls of a log in their order, each with its result.
fn calls(log: &[Envelope]) -> Vec<Logged> {
    let result_of = |id| {
        let results = log.iter().filter_map(|event| {
            let Payload::ToolResult { tool_call_id, content, is_error, diff, .. } = &event.payload else {
                return None;
            };
            (tool_call_id == id).then(|| (content.clone(), *is_error, diff.clone()))
        });
        let results: Vec<_> = results.collect();
        let [result] = &results[..] else { panic!("one result of {id:?}, not {results:?}") };
        result.clone()
    };
    let calls = log.iter().filter_map(|event| {
        let Payload::ToolCallDone { tool_call_id, name, input, .. } = &event.payload else { return None };
        let (content, is_error, diff) = result_of(tool_call_id);
        Some(Logged { name: name.clone(), input: input.clone(), content, is_error, diff })
    });
    calls.collect()
}

/// Lets a worker do the task, and answers with its calls.
async fn task(client: &Client, repository: &Repository) -> Vec<Logged> {
    let workspace = json!([{"name": "main", "reference": "shop"}]);
    let intent = json!({"kind": "task", "objective": TASK});
    let worker = client.create(&json!({"intent": intent, "workspace_refs": workspace})).await;
    let outcome = client.idle(&worker).await["outcome"].clone();
    assert_eq!(
        (&outcome["outcome"], &outcome["stop_reason"], &outcome["text"]),
        (&json!("completed"), &json!("end_turn"), &json!(DONE)),
        "{outcome}"
    );
    assert_eq!(repository.text("lib/sum.sh"), SUM.replace(WRONG, RIGHT));
    assert_eq!(repository.text("docs/usage.md"), USAGE);
    assert_eq!(repository.patch(), patch());
    assert_eq!(repository.uncommitted(), "");
    let commits = repository.git(&["log", "--format=%an: %s"]);
    assert_eq!(commits, "Coder: sum: add up all numbers\nAda: start");
    calls(&client.log(&worker).await)
}

/// What a log should have of the task: contents and diffs are the tools' own.
fn expected(tools: &Tools, told: &Told<'_>, diff: impl Fn(&Step) -> Option<&'static str>) -> Vec<Logged> {
    let steps = Step::of_the_task().into_iter().zip(told);
    let steps = steps.map(|(step, &(content, is_error))| {
        let (name, input) = tools.call(&step).expect("the task's steps are calls");
        let diff = diff(&step).map(str::to_owned);
        Logged { name: name.to_owned(), input, content: content.to_owned(), is_error, diff }
    });
    steps.collect()
}

async fn over_an_api(protocol: Protocol) {
    let Protocol { violations, turn, answer, backend, base } = protocol;
    let script = move |request: &Received, _number| answer(&Tools::Own.reply(&turn(request)));
    let api = ModelApi::start(move |request| violations(request, KEY), script).await.unwrap();
    let repository = Repository::new();
    let config = format!(
        "[backends.vendor]\n{backend}\nbase_url = \"{}{base}\"\napi_key_env = \"VENDOR_KEY\"\n\
         [profiles.coder]\nbackend = \"vendor\"\nmodel = \"scripted\"\napproval = {ALLOW}\n\
         [workspaces.shop]\npath = \"{}\"\n",
        api.url(),
        repository.path().display(),
    );
    let server = Home::new(&config).env("VENDOR_KEY", KEY).start().await;
    let logged = task(&server.client(), &repository).await;
    let failed = |words: &str| format!("{words}\n[exit code 1]");
    let told = [
        (&*failed(FAILS_TWICE), true),
        ("lib/sum.sh:2: sum() {", false),
        (SUM, false),
        ("replaced once in lib/sum.sh", false),
        (&failed(FAILS_ONCE), true),
        ("created docs/usage.md (31 bytes)", false),
        (&format!("{PASSES}\n"), false),
        (&format!("{COMMITTED}\n"), false),
    ];
    let diff = |step: &Step| match step {
        Step::Edit { .. } => Some(SUM_PATCH),
        Step::Write { .. } => Some(USAGE_PATCH),
        Step::Run(_) | Step::Search(_) | Step::Read(_) | Step::Say(_) => None,
    };
    assert_eq!(logged, expected(&Tools::Own, &told, diff));
    assert_eq!(api.violations(), []);
    assert_eq!(api.requests().len(), told.len() + 1);
}

#[tokio::test]
async fn over_the_responses_api() {
    over_an_api(Protocol {
        violations: responses::violations,
        turn: responses::turn,
        answer: responses::answer,
        backend: "kind = \"openai-api\"\ndialect = \"responses\"",
        base: "/v1",
    })
    .await;
}

#[tokio::test]
async fn over_chat_completions() {
    over_an_api(Protocol {
        violations: chat::violations,
        turn: chat::turn,
        answer: chat::answer,
        backend: "kind = \"openai-api\"\ndialect = \"chat\"",
        base: "/v1",
    })
    .await;
}

#[tokio::test]
async fn over_the_gemini_api() {
    over_an_api(Protocol {
        violations: generate::violations,
        turn: generate::turn,
        answer: generate::answer,
        backend: "kind = \"gemini-api\"",
        base: "",
    })
    .await;
}

async fn with_claude_code(claude: Claude) {
    let (repository, fleet, vendor) = (Repository::new(), Fleet::new(), tempfile::tempdir().unwrap());
    let tools = Tools::OfClaude(repository.path());
    let model = tools.clone();
    let api = MessagesApi::start_with(move |turn| model.reply(turn)).await;
    let program = claude.program();
    let config =
        claude_config(program.to_str().unwrap(), ALLOW, &api, &fleet, vendor.path(), &repository.path());
    let server = Home::new(&config).start().await;
    let mut logged = task(&server.client(), &repository).await;
    let failed = |words: &str| format!("Exit code 1\n{words}");
    let whole = |path: &str| repository.path().join(path).display().to_string();
    let told = [
        (&*failed(FAILS_TWICE), true),
        ("lib/sum.sh:2:sum() {", false),
        ("1\t# Adds up its arguments.\n2\tsum() {\n", false),
        (&format!("The file {} has been updated successfully.", whole("lib/sum.sh")), false),
        (&failed(FAILS_ONCE), true),
        (&format!("File created successfully at: {}", whole("docs/usage.md")), false),
        (PASSES, false),
        (COMMITTED, false),
    ];
    let expected = expected(&tools, &told, |_step| None);
    // Behind that its tools talk to the model.
    for (call, expected) in logged.iter_mut().zip(&expected) {
        if call.content.starts_with(&expected.content) {
            call.content.truncate(expected.content.len());
        }
    }
    assert_eq!(logged, expected);
    assert_eq!(api.violations(), []);
    assert_eq!(api.requests().len(), told.len() + 1);
}

on_both_versions!(with_claude_code);
