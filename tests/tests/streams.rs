//! Streams of the binary: over plain HTTP, and of many workers on one socket, also across a kill.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;

use musher_e2e::{Client, Home, Stream};
use musher_protocol::{DiagnosticCode, Envelope, Frame, Payload};
use serde_json::{Value, json};

const SLOW: &str = "[store]\nurl = \"sqlite:store\"\n[runtime]\ndefault_profile = \"slow\"\n\
                    [profiles.slow]\nbackend = \"scripted\"\nscript = \"echo\"\nword_delay_ms = 5\n";

async fn assistant(client: &Client) -> String {
    client.create(&json!({"intent": {"kind": "assistant"}})).await
}

async fn stop(client: &Client, worker: &str) {
    let stopped = client.post(&format!("/v1/workers/{worker}/stop"), &json!({})).await;
    assert_eq!(stopped.status, 200, "{}", stopped.body);
}

fn many_words() -> String {
    "word ".repeat(200)
}

fn is_text(payload: &Payload) -> bool {
    matches!(payload, Payload::TextDelta { .. })
}

/// What a client of many workers saw of each, in order, whatever the connection.
#[derive(Default)]
struct Seen(BTreeMap<String, Vec<Envelope>>);

impl Seen {
    fn note(&mut self, frame: Frame) -> Option<Frame> {
        let Frame::Event { envelope } = frame else { return Some(frame) };
        if !matches!(envelope.payload, Payload::Snapshot(_)) {
            self.0.entry(envelope.worker_id.to_string()).or_default().push(*envelope);
        }
        None
    }

    /// Reads until every worker has told some of its text.
    async fn until_all_talk(&mut self, stream: &mut Stream, workers: &[String]) {
        let talks = |seen: &Self, worker: &String| {
            seen.0.get(worker).is_some_and(|events| events.iter().any(|event| is_text(&event.payload)))
        };
        while !workers.iter().all(|worker| talks(self, worker)) {
            assert_eq!(self.note(stream.next().await.unwrap()), None);
        }
    }

    /// Reads until every worker has sent its last event.
    async fn until_all_are_over(&mut self, stream: &mut Stream, workers: &[String]) {
        let mut over = Vec::new();
        while over.len() < workers.len() {
            match self.note(stream.next().await.unwrap()) {
                None => {}
                Some(Frame::Unsubscribed { worker_id: Some(worker), topic: None }) => over.push(worker),
                Some(other) => panic!("unexpected: {other:?}"),
            }
        }
    }
}

async fn subscribe(stream: &mut Stream, worker: &str, cursor: Option<String>) {
    let mut request = json!({"kind": "subscribe", "worker_id": worker});
    if let Some(cursor) = cursor {
        request["cursor"] = Value::String(cursor);
    }
    stream.send(&request.to_string()).await;
}

#[tokio::test]
async fn a_client_of_plain_http_goes_on_behind_its_last_id_after_a_kill() {
    let home = Home::new(SLOW);
    let server = home.start().await;
    let client = server.client();
    let worker = assistant(&client).await;
    let mut first = client.sse(&worker, None).await.unwrap();
    let snapshot = first.next().await.unwrap().unwrap();
    assert!(matches!(snapshot.payload, Payload::Snapshot(_)), "{snapshot:?}");
    client.say(&worker, &many_words()).await;
    first.until(is_text).await;
    server.kill().await;
    first.end().await.unwrap_err();

    let server = home.start().await;
    let client = server.client();
    let mut second = client.sse(&worker, first.last_id.as_deref()).await.unwrap();
    client.idle(&worker).await;
    stop(&client, &worker).await;
    second.end().await.unwrap();
    let log = client.log(&worker).await;
    let begins = usize::try_from(snapshot.seq).unwrap();
    assert_eq!([first.seen, second.seen].concat(), log[begins..], "each event once, in order");
    assert_eq!((log.last().unwrap().payload.type_name(), second.comments), ("worker_stopped", Vec::new()));
    assert_eq!(client.sse(&worker, second.last_id.as_deref()).await.unwrap_err(), 204);
    assert_eq!(client.sse(&worker, Some("nonsense")).await.unwrap_err(), 400);

    // One that is asked to end says why the stream does.
    let worker = assistant(&client).await;
    let mut third = client.sse(&worker, None).await.unwrap();
    third.next().await.unwrap();
    let (ended, finished) = tokio::join!(third.end(), server.terminate());
    assert_eq!((ended, finished.code), (Ok(()), Some(0)));
    let [why] = &third.comments[..] else { panic!("one comment: {:?}", third.comments) };
    assert_eq!(serde_json::from_str::<Value>(why).unwrap()["code"], "runtime.upstream_closed");
}

#[tokio::test]
async fn each_subscription_goes_on_behind_its_cursor_after_a_kill() {
    let home = Home::new(SLOW);
    let server = home.start().await;
    let client = server.client();
    let mut workers = Vec::new();
    for _ in 0..4 {
        workers.push(assistant(&client).await);
    }
    let mut stream = client.observe_many().await;
    let mut seen = Seen::default();
    for worker in &workers {
        // From the beginning of each log.
        let begins = musher_protocol::Cursor::new(&worker.parse().unwrap(), 0, 0);
        subscribe(&mut stream, worker, Some(begins.to_string())).await;
        client.say(worker, &many_words()).await;
    }
    seen.until_all_talk(&mut stream, &workers).await;
    server.kill().await;

    let server = home.start().await;
    let client = server.client();
    let mut stream = client.observe_many().await;
    for worker in &workers {
        let last = seen.0[worker].last().unwrap().cursor;
        subscribe(&mut stream, worker, Some(last.to_string())).await;
    }
    // One that is not there ends alone.
    subscribe(&mut stream, "wrk_1", None).await;
    let refused = loop {
        if let Some(frame) = seen.note(stream.next().await.unwrap()) {
            break frame;
        }
    };
    let Frame::Diagnostic { diagnostic } = refused else { panic!("{refused:?}") };
    let named = diagnostic.worker_id.as_ref().map(|worker| worker.as_str());
    assert_eq!((diagnostic.code, named), (DiagnosticCode::WorkerNotFound, Some("wrk_1")));
    for worker in &workers {
        client.idle(worker).await;
        stop(&client, worker).await;
    }
    seen.until_all_are_over(&mut stream, &workers).await;
    for worker in &workers {
        assert_eq!(seen.0[worker], client.log(worker).await, "each event once, in order");
    }
    assert_eq!(server.terminate().await.code, Some(0));
    assert_eq!(stream.end().await, 1001);
}
