//! What the vendor does to a turn, and what becomes of it.

use std::sync::Arc;

use musher_backend::{Event, TurnEnd};
use musher_scripted::model_api::{
    Answer, ModelApi, Received, Reply,
    generate::{answer, chunks, finish, parts, refusal},
};
use musher_testkit::backend_suite::Turn;
use serde_json::{Value, json};

use crate::stage::{KEY, api, line, start};

/// One turn of a session at a fake that plays this script.
async fn play(script: impl Fn(&Received, usize) -> Answer + Send + Sync + 'static) -> (Turn, Arc<ModelApi>) {
    let api = Arc::new(api(script).await);
    let mut session = start(&api).await;
    let turn = session.turn("go").await;
    assert_eq!(api.violations(), []);
    (turn, api)
}

/// Plays answers in their order, and says `fine` after the last.
fn in_order(answers: Vec<Answer>) -> impl Fn(&Received, usize) -> Answer + Send + Sync + 'static {
    move |_, number| answers.get(number).cloned().unwrap_or_else(|| answer(&Reply::text("fine")))
}

fn calls(calls: &[(&str, &str, &str)]) -> Answer {
    answer(&Reply::calls(calls))
}

fn ended(reason: &str) -> Value {
    finish(reason, &Reply::text("").usage)
}

#[track_caller]
fn check(turn: &Turn, expected: &str) {
    assert_eq!(line(&turn.events), expected);
}

#[tokio::test]
async fn a_malformed_call_or_a_missing_reason_is_repeated_a_bounded_number_of_times() {
    let reasons =
        ["MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS", "MALFORMED_RESPONSE"];
    let broken = reasons.map(|reason| chunks(&[ended(reason)]));
    for broken in broken.into_iter().chain([chunks(&[parts(&json!([{"text": "x"}]))])]) {
        let once = broken.clone();
        let (turn, _) = play(in_order(vec![once])).await;
        assert_eq!(turn.end, TurnEnd::completed());
        let (turn, api) = play(move |_, _| broken.clone()).await;
        assert!(line(&turn.events).ends_with("Failed(provider_error)"), "{turn:#?}");
        assert_eq!(api.requests().len(), 6);
    }
}

#[tokio::test]
async fn empty_and_thought_only_answers_are_repeated_and_then_have_a_name() {
    let empty = Reply::text("");
    let thought = answer(&Reply { thought: Some("hm".to_owned()), ..empty.clone() });
    let answers = vec![answer(&empty), thought.clone(), thought];
    let (turn, _) = play(in_order(answers)).await;
    check(&turn, "taken again(2/3 without []) 0~hm again(3/3 without [0]) 1~hm Failed(empty_answer)");
}

#[tokio::test]
async fn signatures_go_back_on_their_own_part() {
    let made = calls(&[("", "look", r#"{"path":"a"}"#), ("", "look", r#"{"path":"b"}"#)]);
    let (turn, api) = play(in_order(vec![made])).await;
    assert_eq!(turn.end, TurnEnd::completed());
    let contents = api.requests()[1].body["contents"].clone();
    assert_eq!(
        contents,
        json!([
            {"role": "user", "parts": [{"text": "go"}]},
            {"role": "model", "parts": [
                {
                    "functionCall": {"name": "look", "args": {"path": "a"}},
                    "thoughtSignature": "only its maker reads this",
                },
                {"functionCall": {"name": "look", "args": {"path": "b"}}},
            ]},
            {"role": "user", "parts": [
                {"functionResponse": {"name": "look", "response": {"output": "ran with {\"path\":\"a\"}"}}},
                {"functionResponse": {"name": "look", "response": {"output": "ran with {\"path\":\"b\"}"}}},
            ]},
        ])
    );
}

#[tokio::test]
async fn signatures_that_the_vendor_refuses_are_dropped_once() {
    let refused = refusal(400, "INVALID_ARGUMENT", "Corrupted thought signature.");
    let answers = vec![calls(&[("", "look", "{}")]), refused];
    let (turn, api) = play(in_order(answers)).await;
    let expected = "taken start(look) look({}) ok(ran with {}) says(history.opaque_dropped) \
                    again(2/2 without []) 0+fine 0=fine EndTurn";
    check(&turn, expected);
    let signature = &api.requests()[2].body["contents"][1]["parts"][0]["thoughtSignature"];
    assert_eq!(signature, "skip_thought_signature_validator");
}

#[tokio::test]
async fn a_filter_is_an_end_that_is_not_repeated() {
    let blocked = json!({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": {"promptTokenCount": 4}});
    for (answer, message) in [
        (chunks(&[ended("SAFETY")]), "the provider's filter ended the answer"),
        (chunks(&[blocked]), "the provider's filter refused the request"),
    ] {
        let (turn, api) = play(move |_, _| answer.clone()).await;
        check(&turn, &format!("taken Refused({message})"));
        assert!(
            turn.events
                .iter()
                .any(|event| matches!(event, Event::Usage(usage) if usage.input_tokens.is_some()))
        );
        assert_eq!(api.requests().len(), 1);
    }
}

#[tokio::test]
async fn a_cut_by_length_is_an_end_of_its_own() {
    let (turn, _) =
        play(in_order(vec![chunks(&[parts(&json!([{"text": "so"}])), ended("MAX_TOKENS")])])).await;
    check(&turn, "taken 0+so 0=so Length:MAX_TOKENS");
}

#[tokio::test]
async fn a_limit_by_the_day_is_spent_and_a_delay_is_waited_for() {
    let limited = |details: Value| {
        let error = json!({"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "m", "details": details});
        Answer::json(429, &json!([{"error": error}]))
    };
    let day = limited(json!([{"violations": [{"quotaId": "GenerateRequestsPerDayPerProject"}]}]));
    let (turn, asked) = play(move |_, _| day.clone()).await;
    check(&turn, "Failed(quota_exhausted)");
    assert_eq!(asked.requests().len(), 1);
    let (turn, _) = play(in_order(vec![limited(json!([{"retryDelay": "0.03s"}]))])).await;
    let delay = turn
        .events
        .iter()
        .find_map(|event| if let Event::Retrying { delay_ms, .. } = event { Some(*delay_ms) } else { None });
    assert!(matches!(delay, Some(30..=38)), "{delay:?}");

    let api = Arc::new(api(in_order(vec![limited(json!([{"retryDelay": "301s"}]))])).await);
    let mut session = start(&api).await;
    let input_id = session.input("go").await;
    session.until("the limit", |event| matches!(event, Event::RateLimited { .. })).await;
    session.again(&input_id, "go").await;
    let turn = session.turn_end(input_id).await;
    check(&turn, "limited(RESOURCE_EXHAUSTED) taken 0+fine 0=fine EndTurn");
}

#[tokio::test]
async fn what_nothing_helps_fails_at_once_with_the_request_and_without_the_key() {
    let wrong = format!("wrong: {KEY}");
    for (status, name, details, expected) in [
        (400, "INVALID_ARGUMENT", json!([{"reason": "API_KEY_INVALID"}]), "authentication_failed"),
        (401, "UNAUTHENTICATED", json!([]), "authentication_failed"),
        (403, "PERMISSION_DENIED", json!([]), "authentication_failed"),
        (404, "NOT_FOUND", json!([{"requestId": "req_7"}]), "model_not_found"),
    ] {
        let code = details[0]["reason"].as_str().unwrap_or(name);
        let told = format!("wrong: [key] ({code}, status {status}, request req_7)");
        let error = json!({"code": status, "status": name, "message": wrong, "details": details});
        let refused = Answer::json(status, &json!({"error": error}));
        let is_in_body = details[0]["requestId"].is_string();
        let refused = if is_in_body { refused } else { refused.header("x-request-id", "req_7") };
        let (turn, api) = play(move |_, _| refused.clone()).await;
        assert_eq!(turn.end, TurnEnd::failed(expected, told));
        assert_eq!(api.requests().len(), 1);
    }
}

#[tokio::test]
async fn an_error_inside_of_an_answer_does_not_show_the_key_either() {
    let error =
        json!({"error": {"code": 401, "status": "UNAUTHENTICATED", "message": format!("wrong: {KEY}")}});
    let (turn, _) = play(move |_, _| chunks(std::slice::from_ref(&error))).await;
    assert_eq!(
        turn.end,
        TurnEnd::failed("authentication_failed", "wrong: [key] (UNAUTHENTICATED, status 401)")
    );
}

#[tokio::test]
async fn pages_and_unknown_parts_do_no_harm() {
    let odd = chunks(&[
        json!({"newThing": [7], "candidates": [{"index": 0, "newThing": {}}]}),
        json!({"candidates": []}),
        parts(&json!([{"text": "hi"}, {"newThing": 1}])),
        ended("STOP"),
    ]);
    let garbled = chunks(&[parts(&json!([{"text": "x"}]))]).bytes("data: <html>\r\n\r\n");
    let page = Answer::page(502, "<html>Bad gateway</html>");
    let login = Answer::page(200, "<html>Sign in</html>");
    let (turn, _) = play(in_order(vec![page, login, Answer::page(500, ""), garbled, odd])).await;
    let again = "again(2/5 without []) again(3/5 without []) again(4/5 without [])";
    check(&turn, &format!("{again} taken 0+x again(2/6 without [0]) 1+hi 1=hi EndTurn"));
}

#[tokio::test]
async fn an_error_inside_of_an_answer_ends_it() {
    let error = json!({"error": {"code": 503, "status": "UNAVAILABLE", "message": "busy"}});
    let (turn, _) = play(in_order(vec![chunks(&[parts(&json!([{"text": "x"}])), error])])).await;
    check(&turn, "taken 0+x again(2/6 without [0]) 1+fine 1=fine EndTurn");
}

#[tokio::test]
async fn a_model_that_shows_no_thoughts_is_not_asked_for_them_again() {
    let refused = refusal(400, "INVALID_ARGUMENT", "Thinking is not supported by this model");
    let (turn, api) = play(in_order(vec![refused])).await;
    assert_eq!(turn.end, TurnEnd::completed());
    let asks = |at: usize| api.requests()[at].body["generationConfig"]["thinkingConfig"].is_object();
    assert_eq!([asks(0), asks(1)], [true, false]);
}
