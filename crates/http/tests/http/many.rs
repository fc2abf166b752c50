//! One socket for many workers.

use std::{collections::BTreeMap, time::Duration};

use futures_util::SinkExt as _;
use musher_core::{MemoryStore, UnsavedWork};
use musher_http::{Bounds, HttpOptions};
use musher_protocol::{
    Actor, AttentionItem, AttentionReply, CreateWorker, Cursor, Diagnostic, DiagnosticCode, Envelope,
    EventsReply, Frame, Intent, Payload, StreamRequest, Topic, WorkerId, WorkerListReply, WorkerSummary,
    bounds::{MAX_LABELS, MAX_LINE_BYTES},
};
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use crate::{
    client::Ask,
    observe::Observer,
    world::{World, options, runtime, within},
};

const PATH: &str = "/v1/events/ws";
/// Nothing here is to be cut for being slow.
const PATIENCE: Duration = Duration::from_secs(3600);

/// A client that keeps apart what it gets of whom.
struct Subscriber {
    observer: Observer,
    events: BTreeMap<WorkerId, Vec<Envelope>>,
}

impl Subscriber {
    async fn new(world: &World) -> Self {
        Self { observer: Observer::at(world, PATH).await, events: BTreeMap::new() }
    }

    /// Goes away, so that the server need not wait for it to close its side.
    fn leave(self) {}

    async fn send(&mut self, request: StreamRequest) {
        self.say(&serde_json::to_string(&request).expect("JSON")).await;
    }

    async fn say(&mut self, text: &str) {
        within(self.observer.0.send(Message::text(text))).await.expect("a server that reads");
    }

    async fn subscribe(&mut self, worker: &WorkerId) {
        self.send(StreamRequest::Subscribe { worker_id: Some(worker.clone()), topic: None, cursor: None })
            .await;
    }

    async fn resume(&mut self, worker: &WorkerId, cursor: impl ToString) {
        let (worker_id, cursor) = (Some(worker.clone()), Some(cursor.to_string()));
        self.send(StreamRequest::Subscribe { worker_id, topic: None, cursor }).await;
    }

    async fn subscribe_topic(&mut self, topic: Topic) {
        self.send(StreamRequest::Subscribe { worker_id: None, topic: Some(topic), cursor: None }).await;
        assert_eq!(self.observer.next().await, Ok(Frame::Subscribed { topic }));
    }

    async fn unsubscribe(&mut self, worker: &WorkerId) {
        self.send(StreamRequest::Unsubscribe { worker_id: Some(worker.clone()), topic: None }).await;
    }

    /// The next frame that is no event; events are noted.
    async fn next(&mut self) -> Frame {
        loop {
            let frame = self.observer.next().await.expect("the socket goes on");
            let Frame::Event { envelope } = frame else { return frame };
            self.events.entry(envelope.worker_id.clone()).or_default().push(*envelope);
        }
    }

    /// The next event; nothing else may come before.
    async fn event(&mut self) -> Envelope {
        match self.observer.next().await {
            Ok(Frame::Event { envelope }) => *envelope,
            other => panic!("no event: {other:?}"),
        }
    }

    async fn diagnostic(&mut self) -> Diagnostic {
        let frame = self.next().await;
        let Frame::Diagnostic { diagnostic } = frame else { panic!("no diagnostic: {frame:?}") };
        diagnostic
    }

    /// Reads until a worker has sent all.
    async fn until_over(&mut self, worker: &WorkerId) -> Vec<Envelope> {
        let over = Frame::Unsubscribed { worker_id: Some(worker.clone()), topic: None };
        assert_eq!(self.next().await, over);
        self.events.remove(worker).unwrap_or_default()
    }

    async fn changed(&mut self) -> WorkerSummary {
        match self.observer.next().await {
            Ok(Frame::Catalog { worker: Some(worker), deleted: None }) => *worker,
            other => panic!("no worker: {other:?}"),
        }
    }

    async fn attention(&mut self) -> Vec<AttentionItem> {
        match self.observer.next().await {
            Ok(Frame::Attention { attention, omitted: 0 }) => attention,
            other => panic!("no list: {other:?}"),
        }
    }
}

async fn page(world: &World, worker: &WorkerId) -> EventsReply {
    world.client().get(&format!("/v1/workers/{worker}/events")).await.read()
}

async fn stop(world: &World, worker: &WorkerId) {
    world.client().ask(Ask::post(format!("/v1/workers/{worker}/stop"), "")).await.ok();
}

async fn delete(world: &World, worker: &WorkerId) {
    let deleted = world.client().ask(Ask::delete(format!("/v1/workers/{worker}"))).await;
    assert_eq!(deleted.status, 204, "{}", deleted.body);
}

async fn list(world: &World) -> Vec<WorkerSummary> {
    world.client().get("/v1/workers").await.read::<WorkerListReply>().workers
}

#[tokio::test]
async fn each_worker_begins_with_its_snapshot_and_ends_with_its_last_event() {
    let world = World::new().await;
    let mut subscriber = Subscriber::new(&world).await;
    let mut before = BTreeMap::new();
    for _ in 0..3 {
        let worker = world.worker_id().await;
        subscriber.subscribe(&worker).await;
        let snapshot = subscriber.event().await;
        let Payload::Snapshot(state) = &snapshot.payload else { panic!("{snapshot:?}") };
        assert_eq!((&snapshot.worker_id, state.head), (&worker, page(&world, &worker).await.next));
        before.insert(worker, snapshot.seq);
    }
    for worker in before.keys() {
        world.say(worker, "one two three").await;
    }
    for (worker, seq) in &before {
        stop(&world, worker).await;
        let events = subscriber.until_over(worker).await;
        let whole = page(&world, worker).await.events;
        assert_eq!(events, whole[usize::try_from(*seq).unwrap()..]);
    }
    subscriber.leave();
    world.end().await;
}

#[tokio::test]
async fn workers_go_on_from_cursors() {
    let world = World::new().await;
    let (one, two) = (world.worker_id().await, world.worker_id().await);
    world.say(&one, "one two").await;
    stop(&world, &two).await;
    let mut subscriber = Subscriber::new(&world).await;
    let whole = page(&world, &one).await;
    subscriber.resume(&one, whole.events[1].cursor).await;
    let snapshot = subscriber.event().await;
    assert_eq!(snapshot.cursor, whole.events[1].cursor);
    assert!(matches!(&snapshot.payload, Payload::Snapshot(state) if state.head == whole.next));
    for expected in &whole.events[2..] {
        assert_eq!(subscriber.event().await, *expected);
    }
    // A log that is over: from its beginning, and from its end.
    let whole = page(&world, &two).await;
    for (cursor, expected) in [(Cursor::new(&two, 0, 0), whole.events.as_slice()), (whole.next, &[])] {
        subscriber.resume(&two, cursor).await;
        let events = subscriber.until_over(&two).await;
        assert_eq!((events[0].cursor, &events[1..]), (cursor, expected));
    }
    subscriber.leave();
    world.end().await;
}

#[tokio::test]
async fn a_failed_subscription_ends_alone_and_names_its_worker() {
    let world = World::new().await;
    let (good, worker) = (world.worker_id().await, world.worker_id().await);
    let nobody: WorkerId = "wrk_1".parse().unwrap();
    let mut subscriber = Subscriber::new(&world).await;
    subscriber.subscribe(&good).await;
    subscriber.event().await;

    let head = page(&world, &worker).await.next;
    let foreign = page(&world, &good).await.next.to_string();
    let future = Cursor::new(&worker, 1 << 40, 1).to_string();
    let rewritten = Cursor::new(&worker, 1, !head.checksum()).to_string();
    let oldest = Some(Cursor::new(&worker, 0, 0));
    let unknown = DiagnosticCode::CursorUnknownOrExpired;
    let cases = [
        (&worker, "nonsense", DiagnosticCode::CursorMalformed, None, None),
        (&worker, "", DiagnosticCode::CursorMalformed, None, None),
        (&worker, &foreign, unknown, None, None),
        (&worker, &future, unknown, None, None),
        (&worker, &rewritten, unknown, oldest, Some("history_changed")),
        (&nobody, &rewritten, DiagnosticCode::WorkerNotFound, None, None),
    ];
    for (worker, cursor, code, oldest, reason) in cases {
        subscriber.resume(worker, cursor).await;
        let diagnostic = subscriber.diagnostic().await;
        let expected = Diagnostic {
            code,
            message: diagnostic.message.clone(),
            oldest_cursor: oldest,
            reason: reason.map(str::to_owned),
            worker_id: Some(worker.clone()),
            topic: None,
        };
        assert_eq!(diagnostic, expected, "{cursor:?}");
    }
    subscriber.subscribe(&nobody).await;
    let missing = subscriber.diagnostic().await;
    assert_eq!(
        (missing.code, missing.message.as_str()),
        (DiagnosticCode::WorkerNotFound, "no worker `wrk_1`")
    );

    assert_eq!(subscriber.events, BTreeMap::new());
    world.say(&good, "hello").await;
    stop(&world, &good).await;
    let whole = page(&world, &good).await.events;
    assert_eq!(subscriber.until_over(&good).await, whole[1..]);
    subscriber.leave();
    world.end().await;
}

#[tokio::test]
async fn a_message_that_makes_no_sense_is_told_so_and_the_socket_goes_on() {
    let world = World::new().await;
    let worker = world.worker_id().await;
    let mut subscriber = Subscriber::new(&world).await;
    let both = json!({"kind": "subscribe", "worker_id": worker, "topic": "catalog"}).to_string();
    for text in [
        "",
        "hello",
        "[]",
        "{}",
        r#"{"kind":"stop"}"#,
        r#"{"kind":"subscribe"}"#,
        r#"{"kind":"subscribe","topic":"weather"}"#,
        r#"{"kind":"subscribe","topic":"catalog","cursor":"x"}"#,
        r#"{"kind":"subscribe","worker_id":"a b"}"#,
        r#"{"kind":"subscribe","worker":"wrk_1"}"#,
        r#"{"kind":"unsubscribe","worker_id":"wrk_1","cursor":"x"}"#,
        &both,
    ] {
        subscriber.say(text).await;
        let Diagnostic { code, worker_id, topic, .. } = subscriber.diagnostic().await;
        assert_eq!((code, worker_id, topic), (DiagnosticCode::InvalidMessage, None, None), "{text:?}");
    }
    subscriber.observer.0.send(Message::binary(vec![0; 1000])).await.unwrap();
    assert_eq!(subscriber.diagnostic().await.code, DiagnosticCode::InvalidMessage);
    subscriber.subscribe(&worker).await;
    assert_eq!(subscriber.event().await.payload.type_name(), "snapshot");
    // One that is too long cannot be passed over: it is not even read to its end.
    subscriber.observer.0.send(Message::text("a".repeat(6 << 20))).await.unwrap();
    assert_eq!(subscriber.diagnostic().await.code, DiagnosticCode::InvalidMessage);
    assert_eq!(subscriber.observer.next().await, Err(1008));
    world.end().await;
}

#[tokio::test]
async fn nothing_comes_behind_the_end_of_a_subscription_until_it_begins_anew() {
    let world = World::new().await;
    let (one, two) = (world.worker_id().await, world.worker_id().await);
    let mut subscriber = Subscriber::new(&world).await;
    subscriber.subscribe(&one).await;
    subscriber.subscribe(&two).await;
    for _ in 0..2 {
        assert_eq!(subscriber.event().await.payload.type_name(), "snapshot");
    }
    subscriber.unsubscribe(&one).await;
    assert_eq!(subscriber.until_over(&one).await, []);
    world.say(&one, "nobody hears this").await;
    world.say(&two, "this is heard").await;
    subscriber.subscribe(&one).await;
    stop(&world, &one).await;
    let events = subscriber.until_over(&one).await;
    let whole = page(&world, &one).await.events;
    let snapshot = &events[0];
    assert_eq!(snapshot.payload.type_name(), "snapshot");
    assert_eq!(events[1..], whole[usize::try_from(snapshot.seq).unwrap()..]);
    assert!(!subscriber.events[&two].is_empty(), "the other one went on");
    // Twice is once, from the second place on.
    let begins = Cursor::new(&two, 0, 0);
    subscriber.events.clear();
    subscriber.resume(&two, begins).await;
    subscriber.resume(&two, begins).await;
    stop(&world, &two).await;
    let events = subscriber.until_over(&two).await;
    let last = events.iter().rposition(|event| event.payload.type_name() == "snapshot").unwrap();
    assert_eq!(events[last + 1..], page(&world, &two).await.events);
    // Ending what is not there is no fault.
    subscriber.unsubscribe(&two).await;
    assert_eq!(subscriber.until_over(&two).await, []);
    subscriber.leave();
    world.end().await;
}

#[tokio::test]
async fn one_worker_too_many_is_told_so() {
    let bounds = Bounds { max_subscriptions: 2, ..Bounds::default() };
    let runtime = runtime(MemoryStore::new()).await;
    let world = World::over(runtime, HttpOptions { bounds, ..options() }).await;
    let mut workers = Vec::new();
    for _ in 0..3 {
        workers.push(world.worker_id().await);
    }
    let mut subscriber = Subscriber::new(&world).await;
    subscriber.subscribe_topic(Topic::Catalog).await;
    for worker in &workers[..2] {
        subscriber.subscribe(worker).await;
        subscriber.event().await;
    }
    subscriber.subscribe(&workers[2]).await;
    let refused = subscriber.diagnostic().await;
    assert_eq!(refused.code, DiagnosticCode::TooManySubscriptions);
    assert_eq!(refused.worker_id.as_ref(), Some(&workers[2]));
    // Again is no more than before, and one that has ended makes room.
    subscriber.subscribe(&workers[1]).await;
    subscriber.event().await;
    subscriber.unsubscribe(&workers[0]).await;
    subscriber.until_over(&workers[0]).await;
    subscriber.subscribe(&workers[2]).await;
    assert_eq!(subscriber.event().await.worker_id, workers[2]);
    subscriber.leave();
    world.end().await;
}

#[tokio::test]
async fn a_worker_with_much_to_tell_does_not_hold_up_others() {
    let world = World::new().await;
    let (busy, others) = (world.worker_id().await, [world.worker_id().await, world.worker_id().await]);
    world.say_much(&busy).await;
    let mut subscriber = Subscriber::new(&world).await;
    subscriber.resume(&busy, Cursor::new(&busy, 0, 0)).await;
    for worker in &others {
        subscriber.resume(worker, Cursor::new(worker, 0, 0)).await;
    }
    let head = page(&world, &busy).await;
    let mut order = Vec::new();
    loop {
        let event = subscriber.event().await;
        let is_last = event.worker_id == busy && event.seq == head.events.last().unwrap().seq;
        order.push(event.worker_id);
        if is_last {
            break;
        }
    }
    for worker in &others {
        let first = order.iter().position(|who| who == worker).expect("before the end of the busy one");
        let of_busy = order[..first].iter().filter(|who| **who == busy).count();
        assert!(of_busy < order.len() / 2, "{of_busy} of {} events before", order.len());
    }
    subscriber.leave();
    world.end().await;
}

#[tokio::test]
async fn the_catalog_tells_what_becomes_of_workers() {
    let world = World::new().await;
    let old = world.worker_id().await;
    let mut subscriber = Subscriber::new(&world).await;
    subscriber.subscribe_topic(Topic::Catalog).await;
    let new = world.worker_id().await;
    let created = subscriber.changed().await;
    assert_eq!((&created.worker_id, list(&world).await.pop()), (&new, Some(created.clone())));

    world.say(&old, "hello").await;
    loop {
        let changed = subscriber.changed().await;
        assert_eq!(changed.worker_id, old, "nothing else has changed");
        if list(&world).await.contains(&changed) {
            break;
        }
    }
    stop(&world, &new).await;
    while list(&world).await.last() != Some(&subscriber.changed().await) {}
    world.client().ask(Ask::delete(format!("/v1/workers/{new}"))).await;
    assert_eq!(subscriber.next().await, Frame::Catalog { worker: None, deleted: Some(new) });
    // After its end nothing more is told.
    subscriber.send(StreamRequest::Unsubscribe { worker_id: None, topic: Some(Topic::Catalog) }).await;
    let over = Frame::Unsubscribed { worker_id: None, topic: Some(Topic::Catalog) };
    assert_eq!(subscriber.next().await, over);
    world.worker_id().await;
    subscriber.subscribe(&old).await;
    assert_eq!(subscriber.event().await.payload.type_name(), "snapshot");
    subscriber.leave();
    world.end().await;
}

#[tokio::test]
async fn a_client_that_is_behind_gets_the_newest_of_each_worker() {
    let world = World::new().await;
    let mut subscriber = Subscriber::new(&world).await;
    subscriber.subscribe_topic(Topic::Catalog).await;
    // More than the connection holds between its ends.
    let words = "much".repeat(8_000);
    let mut workers = Vec::new();
    for _ in 0..20 {
        workers.push(world.worker_id().await);
    }
    for _ in 0..8 {
        for worker in &workers {
            world.say(worker, &words).await;
        }
    }
    let expected = list(&world).await;
    let mut newest = BTreeMap::new();
    let mut n_told = 0;
    while newest.values().cloned().collect::<Vec<_>>() != expected {
        let changed = subscriber.changed().await;
        newest.insert(changed.worker_id.clone(), changed);
        n_told += 1;
    }
    let n_changes: u64 = expected.iter().map(|worker| worker.cursor.seq()).sum();
    assert!(n_told < n_changes / 4, "{n_told} of {n_changes}");
    subscriber.leave();
    world.end().await;
}

#[tokio::test]
async fn a_subscription_ends_alone_when_its_worker_is_deleted() {
    let world = World::new().await;
    let (gone, stays) = (world.worker_id().await, world.worker_id().await);
    world.say_much(&gone).await;
    stop(&world, &gone).await;
    let head = world.runtime.worker_detail(&gone).await.unwrap().cursor.seq();
    let mut subscriber = Subscriber::new(&world).await;
    subscriber.resume(&gone, Cursor::new(&gone, 0, 0)).await;
    subscriber.event().await;
    delete(&world, &gone).await;
    let expected = Diagnostic {
        code: DiagnosticCode::WorkerNotFound,
        message: "the worker was deleted".to_owned(),
        oldest_cursor: None,
        reason: None,
        worker_id: Some(gone.clone()),
        topic: None,
    };
    assert_eq!(subscriber.diagnostic().await, expected);
    let seen: Vec<_> = subscriber.events[&gone].iter().map(|event| event.seq).collect();
    let n_seen = seen.len() as u64;
    assert!(n_seen < head, "{n_seen} of {head}");
    assert_eq!(seen, (1..=n_seen).collect::<Vec<_>>());
    subscriber.subscribe(&stays).await;
    assert_eq!(subscriber.event().await.worker_id, stays);
    subscriber.leave();
    world.end().await;
}

#[tokio::test]
async fn a_client_that_is_too_far_behind_is_told_so_and_subscribes_again() {
    let bounds = Bounds { write_timeout: PATIENCE, peer_timeout: PATIENCE, ..Bounds::default() };
    let world = World::over(runtime(MemoryStore::new()).await, HttpOptions { bounds, ..options() }).await;
    let busy = world.worker_id().await;
    world.say_much(&busy).await;
    let mut subscriber = Subscriber::new(&world).await;
    subscriber.subscribe_topic(Topic::Catalog).await;
    subscriber.resume(&busy, Cursor::new(&busy, 0, 0)).await;
    subscriber.event().await;
    // While its connection holds no more, more labels go with their workers than are remembered: 16 MiB.
    let labels: BTreeMap<_, _> =
        (0..MAX_LABELS).map(|n| (format!("{n:0>200}"), "v".repeat(MAX_LINE_BYTES))).collect();
    let request = CreateWorker { labels, ..CreateWorker::new(Intent::Assistant { purpose: None }) };
    let each = MAX_LABELS * 2 * MAX_LINE_BYTES;
    for _ in 0..(20 << 20) / each {
        let worker =
            world.runtime.create_worker(request.clone(), Actor::rule("test")).await.unwrap().worker_id;
        world.runtime.cancel_worker(&worker, None, Actor::rule("test")).await.unwrap();
        world.runtime.delete_worker(&worker, UnsavedWork::Keep).await.unwrap();
    }
    let diagnostic = loop {
        let frame = subscriber.next().await;
        if let Frame::Diagnostic { diagnostic } = frame {
            break diagnostic;
        }
        assert!(matches!(frame, Frame::Catalog { .. }), "unexpected: {frame:?}");
    };
    let expected = Diagnostic {
        code: DiagnosticCode::TooFarBehind,
        message: "more workers have changed than are remembered for who is behind; subscribe again, then list all of them"
            .to_owned(),
        oldest_cursor: None,
        reason: None,
        worker_id: None,
        topic: Some(Topic::Catalog),
    };
    assert_eq!(diagnostic, expected);
    // The rest of the socket goes on, and so does the catalog, from then on.
    stop(&world, &busy).await;
    let events = subscriber.until_over(&busy).await;
    assert_eq!(events.last().unwrap().payload.type_name(), "worker_stopped");
    subscriber.subscribe_topic(Topic::Catalog).await;
    let new = world.worker_id().await;
    assert_eq!(subscriber.changed().await.worker_id, new);
    subscriber.leave();
    world.end().await;
}

#[tokio::test]
async fn attention_is_the_whole_list_whenever_it_changes() {
    let world = World::new().await;
    let mut subscriber = Subscriber::new(&world).await;
    subscriber.subscribe_topic(Topic::Attention).await;
    assert_eq!(subscriber.attention().await, []);
    let (first, approval) = world.asking("ask").await;
    let one = subscriber.attention().await;
    assert_eq!(one.iter().map(|item| &item.worker_id).collect::<Vec<_>>(), [&first]);
    world.asking("which").await;
    let two = subscriber.attention().await;
    let AttentionReply { attention, .. } = world.client().get("/v1/attention").await.read();
    assert_eq!((two.len(), two), (2, attention));
    world.client().post(&approval, &json!({"decision": "deny"})).await.ok();
    let AttentionReply { attention, .. } = world.client().get("/v1/attention").await.read();
    assert_eq!((attention.len(), subscriber.attention().await), (1, attention));
    subscriber.leave();
    world.end().await;
}

#[tokio::test]
async fn the_socket_ends_with_the_runtime() {
    let world = World::new().await;
    let worker = world.worker_id().await;
    let mut subscriber = Subscriber::new(&world).await;
    subscriber.subscribe(&worker).await;
    subscriber.event().await;
    within(world.runtime.shutdown()).await;
    assert_eq!(subscriber.diagnostic().await.code, DiagnosticCode::UpstreamClosed);
    assert_eq!(subscriber.observer.next().await, Err(1001));
    world.end().await;
}
