//! The scripted model server over a real socket, as a client sees it.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use musher_scripted::model_api::{Answer, ModelApi, Reply, Violation, chat, responses};
use tokio::{task::JoinSet, time::timeout};

const KEY: &str = "sk-test";

/// A server whose script is for Responses.
async fn api(script: impl Fn(&str, usize) -> Answer + Send + Sync + 'static) -> ModelApi {
    let check = |request: &_| responses::violations(request, KEY);
    let script = move |request: &_, number| script(&responses::turn(request).prompt, number);
    ModelApi::start(check, script).await.expect("loopback has a free port")
}

/// Says something, and returns when that is sent.
fn ask(api: &ModelApi, key: &str, words: &str) -> TcpStream {
    let body = format!(r#"{{"input": [{{"role": "user", "content": "{words}"}}], "stream": true}}"#);
    let length = body.len();
    send(api, &format!("authorization: Bearer {key}\r\ncontent-length: {length}\r\n\r\n{body}"))
}

fn send(api: &ModelApi, rest: &str) -> TcpStream {
    let address = api.url().strip_prefix("http://").expect("an http URL");
    let mut stream = TcpStream::connect(address).expect("the server listens");
    let head = "POST /v1/responses HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n";
    stream.write_all(format!("{head}{rest}").as_bytes()).expect("the server reads");
    stream
}

/// All that comes until the connection ends.
async fn heard(mut stream: TcpStream) -> String {
    let mut reading = JoinSet::new();
    reading.spawn_blocking(move || {
        let mut text = String::new();
        stream.read_to_string(&mut text).map(|_length| text)
    });
    let read = timeout(Duration::from_secs(60), reading.join_next()).await.expect("the connection ends");
    read.expect("one reader").expect("it does not panic").expect("text")
}

#[tokio::test]
async fn requests_are_numbered_answered_and_kept() {
    let api = api(|prompt, number| responses::answer(&Reply::text(&format!("{prompt}-{number}")))).await;
    for (words, expected) in [("a", r#""delta":"a-0""#), ("b", r#""delta":"b-1""#)] {
        let answer = heard(ask(&api, KEY, words)).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains(expected), "{answer}");
        assert!(answer.contains("content-type: text/event-stream"), "{answer}");
    }
    let requests = api.requests();
    let said: Vec<_> = requests.iter().map(|request| responses::turn(request).prompt).collect();
    assert_eq!((said.join(" ").as_str(), requests[0].header("host")), ("a b", Some("localhost")));
    assert_eq!(api.violations(), []);
}

#[tokio::test]
async fn a_violation_fails_its_client_without_a_hint_and_is_kept() {
    let api = api(|_, _| panic!("a refused request gets no scripted answer")).await;
    let answer = heard(ask(&api, "another", "a")).await;
    assert!(answer.starts_with("HTTP/1.1 418 ") && !answer.contains("key"), "{answer}");
    assert_eq!((api.violations(), api.requests().len()), (vec![Violation::new("no such key")], 1));
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_before_it_is_read() {
    let api = api(|_, _| panic!("a refused request gets no scripted answer")).await;
    let answer = heard(send(&api, &format!("content-length: {}\r\n\r\n", 65 << 20))).await;
    assert!(answer.starts_with("HTTP/1.1 418 "), "{answer}");
    let violations: Vec<_> = api.violations().iter().map(ToString::to_string).collect();
    assert_eq!(violations, ["the body is larger than 64 MiB, or broke off"]);
}

#[tokio::test]
async fn a_cut_comes_after_what_was_sent() {
    let api = api(|_, number| match number {
        0 => responses::begun(&Reply::text("half of it")).cut(),
        _ => Answer::page(502, "<html>").header("retry-after", "1"),
    })
    .await;
    let answer = heard(ask(&api, KEY, "a")).await;
    assert!(answer.contains(r#""delta":"it""#), "{answer}");
    // A whole body ends with an empty chunk.
    assert!(!answer.ends_with("0\r\n\r\n"), "{answer}");
    let answer = heard(ask(&api, KEY, "a")).await;
    assert!(answer.starts_with("HTTP/1.1 502 ") && answer.contains("retry-after: 1"), "{answer}");
}

#[tokio::test]
async fn who_leaves_or_asks_is_noticed() {
    let api = api(|prompt, _| match prompt {
        "never" => Answer::never(),
        _ => responses::begun(&Reply::text("half")).hang(),
    })
    .await;
    let asking = [ask(&api, KEY, "never"), ask(&api, KEY, "hang")];
    api.requested(2).await;
    let found = api.request_where(|request| responses::turn(request).prompt == "hang").await;
    assert_eq!(found.method, "POST");
    drop(asking);
    api.abandoned(2).await;
}

#[tokio::test]
async fn dropping_a_server_closes_its_connections() {
    let api = api(|_, _| Answer::never()).await;
    let stream = ask(&api, KEY, "a");
    api.requested(1).await;
    drop(api);
    assert_eq!(heard(stream).await, "");
}

#[tokio::test]
async fn a_violation_may_be_refused_as_the_vendor_would() {
    let check =
        |_: &_| vec![Violation::new("spent").refused_with(chat::refusal(429, "insufficient_quota", "pay"))];
    let api = ModelApi::start(check, |_, _| Answer::never()).await.expect("loopback has a free port");
    let answer = heard(ask(&api, KEY, "a")).await;
    assert!(answer.starts_with("HTTP/1.1 429 ") && answer.contains("insufficient_quota"), "{answer}");
}
