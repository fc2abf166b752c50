//! One connection to a server that stays open, so that a request costs what the request costs.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Method, Request,
    client::conn::http1::{SendRequest, handshake},
    header::{AUTHORIZATION, CONTENT_TYPE, HOST},
};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{net::TcpStream, task::JoinSet};

use crate::{Home, Server};

/// Where a server is, and what opens it.
#[derive(Clone, Debug)]
pub(super) struct Address {
    pub(super) port: u16,
    pub(super) token: String,
}

/// A connection.
#[derive(Debug)]
pub(super) struct Connection {
    address: Address,
    sender: SendRequest<Full<Bytes>>,
    /// The task that moves the bytes.
    _driver: JoinSet<()>,
}

impl Address {
    pub(super) fn of(home: &Home, server: &Server) -> Self {
        let token = std::fs::read_to_string(home.path().join("token")).unwrap();
        Self { port: server.port(), token: token.trim().to_owned() }
    }

    /// A socket without delays.
    pub(super) async fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }
}

impl Connection {
    pub(super) async fn open(address: &Address) -> Self {
        let (sender, connection) = handshake(TokioIo::new(address.connect().await)).await.unwrap();
        let mut driver = JoinSet::new();
        driver.spawn(async move {
            // Whoever asks is told of it by the answer that does not come.
            let _ended = connection.await;
        });
        Self { address: address.clone(), sender, _driver: driver }
    }

    /// Reads.
    pub(super) async fn get(&mut self, path: &str) -> Bytes {
        self.call(Method::GET, path, Bytes::new()).await
    }

    /// Sends JSON.
    pub(super) async fn post(&mut self, path: &str, body: &Value) -> Bytes {
        self.call(Method::POST, path, body.to_string().into()).await
    }

    /// Asks, and reads the whole answer, which must be a good one.
    pub(super) async fn call(&mut self, method: Method, path: &str, body: Bytes) -> Bytes {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, format!("127.0.0.1:{}", self.address.port))
            .header(AUTHORIZATION, format!("Bearer {}", self.address.token))
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .unwrap();
        self.sender.ready().await.unwrap();
        let reply = self.sender.send_request(request).await.unwrap();
        let status = reply.status();
        let body = reply.into_body().collect().await.unwrap().to_bytes();
        assert!(status.is_success(), "{status} {path}: {}", String::from_utf8_lossy(&body));
        body
    }
}
