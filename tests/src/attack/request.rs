//! Requests as bytes: nothing is corrected on the way.

use musher_protocol::route::{Method, RequestBody, Route};

/// A request that is put together header by header.
#[derive(Clone, Debug)]
pub(super) struct Request {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request {
    pub(super) fn new(method: &str, target: impl Into<String>) -> Self {
        Self { method: method.to_owned(), target: target.into(), headers: Vec::new(), body: Vec::new() }
    }

    pub(super) fn get(target: impl Into<String>) -> Self {
        Self::new("GET", target)
    }

    pub(super) fn post(target: impl Into<String>, body: impl Into<Vec<u8>>) -> Self {
        Self { body: body.into(), ..Self::new("POST", target) }.with("Content-Type", "application/json")
    }

    pub(super) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub(super) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self
    }

    pub(super) fn bearer(self, token: &str) -> Self {
        self.with("Authorization", format!("Bearer {token}"))
    }

    /// As a WebSocket asks to begin.
    pub(super) fn upgrading(self) -> Self {
        self.with("Connection", "Upgrade")
            .with("Upgrade", "websocket")
            .with("Sec-WebSocket-Version", "13")
            .with("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
    }

    /// A request of a route that is good but for what is still to be said of who asks.
    pub(super) fn of(route: &Route, worker: &str) -> Self {
        let target = path(route, worker);
        match (route.method, route.request) {
            (Method::Get, _) => Self::get(target),
            (Method::Delete, _) => Self::new("DELETE", target),
            (Method::Post, RequestBody::None) => Self::new("POST", target),
            (Method::Post, RequestBody::Optional(_) | RequestBody::Required(_)) => {
                let body = body(&target);
                Self::post(target, body)
            }
        }
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        let has = |name: &str| self.headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name));
        if !has("host") {
            head += "Host: localhost\r\n";
        }
        if !has("connection") {
            head += "Connection: close\r\n";
        }
        if !self.body.is_empty() && !has("content-length") && !has("transfer-encoding") {
            head += &format!("Content-Length: {}\r\n", self.body.len());
        }
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        [head.as_bytes(), b"\r\n", &self.body].concat()
    }
}

/// The path of a route, with names in it that lead nowhere but for the worker's.
pub(super) fn path(route: &Route, worker: &str) -> String {
    let filled = route.path.replace("{worker_id}", worker).replace("{digest}", &"ab".repeat(32));
    let mut path = String::new();
    for part in filled.split('/').skip(1) {
        path += "/";
        path += if part.starts_with('{') { "unknown" } else { part };
    }
    path
}

/// A body that the route takes.
fn body(target: &str) -> &'static str {
    if target.ends_with("/input") {
        r#"{"kind":"user","content":"x"}"#
    } else if target.contains("/approvals/") {
        r#"{"decision":"deny"}"#
    } else if target.ends_with("/limits") {
        r#"{"limits":{"turns":9}}"#
    } else if target == "/v1/workers" {
        r#"{"intent":{"kind":"assistant"},"profile":{"kind":"named","value":"echo"}}"#
    } else {
        "{}"
    }
}
