//! A client that writes what it is told, byte for byte.

use std::{io, net::SocketAddr};

use musher_protocol::{ErrorCode, ErrorReply};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::world::within;

/// A client with one token.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Client {
    address: SocketAddr,
    token: Option<&'static str>,
}

/// A request, head and body.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) method: &'static str,
    pub(crate) target: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Ask {
    pub(crate) fn get(target: impl Into<String>) -> Self {
        Self { method: "GET", target: target.into(), headers: Vec::new(), body: Vec::new() }
    }

    pub(crate) fn delete(target: impl Into<String>) -> Self {
        Self { method: "DELETE", ..Self::get(target) }
    }

    pub(crate) fn post(target: impl Into<String>, body: impl Into<Vec<u8>>) -> Self {
        let headers = vec![("content-type", "application/json".to_owned())];
        Self { method: "POST", target: target.into(), headers, body: body.into() }
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(has, _)| *has != name);
        self
    }
}

impl Client {
    pub(crate) fn new(address: SocketAddr, token: Option<&'static str>) -> Self {
        Self { address, token }
    }

    pub(crate) async fn get(&self, target: &str) -> Reply {
        self.ask(Ask::get(target)).await
    }

    pub(crate) async fn post(&self, target: &str, body: &Value) -> Reply {
        self.ask(Ask::post(target, body.to_string())).await
    }

    pub(crate) async fn ask(&self, ask: Ask) -> Reply {
        let mut socket = self.send(ask).await;
        receive(&mut socket).await
    }

    /// Sends a request and does not wait for the answer.
    pub(crate) async fn send(&self, ask: Ask) -> TcpStream {
        let Ask { method, target, headers, body } = ask;
        let mut head = format!("{method} {target} HTTP/1.1\r\nconnection: close\r\n");
        if !headers.iter().any(|(name, _)| *name == "host") {
            head.push_str("host: localhost\r\n");
        }
        if let Some(token) = self.token {
            head.push_str(&format!("authorization: Bearer {token}\r\n"));
        }
        if !body.is_empty() && !headers.iter().any(|(name, _)| *name == "transfer-encoding") {
            head.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        self.send_raw(&[head.into_bytes(), body].concat()).await
    }

    pub(crate) async fn send_raw(&self, bytes: &[u8]) -> TcpStream {
        let mut socket = within(TcpStream::connect(self.address)).await.expect("a connection");
        within(socket.write_all(bytes)).await.expect("a server that reads");
        socket
    }
}

/// Reads an answer and everything up to the end of the connection.
pub(crate) async fn receive(socket: &mut TcpStream) -> Reply {
    let bytes = read_to_end(socket).await.expect("an answer");
    Reply::parse(&String::from_utf8(bytes).expect("text"))
}

/// Reads up to the end of the connection.
pub(crate) async fn read_to_end(socket: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    within(socket.read_to_end(&mut bytes)).await.map(|_| bytes)
}

impl Reply {
    fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
        let mut lines = head.split("\r\n");
        let status =
            lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|status| status.parse().ok());
        let status = status.expect("a status line");
        let headers = lines
            .map(|line| line.split_once(": ").expect("a header"))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        Self { status, headers, body: body.to_owned() }
    }

    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.status, 200, "{}", self.body);
        self
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    #[track_caller]
    pub(crate) fn read<T: DeserializeOwned>(&self) -> T {
        assert_eq!(self.status, 200, "{}", self.body);
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(has, _)| has == name).map(|(_, value)| value.as_str())
    }

    /// The code of an error, after everything that all errors have in common has been looked at.
    #[track_caller]
    pub(crate) fn error(&self) -> ErrorCode {
        let ErrorReply { error } = serde_json::from_str(&self.body)
            .unwrap_or_else(|problem| panic!("{problem}: {} {}", self.status, self.body));
        assert_ne!(error.code, ErrorCode::Unknown, "{}", self.body);
        assert_eq!(self.status, error.code.status(), "{}", self.body);
        assert_eq!(error.retryable, error.code.is_retryable());
        assert_eq!(self.header("x-request-id"), Some(error.request_id.as_str()));
        assert_eq!(self.header("content-type"), Some("application/json"));
        self.assert_guarded();
        assert_eq!(self.header("www-authenticate").is_some(), self.status == 401);
        assert_eq!(self.header("allow").is_some(), self.status == 405);
        assert_eq!(self.header("retry-after").is_some(), matches!(self.status, 429 | 503));
        error.code
    }

    /// What every answer has, and what none has.
    #[track_caller]
    pub(crate) fn assert_guarded(&self) {
        assert_eq!(self.header("cache-control"), Some("no-store"));
        assert_eq!(self.header("x-content-type-options"), Some("nosniff"));
        assert!(self.header("x-request-id").is_some());
        let cors: Vec<_> =
            self.headers.iter().filter(|(name, _)| name.starts_with("access-control")).collect();
        assert_eq!(cors, Vec::<&(String, String)>::new());
    }
}
