//! All workers of a runtime, as they change.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{collections::BTreeMap, time::Duration};

use musher_core::{CatalogChange, CatalogFeed, MemoryStore, Profile, Runtime, UnsavedWork, WorkerFilter};
use musher_protocol::{
    Actor, CreateWorker, Delivery, InputKind, InputRequest, Intent, Order, RunState, Until, WorkerId,
    WorkerStatus, WorkerSummary,
};
use musher_scripted::Scripted;
use tokio::time::timeout;

/// Far longer than anything here takes; a test that waits this long has failed.
const SOON: Duration = Duration::from_secs(60);

async fn runtime() -> Runtime {
    Runtime::builder(MemoryStore::new())
        .backend("scripted", Scripted)
        .profile("echo", Profile::of("scripted"))
        .scratch(tempfile::tempdir().unwrap().keep())
        .start()
        .await
        .unwrap()
}

async fn worker(runtime: &Runtime) -> WorkerId {
    let request = CreateWorker::new(Intent::Assistant { purpose: None });
    runtime.create_worker(request, Actor::rule("test")).await.unwrap().worker_id
}

async fn say(runtime: &Runtime, worker: &WorkerId) {
    let content = "hello".to_owned();
    let request = InputRequest { kind: InputKind::User, content, input_id: None, delivery: Delivery::Queue };
    runtime.send_input(worker, request, Actor::rule("test")).await.unwrap();
    runtime.wait_worker(worker, Until::Idle, SOON).await.unwrap();
}

/// All that has changed so far.
async fn told(feed: &mut CatalogFeed) -> Vec<CatalogChange> {
    let mut changes = Vec::new();
    while let Some(change) = feed.next().await.unwrap() {
        changes.push(change);
    }
    changes
}

async fn listed(runtime: &Runtime) -> Vec<CatalogChange> {
    let page = runtime.list_workers(&WorkerFilter::default(), Order::Asc, None, 100).await.unwrap();
    page.workers.into_iter().map(|worker| CatalogChange::Worker(Box::new(worker))).collect()
}

/// Waits until a worker is told to be so.
async fn until(feed: &mut CatalogFeed, wanted: impl Fn(&WorkerSummary) -> bool) {
    let found = async {
        loop {
            feed.ready().await;
            match feed.next().await.unwrap() {
                Some(CatalogChange::Worker(worker)) if wanted(&worker) => return,
                Some(_) | None => {}
            }
        }
    };
    timeout(SOON, found).await.unwrap();
}

#[tokio::test]
async fn a_feed_tells_what_a_list_shows_from_then_on() {
    let runtime = runtime().await;
    let before = worker(&runtime).await;
    let mut feed = runtime.watch_catalog();
    assert_eq!(told(&mut feed).await, []);

    let after = worker(&runtime).await;
    let all = listed(&runtime).await;
    assert_eq!(told(&mut feed).await, all[1..], "only the new one");

    say(&runtime, &before).await;
    runtime.stop_worker(&after, None, None, Actor::rule("test")).await.unwrap();
    // Many commits of two workers: who was away gets each of them once, as it is now.
    let all = listed(&runtime).await;
    assert_eq!(told(&mut feed).await, all);
    runtime.delete_worker(&after, UnsavedWork::Keep).await.unwrap();
    assert_eq!(told(&mut feed).await, [CatalogChange::Deleted { worker_id: after, labels: BTreeMap::new() }]);
    assert_eq!(told(&mut feed).await, []);
}

#[tokio::test]
async fn a_feed_is_woken_by_each_change() {
    let runtime = runtime().await;
    let mut feed = runtime.watch_catalog();
    let works = async {
        let worker = worker(&runtime).await;
        say(&runtime, &worker).await;
        runtime.cancel_worker(&worker, None, Actor::rule("test")).await.unwrap();
    };
    let watches = async {
        until(&mut feed, |worker| worker.execution.run_state == RunState::Unconnected).await;
        until(&mut feed, |worker| worker.outcome.is_some()).await;
        until(&mut feed, |worker| worker.status == WorkerStatus::Cancelled).await;
    };
    tokio::join!(works, watches);
}

#[tokio::test]
async fn an_observation_says_when_it_has_an_answer() {
    let runtime = runtime().await;
    let worker = worker(&runtime).await;
    let mut observation = runtime.observe_worker(&worker, None).await.unwrap();
    // A snapshot is there at once, and is of the moment in which it is asked for.
    say(&runtime, &worker).await;
    timeout(SOON, observation.ready()).await.unwrap();
    let snapshot = observation.next().await.unwrap().unwrap();
    let detail = runtime.worker_detail(&worker).await.unwrap();
    assert_eq!((snapshot.len(), snapshot[0].cursor()), (1, detail.cursor));

    let silent = timeout(Duration::ZERO, observation.ready()).await;
    assert!(silent.is_err(), "nothing is behind the snapshot");
    tokio::join!(say(&runtime, &worker), async { timeout(SOON, observation.ready()).await.unwrap() });
    assert_eq!(observation.next().await.unwrap().unwrap()[0].seq(), detail.cursor.seq() + 1);

    runtime.stop_worker(&worker, None, None, Actor::rule("test")).await.unwrap();
    while observation.next().await.unwrap().is_some() {}
    timeout(SOON, observation.ready()).await.unwrap();
    assert_eq!((observation.is_complete(), observation.is_at_end()), (true, true));
    assert!(observation.next().await.unwrap().is_none());
}
