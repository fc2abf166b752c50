//! Conversations that become too long for their model.

use std::sync::Arc;

use musher_scripted::model_api::{
    Reply,
    chat::refusal,
    responses::{answer, turn},
};
use serde_json::Value;

use crate::stage::{
    Scene, api, line,
    play::{RESPONSES, check},
    script::{begun, calls, text},
};

#[tokio::test]
async fn a_conversation_that_is_too_long_is_shortened_by_the_model_itself() {
    let long = "x".repeat(8000);
    let overflow = || refusal(400, "context_length_exceeded", "long");
    let api = Arc::new(
        api(RESPONSES, move |received, number| match (number, turn(received).prompt.as_str()) {
            (0 | 1, _) => text(RESPONSES, &long),
            (2, _) => overflow(),
            (3, asked) if asked.starts_with("This conversation has become too long") => {
                text(RESPONSES, "all is well")
            }
            (4, "third") => text(RESPONSES, "fine"),
            (number, asked) => panic!("request {number} asks {asked}"),
        })
        .await,
    );
    let mut session = Scene::responses().start(&api).await;
    session.completed_turn("first").await;
    session.completed_turn("second").await;
    let turn = session.turn("third").await;
    check(&turn, "says(history.shortened) taken 0+fine 0=fine EndTurn");
    let last = api.requests()[4].body["input"].clone();
    let words: Vec<_> = last.as_array().unwrap().iter().map(|item| item["content"].clone()).collect();
    assert!(words[0].as_str().unwrap().contains("all is well"), "{words:?}");
    assert_eq!(words.last(), Some(&Value::from("third")));
    let kept = String::from_utf8_lossy(&session.kept()["history"]);
    // One of two long answers, in words and as the vendor wrote it.
    assert!(kept.contains("all is well") && kept.len() < 20_000, "{kept}");
}

#[tokio::test]
async fn the_vendors_own_count_says_when_a_conversation_is_too_long() {
    let mut scene = Scene::responses();
    scene.window = Some(1000);
    // By their bytes these are a quarter of the window.
    let long = "x".repeat(1000);
    let api = Arc::new(
        api(RESPONSES, |received, _| {
            let is_summary = turn(received).prompt.starts_with("This conversation has");
            let said = if is_summary { "all is well" } else { "fine" };
            let mut reply = Reply::text(said);
            reply.usage.input_tokens = Some(if is_summary { 10 } else { 950 });
            answer(&reply)
        })
        .await,
    );
    let mut session = scene.start(&api).await;
    session.completed_turn(&long).await;
    // What the user said last is a part of the summary, so that is no shorter yet.
    session.completed_turn("second").await;
    let turn = session.turn("more").await;
    check(&turn, "says(history.shortened) taken 0+fine 0=fine EndTurn");
    assert_eq!(api.requests().len(), 5);
}

#[tokio::test]
async fn a_summary_is_asked_for_again_without_what_the_vendor_refuses() {
    let long = "x".repeat(8000);
    let refused = |code: &str| refusal(400, code, "no");
    let api = Arc::new(
        api(RESPONSES, move |received, number| match (number, turn(received).prompt.as_str()) {
            (0, _) => calls(RESPONSES, &[("a", "look", "{}")]),
            (1 | 2, _) => text(RESPONSES, &long),
            (3, "third") => refused("context_length_exceeded"),
            (4, asked) if asked.starts_with("This conversation has") => refused("invalid_encrypted_content"),
            (5, asked) if asked.starts_with("This conversation has") => begun(RESPONSES, "al").cut(),
            (6, asked) if asked.starts_with("This conversation has") => text(RESPONSES, "all is well"),
            (7, "third") => text(RESPONSES, "fine"),
            (number, asked) => panic!("request {number} asks {asked}"),
        })
        .await,
    );
    let mut session = Scene::responses().start(&api).await;
    session.completed_turn("first").await;
    session.completed_turn("second").await;
    let turn = session.turn("third").await;
    let expected = "says(history.opaque_dropped) again(2/2 without []) again(2/6 without []) \
                    says(history.shortened) taken 0+fine 0=fine EndTurn";
    check(&turn, expected);
}

#[tokio::test]
async fn a_conversation_that_is_too_long_to_be_summed_up_is_summed_up_by_its_later_half() {
    let long = "x".repeat(8000);
    let overflow = || refusal(400, "context_length_exceeded", "long");
    let is_summary = |asked: &str| asked.starts_with("This conversation has become too long");
    let api = Arc::new(
        api(RESPONSES, move |received, number| match (number, turn(received).prompt.as_str()) {
            (0 | 1, _) => text(RESPONSES, &long),
            (2, "third") => overflow(),
            (3, asked) if is_summary(asked) => overflow(),
            (4, asked) if is_summary(asked) => text(RESPONSES, "all is well"),
            (5, "third") => text(RESPONSES, "fine"),
            (number, asked) => panic!("request {number} asks {asked}"),
        })
        .await,
    );
    let mut session = Scene::responses().start(&api).await;
    session.completed_turn("first").await;
    session.completed_turn("second").await;
    let turn = session.turn("third").await;
    check(&turn, "says(history.shortened) taken 0+fine 0=fine EndTurn");
    let said = |at: usize| api.requests()[at].body["input"].as_array().cloned().unwrap();
    assert_eq!((said(3).len(), said(4).len()), (4, 2));
    assert_eq!(said(4)[0]["content"], "second");
    let shorter = said(5)[0]["content"].as_str().unwrap().to_owned();
    assert!(shorter.contains("all is well") && shorter.ends_with("second"), "{shorter}");
}

#[tokio::test]
async fn a_conversation_is_shortened_before_it_overflows_and_not_without_end() {
    let mut scene = Scene::responses();
    scene.window = Some(1000);
    let api = Arc::new(
        api(RESPONSES, move |received, _| match turn(received).prompt.as_str() {
            "short" => text(RESPONSES, &"y".repeat(2000)),
            asked if asked.starts_with("This conversation has") => text(RESPONSES, "all is well"),
            _ => refusal(400, "context_length_exceeded", "long"),
        })
        .await,
    );
    let mut session = scene.start(&api).await;
    session.completed_turn("short").await;
    // A summary that is no shorter, what does not fit all the same, another such summary, and no more.
    let turn = session.turn(&"x".repeat(4000)).await;
    assert_eq!(line(&turn.events), "Failed(context_overflow)");
    assert_eq!(api.requests().len(), 4);
}
