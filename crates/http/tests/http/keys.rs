//! Requests under an `Idempotency-Key`.

use musher_protocol::{ErrorCode, WorkerListReply};
use serde_json::json;

use crate::{
    client::{Ask, Client, Reply, receive},
    store::Fragile,
    world::{DRIVES, World, options, runtime},
};

const REPLAYED: &str = "idempotency-replayed";

fn under(key: &str, target: impl Into<String>, body: impl Into<Vec<u8>>) -> Ask {
    Ask::post(target, body).with("idempotency-key", key)
}

/// The answer of the first request comes again, to the byte, and says so.
async fn check_repeats(client: &Client, ask: Ask) -> Reply {
    let first = client.ask(ask.clone()).await.ok();
    let again = client.ask(ask).await.ok();
    assert_eq!((first.header(REPLAYED), again.header(REPLAYED)), (None, Some("true")));
    assert_eq!((&first.body, first.header("location")), (&again.body, again.header("location")));
    first
}

#[tokio::test]
async fn every_post_is_done_once_under_its_key() {
    let world = World::new().await;
    let client = world.client();
    let create = r#"{"intent":{"kind":"assistant","purpose":"p"},"labels":{"a":"1","b":"2"}}"#;
    let created = check_repeats(&client, under("k", "/v1/workers", create)).await;
    let worker = created.json()["worker"]["worker_id"].as_str().expect("an id").to_owned();
    let here = format!("/v1/workers/{worker}");

    let same = r#"{ "labels": {"b":"2", "a":"1"}, "intent": {"purpose":"p", "kind":"assistant"} }"#;
    assert_eq!(client.ask(under("k", "/v1/workers", same)).await.ok().body, created.body);
    let other = client.ask(under("k", "/v1/workers", r#"{"intent":{"kind":"assistant"}}"#)).await;
    assert_eq!(other.error(), ErrorCode::IdempotencyMismatch);
    let holder = Client::new(world.address, Some(DRIVES));
    let others = holder.ask(under("k", "/v1/workers", create)).await.ok();
    assert_ne!(others.json()["worker"]["worker_id"], json!(worker));

    check_repeats(&client, under("k", format!("{here}/interrupt"), "")).await;
    check_repeats(&client, under("k", format!("{here}/stop"), r#"{"grace_secs":1}"#)).await;
    check_repeats(&client, under("k", format!("{here}/cancel"), r#"{"reason":"late"}"#)).await;
    let other = client.ask(under("k", format!("{here}/cancel"), "")).await;
    assert_eq!(other.error(), ErrorCode::IdempotencyMismatch);

    let (_, approval) = world.asking("ask").await;
    let decided = check_repeats(&client, under("k", &approval, r#"{"decision":"allow"}"#)).await;
    assert_eq!(decided.json()["duplicate"], json!(false));
    let repeated = check_repeats(&client, under("k2", &approval, r#"{"decision":"allow"}"#)).await;
    assert_eq!(repeated.json()["duplicate"], json!(true));
    let other = client.ask(under("k", &approval, r#"{"decision":"deny"}"#)).await;
    assert_eq!(other.error(), ErrorCode::IdempotencyMismatch);

    let WorkerListReply { workers, .. } = client.get("/v1/workers").await.read();
    assert_eq!(workers.len(), 3);
}

#[tokio::test]
async fn a_request_whose_first_is_not_answered_yet_is_in_flight() {
    let (store, faults) = Fragile::new();
    let world = World::over(runtime(store).await, options()).await;
    let client = world.client();
    let worker = world.worker_id().await;
    for (target, body) in [
        ("/v1/workers".to_owned(), r#"{"intent":{"kind":"assistant"}}"#),
        (format!("/v1/workers/{worker}/stop"), ""),
    ] {
        let held = faults.hold().await;
        let mut first = client.send(under("k", &target, body)).await;
        faults.is_held().await;
        let meanwhile = client.ask(under("k", &target, body)).await;
        assert_eq!(meanwhile.error(), ErrorCode::IdempotencyInFlight);
        drop(held);
        let first = receive(&mut first).await.ok();
        assert_eq!(client.ask(under("k", &target, body)).await.ok().body, first.body);
    }
}
