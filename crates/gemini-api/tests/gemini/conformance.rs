//! The backend passes the suite that every backend must pass, and asks only what the vendor's schema allows.

use std::sync::Arc;

use musher_scripted::model_api::{
    Answer, Received, Reply, Turn,
    generate::{answer, begun, turn},
};
use musher_testkit::backend_suite::{Prompts, Subject};
use serde_json::json;

use crate::stage::{api, subject, validator};

#[test]
fn the_schema_refuses_what_the_vendor_refuses() {
    let good = json!({
        "contents": [
            {"role": "user", "parts": [{"text": "go"}]},
            {"role": "model", "parts": [{"functionCall": {"name": "look", "args": {}}, "thoughtSignature": "s"}]},
            {"role": "user", "parts": [{"functionResponse": {"name": "look", "response": {"output": "ran"}}}]},
        ],
        "tools": [{"functionDeclarations": [{"name": "look", "description": "", "parametersJsonSchema": {}}]}],
        "toolConfig": {"functionCallingConfig": {"mode": "NONE"}},
        "generationConfig": {"maxOutputTokens": 10, "thinkingConfig": {"includeThoughts": true, "thinkingLevel": "LOW"}},
    });
    let validator = validator();
    assert!(validator.is_valid(&good), "{:?}", validator.iter_errors(&good).next());
    for (place, value) in [
        ("/model", json!("gemini-3-pro")),
        ("/contents", json!({})),
        ("/contents/0/parts/0/text", json!(7)),
        ("/contents/0/parts/0", json!({"words": "go"})),
        ("/contents/1/parts/0/functionCall", json!({"name": "look", "arguments": {}})),
        ("/contents/2/parts/0/functionResponse/response", json!("ran")),
        ("/tools/0", json!({"functions": []})),
        ("/toolConfig/functionCallingConfig/mode", json!("SOMETIMES")),
        ("/generationConfig/thinkingConfig/thinkingLevel", json!("low")),
    ] {
        let mut body = good.clone();
        match body.pointer_mut(place) {
            Some(known) => *known = value.clone(),
            None => body[place.trim_start_matches('/')] = value.clone(),
        }
        assert!(!validator.is_valid(&body), "it takes {value} at {place}");
    }
}

fn script(received: &Received) -> Answer {
    let Turn { prompt, results } = turn(received);
    match (prompt.as_str(), results.len()) {
        ("call", 0) => answer(&Reply::calls(&[("", "look", "{}")])),
        ("ask", 0) => answer(&Reply::calls(&[("", "act", r#"{"path":"x"}"#)])),
        ("ask twice", 0) => answer(&Reply::calls(&[("", "act", "{}"), ("", "act", r#"{"path":"y"}"#)])),
        ("run long", _) => begun(&Reply::text("one ")).hang(),
        ("hang", _) => Answer::never(),
        _ => answer(&Reply::text("some words, in pieces")).in_pieces(7),
    }
}

async fn scene() -> Subject {
    let api = Arc::new(api(|received, _| script(received)).await);
    let prompts = Prompts {
        say: "say".to_owned(),
        call_tool: "call".to_owned(),
        ask: "ask".to_owned(),
        ask_twice: Some("ask twice".to_owned()),
        run_long: "run long".to_owned(),
        hang: "hang".to_owned(),
    };
    subject(api, prompts)
}

musher_testkit::backend_suite!(scene().await);
