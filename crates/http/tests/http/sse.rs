//! Streams over plain HTTP.

use std::time::Duration;

use musher_core::MemoryStore;
use musher_http::{Bounds, HttpOptions};
use musher_protocol::{
    Cursor, Diagnostic, DiagnosticCode, Envelope, ErrorCode, EventsReply, Payload, RuntimeLimits, WorkerId,
    WorkerStatus,
};
use serde_json::json;
use tokio::{io::AsyncReadExt as _, net::TcpStream};

use crate::{
    client::{Ask, Client, Reply, read_to_end},
    store::Fragile,
    world::{World, builder, options, runtime, within},
};

const SHORT: Duration = Duration::from_millis(200);

/// A reader of one stream.
struct Reader {
    socket: TcpStream,
    /// What has come of the body and was not read.
    text: String,
    /// The id that a browser would come back with.
    last_id: Option<String>,
    is_over: bool,
}

/// What stands between two empty lines.
#[derive(Debug, PartialEq)]
enum Block {
    Event(Box<Envelope>),
    /// A place without an event.
    Place(Cursor),
    Retry(u64),
    Comment(String),
}

impl Reader {
    async fn new(client: Client, ask: Ask) -> Self {
        let mut socket = client.send(ask.with("accept", "text/event-stream")).await;
        let head = read_head(&mut socket).await;
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        for header in [
            "content-type: text/event-stream\r\n",
            "cache-control: no-store\r\n",
            "x-content-type-options: nosniff\r\n",
            "x-accel-buffering: no\r\n",
            "transfer-encoding: chunked\r\n",
        ] {
            assert!(head.contains(header), "{header:?} in {head}");
        }
        assert!(!head.contains("access-control"), "{head}");
        let mut reader = Self { socket, text: String::new(), last_id: None, is_over: false };
        assert_eq!(
            reader.next().await,
            Some(Block::Retry(2000)),
            "it begins with the time to come back after"
        );
        reader
    }

    async fn of(world: &World, worker: &WorkerId, query: &str) -> Self {
        Self::new(world.client(), Ask::get(format!("/v1/workers/{worker}/events{query}"))).await
    }

    async fn behind(world: &World, worker: &WorkerId, last: impl ToString) -> Self {
        let ask = Ask::get(format!("/v1/workers/{worker}/events"));
        Self::new(world.client(), ask.with("last-event-id", last.to_string())).await
    }

    /// The next block; `None` at the end of the body, which must be one.
    async fn next(&mut self) -> Option<Block> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                return Some(self.parse(&block));
            }
            if self.is_over {
                assert_eq!(self.text, "", "whole blocks");
                return None;
            }
            self.read_chunk().await;
        }
    }

    fn parse(&mut self, block: &str) -> Block {
        let lines: Vec<_> = block.split('\n').collect();
        let id = lines[0].strip_prefix("id: ").map(str::to_owned);
        self.last_id = id.clone().or(self.last_id.take());
        match (lines.as_slice(), id) {
            ([_, data], Some(id)) => {
                let envelope = data.strip_prefix("data: ").expect("data behind an id");
                let envelope: Envelope = serde_json::from_str(envelope).expect("an envelope");
                assert_eq!(id, envelope.cursor.to_string(), "an event's id is its cursor");
                Block::Event(Box::new(envelope))
            }
            ([_], Some(id)) => Block::Place(id.parse().expect("a cursor")),
            ([line], None) => match line.strip_prefix("retry: ") {
                Some(millis) => Block::Retry(millis.parse().expect("a number")),
                None => Block::Comment(line.strip_prefix(':').expect("a comment").trim().to_owned()),
            },
            _ => panic!("unexpected: {block:?}"),
        }
    }

    async fn read_chunk(&mut self) {
        let size = read_line(&mut self.socket).await;
        let size = usize::from_str_radix(&size, 16).expect("a chunk's size");
        let mut chunk = vec![0; size];
        within(self.socket.read_exact(&mut chunk)).await.expect("a whole chunk");
        assert_eq!(read_line(&mut self.socket).await, "");
        self.text.push_str(&String::from_utf8(chunk).expect("text"));
        self.is_over = size == 0;
    }

    async fn event(&mut self) -> Envelope {
        match self.next().await {
            Some(Block::Event(envelope)) => *envelope,
            other => panic!("no event: {other:?}"),
        }
    }

    /// Reads up to the end: the events, and what was said about the end.
    async fn rest(&mut self) -> (Vec<Envelope>, Option<Diagnostic>) {
        let mut events = Vec::new();
        let mut last_words = None;
        while let Some(block) = self.next().await {
            assert_eq!(last_words, None, "nothing comes behind the last words");
            match block {
                Block::Event(envelope) => events.push(*envelope),
                Block::Comment(text) => last_words = Some(serde_json::from_str(&text).expect("a diagnostic")),
                other @ (Block::Place(_) | Block::Retry(_)) => panic!("unexpected: {other:?}"),
            }
        }
        (events, last_words)
    }
}

async fn read_head(socket: &mut TcpStream) -> String {
    let mut head = String::new();
    loop {
        let line = read_line(socket).await;
        if line.is_empty() {
            return head;
        }
        head.push_str(&line);
        head.push_str("\r\n");
    }
}

async fn read_line(socket: &mut TcpStream) -> String {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        line.push(within(socket.read_u8()).await.expect("a line"));
    }
    line.truncate(line.len() - 2);
    String::from_utf8(line).expect("text")
}

async fn page(world: &World, worker: &WorkerId) -> EventsReply {
    world.client().get(&format!("/v1/workers/{worker}/events")).await.read()
}

async fn end_worker(world: &World, worker: &WorkerId, how: &str) {
    world.client().ask(Ask::post(format!("/v1/workers/{worker}/{how}"), "")).await.ok();
}

/// The answer to somebody who comes back.
async fn again(world: &World, worker: &WorkerId, last: &str) -> Reply {
    let ask = Ask::get(format!("/v1/workers/{worker}/events")).with("accept", "text/event-stream");
    world.client().ask(ask.with("last-event-id", last)).await
}

async fn bounded(bounds: Bounds) -> World {
    World::over(runtime(MemoryStore::new()).await, HttpOptions { bounds, ..options() }).await
}

#[tokio::test]
async fn a_snapshot_then_every_event_then_the_end_and_then_no_more() {
    for (how, last) in [("stop", "worker_stopped"), ("cancel", "worker_cancelled")] {
        let world = World::new().await;
        let worker = world.worker_id().await;
        let before = page(&world, &worker).await;
        let mut reader = Reader::of(&world, &worker, "").await;
        let snapshot = reader.event().await;
        assert_eq!((snapshot.cursor, snapshot.seq), (before.next, before.events.len() as u64));
        let Payload::Snapshot(state) = snapshot.payload else { panic!("{:?}", snapshot.payload) };
        assert_eq!((state.status, state.head), (WorkerStatus::Running, before.next));

        world.say(&worker, "one two three\nfour").await;
        end_worker(&world, &worker, how).await;
        let (events, last_words) = reader.rest().await;
        assert_eq!(last_words, None);
        // The same objects as in pages.
        let whole = page(&world, &worker).await;
        assert_eq!(events, whole.events[before.events.len()..]);
        assert_eq!(whole.events.last().unwrap().payload.type_name(), last);

        let over = again(&world, &worker, &reader.last_id.unwrap()).await;
        assert_eq!((over.status, over.body.as_str()), (204, ""));
        over.assert_guarded();
        world.end().await;
    }
}

#[tokio::test]
async fn a_stream_goes_on_behind_the_last_id_with_events_only() {
    let world = World::new().await;
    let worker = world.worker_id().await;
    world.say(&worker, "one").await;
    let whole = page(&world, &worker).await;
    let after = whole.events[1].cursor;
    for mut reader in [
        Reader::behind(&world, &worker, after).await,
        Reader::of(&world, &worker, &format!("?after={after}")).await,
    ] {
        for expected in &whole.events[2..] {
            assert_eq!(reader.event().await, *expected);
        }
    }
    // A browser comes back to the address it was given, with the id that it has got to.
    let ask = Ask::get(format!("/v1/workers/{worker}/events?after={}", Cursor::new(&worker, 0, 0)));
    let mut reader = Reader::new(world.client(), ask.with("last-event-id", whole.next.to_string())).await;
    end_worker(&world, &worker, "stop").await;
    let (events, last_words) = reader.rest().await;
    let log = page(&world, &worker).await.events;
    assert_eq!((events.as_slice(), last_words), (&log[whole.events.len()..], None));

    // And from the beginning of a log that is over, to its end.
    let mut reader = Reader::behind(&world, &worker, Cursor::new(&worker, 0, 0)).await;
    assert_eq!(reader.rest().await, (log, None));
    // Without a place it is what it is, once.
    let mut reader = Reader::of(&world, &worker, "").await;
    let snapshot = reader.event().await;
    assert!(matches!(&snapshot.payload, Payload::Snapshot(state) if state.status == WorkerStatus::Stopped));
    assert_eq!(reader.rest().await, (Vec::new(), None));
    assert_eq!(again(&world, &worker, &snapshot.cursor.to_string()).await.status, 204);
    world.end().await;
}

#[tokio::test]
async fn a_place_that_leads_nowhere_is_answered_before_the_stream() {
    let world = World::new().await;
    let worker = world.worker_id().await;
    let other = world.worker_id().await;
    let good = page(&world, &worker).await.next;
    let foreign = page(&world, &other).await.next.to_string();
    let future = Cursor::new(&worker, 1 << 40, 1).to_string();
    let rewritten = Cursor::new(&worker, 1, !good.checksum()).to_string();
    let cases = [
        ("nonsense", ErrorCode::CursorMalformed),
        ("", ErrorCode::CursorMalformed),
        (&foreign, ErrorCode::WrongRuntimeCursor),
        (&future, ErrorCode::WrongRuntimeCursor),
        (&rewritten, ErrorCode::CursorExpired),
    ];
    for (last, expected) in cases {
        assert_eq!(again(&world, &worker, last).await.error(), expected, "{last:?}");
        let ask = Ask::get(format!("/v1/workers/{worker}/events?after={last}"));
        let reply = world.client().ask(ask.with("accept", "text/event-stream")).await;
        assert_eq!(reply.error(), expected, "{last:?}");
    }
    let history = again(&world, &worker, &rewritten).await.json()["error"].clone();
    let oldest = Cursor::new(&worker, 0, 0).to_string();
    assert_eq!((&history["reason"], &history["oldest_cursor"]), (&json!("history_changed"), &json!(oldest)));
    // A good place in the address does not help against a bad one that the client has got to.
    let ask =
        Ask::get(format!("/v1/workers/{worker}/events?after={good}")).with("accept", "text/event-stream");
    let reply = world.client().ask(ask.with("last-event-id", "nonsense")).await;
    assert_eq!(reply.error(), ErrorCode::CursorMalformed);

    let nobody = again(&world, &"wrk_1".parse().unwrap(), "nonsense").await;
    assert_eq!(nobody.error(), ErrorCode::CursorMalformed);
    let nobody = Ask::get("/v1/workers/wrk_1/events").with("accept", "text/event-stream");
    assert_eq!(world.client().ask(nobody).await.error(), ErrorCode::WorkerNotFound);
    world.end().await;
}

#[tokio::test]
async fn pages_are_what_a_client_gets_that_does_not_name_the_stream() {
    let world = World::new().await;
    let worker = world.worker_id().await;
    let path = format!("/v1/workers/{worker}/events");
    let whole = page(&world, &worker).await;
    for accept in ["*/*", "application/json", "text/*"] {
        let ask = Ask::get(path.as_str()).with("accept", accept).with("last-event-id", "of no page");
        assert_eq!(world.client().ask(ask).await.read::<EventsReply>(), whole, "{accept}");
    }
    for query in ["tail=1", "limit=1", "wait=1"] {
        let ask = Ask::get(format!("{path}?{query}")).with("accept", "text/event-stream");
        assert_eq!(world.client().ask(ask).await.error(), ErrorCode::InvalidQuery, "{query}");
    }
    world.end().await;
}

#[tokio::test]
async fn types_leave_out_others_and_no_place_is_lost() {
    let world = World::new().await;
    let worker = world.worker_id().await;
    let mut reader = Reader::of(&world, &worker, "?types=text_done,user_message").await;
    assert_eq!(reader.event().await.payload.type_name(), "snapshot");
    world.say(&worker, "hello").await;
    end_worker(&world, &worker, "stop").await;
    let mut events = Vec::new();
    while let Some(block) = reader.next().await {
        match block {
            Block::Event(envelope) => events.push(*envelope),
            Block::Place(_) => {}
            other @ (Block::Retry(_) | Block::Comment(_)) => panic!("unexpected: {other:?}"),
        }
    }
    let whole = page(&world, &worker).await;
    let wanted = |event: &Envelope| matches!(event.payload.type_name(), "text_done" | "user_message");
    let expected: Vec<_> = whole.events.into_iter().filter(wanted).collect();
    assert_eq!((events.len(), events), (2, expected));
    // Nothing of the wanted types was last, and still nobody comes back for ever.
    assert_eq!(reader.last_id, Some(whole.next.to_string()));
    let ask =
        Ask::get(format!("/v1/workers/{worker}/events?types=text_done")).with("accept", "text/event-stream");
    assert_eq!(world.client().ask(ask.with("last-event-id", whole.next.to_string())).await.status, 204);
    world.end().await;
}

#[tokio::test]
async fn a_stream_with_nothing_to_say_says_that_it_is_there() {
    let world = bounded(Bounds { heartbeat_interval: SHORT / 4, ..Bounds::default() }).await;
    let worker = world.worker_id().await;
    let mut reader = Reader::behind(&world, &worker, page(&world, &worker).await.next).await;
    for _ in 0..3 {
        assert_eq!(reader.next().await, Some(Block::Comment(String::new())));
    }
    world.say(&worker, "hello").await;
    let first = loop {
        match reader.next().await {
            Some(Block::Comment(text)) if text.is_empty() => {}
            other => break other,
        }
    };
    assert!(
        matches!(&first, Some(Block::Event(event)) if event.payload.type_name() == "input_accepted"),
        "{first:?}"
    );
    world.end().await;
}

#[tokio::test]
async fn streams_end_with_the_runtime_and_with_the_server_and_say_so() {
    let world = World::new().await;
    let worker = world.worker_id().await;
    let mut reader = Reader::of(&world, &worker, "").await;
    reader.event().await;
    within(world.runtime.shutdown()).await;
    let (_, last_words) = reader.rest().await;
    assert_eq!(last_words.map(|last| last.code), Some(DiagnosticCode::UpstreamClosed));
    world.end().await;

    let mut world = World::new().await;
    let worker = world.worker_id().await;
    let mut reader = Reader::of(&world, &worker, "").await;
    reader.event().await;
    world.begin_end();
    let (_, last_words) = reader.rest().await;
    assert_eq!(last_words.map(|last| last.code), Some(DiagnosticCode::UpstreamClosed));
    world.end().await;
}

#[tokio::test]
async fn a_stream_ends_when_its_store_fails() {
    let (store, faults) = Fragile::new();
    let world = World::over(runtime(store).await, options()).await;
    let worker = world.worker_id().await;
    let mut reader = Reader::of(&world, &worker, "").await;
    reader.event().await;
    faults.fail();
    let body = json!({"kind": "user", "content": "hello"});
    let reply = world.client().post(&format!("/v1/workers/{worker}/input"), &body).await;
    assert_eq!(reply.error(), ErrorCode::StoreIo);
    let (events, last_words) = reader.rest().await;
    assert_eq!((events, last_words.map(|last| last.code)), (Vec::new(), Some(DiagnosticCode::Unavailable)));
    world.end().await;
}

#[tokio::test]
async fn a_stream_takes_a_place_among_the_streams_and_gives_it_back() {
    let bounds = Bounds { max_streams: 1, write_timeout: SHORT, ..Bounds::default() };
    let world = bounded(bounds).await;
    let worker = world.worker_id().await;
    let path = format!("/v1/workers/{worker}/events");
    let stream = || Ask::get(path.as_str()).with("accept", "text/event-stream");
    let mut first = Reader::of(&world, &worker, "").await;
    first.event().await;
    let second = world.client().ask(stream()).await;
    assert_eq!(second.error(), ErrorCode::Overloaded);
    assert_eq!(second.json()["error"]["limit"], 1);
    drop(first);
    // One that leaves is noticed, and one that takes nothing is cut.
    world.say_much(&worker).await;
    let beginning = Cursor::new(&worker, 0, 0).to_string();
    let mut takes_nothing = loop {
        let mut socket = world.client().send(stream().with("last-event-id", beginning.as_str())).await;
        let head = read_head(&mut socket).await;
        if head.starts_with("HTTP/1.1 200 ") {
            break socket;
        }
        assert!(head.starts_with("HTTP/1.1 429 "), "{head}");
    };
    within(async { while world.client().ask(Ask { method: "HEAD", ..stream() }).await.status == 429 {} })
        .await;
    let received = read_to_end(&mut takes_nothing).await.unwrap_or_default();
    assert!(!received.ends_with(b"0\r\n\r\n"), "a stream that is cut has no end");
    world.end().await;
}

#[tokio::test]
async fn a_long_log_comes_whole_in_many_reads() {
    let limits = RuntimeLimits { max_transcript_projection_items: 256, max_event_batch_items: 10_000 };
    let runtime = builder(MemoryStore::new()).limits(limits).start().await.unwrap();
    let world = World::over(runtime, options()).await;
    let worker = world.worker_id().await;
    for n in 0..100 {
        world.say(&worker, &format!("{n} {}", "words and words ".repeat(20))).await;
    }
    end_worker(&world, &worker, "stop").await;
    let whole: EventsReply =
        world.client().get(&format!("/v1/workers/{worker}/events?limit=10000")).await.read();
    assert!(!whole.has_more && whole.events.len() > 512, "{}", whole.events.len());
    let mut reader = Reader::behind(&world, &worker, Cursor::new(&worker, 0, 0)).await;
    assert_eq!(reader.rest().await, (whole.events, None));
    world.end().await;
}
