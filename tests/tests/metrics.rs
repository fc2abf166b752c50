//! The figures of a running server, as Prometheus gets them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;

use bytes::Bytes;
use hyper::Method;
use musher_e2e::{Client, Home};
use musher_protocol::{Envelope, Payload, TurnId, Usage};
use serde_json::json;

const CONFIG: &str = "[store]\nurl = \"sqlite:store\"\n[runtime]\ndefault_profile = \"work\"\n\
                      [profiles.work]\nbackend = \"scripted\"\nscript = \"work.json\"\nmodel = \"m\"\n\
                      approval = { mode = \"ask\" }\non_restart = \"wait\"\n";

/// One turn that uses something, one that asks, and one whose cost would come at its end.
const SCRIPT: &str = r#"{"turns": [
    {"match": "long", "steps": [{"text": "well"}, {"usage": {"input_tokens": 100, "output_tokens": 30,
      "reasoning_tokens": 0, "cost_follows": true}}, {"hang": true}]},
    {"match": "ask", "steps": [{"approval": {"tool": "shell", "input": {"command": "make"}}}]},
    {"match": ".", "steps": [{"text": "done"}, {"usage": {"input_tokens": 10, "output_tokens": 3,
      "total_cost_usd": 0.25, "cost_source": "estimated"}}]}]}"#;

/// The values by name and labels.
async fn figures(client: &Client) -> BTreeMap<String, f64> {
    let (status, body) = client.try_bytes(Method::GET, "/metrics", &[], Bytes::new()).await.unwrap();
    assert_eq!(status, 200);
    let text = String::from_utf8(body.to_vec()).unwrap();
    assert!(text.ends_with("# EOF\n"), "{text}");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let value = |line: &str| {
        let (name, value) = line.rsplit_once(' ').unwrap();
        (name.to_owned(), value.parse().unwrap())
    };
    lines.map(value).collect()
}

/// Of these figures, those that begin with this.
fn named<'a>(figures: &'a BTreeMap<String, f64>, name: &str) -> Vec<(&'a str, f64)> {
    let wanted = figures.iter().filter(|(key, _)| key.starts_with(name));
    wanted.map(|(key, value)| (key.strip_prefix(name).unwrap(), *value)).collect()
}

#[tokio::test]
async fn figures_follow_what_workers_do_also_over_a_restart() {
    let home = Home::new(CONFIG);
    std::fs::write(home.path().join("work.json"), SCRIPT).unwrap();
    let server = home.start().await;
    let client = server.client();
    let create = async || client.create(&json!({"intent": {"kind": "assistant"}})).await;
    let (asks, works, goes) = (create().await, create().await, create().await);
    client.say(&works, "work").await;
    client.idle(&works).await;
    let mut stream = client.observe(&asks).await;
    client.say(&asks, "ask").await;
    stream.until(|payload| matches!(payload, Payload::ApprovalRequested(_))).await;
    let stopped = client.post(&format!("/v1/workers/{goes}/stop"), &json!({})).await;
    assert_eq!(stopped.status, 200);

    let seen = figures(&client).await;
    let workers = |states: &[(&'static str, f64)]| -> Vec<(String, f64)> {
        states.iter().map(|(state, n)| (format!("{{backend=\"scripted\",state=\"{state}\"}}"), *n)).collect()
    };
    let told = |seen: &BTreeMap<String, f64>| -> Vec<(String, f64)> {
        let all = named(seen, "musher_workers").into_iter().filter(|(_, n)| *n != 0.0);
        all.map(|(labels, n)| (labels.to_owned(), n)).collect()
    };
    assert_eq!(told(&seen), workers(&[("idle", 1.0), ("stopped", 1.0), ("waiting", 1.0)]));
    let expected = [
        ("_total{backend=\"scripted\",model=\"m\",type=\"input\"}", 10.0),
        ("_total{backend=\"scripted\",model=\"m\",type=\"output\"}", 3.0),
    ];
    assert_eq!(named(&seen, "musher_tokens"), expected);
    let cost = [("_total{backend=\"scripted\",model=\"m\",source=\"estimated\"}", 0.25)];
    assert_eq!(named(&seen, "musher_cost_usd"), cost);
    let turns = "musher_turn_duration_seconds_count";
    assert_eq!(named(&seen, turns), [("{backend=\"scripted\",outcome=\"completed\"}", 1.0)]);
    assert_eq!(named(&seen, "musher_approvals_pending"), [("", 1.0)]);
    assert_eq!(named(&seen, "musher_subscribers"), [("{transport=\"websocket\"}", 1.0)]);
    let events: usize =
        client.log(&asks).await.len() + client.log(&works).await.len() + client.log(&goes).await.len();
    assert_eq!(named(&seen, "musher_events_appended"), [("_total", events as f64)]);
    assert!(
        seen["musher_event_commit_seconds_count"] > 3.0 && seen["musher_store_bytes"] > 4096.0,
        "{seen:?}"
    );
    let created = named(&seen, "musher_http_requests_total{route=\"/v1/workers\"");
    assert_eq!(created, [(",method=\"POST\",status=\"200\"}", 3.0)]);

    let nobody = server.client_with(None);
    assert_eq!(nobody.get("/metrics").await.error(), (401, "unauthorized"));
    let refused = named(&figures(&client).await, "musher_auth_failures_total")
        .into_iter()
        .map(|(labels, n)| (labels.to_owned(), n))
        .collect::<Vec<_>>();
    assert_eq!(refused, [("{reason=\"unauthorized\"}".to_owned(), 1.0)]);

    server.kill().await;
    let server = home.start().await;
    let client = server.client();
    client.idle(&asks).await;
    let seen = figures(&client).await;
    // The approval went with the server.
    let counted: f64 = told(&seen).iter().map(|(_, n)| n).sum();
    assert_eq!((counted, seen["musher_approvals_pending"]), (3.0, 0.0), "{:?}", told(&seen));
    let deleted = client.send(Method::DELETE, &format!("/v1/workers/{goes}"), &[], Bytes::new()).await;
    assert_eq!(deleted.status, 204);
    let seen = figures(&client).await;
    assert!(!told(&seen).iter().any(|(labels, _)| labels.contains("stopped")), "{:?}", told(&seen));
}

/// The sum of what was used, of all turns or of one.
fn used(log: &[Envelope], turn: Option<&TurnId>) -> Usage {
    let mut sum = Usage::zero();
    for event in log {
        let Payload::Usage { turn_id, .. } = &event.payload else { continue };
        if turn.is_none_or(|turn| turn == turn_id) {
            sum.add(&event.payload.increment().unwrap());
        }
    }
    sum
}

/// What the worker's detail says was used.
async fn usage_of(client: &Client, worker: &str) -> Usage {
    let detail = client.get(&format!("/v1/workers/{worker}")).await.good()["worker"].clone();
    assert_eq!(detail["outcome"]["usage"], detail["usage"], "{detail}");
    serde_json::from_value(detail["usage"].clone()).unwrap()
}

#[tokio::test]
async fn what_was_used_is_the_same_wherever_it_is_told_also_after_a_kill() {
    let home = Home::new(CONFIG);
    std::fs::write(home.path().join("work.json"), SCRIPT).unwrap();
    let server = home.start().await;
    let client = server.client();
    let worker = client.create(&json!({"intent": {"kind": "assistant"}})).await;
    client.say(&worker, "work").await;
    client.idle(&worker).await;
    let mut stream = client.observe(&worker).await;
    client.say(&worker, "long").await;
    stream.until(|payload| matches!(payload, Payload::Usage { .. })).await;
    let running = usage_of(&client, &worker).await;
    assert_eq!(
        (running.total_cost_usd, running.known_cost_usd, running.cost_follows),
        (None, Some(0.25), true)
    );
    let first = figures(&client).await;
    server.kill().await;

    let server = home.start().await;
    let client = server.client();
    assert_eq!(usage_of(&client, &worker).await, used(&client.log(&worker).await, None));
    client.say(&worker, "work").await;
    client.idle(&worker).await;
    let log = client.log(&worker).await;
    let turns = log.iter().filter_map(|event| {
        let Payload::TurnFinished(finished) = &event.payload else { return None };
        assert_eq!(finished.usage, used(&log, Some(&finished.turn_id)));
        Some((finished.usage.input_tokens, finished.usage.total_cost_usd, finished.usage.known_cost_usd))
    });
    let expected = [(Some(10), Some(0.25), None), (Some(100), None, Some(0.0)), (Some(10), Some(0.25), None)];
    assert_eq!(turns.collect::<Vec<_>>(), expected);
    let usage = usage_of(&client, &worker).await;
    assert_eq!(usage, used(&log, None));
    assert_eq!(
        (usage.input_tokens, usage.total_cost_usd, usage.known_cost_usd),
        (Some(120), None, Some(0.5))
    );
    // Each life counts what it saw; together that is what is known.
    let second = figures(&client).await;
    let input = "musher_tokens_total{backend=\"scripted\",model=\"m\",type=\"input\"}";
    let cost = "musher_cost_usd_total{backend=\"scripted\",model=\"m\",source=\"estimated\"}";
    assert_eq!((first[input], second[input]), (110.0, 10.0));
    assert_eq!((first[cost], second[cost]), (0.25, 0.25));
}
