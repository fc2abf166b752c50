//! The wire from outside: requests, streams, nothing retried and nothing interpreted.

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Method, Request,
    header::{AUTHORIZATION, CONTENT_TYPE, HOST},
    http::response,
};
use hyper_util::rt::TokioIo;
use musher_protocol::{Envelope, Frame, Payload, Snapshot};
use serde_json::Value;
use tokio::{
    net::{TcpSocket, TcpStream},
    task::JoinSet,
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{
        self, Message, Utf8Bytes, client::IntoClientRequest as _, protocol::frame::coding::CloseCode,
    },
};

use crate::{PATIENCE, Sse};

/// A client of one server.
#[derive(Clone, Debug)]
pub struct Client {
    authority: String,
    token: Option<String>,
}

/// Why there is no answer: the connection failed, or broke before the answer was whole. What was asked for may
/// have been done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken(pub String);

/// Why a stream sends nothing more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was closed in order, with this code.
    Closed(u16),
    /// The connection broke.
    Broken(Broken),
}

/// What a server answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The body; null when it is no JSON.
    pub body: Value,
}

impl Answer {
    fn of(status: u16, body: &[u8]) -> Self {
        Self { status, body: serde_json::from_slice(body).unwrap_or(Value::Null) }
    }

    /// The body of an answer that must be good.
    #[must_use]
    #[track_caller]
    pub fn good(self) -> Value {
        assert_eq!(self.status, 200, "{}", self.body);
        self.body
    }

    /// Status and code of an error.
    #[must_use]
    pub fn error(&self) -> (u16, &str) {
        (self.status, self.body["error"]["code"].as_str().unwrap_or_default())
    }
}

impl Client {
    pub(crate) fn new(url: &str, token: Option<&str>) -> Self {
        Self { authority: url.strip_prefix("http://").unwrap().to_owned(), token: token.map(str::to_owned) }
    }

    /// Reads.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, &[], Bytes::new()).await
    }

    /// Sends JSON.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::POST, path, &[(CONTENT_TYPE.as_str(), "application/json")], body.to_string().into())
            .await
    }

    /// Sends anything.
    pub async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)], body: Bytes) -> Answer {
        self.try_send(method, path, headers, body).await.unwrap()
    }

    /// Reads from a server that may go away.
    pub async fn try_get(&self, path: &str) -> Result<Answer, Broken> {
        self.try_send(Method::GET, path, &[], Bytes::new()).await
    }

    /// Sends JSON to a server that may go away.
    pub async fn try_post(&self, path: &str, body: &Value) -> Result<Answer, Broken> {
        let headers = [(CONTENT_TYPE.as_str(), "application/json")];
        self.try_send(Method::POST, path, &headers, body.to_string().into()).await
    }

    /// Sends anything to a server that may go away.
    pub async fn try_send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Answer, Broken> {
        let (status, body) = self.try_bytes(method, path, headers, body).await?;
        Ok(Answer::of(status, &body))
    }

    /// Sends JSON under an idempotency key to a server that may go away; and whether the answer was given before.
    pub async fn try_post_under(
        &self,
        key: &str,
        path: &str,
        body: &Value,
    ) -> Result<(Answer, bool), Broken> {
        let headers = [(CONTENT_TYPE.as_str(), "application/json"), ("idempotency-key", key)];
        let (head, body) = self.exchange(Method::POST, path, &headers, body.to_string().into()).await?;
        let is_replayed = head.headers.get("idempotency-replayed").is_some_and(|value| value == "true");
        Ok((Answer::of(head.status.as_u16(), &body), is_replayed))
    }

    /// The same; the body is as it came.
    pub async fn try_bytes(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<(u16, Bytes), Broken> {
        let (head, body) = self.exchange(method, path, headers, body).await?;
        Ok((head.status.as_u16(), body))
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<(response::Parts, Bytes), Broken> {
        let stream = TcpStream::connect(&self.authority).await.map_err(Broken::by)?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(Broken::by)?;
        let request = self.request(method, path, headers, body);
        let exchange = async {
            let (head, body) = sender.send_request(request).await?.into_parts();
            Ok((head, body.collect().await?.to_bytes()))
        };
        let driven = async {
            tokio::select! {
                answer = exchange => answer,
                never = async { let _ended = connection.await; std::future::pending().await } => never,
            }
        };
        timeout(PATIENCE, driven).await.expect("an answer").map_err(|error: hyper::Error| Broken::by(error))
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Request<Full<Bytes>> {
        let mut request = Request::builder().method(method).uri(path);
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            request = request.header(HOST, &self.authority);
        }
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(Full::new(body)).unwrap()
    }

    /// Streams a worker's log over plain HTTP, from behind an id where there is one. The status when it is not 200.
    pub async fn sse(&self, worker: &str, last_id: Option<&str>) -> Result<Sse, u16> {
        let stream = TcpStream::connect(&self.authority).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        let mut driven = JoinSet::new();
        // How it ends is seen by who reads its body.
        driven.spawn(async { drop(connection.await) });
        let mut headers = vec![("accept", "text/event-stream")];
        headers.extend(last_id.map(|id| ("last-event-id", id)));
        let path = format!("/v1/workers/{worker}/events");
        let request = self.request(Method::GET, &path, &headers, Bytes::new());
        let reply = timeout(PATIENCE, sender.send_request(request)).await.expect("an answer").unwrap();
        match reply.status().as_u16() {
            200 => Ok(Sse::new(reply.into_body(), driven)),
            other => Err(other),
        }
    }

    /// A socket for many workers.
    pub async fn observe_many(&self) -> Stream {
        self.try_socket("/v1/events/ws", None).await.unwrap()
    }

    /// Creates a worker, and answers with its id.
    pub async fn create(&self, body: &Value) -> String {
        self.post("/v1/workers", body).await.good()["worker"]["worker_id"].as_str().unwrap().to_owned()
    }

    /// Says something to a worker, and answers with the ack.
    pub async fn say(&self, worker: &str, content: &str) -> Value {
        let body = serde_json::json!({"kind": "user", "content": content});
        self.post(&format!("/v1/workers/{worker}/input"), &body).await.good()["ack"].clone()
    }

    /// The same under an id of the client's own.
    pub async fn say_with(&self, worker: &str, content: &str, input_id: &str) -> Value {
        let body = serde_json::json!({"kind": "user", "content": content, "input_id": input_id});
        self.post(&format!("/v1/workers/{worker}/input"), &body).await.good()["ack"].clone()
    }

    /// Waits until a worker is idle, and answers with it.
    pub async fn idle(&self, worker: &str) -> Value {
        self.get(&format!("/v1/workers/{worker}?until=idle&wait=60")).await.good()["worker"].clone()
    }

    /// The whole log of a worker.
    pub async fn log(&self, worker: &str) -> Vec<Envelope> {
        let mut events = Vec::new();
        let mut after = String::new();
        loop {
            let page = self.get(&format!("/v1/workers/{worker}/events{after}")).await.good();
            events.extend(serde_json::from_value::<Vec<Envelope>>(page["events"].clone()).unwrap());
            if page["has_more"] == false {
                return events;
            }
            after = format!("?after={}", page["next"].as_str().unwrap());
        }
    }

    /// Observes a worker from its beginning.
    pub async fn observe(&self, worker: &str) -> Stream {
        self.observe_from(worker, "").await
    }

    /// Observes a worker with this query.
    pub async fn observe_from(&self, worker: &str, query: &str) -> Stream {
        self.try_observe(worker, query, None).await.unwrap()
    }

    /// Observes a worker of a server that may go away, with a receive buffer of this many bytes.
    pub async fn try_observe(
        &self,
        worker: &str,
        query: &str,
        receive_buffer: Option<u32>,
    ) -> Result<Stream, Broken> {
        self.try_socket(&format!("/v1/workers/{worker}/events/ws{query}"), receive_buffer).await
    }

    async fn try_socket(&self, path: &str, receive_buffer: Option<u32>) -> Result<Stream, Broken> {
        let mut request = format!("ws://{}{path}", self.authority).into_client_request().unwrap();
        if let Some(token) = &self.token {
            request.headers_mut().insert(AUTHORIZATION, format!("Bearer {token}").parse().unwrap());
        }
        let socket = TcpSocket::new_v4().unwrap();
        if let Some(bytes) = receive_buffer {
            socket.set_recv_buffer_size(bytes).unwrap();
        }
        let connected = async {
            let stream = socket.connect(self.authority.parse().unwrap()).await.map_err(Broken::by)?;
            client_async(request, stream).await.map_err(Broken::by)
        };
        let (socket, _) = timeout(PATIENCE, connected).await.expect("a handshake")?;
        Ok(Stream { socket, seen: Vec::new() })
    }
}

impl Broken {
    fn by(error: impl std::error::Error) -> Self {
        Self(error.to_string())
    }
}

/// A worker's observation socket.
#[derive(Debug)]
pub struct Stream {
    socket: WebSocketStream<TcpStream>,
    /// Every event so far, the snapshot left out.
    pub seen: Vec<Envelope>,
}

impl Stream {
    /// The next frame, or the code that the stream was closed with.
    pub async fn next(&mut self) -> Result<Frame, u16> {
        let text = timeout(PATIENCE, self.next_text()).await.expect("a frame");
        let text = text.map_err(|ended| match ended {
            Ended::Closed(code) => code,
            Ended::Broken(broken) => panic!("a close frame before the end, not {broken:?}"),
        })?;
        let frame: Frame = serde_json::from_str(&text).unwrap();
        if let Frame::Event { envelope } = &frame
            && !matches!(envelope.payload, Payload::Snapshot(_))
        {
            self.seen.push((**envelope).clone());
        }
        Ok(frame)
    }

    /// The next frame as it came, however long that takes. When dropped early, nothing is lost.
    pub async fn next_text(&mut self) -> Result<Utf8Bytes, Ended> {
        loop {
            let message = match self.socket.next().await {
                Some(Ok(message)) => message,
                Some(Err(error)) => return Err(Ended::Broken(Broken::by(error))),
                None => return Err(Ended::Broken(Broken::by(tungstenite::Error::ConnectionClosed))),
            };
            match message {
                Message::Text(text) => return Ok(text),
                Message::Close(close) => {
                    return Err(Ended::Closed(close.map_or(CloseCode::Status, |close| close.code).into()));
                }
                Message::Ping(_) | Message::Pong(_) | Message::Binary(_) | Message::Frame(_) => {}
            }
        }
    }

    /// The snapshot that the stream begins with.
    pub async fn snapshot(&mut self) -> Snapshot {
        match self.next().await {
            Ok(Frame::Event { envelope }) => {
                let Payload::Snapshot(snapshot) = envelope.payload else {
                    panic!("a snapshot, not {envelope:?}")
                };
                *snapshot
            }
            other => panic!("a snapshot, not {other:?}"),
        }
    }

    /// Reads until an event is the one that is wanted.
    pub async fn until(&mut self, wanted: impl Fn(&Payload) -> bool) -> Payload {
        loop {
            match self.next().await {
                Ok(Frame::Event { envelope }) if wanted(&envelope.payload) => return envelope.payload,
                Ok(Frame::Event { .. }) => {}
                other => panic!("the stream went on to {other:?}; seen: {:?}", types(&self.seen)),
            }
        }
    }

    /// Reads to the end, and answers with the close code.
    pub async fn end(&mut self) -> u16 {
        loop {
            if let Err(code) = self.next().await {
                return code;
            }
        }
    }

    /// Sends a text, which an observer of one worker must not.
    pub async fn send(&mut self, text: &str) {
        self.socket.send(Message::text(text)).await.unwrap();
    }
}

fn types(events: &[Envelope]) -> Vec<&'static str> {
    events.iter().map(|event| event.payload.type_name()).collect()
}
