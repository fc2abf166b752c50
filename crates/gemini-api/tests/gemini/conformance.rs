//! The backend passes the suite that every backend must pass, and asks only what the vendor's schema allows.

use std::sync::Arc;

use musher_testkit::{
    backend_suite::{Prompts, Subject},
    model_api::{Answer, Received},
};
use serde_json::json;

use crate::stage::{api, calls, chunks, parts, situation, subject, text};

fn answer(received: &Received) -> Answer {
    let (words, n_results) = situation(received);
    match (words.as_str(), n_results) {
        ("call", 0) => calls(&[("look", json!({}))]),
        ("ask", 0) => calls(&[("act", json!({"path": "x"}))]),
        ("ask twice", 0) => calls(&[("act", json!({})), ("act", json!({"path": "y"}))]),
        ("run long", _) => chunks(&[parts(&json!([{"text": "one "}]))]).hang(),
        ("hang", _) => Answer::never(),
        _ => text("some words, in pieces").in_pieces(7),
    }
}

async fn scene() -> Subject {
    let api = Arc::new(api(|received, _| answer(received)).await);
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
