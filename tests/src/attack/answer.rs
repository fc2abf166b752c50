//! Answers as they came.

use std::time::Duration;

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

/// Longer than an answer takes on a busy machine.
const SOON: Duration = Duration::from_secs(60);
/// What comes later than this behind what came is no part of an answer; a connection may go on behind one.
const QUIET: Duration = Duration::from_millis(500);

/// What a server said to some bytes.
#[derive(Clone, Debug, Default)]
pub(super) struct Answer {
    /// 0 where it said nothing.
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: String,
    /// Whether it hung up behind that.
    pub(super) is_over: bool,
}

impl Answer {
    /// Sends bytes and hears the first answer, up to its end where it has one. A socket that goes on is left.
    pub(super) async fn to(port: u16, bytes: &[u8]) -> Self {
        let Ok(mut socket) = TcpStream::connect(("127.0.0.1", port)).await else { return Self::default() };
        // A server that hangs up in the middle of a request has said what it thinks.
        let _cut = timeout(SOON, socket.write_all(bytes)).await;
        let mut heard = Vec::new();
        let mut buffer = vec![0; 64 << 10];
        let mut patience = SOON;
        let is_over = loop {
            match timeout(patience, socket.read(&mut buffer)).await {
                Ok(Ok(n @ 1..)) => heard.extend_from_slice(&buffer[..n]),
                // One that hangs up on bytes that it did not read resets the connection.
                Ok(Ok(0) | Err(_)) => break true,
                Err(_) => break false,
            }
            if heard.starts_with(b"HTTP/1.1 101 ") {
                break false;
            }
            patience = QUIET;
        };
        Self::read(&String::from_utf8_lossy(&heard), is_over)
    }

    fn read(text: &str, is_over: bool) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
        Self { status, head: head.to_ascii_lowercase(), body: body.to_owned(), is_over }
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or(Value::Null)
    }

    /// Whether another answer follows the first one.
    pub(super) fn has_second(&self) -> bool {
        self.body.contains("HTTP/1.1 ")
    }

    /// The same, and it is no refusal.
    pub(super) fn has_second_done(&self) -> bool {
        self.body.contains("HTTP/1.1 2")
    }

    /// Whether the server refused: nothing that was asked for was done.
    pub(super) fn is_refused(&self) -> bool {
        (400..500).contains(&self.status)
    }

    /// Whether it hung up without a word.
    pub(super) fn is_cut(&self) -> bool {
        self.status == 0 && self.is_over
    }
}
