//! The fake over a real socket, as a client sees it.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Request, Response,
    body::Incoming,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use musher_testkit::messages_api::{MessagesApi, prompt as prompt_of};
use serde_json::{Value, json};
use tokio::{net::TcpStream, task::JoinSet};

/// One connection to a fake; its task ends with it.
struct Client {
    sender: SendRequest<Full<Bytes>>,
    _connection: JoinSet<Result<(), hyper::Error>>,
}

impl Client {
    async fn to(api: &MessagesApi) -> Self {
        let address = api.url().strip_prefix("http://").expect("an http URL");
        let stream = TcpStream::connect(address).await.expect("the fake listens");
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("a handshake");
        let mut tasks = JoinSet::new();
        tasks.spawn(connection);
        Self { sender, _connection: tasks }
    }

    async fn ask(&mut self, api_key: &str, body: &Value) -> Result<Response<Incoming>, hyper::Error> {
        let request = Request::post("/v1/messages")
            .header("host", "localhost")
            .header("x-api-key", api_key)
            .header("anthropic-version", "2023-06-01")
            .body(Full::from(body.to_string()))
            .expect("a valid request");
        self.sender.send_request(request).await
    }
}

fn prompt(text: &str, stream: bool) -> Value {
    json!({
        "model": "fake-model",
        "max_tokens": 100,
        "stream": stream,
        "messages": [{"role": "user", "content": text}],
    })
}

async fn text_of(response: Response<Incoming>) -> String {
    let body = response.into_body().collect().await.expect("the body is whole").to_bytes();
    String::from_utf8(body.into()).expect("UTF-8")
}

/// The texts of all deltas, and the names of the other events.
fn read_events(stream: &str) -> (String, Vec<String>) {
    let mut text = String::new();
    let mut others = Vec::new();
    for line in stream.lines().filter_map(|line| line.strip_prefix("data: ")) {
        let event: Value = serde_json::from_str(line).expect("an event is JSON");
        match event["delta"]["text"].as_str() {
            Some(piece) => text.push_str(piece),
            None => others.push(event["type"].as_str().expect("an event has a type").into()),
        }
    }
    (text, others)
}

#[tokio::test]
async fn a_client_reads_one_streamed_answer() {
    let api = MessagesApi::start().await;
    let mut client = Client::to(&api).await;

    let response = client.ask(api.api_key(), &prompt("hello", true)).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "text/event-stream; charset=utf-8");
    let (text, others) = read_events(&text_of(response).await);

    assert_eq!(text, "FAKE-OK: hello");
    assert_eq!(
        others,
        ["message_start", "content_block_start", "content_block_stop", "message_delta", "message_stop"]
    );
    assert_eq!(api.requests().iter().map(prompt_of).collect::<Vec<_>>(), ["hello"]);
    assert_eq!(api.violations(), []);
}

#[tokio::test]
async fn a_client_may_ask_for_the_message_in_one_piece() {
    let api = MessagesApi::start().await;
    let mut client = Client::to(&api).await;

    let response = client.ask(api.api_key(), &prompt("@@text:whole@@", false)).await.unwrap();
    let message: Value = serde_json::from_str(&text_of(response).await).unwrap();

    assert_eq!(message["content"], json!([{"type": "text", "text": "whole"}]));
    assert_eq!(api.violations(), []);
}

#[tokio::test]
async fn a_violation_is_refused_and_kept() {
    let api = MessagesApi::start().await;
    let mut client = Client::to(&api).await;

    let response = client.ask("another key", &prompt("hello", true)).await.unwrap();
    assert_eq!(response.status(), 401);
    assert!(text_of(response).await.contains(r#""type":"authentication_error""#));

    let body = json!({"model": "fake-model", "max_tokens": 100, "messages": []});
    let response = client.ask(api.api_key(), &body).await.unwrap();
    assert_eq!(response.status(), 400);
    assert!(text_of(response).await.contains("messages: missing or of the wrong type"));

    let violations: Vec<_> = api.violations().iter().map(ToString::to_string).collect();
    assert_eq!(violations, ["invalid x-api-key", "messages: missing or of the wrong type"]);
    assert_eq!(api.requests().len(), 2);
}

#[tokio::test]
async fn a_disconnect_comes_after_what_was_sent_and_only_once() {
    let api = MessagesApi::start().await;

    let mut client = Client::to(&api).await;
    let mut response = client.ask(api.api_key(), &prompt("@@disconnect1@@", true)).await.unwrap();
    let mut seen = Vec::new();
    while let Ok(frame) = response.frame().await.expect("the body breaks off, it does not end") {
        seen.extend(frame.into_data().expect("no trailers"));
    }
    assert_eq!(read_events(&String::from_utf8(seen).unwrap()).0, "one two ");

    let mut client = Client::to(&api).await;
    let response = client.ask(api.api_key(), &prompt("@@disconnect1@@", true)).await.unwrap();
    assert_eq!(read_events(&text_of(response).await).0, "recovered after a disconnect");
    assert_eq!(api.violations(), []);
}

#[tokio::test]
async fn a_hanging_answer_is_asked_for_and_never_comes() {
    let api = MessagesApi::start().await;
    let mut client = Client::to(&api).await;
    let key = api.api_key().to_owned();
    let mut asking = JoinSet::new();
    asking.spawn(async move { client.ask(&key, &prompt("@@hang@@", true)).await.map(drop) });

    let found = api.request_where(|request| prompt_of(request).contains("hang")).await;
    assert_eq!((prompt_of(&found).as_str(), found.path.as_str()), ("@@hang@@", "/v1/messages"));
    drop(api);

    let answer = asking.join_next().await.expect("one client").expect("it does not panic");
    assert!(answer.is_err(), "the connection was closed without an answer");
}
