use serde_json::json;

use super::*;

/// An answer's change, which makes it untrue.
type Lie = fn(&mut Answered);
/// A log's change, which makes it wrong.
type Flaw = fn(&mut Vec<Value>);

fn read(payloads: &[Value]) -> Book {
    let event = |(seq, payload): (u64, &Value)| {
        let envelope = json!({
            "cursor": format!("wo_0000000000000007{seq:016x}00000002"), "seq": seq, "event_id": format!("evt_{seq}"),
            "worker_id": "wrk_1", "at": "2026-11-20T10:00:00Z", "payload": payload,
        });
        Event::read(&envelope.to_string()).unwrap()
    };
    Book::read(&(1..).zip(payloads).map(event).collect::<Vec<_>>())
}

fn asked(id: &str) -> Value {
    json!({
        "type": "approval_requested", "approval_id": id, "worker_id": "wrk_1", "turn_id": "trn_1",
        "tool_call_id": format!("tc_{id}"), "kind": "tool", "tool": "Bash", "input": {}, "state": "pending",
        "requested_at": "2026-11-20T10:00:00Z", "deadline_at": "2026-11-20T10:10:00Z",
    })
}

fn resolved(id: &str, decision: &str, message: Option<&str>, by: Value) -> Value {
    let mut payload = json!({
        "type": "approval_resolved", "approval_id": id, "decision": decision, "by": by, "interrupt": false,
    });
    if let Some(message) = message {
        payload["message"] = message.into();
    }
    payload
}

fn by(actor: &str) -> Value {
    json!({"token": "admin", "actor": actor})
}

/// One was allowed by `ann`, one denied by `bob`, and one by its deadline.
fn log() -> Vec<Value> {
    let finished = json!({
        "type": "turn_finished", "turn_id": "trn_1", "outcome": "completed", "text": "done", "usage": {},
    });
    vec![
        asked("apr_1"),
        resolved("apr_1", "allow", None, by("ann")),
        json!({"type": "tool_result", "tool_call_id": "tc_apr_1", "content": "ok", "is_error": false}),
        asked("apr_2"),
        asked("apr_3"),
        resolved("apr_3", "expired", Some("nobody decided in time"), json!({"token": "deadline"})),
        resolved("apr_2", "deny", Some("not now"), by("bob")),
        json!({"type": "tool_result", "tool_call_id": "tc_apr_2", "content": "not now", "is_error": true}),
        finished,
    ]
}

fn answered(id: &str, choice: Choice, actor: &str, duplicate: Option<bool>, shown: &Value) -> Answered {
    let mut approval = shown.clone();
    approval["state"] = "resolved".into();
    let answer = match duplicate {
        Some(duplicate) => {
            Answer { status: 200, body: json!({"approval": approval, "duplicate": duplicate}) }
        }
        None => {
            let error = json!({"code": "approval_not_pending", "approval": approval});
            Answer { status: 409, body: json!({"error": error}) }
        }
    };
    Answered { approval: id.to_owned(), choice, actor: actor.to_owned(), answer }
}

/// What the clients were told, truthfully.
fn told() -> Vec<Answered> {
    let log = log();
    let (allowed, expired, denied) = (&log[1], &log[5], &log[6]);
    vec![
        answered("apr_1", Choice::Allow, "ann", Some(false), allowed),
        answered("apr_1", Choice::Allow, "cem", Some(true), allowed),
        answered("apr_1", Choice::Deny, "dan", None, allowed),
        answered("apr_2", Choice::Deny, "bob", Some(false), denied),
        answered("apr_2", Choice::DenyOtherwise, "eve", None, denied),
        answered("apr_2", Choice::DenyAndInterrupt, "fay", None, denied),
        answered("apr_3", Choice::Deny, "gil", None, expired),
    ]
}

#[test]
fn what_is_true_is_no_finding() {
    assert_eq!(read(&log()).compare(&told()), Vec::<String>::new());
    let fates: Vec<_> = told().iter().map(Answered::fate).collect();
    let (made, repeated, refused) = (Some(Fate::Made), Some(Fate::Repeated), Some(Fate::Refused));
    assert_eq!(fates, [made, repeated, refused, made, refused, refused, refused]);
}

#[test]
fn nothing_is_allowed_in_a_turn_that_is_being_ended() {
    let pending = json!({"code": "worker_execution_rejected", "approval": {"state": "pending"}});
    let mut too_late = Answered {
        approval: "apr_3".to_owned(),
        choice: Choice::Allow,
        actor: "hal".to_owned(),
        answer: Answer { status: 409, body: json!({"error": pending}) },
    };
    let with = |late: &Answered| read(&log()).compare(&[told(), vec![late.clone()]].concat());
    assert_eq!(with(&too_late), Vec::<String>::new());
    too_late.choice = Choice::Deny;
    assert_eq!(with(&too_late).len(), 1, "a denial is always in time");
    (too_late.choice, too_late.approval) = (Choice::Allow, "apr_1".to_owned());
    assert_eq!(with(&too_late).len(), 1, "it was allowed");
    too_late.approval = "apr_3".to_owned();
    too_late.answer.body["error"]["code"] = "approval_not_pending".into();
    assert_eq!(with(&too_late).len(), 1, "it is pending");
}

#[test]
fn every_untrue_answer_is_found() {
    let lies: [(usize, Lie); 8] = [
        // Two were told that they decided it, and one decided.
        (1, |told| told.answer.body["duplicate"] = false.into()),
        (0, |told| told.answer.body["duplicate"] = true.into()),
        (2, |told| told.choice = Choice::Allow),
        (4, |told| told.answer.body["error"]["approval"]["decision"] = "allow".into()),
        (4, |told| told.answer.body["error"]["approval"]["by"]["actor"] = "eve".into()),
        (6, |told| {
            told.answer = Answer { status: 404, body: json!({"error": {"code": "approval_not_found"}}) }
        }),
        (6, |told| told.answer = Answer { status: 500, body: json!({}) }),
        (3, |told| told.approval = "apr_9".to_owned()),
    ];
    for (n, (place, lie)) in lies.into_iter().enumerate() {
        let mut all = told();
        lie(&mut all[place]);
        assert!(!read(&log()).compare(&all).is_empty(), "lie {n}");
    }
}

#[test]
fn every_wrong_log_is_found() {
    let flaws: [Flaw; 5] = [
        // Nobody is told of a decision that a person made.
        |log| log[5]["by"] = by("ann"),
        |log| drop(log.remove(5)),
        |log| {
            log.push(resolved(
                "apr_3",
                "expired",
                Some("nobody decided in time"),
                json!({"token": "deadline"}),
            ))
        },
        |log| log[7]["is_error"] = false.into(),
        |log| log.swap(1, 2),
    ];
    for (n, flaw) in flaws.into_iter().enumerate() {
        let mut log = log();
        flaw(&mut log);
        assert!(!read(&log).compare(&told()).is_empty(), "flaw {n}");
    }
}

#[test]
fn a_turn_that_a_denial_ends_does_not_complete() {
    let mut log = log();
    log[6] = resolved("apr_2", "deny", Some("stop it"), by("bob"));
    log[6]["interrupt"] = true.into();
    let told = [
        answered("apr_1", Choice::Allow, "ann", Some(false), &log[1]),
        answered("apr_2", Choice::DenyAndInterrupt, "bob", Some(false), &log[6]),
    ];
    let problems = read(&log).compare(&told);
    assert_eq!(problems, ["the denial of apr_2 ends the turn, and the turn completed"]);
    log[8]["outcome"] = "interrupted".into();
    assert_eq!(read(&log).compare(&told), Vec::<String>::new());
}
