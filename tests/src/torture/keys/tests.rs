//! Histories that are wrong in each way that there is: the judge must find each.

use serde_json::{Value, json};

use super::{
    asked::{Asked, Told, Want},
    judge::{Flaw, Logs},
};
use crate::torture::event::Event;

const WORKER: &str = "wrk_1";

/// What clients were answered, and the workers, bundles and logs that are there.
struct History {
    asked: Vec<Asked>,
    workers: Vec<Value>,
    bundles: Vec<Value>,
    log: Vec<Value>,
}

fn told(body: &Value) -> Vec<Told> {
    let again = |is_repeated| Told { status: 200, body: body.clone(), is_repeated };
    vec![again(false), again(true)]
}

fn ack(event: u64) -> Vec<Told> {
    told(&json!({"ack": {"event_id": format!("evt_{event}")}}))
}

fn asked(key: &str, want: Want, answers: Vec<Told>) -> Asked {
    Asked { answers, ..Asked::new(key.to_owned(), want) }
}

fn decided(decision: &str, duplicate: bool) -> Vec<Told> {
    told(&json!({"approval": {"decision": decision}, "duplicate": duplicate}))
}

fn good() -> History {
    let worker = || WORKER.to_owned();
    let store = || Want::Store { id: "team".to_owned() };
    let stored = |digest: &str| told(&json!({"bundles": [{"id": "team", "digest": digest}]}));
    let decide = |allows| Want::Decide { worker: worker(), approval: "apr_1".to_owned(), allows };
    let refusal = Told { status: 400, body: json!({"error": {}}), is_repeated: false };
    let by = |key: &str| json!({"token": "admin", "actor": key});
    History {
        asked: vec![
            asked(
                "create",
                Want::Create { objective: None },
                told(&json!({"worker": {"worker_id": WORKER}})),
            ),
            asked("input", Want::Input { worker: worker(), content: "hi".to_owned() }, ack(2)),
            asked("idle", Want::Interrupt { worker: worker() }, ack(2)),
            asked("interrupt", Want::Interrupt { worker: worker() }, ack(3)),
            asked(
                "raise",
                Want::Raise { worker: worker(), turns: 7 },
                told(&json!({"worker": {"turns": 7}})),
            ),
            asked("stop", Want::Stop { worker: worker() }, ack(6)),
            asked("cancel", Want::Cancel { worker: worker() }, ack(6)),
            asked("late", Want::Interrupt { worker: worker() }, vec![refusal]),
            asked("store", store(), stored("d1")),
            Asked { is_undone: true, ..asked("undone", store(), stored("d2")) },
            asked("decide", decide(true), decided("allow", false)),
            asked("agree", decide(true), decided("allow", true)),
        ],
        workers: vec![json!({"worker_id": WORKER, "labels": {"key": "create"}})],
        bundles: vec![json!({"id": "team", "revision": "store", "digest": "d1"})],
        log: vec![
            json!({"type": "worker_created"}),
            json!({"type": "input_accepted", "input_id": "input"}),
            json!({"type": "interrupt_requested", "by": by("interrupt")}),
            json!({"type": "limits_raised", "by": by("raise")}),
            json!({"type": "stop_requested", "by": by("stop")}),
            json!({"type": "cancel_requested", "by": by("cancel")}),
            json!({"type": "worker_cancelled"}),
            json!({"type": "approval_resolved", "approval_id": "apr_1", "decision": "allow", "by": by("decide")}),
        ],
    }
}

impl History {
    fn of(&mut self, key: &str) -> &mut Asked {
        self.asked.iter_mut().find(|asked| asked.key == key).expect("a key of the history")
    }

    /// Lets happen again what had happened, as another event.
    fn happen_again(&mut self, n: usize) {
        self.log.push(self.log[n].clone());
    }
}

#[track_caller]
fn check(spoil: impl FnOnce(&mut History), expected: &[(&str, Flaw)]) {
    let mut history = good();
    spoil(&mut history);
    let mut logs = Logs::default();
    history.workers.iter().for_each(|worker| logs.worker(worker));
    history.bundles.iter().for_each(|bundle| logs.bundle(bundle));
    let events: Vec<_> = (1..)
        .zip(&history.log)
        .map(|(seq, payload)| {
            let envelope =
                json!({"seq": seq, "event_id": format!("evt_{seq}"), "cursor": "wo_1", "payload": payload});
            Event::read(&envelope.to_string()).expect("an event")
        })
        .collect();
    logs.log(WORKER, &events);
    let found = logs.judge(&history.asked);
    let found: Vec<_> = found.iter().map(|finding| (finding.key.as_str(), finding.flaw)).collect();
    assert_eq!(found, expected);
}

#[test]
fn a_good_history_is_good() {
    check(|_| {}, &[]);
}

#[test]
fn an_effect_that_came_twice_is_found() {
    let second = json!({"worker_id": "wrk_2", "labels": {"key": "create"}});
    check(|history| history.workers.push(second), &[("create", Flaw::Doubled)]);
    for (n, key) in [(1, "input"), (2, "interrupt"), (3, "raise"), (4, "stop"), (5, "cancel")] {
        check(|history| history.happen_again(n), &[(key, Flaw::Doubled)]);
    }
    check(|history| history.of("stop").answers[1].is_repeated = false, &[("stop", Flaw::Doubled)]);
    check(|history| history.happen_again(7), &[("decide", Flaw::Doubled), ("apr_1", Flaw::Doubled)]);
    let by_another =
        json!({"type": "approval_resolved", "approval_id": "apr_1", "decision": "deny", "by": {}});
    check(|history| history.log.push(by_another), &[("apr_1", Flaw::Doubled)]);
    check(
        |history| history.log[7]["by"]["actor"] = json!("agree"),
        &[("decide", Flaw::Lost), ("agree", Flaw::Doubled)],
    );
    let again = json!({"id": "team", "revision": "undone", "digest": "d2"});
    check(|history| history.bundles.push(again), &[("undone", Flaw::Doubled)]);
}

#[test]
fn an_effect_that_is_not_there_is_found() {
    check(|history| history.workers[0] = json!({"worker_id": WORKER}), &[("create", Flaw::Lost)]);
    // What was decided is not what was asked for.
    let otherwise = |history: &mut History| {
        history.of("decide").answers.clone_from(&decided("deny", false));
        history.of("agree").answers.clone_from(&decided("deny", true));
        history.log[7]["decision"] = json!("deny");
    };
    check(otherwise, &[("decide", Flaw::Lost), ("agree", Flaw::Lost)]);
    for (n, key) in [(1, "input"), (3, "raise")] {
        check(|history| history.log[n] = json!({"type": "diagnostic"}), &[(key, Flaw::Lost)]);
    }
    check(|history| history.of("interrupt").answers = ack(9), &[("interrupt", Flaw::Lost)]);
    check(|history| history.bundles.clear(), &[("store", Flaw::Lost)]);
    check(|history| history.bundles[0]["digest"] = json!("d3"), &[("store", Flaw::Lost)]);
    check(
        |history| history.log[7] = json!({"type": "diagnostic"}),
        &[("decide", Flaw::Lost), ("agree", Flaw::Lost)],
    );
    check(|history| history.of("agree").answers = decided("deny", true), &[("agree", Flaw::Lost)]);
}

#[test]
fn a_repetition_with_another_answer_is_found() {
    for (key, other) in [("idle", 1), ("input", 3), ("cancel", 5)] {
        check(|history| history.of(key).answers[1] = ack(other).remove(1), &[(key, Flaw::Changed)]);
    }
    let other = decided("allow", true).remove(1);
    check(|history| history.of("decide").answers[1] = other, &[("decide", Flaw::Changed)]);
    let refusal = Told { status: 400, body: json!({}), is_repeated: false };
    check(|history| history.of("interrupt").answers.push(refusal), &[("interrupt", Flaw::Changed)]);
}

#[test]
fn a_refusal_that_was_none_is_found() {
    let late = json!({"type": "interrupt_requested", "by": {"token": "admin", "actor": "late"}});
    check(|history| history.log.push(late), &[("late", Flaw::Done)]);
}

#[test]
fn an_answer_that_nobody_should_get_is_found() {
    check(|history| history.of("late").answers[0].status = 500, &[("late", Flaw::Answered)]);
    check(|history| history.of("late").answers.clear(), &[("late", Flaw::Answered)]);
    let mismatch = Told { status: 422, body: json!({}), is_repeated: false };
    check(|history| history.of("stop").answers.insert(0, mismatch), &[("stop", Flaw::Answered)]);
}
