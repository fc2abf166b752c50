//! Histories that are wrong in each way that there is: the judge must find each.

use serde_json::{Value, json};

use super::{
    asked::{Asked, Told, Want},
    judge::{Flaw, Logs},
};
use crate::torture::event::Event;

const WORKER: &str = "wrk_1";

/// What clients were answered, and the workers and logs that are there.
struct History {
    asked: Vec<Asked>,
    workers: Vec<Value>,
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
    Asked { key: key.to_owned(), want, answers, n_broken: 0 }
}

fn good() -> History {
    let worker = || WORKER.to_owned();
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
        ],
        workers: vec![json!({"worker_id": WORKER, "labels": {"key": "create"}})],
        log: vec![
            json!({"type": "worker_created"}),
            json!({"type": "input_accepted", "input_id": "input"}),
            json!({"type": "interrupt_requested", "by": by("interrupt")}),
            json!({"type": "limits_raised", "by": by("raise")}),
            json!({"type": "stop_requested", "by": by("stop")}),
            json!({"type": "cancel_requested", "by": by("cancel")}),
            json!({"type": "worker_cancelled"}),
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
}

#[test]
fn an_effect_that_is_not_there_is_found() {
    check(|history| history.workers[0] = json!({"worker_id": WORKER}), &[("create", Flaw::Lost)]);
    for (n, key) in [(1, "input"), (3, "raise")] {
        check(|history| history.log[n] = json!({"type": "diagnostic"}), &[(key, Flaw::Lost)]);
    }
    check(|history| history.of("interrupt").answers = ack(9), &[("interrupt", Flaw::Lost)]);
}

#[test]
fn a_repetition_with_another_answer_is_found() {
    for (key, other) in [("idle", 1), ("input", 3), ("cancel", 5)] {
        check(|history| history.of(key).answers[1] = ack(other).remove(1), &[(key, Flaw::Changed)]);
    }
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
