//! Both dialects pass the suite that every backend must pass, and ask only what the vendor's schema allows.

use std::sync::Arc;

use musher_openai_api::Dialect;
use musher_testkit::{
    backend_suite::{Prompts, Subject},
    model_api::{Answer, Received},
};

use crate::stage::{
    Scene, api,
    script::{begun, calls, situation, text},
};

fn answer(dialect: Dialect, received: &Received) -> Answer {
    let (words, n_results) = situation(received);
    match (words.as_str(), n_results) {
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
