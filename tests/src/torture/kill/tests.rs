//! Histories that are wrong in each way that there is: the checks must find each.

use serde_json::{Value, json};

use super::{
    finding::{Finding, Kind},
    ledger::{Ledger, Listed, agrees_with_counts},
    promise::Promise,
    reading::Reading,
    sighting::Sighting,
};
use crate::torture::event::Event;

const WORKER: &str = "wrk_1";

/// What one worker's clients and observers recorded, and its log.
#[derive(Clone)]
struct History {
    log: Vec<Event>,
    seen: Vec<Event>,
    after: u64,
    promises: Vec<Promise>,
    listed: Vec<Listed>,
}

fn event(seq: u64, id: u64, payload: &Value) -> Event {
    let envelope = json!({
        "cursor": format!("wo_0000000000000007{seq:016x}00000002"),
        "seq": seq,
        "event_id": format!("evt_{id}"),
        "worker_id": WORKER,
        "at": "2026-11-20T10:00:00Z",
        "payload": payload,
    });
    Event::read(&envelope.to_string()).unwrap()
}

/// A worker that said something whole, was cut off by a kill, and was stopped.
fn payloads() -> Vec<Value> {
    let accepted = |input: &str| json!({"type": "input_accepted", "input_id": input, "kind": "user", "content": "hi", "delivery": "queue", "by": {"token": "admin"}});
    let said = |input: &str| json!({"type": "user_message", "input_id": input, "content": "hi"});
    let started = |turn: &str, input: &str| json!({"type": "turn_started", "turn_id": turn, "input_ids": [input], "cause": "input"});
    let taken = |input: &str| json!({"type": "input_taken", "input_id": input});
    let delta =
        |turn: &str, text: &str| json!({"type": "text_delta", "turn_id": turn, "block": 0, "text": text});
    let usage = json!({"input_tokens": null, "output_tokens": null, "cache_creation_input_tokens": null, "cache_read_input_tokens": null, "reasoning_tokens": null, "total_cost_usd": null});
    vec![
        json!({"type": "worker_created", "intent": {"kind": "assistant"}, "profile": "quick", "backend": "scripted", "by": {"token": "admin"}}),
        accepted("i1"),
        said("i1"),
        started("trn_1", "i1"),
        taken("i1"),
        delta("trn_1", "one "),
        delta("trn_1", "two"),
        json!({"type": "text_done", "turn_id": "trn_1", "block": 0, "text": "one two"}),
        json!({"type": "turn_finished", "turn_id": "trn_1", "outcome": "completed", "usage": usage}),
        accepted("i2"),
        said("i2"),
        started("trn_2", "i2"),
        taken("i2"),
        delta("trn_2", "thr"),
        json!({"type": "turn_finished", "turn_id": "trn_2", "outcome": "interrupted", "error": {"code": "restarted", "message": "m"}, "text_so_far": "thr", "usage": usage}),
        json!({"type": "stop_requested", "by": {"token": "admin"}}),
        json!({"type": "worker_stopped", "survivors": [], "outcome": null}),
    ]
}

fn log_of(payloads: &[Value]) -> Vec<Event> {
    (1..).zip(payloads).map(|(seq, payload)| event(seq, seq, payload)).collect()
}

fn good() -> History {
    let log = log_of(&payloads());
    let accepted = |input: &str, seq: u64| Promise::Accepted {
        input_id: input.to_owned(),
        event_id: format!("evt_{seq}"),
        seq,
    };
    let listed = Listed {
        worker: WORKER.to_owned(),
        label: "c1".to_owned(),
        status: "stopped".to_owned(),
        run_state: "stopped".to_owned(),
        open_approvals: 0,
        queued_inputs: 0,
    };
    let promises = vec![
        accepted("i1", 2),
        accepted("i2", 10),
        Promise::Refused { input_id: "i3".to_owned() },
        Promise::Stopped { event_id: "evt_16".to_owned() },
    ];
    History { seen: log[3..].to_vec(), log, after: 3, promises, listed: vec![listed] }
}

impl History {
    fn findings(&self) -> Vec<Finding> {
        let mut ledger = Ledger::default();
        ledger.create("c1", Some(WORKER));
        for promise in &self.promises {
            ledger.promise(WORKER, promise.clone());
        }
        let mut findings = ledger.read(WORKER, &self.log);
        let sighting = Sighting {
            observer: "observer 1".to_owned(),
            after: self.after,
            events: self.seen.clone(),
            remark: None,
        };
        findings.extend(ledger.compare(WORKER, &sighting));
        findings.extend(ledger.settle(&self.listed));
        findings
    }
}

/// What the checks find once a good history was spoiled.
#[track_caller]
fn check(expected: &[(Kind, Option<u64>)], spoil: impl FnOnce(&mut History)) {
    let mut history = good();
    spoil(&mut history);
    let findings = history.findings();
    let found: Vec<_> = findings.iter().map(|finding| (finding.kind, finding.seq)).collect();
    assert_eq!(found, expected, "{findings:#?}");
}

/// The log with one payload replaced, and an observer that saw exactly this.
fn rewrite(history: &mut History, seq: usize, payload: Value) {
    let mut payloads = payloads();
    payloads[seq - 1] = payload;
    history.log = log_of(&payloads);
    history.seen = history.log[3..].to_vec();
}

/// The log without some of its payloads, renumbered, as a store that forgot them would show it; nobody saw it.
fn forget(history: &mut History, seqs: std::ops::RangeInclusive<usize>) {
    let mut payloads = payloads();
    payloads.drain(seqs.start() - 1..*seqs.end());
    history.log = log_of(&payloads);
    history.after = history.log.len() as u64;
    history.seen.clear();
}

#[test]
fn a_good_history_is_good() {
    check(&[], |_| {});
}

#[test]
fn what_an_observer_saw_is_in_the_log_once_and_in_order() {
    use Kind::{Changed, Doubled, Gap, Lost, Reordered};

    check(&[(Gap, Some(6))], |history| drop(history.seen.remove(2)));
    check(&[(Gap, Some(17))], |history| drop(history.seen.pop()));
    check(&[(Doubled, Some(6))], |history| history.seen.insert(3, history.seen[2].clone()));
    check(&[(Doubled, Some(3))], |history| history.seen.insert(0, history.log[2].clone()));
    check(&[(Reordered, Some(6))], |history| history.seen.swap(2, 3));
    check(&[(Changed, Some(6))], |history| {
        let envelope = history.seen[2].envelope.replace("one ", "ONE ");
        history.seen[2] = Event::read(&envelope).unwrap();
    });
    check(&[(Lost, Some(6))], |history| history.seen[2] = event(6, 99, &payloads()[5]));
    check(&[(Reordered, Some(6)), (Reordered, Some(7))], |history| {
        // Two events have changed places after they were shown.
        let payloads = payloads();
        history.seen[2] = event(6, 7, &payloads[6]);
        history.seen[3] = event(7, 6, &payloads[5]);
    });
    check(&[(Lost, Some(18))], |history| {
        let diagnostic = json!({"type": "diagnostic", "code": "c", "message": "shown before it was durable"});
        history.seen.push(event(18, 18, &diagnostic));
    });
}

#[test]
fn a_log_is_numbered_without_gaps() {
    use Kind::{Doubled, Gap, Reordered};

    check(&[(Gap, Some(7)), (Kind::Changed, Some(8)), (Kind::Lost, Some(6))], |history| {
        drop(history.log.remove(5))
    });
    check(&[(Doubled, Some(6))], |history| history.log.insert(6, history.log[5].clone()));
    check(&[(Reordered, Some(6))], |history| {
        let other = event(6, 99, &json!({"type": "diagnostic", "code": "c", "message": "m"}));
        history.log.insert(6, other);
    });
    check(&[(Doubled, Some(14)), (Kind::Lost, Some(14))], |history| {
        history.log[13] = event(14, 6, &payloads()[13]);
    });
}

#[test]
fn an_acked_input_is_accepted_by_the_event_of_its_ack() {
    use Kind::{Changed, Lost, Untrue};

    // The last input never happened.
    check(&[(Lost, Some(10)), (Lost, None)], |history| forget(history, 10..=15));
    check(&[(Changed, Some(2))], |history| {
        history.promises[0] =
            Promise::Accepted { input_id: "i1".to_owned(), event_id: "evt_3".to_owned(), seq: 2 };
    });
    check(&[(Changed, Some(3))], |history| {
        history.promises[0] =
            Promise::Accepted { input_id: "i1".to_owned(), event_id: "evt_2".to_owned(), seq: 3 };
    });
    check(&[(Untrue, Some(2))], |history| {
        history.promises = vec![Promise::Refused { input_id: "i1".to_owned() }];
    });
    check(&[(Lost, None)], |history| {
        history.promises = vec![Promise::Acknowledged { event_id: "evt_99".to_owned() }];
    });
}

#[test]
fn an_input_runs_once() {
    use Kind::{Doubled, Lost};

    let [again, taken] = [payloads()[2].clone(), payloads()[4].clone()];
    check(&[(Doubled, Some(11)), (Lost, None)], |history| rewrite(history, 11, again));
    check(&[(Doubled, Some(13))], |history| rewrite(history, 13, taken));
    // Accepted a second time under the same id, as a retry would be that was not recognized.
    let accepted = payloads()[1].clone();
    check(&[(Doubled, Some(13))], |history| {
        rewrite(history, 13, accepted);
        history.promises.clear();
    });
    let other = json!({"type": "diagnostic", "code": "c", "message": "m"});
    check(&[(Lost, None)], |history| rewrite(history, 11, other));
}

#[test]
fn a_turn_ends_once_and_its_text_is_whole() {
    use Kind::{Changed, Doubled, Lost, Untrue};

    let payloads = payloads();
    let other = json!({"type": "diagnostic", "code": "c", "message": "m"});
    check(&[(Changed, Some(8))], |history| rewrite(history, 7, other.clone()));
    check(&[(Lost, Some(9))], |history| rewrite(history, 8, other.clone()));
    check(&[(Lost, Some(12))], |history| rewrite(history, 9, other.clone()));
    check(&[(Doubled, Some(13))], |history| rewrite(history, 13, payloads[8].clone()));
    check(&[(Lost, None)], |history| rewrite(history, 15, other.clone()));
    check(&[(Changed, Some(15))], |history| {
        let mut cut = payloads[14].clone();
        cut["text_so_far"] = json!("th");
        rewrite(history, 15, cut);
    });
    check(&[(Untrue, Some(15))], |history| {
        let mut cut = payloads[14].clone();
        cut["outcome"] = json!("failed");
        rewrite(history, 15, cut);
    });
}

#[test]
fn a_large_text_stands_as_its_beginning_and_its_length() {
    let digest = "0".repeat(64);
    for (place, field, expected) in [(8, "text", "one two"), (15, "text_so_far", "thr")] {
        let check = |text: &str, bytes: usize, expected: &[(Kind, Option<u64>)]| {
            check(expected, |history| {
                let mut large = payloads()[place - 1].clone();
                large[field] = json!(text);
                large["blob"] = json!({"digest": digest, "bytes": bytes});
                rewrite(history, place, large);
            });
        };
        let wrong = [(Kind::Changed, Some(place as u64))];
        check(&expected[..2], expected.len(), &[]);
        check(&expected[..2], expected.len() + 1, &wrong);
        check("tw", expected.len(), &wrong);
        check("", expected.len(), &wrong);
    }
}

#[test]
fn a_stopped_worker_stays_stopped() {
    use Kind::{Lost, Untrue};

    let other = json!({"type": "diagnostic", "code": "c", "message": "m"});
    check(&[(Untrue, None), (Lost, None)], |history| rewrite(history, 17, other.clone()));
    check(&[(Untrue, Some(18))], |history| {
        history.log.push(event(18, 18, &other));
        history.seen.push(event(18, 18, &other));
    });
    check(&[(Untrue, None)], |history| history.listed[0].status = "running".to_owned());
    check(&[(Untrue, None)], |history| history.listed[0].open_approvals = 1);
}

#[test]
fn a_worker_whose_create_was_answered_is_there_once() {
    use Kind::{Doubled, Lost};

    check(&[(Lost, None), (Lost, None)], |history| history.listed.clear());
    check(&[(Doubled, None)], |history| {
        history.listed.push(Listed { worker: "wrk_2".to_owned(), ..history.listed[0].clone() });
    });
}

#[test]
fn a_log_that_was_read_before_stays_what_it_was() {
    let mut before = Reading::new(WORKER);
    before.read(&log_of(&payloads()));
    let mut changed = payloads();
    changed[6]["text"] = json!("too");
    changed.pop();
    let mut now = Reading::new(WORKER);
    now.read(&log_of(&changed));
    let found: Vec<_> = now.continues(&before).iter().map(|finding| (finding.kind, finding.seq)).collect();
    assert_eq!(found, [(Kind::Changed, Some(7)), (Kind::Lost, Some(17))]);
    assert_eq!(before.continues(&now).len(), 1, "what is new is no finding, what changed is");
}

#[test]
fn the_runtime_counts_what_the_list_shows() {
    let listed = good().listed;
    let counts = |active: u64, stopped: u64| json!({"worker_count": 1, "active_worker_count": active, "stopped_worker_count": stopped, "cancelled_worker_count": 0});
    assert_eq!(agrees_with_counts(&listed, &counts(0, 1)), None);
    assert_eq!(agrees_with_counts(&listed, &counts(1, 0)).unwrap().kind, Kind::Untrue);
}
