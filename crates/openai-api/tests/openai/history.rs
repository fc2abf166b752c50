//! Sessions that go on where an earlier one stopped.

use std::sync::Arc;

use jiff::Timestamp;
use musher_backend::{HistoryEntry, Launch, TurnEnd};
use musher_openai_api::Dialect;
use musher_protocol::{EventId, Role, TranscriptEntry, WorkerRef};
use musher_scripted::model_api::{
    ModelApi,
    responses::{call, reasoning},
};
use serde_json::{Value, json};

use crate::stage::{
    Scene, api, line,
    script::{calls, text},
};

const RESPONSES: Dialect = Dialect::Responses;

fn entry(role: Role, content: &str) -> HistoryEntry {
    let worker_ref =
        WorkerRef { runtime_id: "rt_1".parse().expect("an id"), worker_id: "wrk_1".parse().expect("an id") };
    let entry = TranscriptEntry {
        sequence: 1,
        worker_ref,
        role,
        content: content.to_owned(),
        blob: None,
        event_id: EventId::mint(),
        at: Timestamp::UNIX_EPOCH,
        turn_id: None,
        partial: false,
        tool_call_id: None,
        name: None,
        input: None,
        input_blob: None,
        result: None,
        result_blob: None,
        is_error: None,
    };
    HistoryEntry { entry, private: None }
}

fn tool(result: Option<&str>, private: Value) -> HistoryEntry {
    let mut history = entry(Role::Tool, "");
    history.entry.tool_call_id = Some("a".parse().expect("an id"));
    history.entry.name = Some("look".to_owned());
    history.entry.input = Some(json!({}));
    history.entry.result = result.map(str::to_owned);
    history.entry.is_error = result.map(|_| false);
    history.private = Some(private);
    history
}

/// A session that goes on from this history with `go on`; returns its turn as a line and what was sent.
async fn go_on(model: &'static str, history: Vec<HistoryEntry>) -> (String, Value) {
    let api = Arc::new(api(RESPONSES, |_, _| text(RESPONSES, "fine")).await);
    let mut scene = Scene::responses();
    let url = api.url().to_owned();
    scene.launch = Box::new(move |launch: &mut Launch| {
        launch.model = Some(model.to_owned());
        launch.history = history.clone();
        // A fake has another port in every test.
        for entry in &mut launch.history {
            if let Some(scope) = entry.private.as_mut().and_then(|private| private.get_mut("scope")) {
                scope["base_url"] = json!(format!("{url}/v1"));
            }
        }
    });
    let mut session = scene.start(&api).await;
    let turn = session.turn("go on").await;
    (line(&turn.events), sent(&api))
}

fn sent(api: &ModelApi) -> Value {
    assert_eq!(api.violations(), []);
    api.requests()[0].body["input"].clone()
}

/// What a session had reported beside the call.
async fn private_of_a_call() -> Value {
    let api = Arc::new(
        api(RESPONSES, |_, number| match number {
            0 => calls(RESPONSES, &[("a", "look", "{}")]),
            _ => text(RESPONSES, "fine"),
        })
        .await,
    );
    let mut session = Scene::responses().start(&api).await;
    assert_eq!(session.turn("go").await.end, TurnEnd::completed());
    let (_, private) = session.privates().first().cloned().expect("a call with its items");
    private
}

#[tokio::test]
async fn a_later_session_sends_what_an_earlier_one_reported() {
    let private = private_of_a_call().await;
    let history = vec![entry(Role::User, "go"), tool(Some("ran"), private)];
    let (line, sent) = go_on("gpt-5", history).await;
    assert_eq!(line, "taken 0+fine 0=fine EndTurn");
    assert_eq!(
        sent,
        json!([
            {"type": "message", "role": "user", "content": "go"},
            reasoning(""),
            call("a", "look", "{}"),
            {"type": "function_call_output", "call_id": "a", "output": "ran"},
            {"type": "message", "role": "user", "content": "go on"},
        ])
    );
}

#[tokio::test]
async fn another_model_gets_the_words_alone_and_the_log_says_so() {
    let private = private_of_a_call().await;
    let history = vec![entry(Role::User, "go"), tool(Some("ran"), private)];
    let (line, sent) = go_on("gpt-5-mini", history).await;
    assert_eq!(line, "says(history.opaque_dropped) taken 0+fine 0=fine EndTurn");
    assert_eq!(sent[1], json!({"type": "function_call", "call_id": "a", "name": "look", "arguments": "{}"}));
}

#[tokio::test]
async fn a_call_that_nobody_saw_end_is_closed_as_unknown() {
    let private = private_of_a_call().await;
    let history = vec![entry(Role::User, "go"), tool(None, private)];
    let (line, sent) = go_on("gpt-5", history).await;
    assert_eq!(line, "says(history.calls_closed) taken 0+fine 0=fine EndTurn");
    let unknown = "interrupted; side effects unknown: verify before doing it again";
    assert_eq!(sent[3], json!({"type": "function_call_output", "call_id": "a", "output": unknown}));
}

#[tokio::test]
async fn an_input_that_was_told_before_a_crash_is_told_once() {
    let (line, sent) = go_on("gpt-5", vec![entry(Role::User, "go on")]).await;
    assert_eq!(line, "taken 0+fine 0=fine EndTurn");
    assert_eq!(sent, json!([{"type": "message", "role": "user", "content": "go on"}]));
}
