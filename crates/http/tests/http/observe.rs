//! The observation socket.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use musher_core::MemoryStore;
use musher_http::{Bounds, HttpOptions};
use musher_protocol::{
    Cursor, Diagnostic, DiagnosticCode, Envelope, ErrorCode, EventsReply, Frame, Payload, WorkerId,
    WorkerStatus,
};
use serde_json::json;
use tokio::net::TcpStream;
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Message, client::IntoClientRequest as _},
};

use crate::{
    client::{Ask, read_to_end, receive},
    store::Fragile,
    world::{ROOT, World, options, runtime, within},
};

const SHORT: Duration = Duration::from_millis(200);

/// A socket's client.
pub(crate) struct Observer(pub(crate) WebSocketStream<TcpStream>);

impl Observer {
    async fn new(world: &World, worker: &WorkerId, query: &str) -> Self {
        Self::at(world, &format!("/v1/workers/{worker}/events/ws{query}")).await
    }

    pub(crate) async fn at(world: &World, path: &str) -> Self {
        Self::with(world, path, ROOT).await
    }

    /// With this token.
    pub(crate) async fn with(world: &World, path: &str, token: &str) -> Self {
        let url = format!("ws://localhost{path}");
        let mut request = url.into_client_request().expect("a request");
        request.headers_mut().insert("authorization", format!("Bearer {token}").parse().expect("a header"));
        let socket = within(TcpStream::connect(world.address)).await.expect("a connection");
        let (socket, _response) = within(client_async(request, socket)).await.expect("an upgrade");
        Self(socket)
    }

    /// The next event; the socket must not end before.
    async fn event(&mut self) -> Envelope {
        match self.next().await {
            Ok(Frame::Event { envelope }) => *envelope,
            other => panic!("no event: {other:?}"),
        }
    }

    /// Reads up to the end: the events, the diagnostic before the end, and the code of the Close frame.
    async fn rest(&mut self) -> (Vec<Envelope>, Option<Diagnostic>, u16) {
        let mut events = Vec::new();
        let mut last_words = None;
        loop {
            match self.next().await {
                Ok(Frame::Event { envelope }) if last_words.is_none() => events.push(*envelope),
                Ok(Frame::Diagnostic { diagnostic }) if last_words.is_none() => last_words = Some(diagnostic),
                Ok(frame) => panic!("unexpected: {frame:?}"),
                Err(code) => return (events, last_words, code),
            }
        }
    }

    /// The next frame, or the code of the Close frame.
    pub(crate) async fn next(&mut self) -> Result<Frame, u16> {
        loop {
            match within(self.0.next()).await.expect("a Close frame before the end").expect("a message") {
                Message::Text(text) => return Ok(serde_json::from_str(&text).expect("a frame")),
                Message::Close(close) => {
                    // The server hangs up once both sides have closed.
                    while within(self.0.next()).await.is_some_and(|after| after.is_ok()) {}
                    return Err(close.expect("a code").code.into());
                }
                Message::Ping(_) => {}
                other @ (Message::Binary(_) | Message::Pong(_) | Message::Frame(_)) => {
                    panic!("unexpected: {other:?}")
                }
            }
        }
    }
}

fn seqs(events: &[Envelope]) -> Vec<u64> {
    events.iter().map(|event| event.seq).collect()
}

async fn page(world: &World, worker: &WorkerId) -> EventsReply {
    world.client().get(&format!("/v1/workers/{worker}/events")).await.read()
}

async fn bounded(bounds: Bounds) -> World {
    World::over(runtime(MemoryStore::new()).await, HttpOptions { bounds, ..options() }).await
}

#[tokio::test]
async fn a_snapshot_then_every_event_then_the_end() {
    let world = World::new().await;
    let worker = world.worker_id().await;
    let before = page(&world, &worker).await;
    let mut observer = Observer::new(&world, &worker, "").await;
    let snapshot = observer.event().await;
    assert_eq!((snapshot.cursor, snapshot.seq), (before.next, before.events.len() as u64));
    let Payload::Snapshot(state) = snapshot.payload else { panic!("{:?}", snapshot.payload) };
    assert_eq!((state.status, state.head), (WorkerStatus::Running, before.next));

    world.say(&worker, "one two three").await;
    world.client().ask(Ask::post(format!("/v1/workers/{worker}/stop"), "")).await.ok();
    let (events, diagnostic, code) = observer.rest().await;
    assert_eq!((diagnostic, code), (None, 1000));
    // The same objects as in pages.
    let whole = page(&world, &worker).await;
    assert_eq!(events, whole.events[before.events.len()..]);
    assert_eq!(whole.events.last().unwrap().payload.type_name(), "worker_stopped");
    world.end().await;
}

#[tokio::test]
async fn a_socket_goes_on_from_a_cursor() {
    let world = World::new().await;
    let worker = world.worker_id().await;
    world.say(&worker, "one").await;
    let whole = page(&world, &worker).await;
    let after = whole.events[1].cursor;
    let mut observer = Observer::new(&world, &worker, &format!("?cursor={after}")).await;
    let snapshot = observer.event().await;
    assert_eq!(snapshot.cursor, after);
    let Payload::Snapshot(state) = snapshot.payload else { panic!("{:?}", snapshot.payload) };
    assert_eq!((state.head, state.entries), (whole.next, Vec::new()));
    for expected in &whole.events[2..] {
        assert_eq!(observer.event().await, *expected);
    }
    // Then live.
    world.client().ask(Ask::post(format!("/v1/workers/{worker}/cancel"), "")).await.ok();
    let (events, _, code) = observer.rest().await;
    assert_eq!((events.first().map(|event| event.seq), code), (Some(whole.events.len() as u64 + 1), 1000));

    // And from the beginning of a log that is over, to its end.
    let whole = page(&world, &worker).await;
    let beginning = Cursor::new(&worker, 0, 0);
    let mut observer = Observer::new(&world, &worker, &format!("?cursor={beginning}")).await;
    observer.event().await;
    let (events, _, code) = observer.rest().await;
    assert_eq!((events, code), (whole.events, 1000));
    world.end().await;
}

#[tokio::test]
async fn a_cursor_that_leads_nowhere_is_told_so_without_a_snapshot() {
    let world = World::new().await;
    let worker = world.worker_id().await;
    let other = world.worker_id().await;
    let good = page(&world, &worker).await.next;
    let foreign = page(&world, &other).await.next.to_string();
    let future = Cursor::new(&worker, 1 << 40, 1).to_string();
    let rewritten = Cursor::new(&worker, 1, !good.checksum()).to_string();
    let oldest = Some(Cursor::new(&worker, 0, 0));
    let unknown = DiagnosticCode::CursorUnknownOrExpired;
    let cases = [
        ("nonsense", 4400, DiagnosticCode::CursorMalformed, None, None),
        ("", 4400, DiagnosticCode::CursorMalformed, None, None),
        (&foreign, 4410, unknown, None, None),
        (&future, 4410, unknown, None, None),
        (&rewritten, 4410, unknown, oldest, Some("history_changed")),
    ];
    for (cursor, expected, code, oldest_cursor, reason) in cases {
        let mut observer = Observer::new(&world, &worker, &format!("?cursor={cursor}")).await;
        let (events, diagnostic, closed) = observer.rest().await;
        let diagnostic = diagnostic.expect("a diagnostic");
        assert_eq!((events, closed, diagnostic.code), (Vec::new(), expected, code), "{cursor:?}");
        assert_eq!(
            (diagnostic.oldest_cursor, diagnostic.reason.as_deref()),
            (oldest_cursor, reason),
            "{cursor:?}"
        );
    }
    world.end().await;
}

#[tokio::test]
async fn whoever_says_something_is_told_that_this_only_observes() {
    let world = World::new().await;
    let worker = world.worker_id().await;
    for message in [
        Message::text("{\"kind\":\"stop\"}"),
        Message::text(""),
        Message::binary(vec![0; 1000]),
        Message::text("a".repeat(60 << 10)),
        // Too long to be read to its end, and more than the kernel holds for a reader.
        Message::text("a".repeat(6 << 20)),
    ] {
        let mut observer = Observer::new(&world, &worker, "").await;
        observer.event().await;
        observer.0.send(message).await.unwrap();
        let (events, diagnostic, code) = observer.rest().await;
        let diagnostic = diagnostic.expect("a diagnostic").code;
        assert_eq!((events, diagnostic, code), (Vec::new(), DiagnosticCode::ObservationOnly, 1008));
    }
    world.end().await;
}

#[tokio::test]
async fn sockets_end_with_the_runtime_and_with_the_server() {
    let world = World::new().await;
    let worker = world.worker_id().await;
    let mut observer = Observer::new(&world, &worker, "").await;
    observer.event().await;
    within(world.runtime.shutdown()).await;
    let (_, diagnostic, code) = observer.rest().await;
    assert_eq!((diagnostic.map(|last| last.code), code), (Some(DiagnosticCode::UpstreamClosed), 1001));
    world.end().await;

    let mut world = World::new().await;
    let worker = world.worker_id().await;
    let mut observer = Observer::new(&world, &worker, "").await;
    observer.event().await;
    world.begin_end();
    let (_, diagnostic, code) = observer.rest().await;
    assert_eq!((diagnostic.map(|last| last.code), code), (Some(DiagnosticCode::UpstreamClosed), 1001));
    world.end().await;
}

#[tokio::test]
async fn a_socket_ends_when_the_store_fails() {
    let (store, faults) = Fragile::new();
    let world = World::over(runtime(store).await, options()).await;
    let worker = world.worker_id().await;
    let mut observer = Observer::new(&world, &worker, "").await;
    observer.event().await;
    faults.fail();
    let body = json!({"kind": "user", "content": "hello"});
    let reply = world.client().post(&format!("/v1/workers/{worker}/input"), &body).await;
    assert_eq!(reply.error(), ErrorCode::StoreIo);
    let (events, diagnostic, code) = observer.rest().await;
    assert_eq!((seqs(&events), code), (Vec::new(), 1011));
    assert_eq!(diagnostic.map(|last| last.code), Some(DiagnosticCode::Unavailable));
    world.end().await;
}

#[tokio::test]
async fn a_socket_ends_when_its_worker_is_deleted() {
    let world = World::new().await;
    let worker = world.worker_id().await;
    world.say_much(&worker).await;
    world.client().ask(Ask::post(format!("/v1/workers/{worker}/stop"), "")).await.ok();
    let head = world.runtime.worker_detail(&worker).await.unwrap().cursor.seq();
    let beginning = Cursor::new(&worker, 0, 0);
    let mut observer = Observer::new(&world, &worker, &format!("?cursor={beginning}")).await;
    observer.event().await;
    // It is in the middle of a log that is longer than its connection holds.
    let deleted = world.client().ask(Ask::delete(format!("/v1/workers/{worker}"))).await;
    assert_eq!(deleted.status, 204, "{}", deleted.body);
    let (events, diagnostic, code) = observer.rest().await;
    let expected = Diagnostic {
        code: DiagnosticCode::WorkerNotFound,
        message: "the worker was deleted".to_owned(),
        oldest_cursor: None,
        reason: None,
        worker_id: None,
        topic: None,
    };
    assert_eq!((diagnostic, code), (Some(expected), 4404));
    let n_seen = events.len() as u64;
    assert!(n_seen < head, "{n_seen} of {head}");
    assert_eq!(seqs(&events), (1..=n_seen).collect::<Vec<_>>());
    world.end().await;
}

#[tokio::test]
async fn a_client_that_closes_is_answered() {
    let world = World::new().await;
    let worker = world.worker_id().await;
    let mut observer = Observer::new(&world, &worker, "").await;
    observer.event().await;
    observer.0.close(None).await.unwrap();
    let answered = within(observer.0.next()).await;
    assert!(matches!(answered, Some(Ok(Message::Close(None)))), "{answered:?}");
    assert!(within(observer.0.next()).await.is_none());
    world.end().await;
}

#[tokio::test]
async fn clients_that_are_gone_give_their_slot_back() {
    let bounds = Bounds {
        max_connections: 1,
        max_streams: 1,
        ping_interval: SHORT / 4,
        peer_timeout: SHORT * 10,
        write_timeout: SHORT,
        ..Bounds::default()
    };
    let world = bounded(bounds).await;
    let worker = world.worker_id().await;
    // The next one is served only when the one before has left.
    let mut leaves = Observer::new(&world, &worker, "").await;
    leaves.event().await;
    drop(leaves);

    let mut silent = world.client().send_raw(&upgrade(&worker, "")).await;
    let answer = read_to_end(&mut silent).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 101 Switching Protocols\r\n"));
    assert!(answer.windows(2).any(|bytes| bytes == [0x89, 0]), "a ping before the end");

    world.say_much(&worker).await;
    let beginning = format!("?cursor={}", Cursor::new(&worker, 0, 0));
    let takes_nothing = world.client().send_raw(&upgrade(&worker, &beginning)).await;
    world.client().get("/livez").await.ok();
    drop(takes_nothing);
    world.end().await;
}

#[tokio::test]
async fn the_end_does_not_wait_for_those_who_take_nothing() {
    let world = bounded(Bounds { shutdown_timeout: SHORT, ..Bounds::default() }).await;
    let worker = world.worker_id().await;
    world.say_much(&worker).await;
    let beginning = format!("?cursor={}", Cursor::new(&worker, 0, 0));
    let mut takes_nothing = world.client().send_raw(&upgrade(&worker, &beginning)).await;
    // All on one thread: after some turns the socket has written as much as its connection holds.
    for _ in 0..20 {
        world.client().get("/livez").await.ok();
    }
    world.end().await;
    // Cut in the middle of the log: there was no room for a Close frame.
    let received = read_to_end(&mut takes_nothing).await.unwrap_or_default();
    assert!(!received.windows(4).any(|bytes| bytes == [0x88, 2, 0x03, 0xe9]));
}

#[tokio::test]
async fn a_peer_that_answers_pings_may_stay() {
    let bounds = Bounds { ping_interval: SHORT / 2, peer_timeout: SHORT * 10, ..Bounds::default() };
    let world = bounded(bounds).await;
    let worker = world.worker_id().await;
    let mut observer = Observer::new(&world, &worker, "").await;
    observer.event().await;
    let mut n_pings = 0;
    // Long enough to be cut twice, were the answers not heard.
    while n_pings < 48 {
        match within(observer.0.next()).await {
            Some(Ok(Message::Ping(_))) => n_pings += 1,
            other => panic!("{other:?}"),
        }
    }
    world.end().await;
}

#[tokio::test]
async fn one_observer_too_many_is_sent_away() {
    let world = bounded(Bounds { max_streams: 1, head_timeout: SHORT, ..Bounds::default() }).await;
    let worker = world.worker_id().await;
    let mut first = Observer::new(&world, &worker, "").await;
    first.event().await;
    let mut second = world.client().send_raw(&upgrade(&worker, "")).await;
    let reply = receive(&mut second).await;
    assert_eq!(reply.error(), ErrorCode::Overloaded);
    // Those who drive are not locked out.
    world.client().ask(Ask::post(format!("/v1/workers/{worker}/stop"), "")).await.ok();
    assert_eq!(first.rest().await.2, 1000);
    world.end().await;
}

#[tokio::test]
async fn many_observers_see_the_same() {
    let world = World::new().await;
    let worker = world.worker_id().await;
    let mut observers = Vec::new();
    for _ in 0..20 {
        observers.push(Observer::new(&world, &worker, "").await);
    }
    for n in 0..10 {
        world.say(&worker, &format!("{n} one two three four five")).await;
    }
    world.client().ask(Ask::post(format!("/v1/workers/{worker}/stop"), "")).await.ok();
    let whole = page(&world, &worker).await.events;
    for mut observer in observers {
        let first = observer.event().await.seq;
        let (events, _, code) = observer.rest().await;
        let from = usize::try_from(first).unwrap();
        assert_eq!((events.as_slice(), code), (&whole[from..], 1000));
    }
    world.end().await;
}

/// The request for a socket, byte for byte.
pub(crate) fn upgrade(worker: &WorkerId, query: &str) -> Vec<u8> {
    format!(
        "GET /v1/workers/{worker}/events/ws{query} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {ROOT}\r\n\
         connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    .into_bytes()
}
