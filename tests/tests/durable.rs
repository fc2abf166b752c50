//! The binary over its store: what a second life of it finds, and who may look.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::Path;

use bytes::Bytes;
use hyper::Method;
use musher_e2e::{Answer, Client, Finished, Home, musher};
use musher_protocol::{Envelope, Payload};
use serde_json::{Value, json};

const SLOW: &str = "[store]\nurl = \"sqlite:store\"\n[runtime]\ndefault_profile = \"slow\"\n\
                    [profiles.slow]\nbackend = \"scripted\"\nscript = \"echo\"\nword_delay_ms = 20\n";

/// What a worker says for longer than any test takes to kill its server.
fn long(word: &str) -> String {
    format!("{word} ").repeat(5000)
}

fn types(events: &[Envelope]) -> Vec<&'static str> {
    events.iter().map(|event| event.payload.type_name()).filter(|name| !name.ends_with("_delta")).collect()
}

async fn assistant(client: &Client) -> String {
    client.create(&json!({"intent": {"kind": "assistant"}})).await
}

async fn sql(home: &Path, query: &str) -> Vec<Value> {
    let store = format!("sqlite:{}", home.join("store").display());
    let asked = Finished::of(musher(home).args(["sql", "--json", "--store", &store, query])).await;
    assert_eq!((asked.code, asked.stderr.as_str()), (Some(0), ""), "{query}");
    asked.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn a_killed_server_comes_back_with_the_truth_and_its_readers_go_on() {
    let home = Home::new(SLOW);
    let server = home.start().await;
    let client = server.client();
    let worker = assistant(&client).await;
    let mut stream = client.observe(&worker).await;
    stream.snapshot().await;
    let ack = client.say(&worker, &long("word")).await;
    stream.until(|payload| matches!(payload, Payload::TextDelta { .. })).await;
    let runtime = client.get("/v1/runtime").await.good()["runtime"]["runtime_id"].clone();
    server.kill().await;

    let server = home.start().await;
    let client = server.client();
    assert_eq!(client.get("/v1/runtime").await.good()["runtime"]["runtime_id"], runtime);
    let log = client.log(&worker).await;
    let seen = &stream.seen;
    let first = usize::try_from(seen[0].seq).unwrap() - 1;
    assert_eq!(log[first..first + seen.len()], seen[..], "what was seen is there, as it was seen");
    let cut = log.iter().position(|event| event.payload.type_name() == "turn_finished").unwrap();
    let truth = ["turn_finished", "session_ended", "input_accepted", "input_delivered", "system_item"];
    assert_eq!(types(&log[cut..cut + truth.len()]), truth);
    let after = format!("?cursor={}", seen.last().unwrap().cursor);
    let mut again = client.observe_from(&worker, &after).await;
    again.snapshot().await;
    again.until(|payload| matches!(payload, Payload::SystemItem { .. })).await;
    let next = seen.last().unwrap().seq + 1;
    let expected: Vec<_> = (next..next + again.seen.len() as u64).collect();
    assert_eq!(again.seen.iter().map(|event| event.seq).collect::<Vec<_>>(), expected);
    let repeated = client.say_with(&worker, &long("word"), ack["input_id"].as_str().unwrap()).await;
    assert_eq!((&repeated["duplicate"], &repeated["event_id"]), (&json!(true), &ack["event_id"]));
}

/// Asks for something, always under the same key.
async fn once(client: &Client, path: &str, body: &Value) -> Answer {
    let headers = [("idempotency-key", "k"), ("content-type", "application/json")];
    client.send(Method::POST, path, &headers, body.to_string().into()).await
}

#[tokio::test]
async fn what_was_done_under_a_key_is_not_done_again_after_a_kill() {
    let home = Home::new(&SLOW.replace("[runtime]\n", "[runtime]\nmax_keys_per_token = 2\n"));
    let server = home.start().await;
    let client = server.client();
    let create = json!({"intent": {"kind": "task", "objective": long("word")}});
    let created = once(&client, "/v1/workers", &create).await.good();
    let worker = created["worker"]["worker_id"].as_str().unwrap();
    let interrupt = format!("/v1/workers/{worker}/interrupt");
    let reason = json!({"reason": "enough"});
    let interrupted = once(&client, &interrupt, &reason).await.good();
    client.say(worker, &long("more")).await;
    server.kill().await;

    let server = home.start().await;
    let client = server.client();
    assert_eq!(once(&client, "/v1/workers", &create).await.good(), created);
    assert_eq!(once(&client, &interrupt, &reason).await.good(), interrupted);
    assert_eq!(client.get("/v1/runtime").await.good()["runtime"]["worker_count"], 1);
    let log = client.log(worker).await;
    let of = |name| log.iter().filter(|event| event.payload.type_name() == name).count();
    assert_eq!((of("worker_created"), of("interrupt_requested")), (1, 1));
    let other = once(&client, "/v1/workers", &json!({"intent": {"kind": "assistant"}})).await;
    assert_eq!(other.error(), (422, "idempotency_mismatch"));
    let third =
        once(&client, &format!("/v1/workers/{worker}/limits"), &json!({"limits": {"turns": 9}})).await;
    assert_eq!(third.error(), (429, "overloaded"));
}

#[tokio::test]
async fn a_server_that_was_asked_to_end_goes_on_at_its_next_start() {
    let home = Home::new(SLOW);
    let server = home.start().await;
    let client = server.client();
    let worker = assistant(&client).await;
    let mut stream = client.observe(&worker).await;
    client.say(&worker, &long("word")).await;
    client.say(&worker, "second").await;
    stream.until(|payload| matches!(payload, Payload::TextDelta { .. })).await;
    assert_eq!(server.terminate().await.code, Some(0));

    let server = home.start().await;
    let client = server.client();
    let detail = client.idle(&worker).await;
    assert_eq!(detail["outcome"]["text"], "second", "{detail}");
    let log = client.log(&worker).await;
    let outcomes: Vec<_> = log
        .iter()
        .filter_map(|event| {
            let Payload::TurnFinished(finished) = &event.payload else { return None };
            Some(finished.error.as_ref().map_or("none", |error| error.code.as_str()))
        })
        .collect();
    assert_eq!(outcomes, ["restarted", "none", "none"], "cut off, told, and then the second input");
}

#[tokio::test]
async fn a_directory_has_one_server_and_anybody_who_asks_in_sql() {
    let home = Home::new(SLOW);
    let server = home.start().await;
    let client = server.client();
    let worker = assistant(&client).await;
    client.say(&worker, "hello").await;
    client.idle(&worker).await;

    let refused = home.try_start().await.unwrap_err();
    let holder = format!("in use by process {}", server.pid());
    assert_eq!(refused.code, Some(1), "{}", refused.stderr);
    assert!(refused.stderr.contains(&holder), "{}", refused.stderr);

    let said = sql(home.path(), "SELECT role, content FROM transcript ORDER BY sequence").await;
    let expected =
        [json!({"role": "user", "content": "hello"}), json!({"role": "assistant", "content": "hello"})];
    assert_eq!(said, expected);
    let store = format!("sqlite:{}", home.path().join("store").display());
    let harm =
        musher(home.path()).args(["sql", "--store", &store, "DELETE FROM stored_event"]).output().await;
    assert_eq!(harm.unwrap().status.code(), Some(2));
    let nowhere =
        Finished::of(musher(home.path()).args(["sql", "--store", "sqlite:nowhere", "SELECT 1"])).await;
    assert_eq!(nowhere.code, Some(2));
    assert!(nowhere.stderr.contains("name one with --store"), "{}", nowhere.stderr);

    let stopped = client.post(&format!("/v1/workers/{worker}/stop"), &json!({})).await;
    assert_eq!(stopped.status, 200, "{}", stopped.body);
    let path = format!("/v1/workers/{worker}");
    let deleted = client.send(Method::DELETE, &path, &[], Bytes::new()).await;
    assert_eq!((deleted.status, client.get(&path).await.error()), (204, (404, "worker_not_found")));
    assert_eq!(sql(home.path(), "SELECT * FROM workers").await, Vec::<Value>::new());
}

#[tokio::test]
async fn a_raised_limit_lets_a_worker_go_on_and_holds_in_the_next_life() {
    let home = Home::new(&SLOW.replace("word_delay_ms = 20\n", "limits = { turns = 1 }\n"));
    let server = home.start().await;
    let client = server.client();
    let worker = assistant(&client).await;
    client.say(&worker, "first").await;
    client.idle(&worker).await;
    let (say, raise) = (format!("/v1/workers/{worker}/input"), format!("/v1/workers/{worker}/limits"));
    let second = json!({"kind": "user", "content": "second"});
    assert_eq!(client.post(&say, &second).await.error(), (409, "worker_execution_rejected"));

    let lowered = client.post(&raise, &json!({"limits": {"turns": 2, "cost_usd": 1.0}})).await;
    assert_eq!(lowered.error(), (400, "invalid_request"));
    assert_eq!(lowered.body["error"]["field"], "/limits/cost_usd", "{}", lowered.body);
    assert_eq!(client.post(&raise, &json!({"limits": {}})).await.error(), (400, "invalid_request"));
    let to_two = json!({"limits": {"turns": 2}, "actor": "jo"});
    let headers = [("content-type", "application/json"), ("idempotency-key", "once")];
    let raised = client.send(Method::POST, &raise, &headers, to_two.to_string().into()).await.good();
    assert_eq!(raised["worker"]["limits"]["turns"], 2);
    assert_eq!(client.post(&raise, &json!({"limits": {"turns": 3}})).await.status, 200);
    server.kill().await;

    let server = home.start().await;
    let client = server.client();
    assert_eq!(client.post(&say, &second).await.status, 200);
    let detail = client.idle(&worker).await;
    assert_eq!((&detail["outcome"]["text"], &detail["limits"]["turns"]), (&json!("second"), &json!(3)));
    // Under its key a repeat raises nothing and gets the first answer; without one it would lower the limit.
    let repeated = client.send(Method::POST, &raise, &headers, to_two.to_string().into()).await.good();
    assert_eq!(repeated, raised);
    assert_eq!(client.post(&raise, &to_two).await.error(), (400, "invalid_request"));
    let log = client.log(&worker).await;
    let raises = log.iter().filter(|event| event.payload.type_name() == "limits_raised");
    let raises: Vec<_> = raises.map(|event| serde_json::to_value(&event.payload).unwrap()).collect();
    let raise = |turns, by| json!({"type": "limits_raised", "limits": {"turns": turns}, "by": by});
    let expected = [raise(2, json!({"token": "admin", "actor": "jo"})), raise(3, json!({"token": "admin"}))];
    assert_eq!(raises, expected);
}
