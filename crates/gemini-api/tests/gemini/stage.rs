//! What the tests of this crate stand on: a fake server that holds requests against the vendor's own schema, and tools.

pub(crate) mod tools;

use std::{sync::Arc, time::Duration};

use jsonschema::Validator;
use musher_backend::{Event, Launch, TurnEnd};
use musher_gemini_api::{GeminiApi, GeminiOptions};
use musher_protocol::WorkerId;
use musher_testkit::{
    backend_suite::{Footprint, Prompts, Session, Subject},
    model_api::{Answer, ModelApi, Received},
};
use musher_turn_loop::{ApiKey, Pace};
use serde_json::{Value, json};

/// The only key that the fake accepts.
pub(crate) const KEY: &str = "sk-test-0123456789abcdef";

/// Waits that a test does not sit out; silence is long, for a busy machine is silent, too.
pub(crate) fn pace() -> Pace {
    Pace { backoff: Duration::from_millis(1), silence: Duration::from_secs(20), ..Pace::default() }
}

/// A fake that holds every request against the vendor's schema.
pub(crate) async fn api(script: impl Fn(&Received, usize) -> Answer + Send + Sync + 'static) -> ModelApi {
    let validator = validator();
    ModelApi::start(move |received| violations(received, &validator), script).await
}

/// What the vendor takes.
pub(crate) fn validator() -> Validator {
    let schema: Value = serde_json::from_str(include_str!("../schema/generate-content.json")).expect("JSON");
    jsonschema::validator_for(&schema).expect("the schema is one")
}

fn violations(received: &Received, validator: &Validator) -> Vec<String> {
    let mut violations: Vec<_> = validator
        .iter_errors(&received.body)
        .map(|error| format!("{error} at {}", error.instance_path()))
        .collect();
    violations.extend(unpaired(&received.body));
    if received.path != "/v1beta/models/gemini-3-pro:streamGenerateContent?alt=sse" {
        violations.push(format!("no route {}", received.path));
    }
    if received.header("x-goog-api-key") != Some(KEY) {
        violations.push("no such key".to_owned());
    }
    violations
}

/// What no schema can say: behind a content with calls comes one with as many results.
fn unpaired(body: &Value) -> Option<String> {
    let contents = body["contents"].as_array().cloned().unwrap_or_default();
    let count = |content: Option<&Value>, field: &str| {
        let parts = content.and_then(|content| content["parts"].as_array());
        parts.into_iter().flatten().filter(|part| part[field].is_object()).count()
    };
    let is_even = |at: &usize| {
        let before = at.checked_sub(1).and_then(|before| contents.get(before));
        count(before, "functionCall") == count(contents.get(*at), "functionResponse")
    };
    let uneven = (0..=contents.len()).find(|at| !is_even(at));
    uneven.map(|at| format!("calls and results differ in number before content {at}"))
}

/// The subject of tests at a fake, which lives as long.
pub(crate) fn subject(api: Arc<ModelApi>, prompts: Prompts) -> Subject {
    let mut options = GeminiOptions::new(ApiKey::new("GEMINI_API_KEY", KEY.to_owned().into()));
    options.base_url = api.url().to_owned();
    options.model = Some("gemini-3-pro".to_owned());
    options.pace = pace();
    let launch = move || {
        let _lives = &api;
        let mut launch = Launch::new(WorkerId::mint(), "/".into());
        launch.tools = tools::all();
        launch
    };
    Subject {
        backend: Arc::new(GeminiApi::new(options).expect("the machine can encrypt")),
        launch: Box::new(launch),
        footprint: Footprint::InProcess,
        prompts,
    }
}

pub(crate) async fn start(api: &Arc<ModelApi>) -> Session {
    let none = String::new;
    let prompts = Prompts {
        say: none(),
        call_tool: none(),
        ask: none(),
        ask_twice: None,
        run_long: none(),
        hang: none(),
    };
    Session::start(&subject(api.clone(), prompts)).await
}

/// A stream of chunks, with the line ends that the vendor uses.
pub(crate) fn chunks(chunks: &[Value]) -> Answer {
    chunks.iter().fold(Answer::stream(), |answer, chunk| answer.bytes(format!("data: {chunk}\r\n\r\n")))
}

pub(crate) fn parts(parts: &Value) -> Value {
    json!({"candidates": [{"content": {"role": "model", "parts": parts}}]})
}

pub(crate) fn finish(reason: &str) -> Value {
    let usage = json!({"promptTokenCount": 10, "candidatesTokenCount": 5, "thoughtsTokenCount": 2});
    json!({"candidates": [{"finishReason": reason}], "usageMetadata": usage})
}

/// A whole answer of words.
pub(crate) fn text(words: &str) -> Answer {
    let words = words.split_inclusive(' ').map(|word| parts(&json!([{"text": word}])));
    chunks(&words.chain([finish("STOP")]).collect::<Vec<_>>())
}

/// A whole answer of calls: tool and arguments; the first is signed.
pub(crate) fn calls(calls: &[(&str, Value)]) -> Answer {
    let part = |(at, (name, args)): (usize, &(&str, Value))| {
        let mut part = json!({"functionCall": {"name": name, "args": args}});
        if at == 0 {
            part["thoughtSignature"] = json!("only its maker reads this");
        }
        part
    };
    let made: Vec<_> = calls.iter().enumerate().map(part).collect();
    chunks(&[parts(&Value::Array(made)), finish("STOP")])
}

/// What the last user said, and how many tool results came since.
pub(crate) fn situation(received: &Received) -> (String, usize) {
    let contents = received.body["contents"].as_array().expect("a conversation");
    let words = |content: &Value| content["parts"][0]["text"].as_str().map(str::to_owned);
    let is_user = |content: &&Value| content["role"] == "user";
    let last = contents.iter().rposition(|content| is_user(&content) && words(content).is_some());
    let last = last.expect("somebody said something");
    let results = contents[last + 1..].iter().filter(is_user).count();
    // What was said in a row is one content; the last of it counts.
    let said = contents[last]["parts"].as_array().and_then(|parts| parts.last()?["text"].as_str());
    (said.unwrap_or_default().to_owned(), results)
}

/// The events as one line, without the greeting and without signs of life.
pub(crate) fn line(events: &[Event]) -> String {
    let is_quiet = |event: &&Event| !matches!(event, Event::Environment(_) | Event::Alive | Event::Usage(_));
    events.iter().filter(is_quiet).map(word).collect::<Vec<_>>().join(" ")
}

fn word(event: &Event) -> String {
    match event {
        Event::InputTaken { .. } => "taken".to_owned(),
        Event::TextDelta { block, text } => format!("{block}+{text}"),
        Event::TextDone { block, text } => format!("{block}={text}"),
        Event::ThinkingDelta { block, text } => format!("{block}~{text}"),
        Event::ThinkingDone { block, text } => format!("{block}#{text}"),
        Event::ToolCallStarted { name, .. } => format!("start({name})"),
        Event::ToolCallDelta { arguments, .. } => format!("more({arguments})"),
        Event::ToolCallDone { name, input, .. } => format!("{name}({input})"),
        Event::ToolResult { output, .. } => {
            let word = if output.is_error { "error" } else { "ok" };
            format!("{word}({})", output.content)
        }
        Event::RateLimited { scope, .. } => format!("limited({scope})"),
        Event::Retrying { attempt, max_attempts, discarded_blocks, .. } => {
            format!("again({attempt}/{max_attempts} without {discarded_blocks:?})")
        }
        Event::Diagnostic { code, .. } => format!("says({code})"),
        Event::TurnEnded(TurnEnd::Completed { stop_reason, vendor_stop_reason: None }) => {
            format!("{stop_reason:?}")
        }
        Event::TurnEnded(TurnEnd::Completed { stop_reason, vendor_stop_reason: Some(vendor) }) => {
            format!("{stop_reason:?}:{vendor}")
        }
        Event::TurnEnded(TurnEnd::Interrupted) => "Interrupted".to_owned(),
        Event::TurnEnded(TurnEnd::Failed(error)) => format!("Failed({})", error.code),
        Event::TurnEnded(TurnEnd::Refused { message, .. }) => format!("Refused({message})"),
        event @ (Event::TurnStarted
        | Event::Usage(_)
        | Event::Environment(_)
        | Event::Background { .. }
        | Event::WokenEnded(_)
        | Event::Alive) => panic!("not in a line: {event:?}"),
    }
}
