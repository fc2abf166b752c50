use serde_json::json;

use super::*;

fn check(result: serde_json::Value, signs: Signs, expected: &str) {
    let result: TurnResult = serde_json::from_value(result).unwrap();
    let brief = match read(&result, signs) {
        Ending::Turn(TurnEnd::Completed { stop_reason, vendor_stop_reason }) => {
            format!("completed {stop_reason:?} {}", vendor_stop_reason.unwrap_or_default())
        }
        Ending::Turn(TurnEnd::Interrupted) => "interrupted".to_owned(),
        Ending::Turn(TurnEnd::Failed(TurnError { code, message })) => format!("{code}: {message}"),
        Ending::Turn(TurnEnd::Refused { message, .. }) => format!("refused: {message}"),
        Ending::Limited { scope, reset_at } => format!("limited {scope} {reset_at:?}"),
    };
    assert_eq!(brief, expected);
}

fn spoken() -> Signs {
    Signs { has_spoken: true, ..Signs::default() }
}

fn said(error: &str) -> Signs {
    Signs { error: Some(error.to_owned()), ..Signs::default() }
}

#[test]
fn a_turn_that_is_no_error_completes_when_something_was_said() {
    for (reason, expected) in [
        (json!("end_turn"), "completed EndTurn end_turn"),
        (json!("max_tokens"), "completed Length max_tokens"),
        (json!("stop_sequence"), "completed StopSequence stop_sequence"),
        (json!("pause_turn"), "completed Other pause_turn"),
        (json!(null), "completed Other "),
    ] {
        let result = json!({ "is_error": false, "stop_reason": reason, "terminal_reason": "completed" });
        check(result.clone(), spoken(), expected);
        check(result, Signs::default(), "empty_answer: the model ended its turn without a word");
    }
}

#[test]
fn an_error_has_the_name_of_its_cause() {
    let error = |more: serde_json::Value| {
        let mut result = json!({ "is_error": true, "subtype": "success", "result": "why" });
        result.as_object_mut().unwrap().append(&mut more.as_object().unwrap().clone());
        result
    };
    for (more, signs, expected) in [
        (json!({ "api_error_status": 403 }), spoken(), "authentication_failed: why"),
        (json!({}), said("authentication_failed"), "authentication_failed: why"),
        (json!({}), said("billing_error"), "quota_exhausted: why"),
        (json!({ "api_error_status": 529 }), spoken(), "overloaded: why"),
        (json!({}), Signs { is_overloaded: true, ..Signs::default() }, "overloaded: why"),
        (
            json!({ "api_error_status": 500 }),
            Signs { is_overloaded: true, ..Signs::default() },
            "provider_error: why",
        ),
        (json!({ "api_error_status": 500.0 }), spoken(), "provider_error: why"),
        (json!({ "terminal_reason": "prompt_too_long" }), spoken(), "context_overflow: why"),
        (json!({ "terminal_reason": "blocking_limit" }), spoken(), "context_overflow: why"),
        (json!({ "api_error_status": 413 }), spoken(), "context_overflow: why"),
        (json!({ "terminal_reason": "max_turns" }), spoken(), "vendor_limit: why"),
        (json!({ "terminal_reason": "budget_exhausted" }), spoken(), "vendor_limit: why"),
        (json!({ "stop_reason": "refusal" }), spoken(), "refused: why"),
        (json!({ "result": null, "errors": ["a", "b"] }), spoken(), "provider_error: a; b"),
        (json!({ "result": 7 }), spoken(), "provider_error: the turn ended with `success`"),
    ] {
        check(error(more), signs, expected);
    }
}

#[test]
fn a_usage_limit_ends_the_attempt_and_not_the_turn() {
    let limit = |resets_at| {
        Some(RateLimit {
            status: "rejected".to_owned(),
            rate_limit_type: Some("five_hour".to_owned()),
            resets_at,
            utilization: None,
        })
    };
    let error = json!({ "is_error": true, "terminal_reason": "api_error" });
    let known = Signs { limit: limit(Some(1_795_176_727)), ..Signs::default() };
    check(error.clone(), known, "limited five_hour Some(2026-11-20T12:12:07Z)");
    let never = Signs { limit: limit(Some(u64::MAX)), ..Signs::default() };
    check(error.clone(), never, "limited five_hour None");
    check(error, said("rate_limit"), "limited requests None");
    check(json!({ "is_error": true, "api_error_status": 429 }), spoken(), "limited requests None");
    // It went on by another way, e.g. as overage.
    let used = Signs { limit: limit(None), ..spoken() };
    check(json!({ "is_error": false, "stop_reason": "end_turn" }), used, "completed EndTurn end_turn");
}

#[test]
fn an_interrupt_is_one_whatever_else_is_said() {
    for reason in ["aborted_streaming", "aborted_tools"] {
        let result = json!({ "is_error": true, "terminal_reason": reason, "api_error_status": 429 });
        check(result.clone(), said("rate_limit"), "interrupted");
        let locked_out = Signs { is_locked_out: true, ..Signs::default() };
        check(result, locked_out, "authentication_failed: the vendor refuses the credentials (401)");
    }
}
