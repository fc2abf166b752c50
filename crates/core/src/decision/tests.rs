use jiff::Timestamp;
use musher_protocol::{Actor, ApprovalState, Question, QuestionOption};
use serde_json::json;

use super::*;
use crate::{batch::Batch, machine::Draft, machine::Effect, store::Head};

fn asked(kind: ApprovalKind) -> Approval {
    let question = |text: &str, multi_select| Question {
        question: text.to_owned(),
        header: None,
        options: ["Red", "Blue"]
            .map(|label| QuestionOption { label: label.to_owned(), description: None })
            .into(),
        multi_select,
    };
    let questions = if kind == ApprovalKind::Question {
        vec![question("Which?", false), question("What else?", true)]
    } else {
        Vec::new()
    };
    Approval {
        approval_id: "apr_1".parse().unwrap(),
        worker_id: "wrk_1".parse().unwrap(),
        turn_id: "trn_1".parse().unwrap(),
        tool_call_id: None,
        kind,
        tool: "shell".to_owned(),
        input: json!({}),
        blob: None,
        redacted: false,
        questions,
        suggestions: Vec::new(),
        state: ApprovalState::Pending,
        requested_at: Timestamp::UNIX_EPOCH,
        deadline_at: Timestamp::UNIX_EPOCH,
        decision: None,
        message: None,
        by: None,
    }
}

fn ruling(request: &Value) -> Result<Ruling, Error> {
    Ruling::of(serde_json::from_value(request.clone()).unwrap())
}

/// The field that is refused, or none.
fn refused(kind: ApprovalKind, request: &Value) -> Option<&'static str> {
    match ruling(request).and_then(|ruling| ruling.check(&asked(kind))) {
        Ok(()) => None,
        Err(Error::InvalidRequest { field, .. }) => Some(field),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn what_makes_no_sense_is_refused_with_its_place() {
    let words = |n: usize| "x".repeat(n);
    let both = json!({"Which?": ["Red"], "What else?": ["Blue", "Red", "neither"]});
    let tool = [
        (json!({"decision": "allow"}), None),
        (json!({"decision": "allow", "message": "go"}), None),
        (json!({"decision": "allow", "updated_input": {"a": 1}}), None),
        (json!({"decision": "allow", "updated_input": "a"}), Some("/updated_input")),
        (json!({"decision": "allow", "remember": "input"}), None),
        (json!({"decision": "allow", "remember": "tool"}), None),
        (json!({"decision": "allow", "remember": "tool", "updated_input": {}}), Some("/remember")),
        (json!({"decision": "allow", "interrupt": true}), Some("/interrupt")),
        (json!({"decision": "allow", "answers": {}}), Some("/answers")),
        (json!({"decision": "allow", "answers": both}), Some("/answers")),
        (json!({"decision": "deny"}), None),
        (json!({"decision": "deny", "interrupt": true, "message": "no"}), None),
        (json!({"decision": "deny", "message": words(8 << 10)}), None),
        (json!({"decision": "deny", "message": words((8 << 10) + 1)}), Some("/message")),
        (json!({"decision": "deny", "updated_input": {}}), Some("/updated_input")),
        (json!({"decision": "deny", "answers": {}}), Some("/answers")),
        (json!({"decision": "deny", "remember": "input"}), Some("/remember")),
    ];
    for (request, expected) in tool {
        for kind in [ApprovalKind::Tool, ApprovalKind::Plan] {
            assert_eq!(refused(kind, &request), expected, "{kind:?}");
        }
    }
    let question = [
        (json!({"decision": "allow", "answers": both}), None),
        (json!({"decision": "allow", "answers": {"Which?": ["own words"], "What else?": ["Red"]}}), None),
        (json!({"decision": "allow", "answers": both, "updated_input": {}}), None),
        (json!({"decision": "allow", "answers": both, "remember": "tool"}), Some("/remember")),
        (json!({"decision": "allow"}), Some("/answers")),
        (json!({"decision": "allow", "answers": {"Which?": ["Red"]}}), Some("/answers")),
        (json!({"decision": "allow", "answers": {"Which?": [], "What else?": ["Red"]}}), Some("/answers")),
        (json!({"decision": "allow", "answers": {"Which?": [" "], "What else?": ["Red"]}}), Some("/answers")),
        (
            json!({"decision": "allow", "answers": {"Which?": ["Red", "Blue"], "What else?": ["Red"]}}),
            Some("/answers"),
        ),
        (
            json!({"decision": "allow", "answers": {"Which?": ["Red"], "What else?": ["1", "2", "3", "4"]}}),
            Some("/answers"),
        ),
        (
            json!({"decision": "allow", "answers": {"Which?": [words(8193)], "What else?": ["Red"]}}),
            Some("/answers"),
        ),
        (
            json!({"decision": "allow", "answers": {"Which?": ["Red"], "What else?": ["Red"], "Why?": ["x"]}}),
            Some("/answers"),
        ),
        (json!({"decision": "deny"}), None),
    ];
    for (request, expected) in question {
        assert_eq!(refused(ApprovalKind::Question, &request), expected, "{request:.200}");
    }
    let unknown = json!({"decision": "allow", "remember": "tool"});
    assert_eq!(refused(ApprovalKind::Unknown, &unknown), Some("/remember"));
}

#[test]
fn an_input_with_a_hidden_secret_cannot_be_remembered() {
    let refused = |tool: &str, redacted, what: &str| {
        let request = json!({"decision": "allow", "remember": what});
        let asked = Approval { tool: tool.to_owned(), redacted, ..asked(ApprovalKind::Tool) };
        ruling(&request).unwrap().check(&asked).is_err()
    };
    for (tool, redacted, expected) in [
        ("shell", false, [false, false]),
        ("shell", true, [true, false]),
        ("[redacted:A_KEY]", true, [true, true]),
        ("[redacted:A_KEY]", false, [false, false]),
    ] {
        assert_eq!(
            ["input", "tool"].map(|what| refused(tool, redacted, what)),
            expected,
            "{tool} {redacted}"
        );
    }
}

/// The event of a ruling, as a log holds it.
fn resolved(ruling: &Ruling) -> Payload {
    let draft = Draft {
        event_id: musher_protocol::EventId::mint(),
        at: Timestamp::UNIX_EPOCH,
        payload: Payload::ApprovalResolved {
            approval_id: "apr_1".parse().unwrap(),
            decision: ruling.decision,
            message: ruling.message.clone(),
            updated_input: ruling.updated_input.clone(),
            blob: None,
            answers: ruling.answers.clone(),
            interrupt: ruling.interrupt,
            remember: ruling.remember,
            by: Actor::rule("somebody else"),
        },
        entries: Vec::new(),
        accepts: None,
        kept: Vec::new(),
        whole: None,
    };
    let mut batch = Batch::default();
    batch.extend(vec![Effect::Record(Box::new(draft))]);
    let sealed = batch.seal(&"wrk_1".parse().unwrap(), &Head::EMPTY);
    serde_json::from_slice(&sealed.events[0].payload).unwrap()
}

#[test]
fn only_the_same_values_are_the_same_decision() {
    let large = |c: &str| json!({"decision": "allow", "updated_input": {"text": c.repeat(100_000)}});
    let different = [
        json!({"decision": "allow"}),
        json!({"decision": "allow", "message": "go"}),
        json!({"decision": "allow", "updated_input": {"a": 1, "b": 2}}),
        json!({"decision": "allow", "updated_input": {"a": 1}}),
        large("x"),
        large("y"),
        json!({"decision": "allow", "remember": "input"}),
        json!({"decision": "allow", "remember": "tool"}),
        json!({"decision": "allow", "answers": {"Which?": ["Red"]}}),
        json!({"decision": "allow", "answers": {"Which?": ["Red", "Blue"]}}),
        json!({"decision": "deny"}),
        json!({"decision": "deny", "message": "no"}),
        json!({"decision": "deny", "message": "no", "interrupt": true}),
    ];
    for (n, first) in different.iter().enumerate() {
        let event = resolved(&ruling(first).unwrap());
        for (m, second) in different.iter().enumerate() {
            assert_eq!(ruling(second).unwrap().is(&event), n == m, "{first:.99} {second:.99}");
        }
    }
    let reordered: DecisionRequest =
        serde_json::from_str(r#"{"actor":"ada","updated_input":{"b":2,"a":1},"decision":"allow"}"#).unwrap();
    assert!(Ruling::of(reordered).unwrap().is(&resolved(&ruling(&different[2]).unwrap())));
}
