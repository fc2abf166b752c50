//! Both dialects pass the suite that every backend must pass, and ask only what the vendor's schema allows.

use std::sync::Arc;

use musher_openai_api::Dialect;
use musher_scripted::model_api::{
    Answer, Received, Turn,
    responses::{call, reasoning},
};
use musher_testkit::backend_suite::{Prompts, Subject};
use serde_json::json;

use crate::stage::{
    Scene, api,
    script::{begun, calls, text, turn},
    validator,
};

#[test]
fn the_schemas_refuse_what_the_vendor_refuses() {
    let responses = json!({
        "model": "m",
        "input": [
            {"type": "message", "role": "user", "content": "go"},
            reasoning(""),
            call("a", "look", "{}"),
            {"type": "function_call_output", "call_id": "a", "output": "ran"},
        ],
        "tools": [{"type": "function", "name": "look", "description": "", "parameters": {}, "strict": false}],
        "include": ["reasoning.encrypted_content"],
    });
    let chat = json!({
        "model": "m",
        "messages": [
            {"role": "user", "content": "go"},
            {"role": "assistant", "content": null, "tool_calls": [
                {"id": "a", "type": "function", "function": {"name": "look", "arguments": "{}"}},
            ]},
            {"role": "tool", "tool_call_id": "a", "content": "ran"},
        ],
        "tools": [{"type": "function", "function": {"name": "look", "parameters": {}}}],
    });
    for (dialect, good, wrong) in [
        (
            Dialect::Responses,
            responses,
            &[
                ("/stop", json!("END")),
                ("/include", json!(["everything"])),
                ("/input/0/role", json!("wizard")),
                ("/input/0/content", json!(7)),
                ("/input/1/summary", json!("none")),
                ("/input/2/arguments", json!({})),
                ("/input/3/output", json!(null)),
                ("/tools/0/strict", json!("no")),
                ("/tools/0/type", json!("tool")),
            ][..],
        ),
        (
            Dialect::Chat,
            chat,
            &[
                ("/store", json!(false)),
                ("/messages/0/role", json!("wizard")),
                ("/messages/1/tool_calls/0/id", json!(null)),
                ("/messages/1/tool_calls/0/function/arguments", json!({})),
                ("/messages/2/tool_call_id", json!(null)),
                ("/tools/0/function/name", json!(null)),
            ],
        ),
    ] {
        let validator = validator(dialect);
        assert!(validator.is_valid(&good), "{dialect:?}: {:?}", validator.iter_errors(&good).next());
        for (place, value) in wrong {
            let mut body = good.clone();
            match body.pointer_mut(place) {
                Some(known) => *known = value.clone(),
                None => body[place.trim_start_matches('/')] = value.clone(),
            }
            assert!(!validator.is_valid(&body), "{dialect:?} takes {value} at {place}");
        }
    }
}

fn answer(dialect: Dialect, received: &Received) -> Answer {
    let Turn { prompt, results } = turn(dialect, received);
    match (prompt.as_str(), results.len()) {
        ("call", 0) => calls(dialect, &[("a", "look", "{}")]),
        ("ask", 0) => calls(dialect, &[("a", "act", r#"{"path":"x"}"#)]),
        ("ask twice", 0) => calls(dialect, &[("a", "act", "{}"), ("b", "act", r#"{"path":"y"}"#)]),
        ("run long", _) => begun(dialect, "one ").hang(),
        ("hang", _) => Answer::never(),
        _ => text(dialect, "some words, in pieces").in_pieces(7),
    }
}

async fn subject(dialect: Dialect) -> Subject {
    let api = api(dialect, move |received, _| answer(dialect, received)).await;
    let prompts = Prompts {
        say: "say".to_owned(),
        call_tool: "call".to_owned(),
        ask: "ask".to_owned(),
        ask_twice: Some("ask twice".to_owned()),
        run_long: "run long".to_owned(),
        hang: "hang".to_owned(),
    };
    Scene::of(dialect).subject(Arc::new(api), prompts)
}

mod responses {
    use super::*;

    musher_testkit::backend_suite!(subject(Dialect::Responses).await);
}

mod chat {
    use super::*;

    musher_testkit::backend_suite!(subject(Dialect::Chat).await);
}
