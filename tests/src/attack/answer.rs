//! Answers as they came.

use std::time::Duration;

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::PATIENCE;

/// A connection may go on behind an answer: what comes later than this belongs to none that was asked for, or to a stream.
const QUIET: Duration = Duration::from_secs(2);

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
        let _cut = timeout(PATIENCE, socket.write_all(bytes)).await;
        let mut heard = Vec::new();
        let mut buffer = vec![0; 64 << 10];
        let has_body = !bytes.starts_with(b"HEAD ");
        let is_over = loop {
            let patience = if is_begun(&heard, has_body) { PATIENCE } else { QUIET };
            match timeout(patience, socket.read(&mut buffer)).await {
                Ok(Ok(n @ 1..)) => heard.extend_from_slice(&buffer[..n]),
                // One that hangs up on bytes that it did not read resets the connection.
                Ok(Ok(0) | Err(_)) => break true,
                Err(_) => break false,
            }
            if heard.starts_with(b"HTTP/1.1 101 ") {
                break false;
            }
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

/// Whether there is more of a first answer to come, by what it says of its own length: however late, that belongs to it.
fn is_begun(heard: &[u8], has_body: bool) -> bool {
    const END: &[u8] = b"\r\n\r\n";
    let Some(end) = heard.windows(END.len()).position(|bytes| bytes == END) else { return true };
    let head = String::from_utf8_lossy(&heard[..end]).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    has_body && length.is_some_and(|length: usize| heard.len() - end - END.len() < length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_when_it_is_as_long_as_it_says() {
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n";
        for (heard, has_body, expected) in [
            ("", true, true),
            (&head[..head.len() - 1], true, true),
            (head, true, true),
            (head, false, false),
            (&format!("{head}ab"), true, true),
            (&format!("{head}abc"), true, false),
            (&format!("{head}abcHTTP/1.1 400 Bad Request\r\n"), true, false),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc", true, false),
            ("HTTP/1.1 204 No Content\r\n\r\n", true, false),
        ] {
            assert_eq!(is_begun(heard.as_bytes(), has_body), expected, "{heard:?}");
        }
    }
}
