//! What the runtime says to a turn, and what the turn tells it.

use std::sync::Arc;

use musher_backend::{Event, ToolOutput, Verdict};
use musher_protocol::Usage;
use musher_scripted::model_api::{
    Answer,
    responses::{completed, message, turn},
};
use serde_json::{Value, json};

use crate::stage::{
    Scene, api,
    play::{RESPONSES, check, in_order, play},
    script::{begun, calls, text},
    tools,
};

#[tokio::test]
async fn an_interrupt_closes_the_connection_and_keeps_what_was_said() {
    let answers = vec![begun(RESPONSES, "half").hang()];
    let api = Arc::new(api(RESPONSES, in_order(answers)).await);
    let mut session = Scene::responses().start(&api).await;
    let input_id = session.input("go").await;
    session.content().await;
    session.interrupt().await;
    let turn = session.turn_end(input_id).await;
    check(&turn, "taken 0+half Interrupted");
    assert!(turn.events.contains(&Event::Usage(Usage::default())), "unknown, not nothing");
    api.abandoned(1).await;
    session.completed_turn("and now").await;
    let input = &api.requests()[1].body["input"];
    assert_eq!(input[1], json!({"type": "message", "role": "assistant", "content": "half"}));
}

#[tokio::test]
async fn an_interrupt_stops_running_tools_and_closes_the_calls_behind_them() {
    let made = calls(RESPONSES, &[("a", "hang", "{}"), ("b", "act", "{}")]);
    let api = Arc::new(api(RESPONSES, in_order(vec![made])).await);
    let mut session = Scene::responses().start(&api).await;
    let input_id = session.input("go").await;
    let (open, _) = session.approval().await;
    session.interrupt().await;
    let turn = session.turn_end(input_id).await;
    let expected = "taken start(hang) hang({}) start(act) act({}) error(stopped half way) \
                    error(not run: the turn was interrupted) Interrupted";
    check(&turn, expected);
    assert_eq!(session.withdrawn(), [open]);
    session.completed_turn("and now").await;
    let input = api.requests()[1].body["input"].as_array().cloned().unwrap();
    let outputs: Vec<_> = input.iter().filter_map(|item| item["output"].as_str()).collect();
    assert_eq!(outputs, ["stopped half way", "not run: the turn was interrupted"]);
}

#[tokio::test]
async fn a_decision_may_change_the_call_or_end_the_turn() {
    let changed = Verdict::Allow { updated_input: Some(json!({"path": "b"})), answers: None };
    let denied = |interrupt| Verdict::Deny { message: "no".to_owned(), interrupt };
    for (verdict, expected) in [
        (changed, r#"ok(called with {"path":"b"} instead: ran with {"path":"b"}) 0+fine 0=fine EndTurn"#),
        (denied(false), "error(not run, for it was denied: no) 0+fine 0=fine EndTurn"),
        (denied(true), "error(not run, for it was denied: no) Interrupted"),
    ] {
        let made = calls(RESPONSES, &[("a", "act", r#"{"path":"a"}"#)]);
        let api = Arc::new(api(RESPONSES, in_order(vec![made])).await);
        let mut session = Scene::responses().start(&api).await;
        let input_id = session.input("go").await;
        let (approval_id, request) = session.approval().await;
        assert_eq!(request.input, json!({"path": "a"}));
        session.decide(approval_id, verdict).await;
        let turn = session.turn_end(input_id).await;
        check(&turn, &format!(r#"taken start(act) act({{"path":"a"}}) {expected}"#));
    }
}

#[tokio::test]
async fn all_of_an_output_is_reported_and_the_model_is_told_what_was_cut_for_it() {
    let said = ToolOutput {
        content: "first\n[9 bytes left out]\nlast".to_owned(),
        whole: Some("first and more last".to_owned()),
        is_error: true,
        diff: Some("--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n".to_owned()),
    };
    let mut scene = Scene::responses();
    let output = said.clone();
    scene.launch = Box::new(move |launch| launch.tools = vec![tools::saying("make", output.clone())]);
    let (turn, api) = play(scene, in_order(vec![calls(RESPONSES, &[("a", "make", "{}")])])).await;
    let reported = Event::ToolResult { tool_call_id: "a".parse().unwrap(), output: said.clone() };
    assert!(turn.events.contains(&reported), "{:#?}", turn.events);
    let told = api.requests()[1].body["input"].as_array().unwrap().last().cloned();
    let expected = json!({"type": "function_call_output", "call_id": "a", "output": said.content});
    assert_eq!(told, Some(expected));
}

#[tokio::test]
async fn usage_is_what_the_vendor_says_with_an_estimated_cost() {
    let (turn, _) = play(Scene::responses(), in_order(vec![])).await;
    let usage = turn
        .events
        .iter()
        .find_map(|event| if let Event::Usage(usage) = event { Some(usage.clone()) } else { None });
    let expected = json!({
        "input_tokens": 10,
        "output_tokens": 5,
        "cache_creation_input_tokens": null,
        "cache_read_input_tokens": 4,
        "reasoning_tokens": 2,
        "total_cost_usd": 0.000058,
        "cost_source": "estimated",
        "price_table_version": musher_turn_loop::PRICES_VERSION,
    });
    assert_eq!(serde_json::to_value(usage.expect("an increment")).unwrap(), expected);
}

#[tokio::test]
async fn steers_join_before_the_next_call_of_the_model() {
    let api = Arc::new(
        api(RESPONSES, |received, number| match number {
            0 => calls(RESPONSES, &[("a", "act", "{}")]),
            _ => text(RESPONSES, &format!("heard {}", turn(received).prompt)),
        })
        .await,
    );
    let mut session = Scene::responses().start(&api).await;
    let input_id = session.input("go").await;
    let (approval_id, _) = session.approval().await;
    let steer_id = session.steer("more").await;
    session.decide(approval_id, Verdict::allow()).await;
    let turn = session.turn_end(input_id).await;
    check(&turn, "taken start(act) act({}) ok(ran with {}) taken 0+heard  0+more 0=heard more EndTurn");
    let taken =
        turn.events.iter().filter(|event| **event == Event::InputTaken { input_id: steer_id.clone() });
    assert_eq!(taken.count(), 1);
}

#[tokio::test]
async fn steers_that_the_model_gave_no_sign_of_are_told_once_when_they_come_again() {
    let api = Arc::new(
        api(RESPONSES, |received, number| match number {
            0 => calls(RESPONSES, &[("a", "act", "{}")]),
            1 => Answer::never(),
            _ => text(RESPONSES, &format!("heard {}", turn(received).prompt)),
        })
        .await,
    );
    let mut session = Scene::responses().start(&api).await;
    let input_id = session.input("go").await;
    let (approval_id, _) = session.approval().await;
    let steers = [session.steer("more").await, session.steer("much more").await];
    session.decide(approval_id, Verdict::allow()).await;
    api.requested(2).await;
    session.interrupt().await;
    let turn = session.turn_end(input_id).await;
    check(&turn, "taken start(act) act({}) ok(ran with {}) Interrupted");
    for (steer, words) in steers.into_iter().zip(["more", "much more"]) {
        session.again(&steer, words).await;
        session.turn_end(steer).await;
    }
    let told = |at: usize| -> Vec<Value> {
        let body = &api.requests()[at].body;
        body["input"].as_array().unwrap().iter().map(|item| item["content"].clone()).collect()
    };
    assert_eq!(told(1)[4..], [json!("more"), json!("much more")]);
    assert_eq!(told(2)[4..], [json!("more")]);
    assert_eq!(told(3)[4..], [json!("more"), message("heard more")["content"].clone(), json!("much more")]);
}

#[tokio::test]
async fn a_refusal_takes_back_all_that_nothing_was_said_to() {
    let nothing = Answer::stream().event(&completed(&Usage::zero()));
    let later =
        json!({"error": {"type": "usage_limit_reached", "message": "later", "resets_in_seconds": 7200}});
    let answers = vec![nothing, Answer::stream().event(&later)];
    let api = Arc::new(api(RESPONSES, in_order(answers)).await);
    let mut session = Scene::responses().start(&api).await;
    let input_id = session.input("go").await;
    session.steer("more").await;
    session.until("the limit", |event| matches!(event, Event::RateLimited { .. })).await;
    session.again(&input_id, "go").await;
    let turn = session.turn_end(input_id).await;
    let expected =
        "taken again(2/3 without []) taken limited(usage_limit_reached) taken taken 0+fine 0=fine EndTurn";
    check(&turn, expected);
    let bodies: Vec<_> = api.requests().into_iter().map(|request| request.body["input"].clone()).collect();
    assert_eq!((bodies[1].as_array().unwrap().len(), &bodies[1]), (2, &bodies[2]));
}
