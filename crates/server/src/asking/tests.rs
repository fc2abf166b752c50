use musher_protocol::QuestionOption;
use serde_json::{Value, json};

use super::*;

fn approval(id: &str, kind: &str, input: &Value) -> Approval {
    let approval = json!({
        "approval_id": id, "worker_id": "wrk_1", "turn_id": "trn_1", "kind": kind, "tool": "she\u{1b}ll",
        "input": input, "state": "pending", "requested_at": "2026-11-20T10:00:00Z",
        "deadline_at": "2026-11-20T10:10:00Z",
    });
    serde_json::from_value(approval).unwrap()
}

fn question(text: &str, multi_select: bool) -> Question {
    let options = ["Red", "Blue"].map(|label| QuestionOption {
        label: label.to_owned(),
        description: (label == "Red").then(|| "like\u{1b}blood".to_owned()),
    });
    Question {
        question: text.to_owned(),
        header: Some("Color".to_owned()),
        options: options.into(),
        multi_select,
    }
}

fn asks(approval: Approval) -> Asking {
    let mut asking = Asking::default();
    asking.ask(approval);
    asking
}

/// What comes of these lines, without the message of a denial.
fn heard(asking: &mut Asking, lines: &[&str]) -> Option<Value> {
    let mut decisions = lines.iter().filter_map(|line| asking.hear(line));
    let (_, decision) = decisions.next()?;
    let mut decision = serde_json::to_value(decision).unwrap();
    decision.as_object_mut().unwrap().remove("message");
    Some(decision)
}

#[test]
fn a_letter_decides_and_anything_else_is_asked_for_again() {
    let cases = [
        ("y", Some(json!({"decision": "allow"}))),
        (" yes \n", Some(json!({"decision": "allow"}))),
        ("n", Some(json!({"decision": "deny"}))),
        ("i", Some(json!({"decision": "deny", "interrupt": true}))),
        ("", None),
        ("Y", None),
        ("yn", None),
        ("1", None),
    ];
    let remembers = [
        ("a", Some(json!({"decision": "allow", "remember": "input"}))),
        ("t", Some(json!({"decision": "allow", "remember": "tool"}))),
    ];
    for kind in ["tool", "plan"] {
        for (line, expected) in cases.iter().chain(&remembers) {
            assert_eq!(heard(&mut asks(approval("apr_1", kind, &json!({}))), &[line]), *expected, "{line:?}");
        }
    }
    for (line, _) in remembers {
        let mut unknown = asks(approval("apr_1", "something_new", &json!({})));
        assert_eq!(heard(&mut unknown, &[line]), None, "{line:?}");
    }
    // What cannot be told from another input is not offered to be remembered.
    let mut redacted = asks(Approval { redacted: true, ..approval("apr_1", "tool", &json!({})) });
    assert!(!redacted.prompt().contains("always with this input"));
    assert_eq!(heard(&mut redacted, &["a"]), None);
    assert_eq!(heard(&mut redacted, &["t"]), Some(json!({"decision": "allow", "remember": "tool"})));
}

#[test]
fn questions_are_answered_one_after_the_other() {
    let questions = vec![question("Which?", false), question("What else?", true)];
    let asked = Approval { questions, ..approval("apr_1", "question", &json!({})) };
    let answers = |which: &str, else_: &[&str]| {
        Some(json!({"decision": "allow", "answers": {"Which?": [which], "What else?": else_}}))
    };
    let cases: &[(&[&str], _)] = &[
        (&["1", "2"], answers("Red", &["Blue"])),
        (&["2", "1,2"], answers("Blue", &["Red", "Blue"])),
        (&["2", "1, 1"], answers("Blue", &["Red"])),
        (&["neither, please", "1"], answers("neither, please", &["Red"])),
        (&["", "3", "1,2", "1", "3", "1"], answers("Red", &["Red"])),
        (&["0"], Some(json!({"decision": "deny"}))),
        (&["1", "0"], Some(json!({"decision": "deny"}))),
        (&["1"], None),
    ];
    for (lines, expected) in cases {
        assert_eq!(heard(&mut asks(asked.clone()), lines), *expected, "{lines:?}");
    }
}

#[test]
fn what_is_shown_is_harmless_and_says_what_is_left_out() {
    let tool = asks(approval("apr_1", "tool", &json!({"command": "echo \u{1b}[31m\u{202e}"})));
    assert_eq!(
        tool.show(),
        "? may `she␛ll` run with this? (denied at 2026-11-20T10:10:00Z)\n    {\n      \
         \"command\": \"echo \\u001b[31m\u{fffd}\"\n    }\n"
    );
    assert_eq!(
        tool.prompt(),
        "y yes · n no · a always with this input · t always this tool · i no, and end the turn > "
    );
    let asked =
        Approval { questions: vec![question("Which?", false)], ..approval("apr_1", "question", &json!({})) };
    let asked = asks(asked);
    assert_eq!(asked.show(), "? Color: Which?\n    1 Red · like␛blood\n    2 Blue\n");
    assert_eq!(asked.prompt(), "a number or your own words; 0 for no answer > ");
    let large = asks(approval("apr_1", "tool", &json!({"text": "x".repeat(9000)}))).show();
    assert!(large.contains(" bytes more\n") && large.len() < 4000, "{large}");
    assert_eq!(
        nobody_here(&approval("apr_1", "tool", &json!({}))),
        "? a tool (`she␛ll`) waits for a decision until 2026-11-20T10:10:00Z and is denied then: nobody can be \
         asked here\n"
    );
}

#[test]
fn the_next_one_is_asked_when_the_first_is_over() {
    let mut asking = asks(Approval {
        questions: vec![question("Which?", false), question("What else?", false)],
        ..approval("apr_1", "question", &json!({}))
    });
    asking.ask(approval("apr_2", "tool", &json!({})));
    assert_eq!(asking.hear("1"), None);
    assert!(!asking.resolve(&"apr_3".parse().unwrap()));
    assert!(asking.resolve(&"apr_1".parse().unwrap()), "somebody else was faster");
    let (decided, _) = asking.hear("y").unwrap();
    assert_eq!(decided.as_str(), "apr_2");
    assert!(asking.resolve(&decided) && asking.is_empty());
    assert_eq!((asking.show(), asking.hear("y")), (String::new(), None));
}
