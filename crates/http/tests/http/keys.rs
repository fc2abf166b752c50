//! Requests under an `Idempotency-Key`.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    task::Poll,
};

use musher_core::{CommandOptions, Error, MemoryStore};
use musher_protocol::{Actor, ErrorCode, WorkerId, WorkerListReply};
use serde_json::json;
use tokio::task::{JoinSet, yield_now};

use crate::{
    bundles,
    client::{Ask, Client, Reply, receive},
    store::Fragile,
    world::{DRIVES, World, builder, options, runtime, within},
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

    let input = under("k", format!("{here}/input"), r#"{"kind":"user","content":"hi"}"#);
    let said = client.ask(input.clone()).await.ok();

    check_repeats(&client, under("k", format!("{here}/interrupt"), "")).await;
    check_repeats(&client, under("k", format!("{here}/stop"), r#"{"grace_secs":1}"#)).await;
    check_repeats(&client, under("k", format!("{here}/cancel"), r#"{"reason":"late"}"#)).await;
    let other = client.ask(under("k", format!("{here}/cancel"), "")).await;
    assert_eq!(other.error(), ErrorCode::IdempotencyMismatch);

    // An input's ack is the first one too, also from a worker that takes none any more; it says so itself.
    let first = said.body.replace(r#""duplicate":false"#, r#""duplicate":true"#);
    assert_eq!(client.ask(input).await.ok().body, first);

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
    let stopped = world.worker_id().await;
    client.ask(Ask::post(format!("/v1/workers/{stopped}/stop"), "")).await.ok();
    let bundle = format!(r#"{{"bundle":{}}}"#, bundles::revision("1"));
    for (target, body) in [
        ("/v1/workers".to_owned(), r#"{"intent":{"kind":"assistant"}}"#),
        ("/v1/config-bundles".to_owned(), bundle.as_str()),
        (format!("/v1/workers/{worker}/interrupt"), ""),
        (format!("/v1/workers/{worker}/stop"), ""),
        (format!("/v1/workers/{stopped}/stop"), ""),
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

#[tokio::test]
async fn a_bundle_whose_caller_has_gone_keeps_its_key_in_use_until_it_is_stored() {
    let (store, faults) = Fragile::new();
    let runtime = runtime(store).await;
    let options =
        CommandOptions { by: Actor::rule("test"), idempotency_key: Some("k".parse().expect("a key")) };
    let post = |revision: &str| {
        let (runtime, options, bundle) = (runtime.clone(), options.clone(), bundles::revision(revision));
        async move { runtime.store_config_bundle_with(&bundle, options).await }
    };
    let held = faults.hold().await;
    let mut gone = JoinSet::new();
    gone.spawn(post("1"));
    faults.is_held().await;
    gone.shutdown().await;
    let meanwhile = post("2").await;
    assert!(matches!(meanwhile, Err(Error::KeyInFlight(_))), "{meanwhile:?}");
    drop(held);
    let other = within(async {
        loop {
            match post("2").await {
                Err(Error::KeyInFlight(_)) => yield_now().await,
                answer => return answer,
            }
        }
    });
    let other = other.await;
    assert!(matches!(other, Err(Error::KeyReused(_))), "{other:?}");
    let stored = post("1").await.expect("the first answer");
    assert!(stored.is_replayed);
    assert_eq!(runtime.list_config_bundles().await.expect("a list"), [stored.reply]);
}

#[tokio::test]
async fn a_bundle_is_never_stored_without_its_key() {
    let (store, faults) = Fragile::new();
    let world = World::over(runtime(store).await, options()).await;
    let client = world.client();
    let post = |revision| {
        let body = format!(r#"{{"bundle":{}}}"#, bundles::revision(revision));
        under("k", "/v1/config-bundles", body)
    };
    // What is written beside a commit finds no space.
    faults.exhaust();
    check_repeats(&client, post("1")).await;
    assert_eq!(client.ask(post("2")).await.error(), ErrorCode::IdempotencyMismatch);
    world.end().await;
}

#[tokio::test]
async fn on_a_full_disk_only_what_ends_something_is_done_under_a_key() {
    let (store, faults) = Fragile::new();
    let world = World::over(runtime(store).await, options()).await;
    let client = world.client();
    let [first, second] = [world.worker_id().await, world.worker_id().await];
    let at = |worker: &WorkerId, command: &str| format!("/v1/workers/{worker}/{command}");
    faults.fill();
    let (stop, cancel) = (at(&first, "stop"), at(&second, "cancel"));
    check_repeats(&client, under("k", &stop, "")).await;
    check_repeats(&client, under("k", &cancel, "")).await;
    let third = {
        faults.relieve();
        let worker = world.worker_id().await;
        faults.fill();
        worker
    };
    let bundle = bundles::good().with("idempotency-key", "k");
    assert_eq!(client.ask(bundle.clone()).await.error(), ErrorCode::StoreFull);
    // Nothing is ended by these. Not to remember them would let a repetition end something, but for what has ended.
    let nothing = at(&third, "interrupt");
    assert_eq!(client.ask(under("k2", &nothing, "")).await.error(), ErrorCode::StoreFull);
    client.ask(Ask::post(&nothing, "")).await.ok();
    for ended in [&stop, &cancel] {
        let plain = client.ask(Ask::post(ended, "")).await.ok();
        let keyed = client.ask(under("k2", ended, "")).await.ok();
        assert_eq!((keyed.header(REPLAYED), &keyed.body), (None, &plain.body), "{ended}");
    }
    faults.relieve();
    for target in [&nothing, &stop, &cancel] {
        check_repeats(&client, under("k2", target, "")).await;
    }
    check_repeats(&client, bundle).await;
    world.end().await;
}

#[tokio::test]
async fn a_key_that_finds_no_space_holds_nothing_up() {
    let (store, faults) = Fragile::new();
    let world = World::over(runtime(store).await, options()).await;
    let client = world.client();
    let worker = world.worker_id().await;
    let here = format!("/v1/workers/{worker}/interrupt");
    faults.exhaust();
    assert_eq!(client.ask(under("k", &here, "")).await.error(), ErrorCode::StoreFull);
    client.ask(Ask::post(&here, "")).await.ok();
    check_repeats(&client, under("k", format!("/v1/workers/{worker}/stop"), "")).await;
    faults.relieve();
    let other = client.ask(under("k", &here, r#"{"reason":"late"}"#)).await;
    assert_eq!(other.error(), ErrorCode::InvalidRequest, "the key is as if it had not been used");
    world.end().await;
}

#[tokio::test]
async fn a_worker_that_has_ended_answers_under_new_keys_on_a_full_disk() {
    let (store, faults) = Fragile::new();
    let world = World::over(runtime(store).await, options()).await;
    let client = world.client();
    let here = format!("/v1/workers/{}", world.worker_id().await);
    let first = client.ask(Ask::post(format!("{here}/stop"), "")).await.ok();
    // Without a word of the store's before, then with it.
    faults.exhaust();
    for key in ["a", "b"] {
        for end in ["stop", "cancel"] {
            let again = client.ask(under(key, format!("{here}/{end}"), "")).await.ok();
            assert_eq!((again.header(REPLAYED), &again.body), (None, &first.body), "{key} {end}");
        }
        faults.fill();
    }
    world.end().await;
}

#[tokio::test]
async fn a_stop_that_joins_another_is_answered_on_a_full_disk() {
    let (store, faults) = Fragile::new();
    let runtime = runtime(store).await;
    let world = World::over(runtime.clone(), options()).await;
    let stop = |worker: &WorkerId, key: &str| {
        let options =
            CommandOptions { by: Actor::rule("test"), idempotency_key: Some(key.parse().expect("a key")) };
        let (runtime, worker) = (runtime.clone(), worker.clone());
        Box::pin(async move { runtime.stop_worker_with(&worker, None, None, options).await })
    };
    // The first ends at once, the second with its session.
    for worker in [world.worker_id().await, world.asking("ask").await.0] {
        let held = faults.hold().await;
        let [mut first, mut second, mut third] = ["a", "b", "c"].map(|key| stop(&worker, key));
        assert!(waits(&mut first).await);
        faults.is_held().await;
        // Without a word of the store's before, then with it.
        faults.exhaust();
        assert!(waits(&mut second).await);
        yield_now().await;
        faults.fill();
        assert!(waits(&mut third).await);
        drop(held);
        let first = within(first).await.expect("an ack");
        for joined in [second, third, stop(&worker, "c")] {
            assert_eq!(within(joined).await.expect("an ack"), first);
        }
        faults.relieve();
    }
    world.end().await;
}

/// Begins to wait for something, and says whether there is anything to wait for.
async fn waits(asked: &mut (impl Future + Unpin)) -> bool {
    poll_fn(|context| Poll::Ready(Pin::new(&mut *asked).poll(context).is_pending())).await
}

#[tokio::test]
async fn a_token_that_has_used_its_keys_up_is_told_when_there_are_some_again() {
    let runtime = builder(MemoryStore::new()).max_keys_per_token(1).start().await.expect("a runtime");
    let world = World::over(runtime, options()).await;
    let client = world.client();
    let here = format!("/v1/workers/{}/interrupt", world.worker_id().await);
    check_repeats(&client, under("a", &here, "")).await;
    let refused = client.ask(under("b", &here, "")).await;
    assert_eq!(
        (refused.error(), refused.json()["error"]["limit"].clone()),
        (ErrorCode::Overloaded, json!(1))
    );
    let wait: u64 = refused.header("retry-after").and_then(|wait| wait.parse().ok()).expect("a number");
    // A day from the first key on, and the time until it is looked after; the test itself takes a few seconds.
    assert!((86_400..=86_460).contains(&wait), "{wait}");
    world.end().await;
}
