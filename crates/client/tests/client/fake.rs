//! A server that answers what a test says, one request a connection, and keeps what it was asked.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use musher_client::{Builder, Client, Reconnect, Retry};
use musher_protocol::{Cursor, Envelope};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinSet,
};

/// What a connection gets.
pub(crate) enum Reply {
    /// This text, and then the end of the connection.
    Text(String),
    /// This text, and then nothing.
    Silence(String),
}

/// A request as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// Method and path.
    pub(crate) line: String,
    head: String,
    pub(crate) body: String,
}

/// A server that answers what a test says. Behind its last reply it is gone.
pub(crate) struct Fake {
    port: u16,
    // Written by the server's task, read by the test; held for a line.
    asked: Arc<Mutex<Vec<Asked>>>,
    _serving: JoinSet<()>,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.into_iter().find_map(|(known, value)| known.eq_ignore_ascii_case(name).then_some(value))
    }
}

impl Fake {
    pub(crate) async fn start(replies: impl IntoIterator<Item = Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let mut replies: VecDeque<_> = replies.into_iter().collect();
        let keep = Arc::clone(&asked);
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut silent = Vec::new();
            while let Some(reply) = replies.pop_front() {
                let (mut stream, _) = listener.accept().await.unwrap();
                let request = read(&mut stream).await;
                keep.lock().unwrap().push(request);
                let (Reply::Text(text) | Reply::Silence(text)) = &reply;
                stream.write_all(text.as_bytes()).await.unwrap();
                if matches!(reply, Reply::Silence(_)) {
                    silent.push(stream);
                }
            }
            drop(listener);
            std::future::pending::<()>().await;
            drop(silent);
        });
        Self { port, asked, _serving: serving }
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    fn builder(&self) -> Builder {
        Client::builder(format!("http://127.0.0.1:{}", self.port)).token("s3cret")
    }

    /// A client that does not wait for long.
    pub(crate) fn client(&self) -> Client {
        let first_wait = Duration::from_millis(1);
        let retry = Retry { first_wait, ..Retry::default() };
        let reconnect = Reconnect { first_wait, ..Reconnect::default() };
        self.builder().retry(retry).reconnect(reconnect).build().unwrap()
    }

    /// A client whose streams come back like this.
    pub(crate) fn client_with(&self, reconnect: Reconnect) -> Client {
        self.builder().reconnect(reconnect).build().unwrap()
    }
}

/// Reads a request.
pub(crate) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Asked {
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0, "a whole request");
    };
    let body = bytes.split_off(head + 4);
    let head = String::from_utf8(bytes).unwrap();
    let (first, head) = head.split_once("\r\n").unwrap();
    let line = first.strip_suffix(" HTTP/1.1").unwrap().to_owned();
    let mut asked = Asked { line, head: head.to_owned(), body: String::new() };
    let length = asked.header("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = body;
    while body.len() < length {
        assert_ne!(stream.read_buf(&mut body).await.unwrap(), 0, "a whole body");
    }
    asked.body = String::from_utf8(body).unwrap();
    asked
}

/// An answer with a body.
pub(crate) fn answer(status: u16, headers: &str, body: &str) -> Reply {
    let length = body.len();
    Reply::Text(format!(
        "HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
    ))
}

/// No answer at all.
pub(crate) fn cut() -> Reply {
    Reply::Text(String::new())
}

/// An error of Musher's, with these fields besides.
pub(crate) fn error(status: u16, code: &str, headers: &str, fields: Value) -> Reply {
    let mut error = json!({"code": code, "message": "no", "request_id": "req_1", "retryable": false});
    error.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    answer(status, headers, &json!({"error": error}).to_string())
}

/// The beginning of a stream, and what it says before its connection breaks.
pub(crate) fn stream(text: &str) -> String {
    // Without a length and without chunks it would end in order.
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 1000000\r\n\r\nretry: 2000\n\n{text}"
    )
}

pub(crate) fn cursor(seq: u64) -> Cursor {
    Cursor::new(&"wrk_1".parse().unwrap(), seq, 7)
}

/// An event of the worker `wrk_1`.
pub(crate) fn envelope(seq: u64, payload: Value) -> Envelope {
    serde_json::from_value(json!({"cursor": cursor(seq), "seq": seq, "event_id": format!("evt_{seq}"),
        "worker_id": "wrk_1", "at": "2026-11-20T10:00:00Z", "payload": payload}))
    .unwrap()
}

pub(crate) fn text(seq: u64) -> Envelope {
    envelope(
        seq,
        json!({"type": "text_delta", "turn_id": "trn_1", "block": 0, "text": format!("word {seq}")}),
    )
}

/// An event as a stream has it.
pub(crate) fn block(envelope: &Envelope) -> String {
    format!("id: {}\ndata: {}\n\n", envelope.cursor, serde_json::to_string(envelope).unwrap())
}
