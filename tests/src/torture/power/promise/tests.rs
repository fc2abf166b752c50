use serde_json::json;

use super::*;

fn event(seq: u64, payload: &Value) -> Value {
    json!({"seq": seq, "event_id": format!("evt_{seq}"), "worker_id": "w", "cursor": "c", "payload": payload})
}

fn accepted(input: &str) -> Value {
    json!({"type": "input_accepted", "input_id": input})
}

fn log() -> Vec<Value> {
    vec![
        event(1, &json!({"type": "worker_created"})),
        event(2, &accepted("i1")),
        event(3, &json!({"type": "user_message", "input_id": "i1"})),
        event(4, &json!({"type": "text_delta", "text": "hi"})),
    ]
}

fn promises() -> Vec<Promise> {
    let page = json!({"events": log(), "has_more": false});
    let ack = json!({"ack": {"worker_ref": {"worker_id": "w"}, "event_id": "evt_2", "input_id": "i1"}});
    let stop = json!({"ack": {"worker_ref": {"worker_id": "w"}, "event_id": "evt_3"}});
    let worker = json!({"worker": {"worker_id": "w", "last_event_id": "evt_4"}});
    [page, ack, stop, worker].iter().flat_map(Promise::of_reply).collect()
}

fn check(change: impl FnOnce(&mut Vec<Value>)) -> Vec<String> {
    let mut log = log();
    change(&mut log);
    broken(&promises(), &Logs::from([("w".to_owned(), Some(log))]))
}

#[test]
fn replies_and_frames_promise_what_they_show() {
    let worker = || "w".to_owned();
    let named = |event: &str| Promise::Named { worker: worker(), event: event.to_owned() };
    let promises = promises();
    assert_eq!(promises.len(), 4 + 1 + 1 + 2);
    assert_eq!(
        promises[1],
        Promise::Event {
            worker: worker(),
            seq: 2,
            event: "evt_2".to_owned(),
            payload: accepted("i1").to_string(),
        }
    );
    let input = Promise::Input { worker: worker(), input: "i1".to_owned(), event: "evt_2".to_owned() };
    assert_eq!(promises[4..], [input, named("evt_3"), Promise::Worker { worker: worker() }, named("evt_4")]);

    let frame = json!({"kind": "event", "envelope": event(1, &json!({"type": "worker_created"}))});
    assert_eq!(Promise::of_frame(&frame), promises[..1]);
    let snapshot = json!({"type": "snapshot", "entries": [{"event_id": "evt_3"}]});
    assert_eq!(Promise::of_frame(&json!({"envelope": event(9, &snapshot)})), [named("evt_3")]);
    assert_eq!(Promise::of_frame(&json!({"kind": "diagnostic"})), []);
    assert_eq!(Promise::of_reply(&json!({"runtime": {"worker_count": 1}})), []);
}

#[test]
fn a_log_that_went_on_keeps_all_promises() {
    assert_eq!(check(|_log| {}), Vec::<String>::new());
    assert_eq!(check(|log| log.push(event(5, &json!({"type": "turn_finished"})))), Vec::<String>::new());
}

#[test]
fn every_kind_of_broken_promise_is_found() {
    /// A name, what is done to the log, and what is found.
    type Case<'a> = (&'a str, fn(&mut Vec<Value>), &'a [&'a str]);
    let cases: [Case<'_>; 7] = [
        (
            "the last event is lost",
            |log| drop(log.pop()),
            &["w: event 4 (evt_4) was seen and is lost", "w: event evt_4 was named and is lost"],
        ),
        (
            "a changed payload",
            |log| log[3]["payload"]["text"] = json!("ha"),
            &[r#"w: event 4 was {"text":"hi","type":"text_delta"} and is {"text":"ha","type":"text_delta"}"#],
        ),
        (
            "an event under another id",
            |log| log[3]["event_id"] = json!("evt_9"),
            &[r#"w: event 4 was evt_4 and is "evt_9""#, "w: event evt_4 was named and is lost"],
        ),
        (
            "a gap",
            |log| drop(log.remove(0)),
            &["w: event 2 stands where event 1 should", "w: event 1 (evt_1) was seen and is lost"],
        ),
        (
            "a doubled event",
            |log| log.push(json!({"seq": 5, "event_id": "evt_4", "payload": {}})),
            &["w: event evt_4 is there twice"],
        ),
        (
            "an input that is accepted and run twice",
            |log| {
                log.push(event(5, &accepted("i1")));
                log.push(event(6, &json!({"type": "user_message", "input_id": "i1"})));
            },
            &["w: input i1 is accepted twice", "w: input i1 is run twice"],
        ),
        (
            "an ack of something else",
            |log| log[1]["payload"]["input_id"] = json!("i2"),
            &[
                r#"w: event 2 was {"input_id":"i1","type":"input_accepted"} and is {"input_id":"i2","type":"input_accepted"}"#,
                r#"w: input i1 was accepted by {"cursor":"c","event_id":"evt_2","payload":{"input_id":"i2","type":"input_accepted"},"seq":2,"worker_id":"w"}"#,
            ],
        ),
    ];
    for (name, change, expected) in cases {
        assert_eq!(check(change), expected, "{name}");
    }
    let lost = ["w: lost, with all that was promised of it"];
    assert_eq!(broken(&promises(), &Logs::from([("w".to_owned(), None)])), lost);
    assert_eq!(broken(&promises(), &Logs::new()), lost);
}
