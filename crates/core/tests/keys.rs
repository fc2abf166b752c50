//! Requests that are repeated under their keys, also over the end of a runtime.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod acting;

use std::{future::Future, sync::Arc, task::Poll, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;
use musher_backend::{BackendError, Launch, Link, SessionOutcome};
use musher_core::{
    Answered, Builder, CommandOptions, Error, From, KeyRecord, Limits, MemoryStore, Profile, Runtime, Store,
    UnsavedWork,
};
use musher_protocol::{
    Ack, Actor, CreateWorker, Delivery, InputKind, InputRequest, Intent, Until, WorkerDetail, WorkerId,
    WorkerLimits, WorkerStatus,
};
use serde_json::json;
use tokio::task::JoinSet;

use self::acting::{Act, Acting};

/// Far longer than anything here takes; a test that waits this long has failed.
const SOON: Duration = Duration::from_secs(60);
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// A backend that hears nothing: neither its turn nor its session ends before its time.
#[derive(Debug)]
struct Deaf;

#[async_trait]
impl Act for Deaf {
    async fn run(&self, _: Launch, link: Link) -> Result<SessionOutcome, BackendError> {
        match link.session_started("deaf-1".parse().unwrap(), false).await {
            Ok(()) => std::future::pending().await,
            Err(_closed) => Ok(SessionOutcome::crashed()),
        }
    }
}

async fn runtime(store: &Arc<dyn Store>, scratch: &tempfile::TempDir) -> Runtime {
    builder(store, scratch).start().await.unwrap()
}

fn builder(store: &Arc<dyn Store>, scratch: &tempfile::TempDir) -> Builder {
    let limits = Limits { turns: Some(5), ..Limits::default() };
    Runtime::builder_on(store.clone())
        .backend("deaf", Acting(Deaf))
        .profile("deaf", Profile { limits, ..Profile::of("deaf") })
        .scratch(scratch.path().to_owned())
}

fn store() -> Arc<dyn Store> {
    Arc::new(MemoryStore::new())
}

fn under(token: &str, key: &str) -> CommandOptions {
    let by = Actor { token: token.to_owned(), actor: None };
    CommandOptions { by, idempotency_key: Some(key.parse().unwrap()) }
}

fn named(name: &str) -> CreateWorker {
    let display_name = Some(name.to_owned());
    CreateWorker { display_name, ..CreateWorker::new(Intent::Assistant { purpose: None }) }
}

async fn n_workers(runtime: &Runtime) -> u64 {
    runtime.summary().await.unwrap().worker_count
}

/// A worker whose turn is under way.
async fn busy(runtime: &Runtime) -> WorkerId {
    let worker = runtime.create_worker(named("busy"), Actor::rule("test")).await.unwrap().worker_id;
    say(runtime, &worker, "one").await;
    worker
}

async fn say(runtime: &Runtime, worker: &WorkerId, content: &str) {
    let request = InputRequest {
        kind: InputKind::User,
        content: content.to_owned(),
        input_id: None,
        delivery: Delivery::Queue,
    };
    runtime.send_input(worker, request, Actor::rule("test")).await.unwrap();
}

/// How often something happened to a worker.
async fn count(runtime: &Runtime, worker: &WorkerId, wanted: &str) -> usize {
    let page = runtime.read_worker_events(worker, From::Cursor(None), None, 100_000).await.unwrap();
    let events = page.frames.iter().map(|frame| frame.envelope());
    let wanted = format!("\"type\":\"{wanted}\"");
    events.filter(|event| String::from_utf8_lossy(event).contains(&wanted)).count()
}

/// Asks for something, and goes on when it has happened without being answered.
async fn begun(
    runtime: &Runtime,
    worker: &WorkerId,
    asked: impl Future<Output = Result<Answered<Ack>, Error>> + Send + 'static,
    wanted: &str,
) -> JoinSet<Result<Answered<Ack>, Error>> {
    let mut asking = JoinSet::new();
    asking.spawn(asked);
    let seen = async {
        let mut last = runtime.worker_detail(worker).await.unwrap().cursor;
        while count(runtime, worker, wanted).await == 0 {
            runtime.wait_events(worker, last, SOON).await.unwrap();
            last = runtime.worker_detail(worker).await.unwrap().cursor;
        }
    };
    tokio::time::timeout(SOON, seen).await.unwrap();
    asking
}

#[tokio::test]
async fn a_create_is_done_once_for_each_token_also_over_a_restart_and_a_delete() {
    let (store, scratch) = (store(), tempfile::tempdir().unwrap());
    let first = runtime(&store, &scratch).await;
    let created = first.create_worker_with(named("a"), under("ci", "k")).await.unwrap();
    assert!(!created.is_replayed);
    say(&first, &created.reply.worker_id, "what it does since is not shown").await;
    let again = Answered { reply: created.reply.clone(), is_replayed: true };
    assert_eq!(first.create_worker_with(named("a"), under("ci", "k")).await.unwrap(), again);
    let other = first.create_worker_with(named("b"), under("ci", "k")).await;
    assert_eq!(other.unwrap_err().to_string(), "key `k` was used before, for another request");
    let others = first.create_worker_with(named("a"), under("ops", "k")).await.unwrap();
    assert_ne!(others.reply.worker_id, created.reply.worker_id);
    assert_eq!(n_workers(&first).await, 2);
    drop(first);

    let second = runtime(&store, &scratch).await;
    assert_eq!(second.create_worker_with(named("a"), under("ci", "k")).await.unwrap(), again);
    second.cancel_worker(&created.reply.worker_id, None, Actor::rule("test")).await.unwrap();
    second.delete_worker(&created.reply.worker_id, UnsavedWork::Keep).await.unwrap();
    assert_eq!(second.create_worker_with(named("a"), under("ci", "k")).await.unwrap(), again);
    assert_eq!(n_workers(&second).await, 1);
}

#[tokio::test]
async fn a_refused_request_does_not_use_its_key_up() {
    let (store, scratch) = (store(), tempfile::tempdir().unwrap());
    let runtime = runtime(&store, &scratch).await;
    let refused = runtime.create_worker_with(named("a\nb"), under("ci", "k")).await;
    assert!(matches!(refused, Err(Error::InvalidRequest { .. })), "{refused:?}");
    let created = runtime.create_worker_with(named("a"), under("ci", "k")).await.unwrap();
    assert!(!created.is_replayed);
    let worker = created.reply.worker_id;
    runtime.stop_worker(&worker, None, None, Actor::rule("test")).await.unwrap();
    let refused = runtime.interrupt_worker_with(&worker, None, under("ci", "i")).await;
    assert!(matches!(refused, Err(Error::NotRunning(_))), "{refused:?}");
    let other = runtime.interrupt_worker_with(&worker, Some("why".to_owned()), under("ci", "i")).await;
    assert!(matches!(other, Err(Error::NotRunning(_))), "{other:?}");
}

#[tokio::test]
async fn an_interrupt_that_found_nothing_to_end_ends_nothing_later() {
    let (store, scratch) = (store(), tempfile::tempdir().unwrap());
    let first = runtime(&store, &scratch).await;
    let worker = first.create_worker(named("a"), Actor::rule("test")).await.unwrap().worker_id;
    let nothing = first.interrupt_worker_with(&worker, None, under("ci", "k")).await.unwrap();
    say(&first, &worker, "one").await;
    let again = Answered { is_replayed: true, ..nothing };
    assert_eq!(first.interrupt_worker_with(&worker, None, under("ci", "k")).await.unwrap(), again);
    let other = first.interrupt_worker_with(&worker, Some("why".to_owned()), under("ci", "k")).await;
    assert!(matches!(other, Err(Error::KeyReused(_))), "{other:?}");
    drop(first);
    let second = runtime(&store, &scratch).await;
    assert_eq!(second.interrupt_worker_with(&worker, None, under("ci", "k")).await.unwrap(), again);
    assert_eq!(count(&second, &worker, "interrupt_requested").await, 0);
}

#[tokio::test]
async fn an_interrupt_that_a_crash_cut_off_is_answered_and_spares_the_next_turn() {
    let (store, scratch) = (store(), tempfile::tempdir().unwrap());
    let first = runtime(&store, &scratch).await;
    let worker = busy(&first).await;
    let asked = {
        let (runtime, worker) = (first.clone(), worker.clone());
        async move { runtime.interrupt_worker_with(&worker, None, under("ci", "k")).await }
    };
    let mut asking = begun(&first, &worker, asked, "interrupt_requested").await;
    let meanwhile = first.interrupt_worker_with(&worker, None, under("ci", "k")).await;
    assert!(matches!(meanwhile, Err(Error::KeyInFlight(_))), "{meanwhile:?}");
    asking.shutdown().await;
    drop(first);

    let second = runtime(&store, &scratch).await;
    say(&second, &worker, "two").await;
    let answered = second.interrupt_worker_with(&worker, None, under("ci", "k")).await.unwrap();
    assert!(answered.is_replayed);
    assert_eq!(second.interrupt_worker_with(&worker, None, under("ci", "k")).await.unwrap(), answered);
    assert_eq!(count(&second, &worker, "interrupt_requested").await, 1);
    let WorkerDetail { execution, .. } = second.worker_detail(&worker).await.unwrap();
    assert!(execution.turn_id.is_some(), "the turn that has come since goes on: {execution:?}");
}

#[tokio::test]
async fn a_stop_that_a_crash_cut_off_is_finished_and_answers_under_its_key() {
    let (store, scratch) = (store(), tempfile::tempdir().unwrap());
    let first = runtime(&store, &scratch).await;
    let worker = busy(&first).await;
    let asked = {
        let (runtime, worker) = (first.clone(), worker.clone());
        async move { runtime.stop_worker_with(&worker, Some(SOON), None, under("ci", "k")).await }
    };
    let mut asking = begun(&first, &worker, asked, "stop_requested").await;
    let meanwhile = first.stop_worker_with(&worker, Some(SOON), None, under("ci", "k")).await;
    assert!(matches!(meanwhile, Err(Error::KeyInFlight(_))), "{meanwhile:?}");
    asking.shutdown().await;
    drop(first);

    let second = runtime(&store, &scratch).await;
    second.wait_worker(&worker, Until::Terminal, SOON).await.unwrap();
    let answered = second.stop_worker_with(&worker, Some(SOON), None, under("ci", "k")).await.unwrap();
    let plain = second.stop_worker(&worker, None, None, Actor::rule("test")).await.unwrap();
    assert_eq!((answered.is_replayed, &answered.reply), (true, &plain));
    assert_eq!(plain.status, WorkerStatus::Stopped);
    assert_eq!(second.stop_worker_with(&worker, Some(SOON), None, under("ci", "k")).await.unwrap(), answered);
    let other = second.stop_worker_with(&worker, None, None, under("ci", "k")).await;
    assert!(matches!(other, Err(Error::KeyReused(_))), "{other:?}");
    assert_eq!(count(&second, &worker, "stop_requested").await, 1);
}

#[tokio::test]
async fn a_raise_is_answered_with_the_worker_as_it_left_it() {
    let (store, scratch) = (store(), tempfile::tempdir().unwrap());
    let first = runtime(&store, &scratch).await;
    let worker = first.create_worker(named("a"), Actor::rule("test")).await.unwrap().worker_id;
    let turns = |turns| WorkerLimits { turns: Some(turns), ..WorkerLimits::default() };
    let raised = first.raise_limits_with(&worker, turns(7), under("ci", "k")).await.unwrap();
    assert_eq!((raised.is_replayed, raised.reply.limits.turns), (false, Some(7)));
    let again = Answered { is_replayed: true, ..raised };
    first.raise_limits(&worker, turns(9), Actor::rule("test")).await.unwrap();
    say(&first, &worker, "one").await;
    assert_eq!(first.raise_limits_with(&worker, turns(7), under("ci", "k")).await.unwrap(), again);
    let other = first.raise_limits_with(&worker, turns(11), under("ci", "k")).await;
    assert!(matches!(other, Err(Error::KeyReused(_))), "{other:?}");
    drop(first);
    let second = runtime(&store, &scratch).await;
    assert_eq!(second.raise_limits_with(&worker, turns(7), under("ci", "k")).await.unwrap(), again);
    second.cancel_worker(&worker, None, Actor::rule("test")).await.unwrap();
    assert_eq!(second.raise_limits_with(&worker, turns(7), under("ci", "k")).await.unwrap(), again);
    assert_eq!(count(&second, &worker, "limits_raised").await, 2);
}

#[tokio::test]
async fn a_token_with_all_its_keys_in_use_only_ends_something_under_a_new_one() {
    let (store, scratch) = (store(), tempfile::tempdir().unwrap());
    let runtime = builder(&store, &scratch).max_keys_per_token(2).start().await.unwrap();
    let create = || runtime.create_worker(named("idle"), Actor::rule("test"));
    let [worker, idle] = [create().await.unwrap().worker_id, create().await.unwrap().worker_id];
    let full = |result: Result<(), Error>| match result {
        Err(Error::ManyKeys { limit: 2, wait }) => assert!(wait > DAY && wait <= DAY + MINUTE, "{wait:?}"),
        other => panic!("{other:?}"),
    };
    let created = runtime.create_worker_with(named("a"), under("ci", "k1")).await.unwrap();
    let nothing = runtime.interrupt_worker_with(&idle, None, under("ci", "k2")).await.unwrap();

    full(runtime.create_worker_with(named("a"), under("ci", "k3")).await.map(drop));
    full(runtime.interrupt_worker_with(&idle, None, under("ci", "k3")).await.map(drop));
    let limits = WorkerLimits { turns: Some(7), ..WorkerLimits::default() };
    full(runtime.raise_limits_with(&idle, limits, under("ci", "k3")).await.map(drop));
    // What was answered is not forgotten, others have their own, and without a key nothing is remembered.
    let again = Answered { is_replayed: true, ..created };
    assert_eq!(runtime.create_worker_with(named("a"), under("ci", "k1")).await.unwrap(), again);
    let again = Answered { is_replayed: true, ..nothing };
    assert_eq!(runtime.interrupt_worker_with(&idle, None, under("ci", "k2")).await.unwrap(), again);
    runtime.interrupt_worker_with(&idle, None, under("ops", "k3")).await.unwrap();
    runtime.interrupt_worker(&idle, None, Actor::rule("ci")).await.unwrap();

    let stopped = runtime.stop_worker_with(&worker, None, None, under("ci", "k3")).await.unwrap();
    let again = Answered { is_replayed: true, ..stopped };
    assert_eq!(runtime.stop_worker_with(&worker, None, None, under("ci", "k3")).await.unwrap(), again);
    // What has ended cannot end again: its first outcome is answered, and nothing is remembered of that.
    let ended = Answered { is_replayed: false, ..again };
    for key in ["k4", "k4", "k5"] {
        assert_eq!(runtime.stop_worker_with(&worker, None, None, under("ci", key)).await.unwrap(), ended);
        assert_eq!(runtime.cancel_worker_with(&worker, None, under("ci", key)).await.unwrap(), ended);
    }
    assert_eq!(store.keys_of("ci").await.unwrap().count, 3);
}

#[tokio::test]
async fn what_joins_an_end_is_answered_as_that_is_and_needs_no_room_for_its_key() {
    let (store, scratch) = (store(), tempfile::tempdir().unwrap());
    let runtime = builder(&store, &scratch).max_keys_per_token(0).start().await.unwrap();
    let worker = busy(&runtime).await;
    let stop = |key| {
        let (runtime, worker) = (runtime.clone(), worker.clone());
        async move { runtime.stop_worker_with(&worker, Some(SOON), None, under("ci", key)).await }
    };
    let mut first = begun(&runtime, &worker, stop("a"), "stop_requested").await;
    // Of the same key, too: nobody remembers it.
    let mut joined = [Box::pin(stop("b")), Box::pin(stop("b"))];
    for joins in &mut joined {
        // It is asked for before what comes next.
        let asked = std::future::poll_fn(|context| Poll::Ready(joins.as_mut().poll(context)));
        assert!(asked.await.is_pending());
    }
    // To answer this one without remembering it would let a repetition end a later turn.
    let interrupt = runtime.interrupt_worker_with(&worker, None, under("ci", "b")).await;
    assert!(matches!(interrupt, Err(Error::ManyKeys { limit: 0, .. })), "{interrupt:?}");
    let cancelled = runtime.cancel_worker_with(&worker, None, under("ci", "a")).await.unwrap();
    assert_eq!(first.join_next().await.unwrap().unwrap().unwrap(), cancelled);
    for joins in joined {
        assert_eq!(joins.await.unwrap(), cancelled);
    }
    assert_eq!(stop("b").await.unwrap(), cancelled);
    assert_eq!(store.keys_of("ci").await.unwrap().count, 2);
}

#[tokio::test]
async fn a_bundle_counts_among_the_keys_of_its_token() {
    let (store, scratch) = (store(), tempfile::tempdir().unwrap());
    let runtime = builder(&store, &scratch).max_keys_per_token(1).start().await.unwrap();
    let post = |revision: &str, token, key| {
        let bundle = json!({
            "metadata": {
                "id": "team", "revision": revision, "workspace_id": "w",
                "created_at": "2026-11-20T10:00:00Z", "provenance": {"source": "git"},
            },
            "profiles": [{"selector": "deaf"}],
            "declarations": [],
        });
        let (runtime, options) = (runtime.clone(), under(token, key));
        async move { runtime.store_config_bundle_with(&bundle.to_string(), options).await }
    };
    let first = post("1", "ci", "k1").await.unwrap();
    let refused = post("2", "ci", "k2").await;
    assert!(matches!(refused, Err(Error::ManyKeys { limit: 1, .. })), "{refused:?}");
    assert_eq!(runtime.list_config_bundles().await.unwrap(), std::slice::from_ref(&first.reply));
    let again = Answered { is_replayed: true, ..first };
    assert_eq!(post("1", "ci", "k1").await.unwrap(), again);
    // One that is there takes a key too.
    assert_eq!(post("1", "ops", "k1").await.unwrap(), Answered { is_replayed: false, ..again });
    let counts = [store.keys_of("ci").await.unwrap().count, store.keys_of("ops").await.unwrap().count];
    assert_eq!(counts, [1, 1]);
}

#[tokio::test]
async fn what_is_answered_under_keys_is_bounded_in_bytes() {
    let (store, scratch) = (store(), tempfile::tempdir().unwrap());
    let runtime = builder(&store, &scratch).max_keys_per_token(100).start().await.unwrap();
    let large = CreateWorker::new(Intent::Assistant { purpose: Some("x".repeat(60 << 10)) });
    let worker = runtime.create_worker(large, Actor::rule("test")).await.unwrap().worker_id;
    let raise = |turns, key| {
        let limits = WorkerLimits { turns: Some(turns), ..WorkerLimits::default() };
        runtime.raise_limits_with(&worker, limits, under("ci", key))
    };
    let first = raise(6, "k1").await.unwrap();
    raise(7, "k2").await.unwrap();
    match raise(8, "k3").await {
        Err(Error::LargeKeys { limit, wait }) => {
            assert_eq!(limit, 100 << 10);
            assert!(wait > DAY && wait <= DAY + MINUTE, "{wait:?}");
        }
        other => panic!("{other:?}"),
    }
    // What was answered is not forgotten, and an end is possible always, again and again.
    assert_eq!(raise(6, "k1").await.unwrap(), Answered { is_replayed: true, ..first });
    let stopped = runtime.stop_worker_with(&worker, None, None, under("ci", "k3")).await.unwrap();
    assert_eq!(runtime.stop_worker_with(&worker, None, None, under("ci", "k4")).await.unwrap(), stopped);
    assert_eq!(store.keys_of("ci").await.unwrap().count, 3);
}

/// Remembers so many keys of somebody that are older than they are kept, and one that is not.
async fn age(store: &Arc<dyn Store>, n: usize) {
    let record = |n: usize, age| KeyRecord {
        owner: "ci".to_owned(),
        scope: "s".to_owned(),
        key: format!("k{n}").parse().unwrap(),
        digest: [0; 32],
        outcome: "{}".into(),
        at: Timestamp::now() - age,
    };
    let old = (0..n).map(|n| record(n, DAY + MINUTE));
    store.remember(old.chain([record(n, DAY - MINUTE)]).collect()).await.unwrap();
}

async fn forgotten(store: &Arc<dyn Store>) {
    let all = async {
        while store.keys_of("ci").await.unwrap().count > 1 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, all).await.unwrap();
    assert_eq!(store.keys_of("ci").await.unwrap().count, 1);
}

#[tokio::test]
async fn keys_whose_time_is_over_are_removed_at_a_start_and_every_minute() {
    let (store, scratch) = (store(), tempfile::tempdir().unwrap());
    // More than go with one write.
    age(&store, 1300).await;
    let runtime = runtime(&store, &scratch).await;
    forgotten(&store).await;
    age(&store, 1300).await;
    tokio::time::pause();
    tokio::time::advance(MINUTE).await;
    forgotten(&store).await;
    drop(runtime);
}
