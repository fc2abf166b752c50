//! What a server said to its clients, read from the bytes that it sent: replies and frames, and when.

use std::collections::HashMap;

use serde_json::Value;

use super::{
    blind::Blind,
    step::{Act, Step},
};

/// Something said, whole.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Said {
    /// The line of the trace at which its last bytes began to be sent.
    pub(super) line: usize,
    pub(super) message: Message,
}

/// What was said.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Message {
    /// A good reply.
    Reply(Value),
    /// A frame of an observation socket.
    Frame(Value),
}

/// How a socket's bytes go on.
#[derive(Debug, Default)]
enum Expected {
    /// A reply's head, or the first bytes of something that is no HTTP at all.
    #[default]
    Head,
    /// This many bytes of a reply with this status.
    Body { status: u16, length: usize },
    /// A reply's body in chunks.
    Chunks { status: u16, body: Vec<u8> },
    /// Frames to the end.
    Frames,
    /// Nothing that we know: a pipe of the process's own.
    Foreign,
}

#[derive(Debug, Default)]
struct Socket {
    expected: Expected,
    bytes: Vec<u8>,
}

/// Reads all that was said, in order.
pub(super) fn said(steps: &[Step]) -> Result<Vec<Said>, Blind> {
    let mut sockets: HashMap<&str, Socket> = HashMap::new();
    let mut said = Vec::new();
    for step in steps {
        if let Act::Send { socket, bytes } = &step.act {
            let socket = sockets.entry(socket).or_default();
            socket.bytes.extend_from_slice(bytes);
            let line = step.span.start;
            while let Some(message) = socket.next().map_err(|why| Blind::new(line, why))? {
                said.extend(message.map(|message| Said { line, message }));
            }
        } else if let Act::Hangup { socket } = &step.act {
            sockets.remove(socket.as_str());
        }
    }
    said.sort_by_key(|said| said.line);
    Ok(said)
}

impl Socket {
    /// Takes the next whole piece, which may be nothing that matters; `None` when more bytes are needed.
    fn next(&mut self) -> Result<Option<Option<Message>>, String> {
        match std::mem::take(&mut self.expected) {
            Expected::Head => self.head(),
            Expected::Body { status, length } if self.bytes.len() < length => {
                self.expected = Expected::Body { status, length };
                Ok(None)
            }
            Expected::Body { status, length } => {
                let body: Vec<u8> = self.bytes.drain(..length).collect();
                reply(status, &body).map(Some)
            }
            Expected::Chunks { status, body } => self.chunk(status, body),
            Expected::Frames => self.frame(),
            Expected::Foreign => {
                self.expected = Expected::Foreign;
                self.bytes.clear();
                Ok(None)
            }
        }
    }

    fn head(&mut self) -> Result<Option<Option<Message>>, String> {
        const VERSION: &[u8] = b"HTTP/1.1 ";
        let known = self.bytes.len().min(VERSION.len());
        if self.bytes[..known] != VERSION[..known] {
            self.expected = Expected::Foreign;
            return Ok(Some(None));
        }
        let Some(end) = find(&self.bytes, b"\r\n\r\n") else { return Ok(None) };
        let head: Vec<u8> = self.bytes.drain(..end + 4).collect();
        let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status: u16 = status.ok_or("a reply without a status")?;
        let header = |name: &str| {
            let lines = head.lines().skip(1).filter_map(|line| line.split_once(':'));
            lines.filter(|(found, _)| *found == name).map(|(_, value)| value.trim().to_owned()).next()
        };
        self.expected = match (status, header("content-length"), header("transfer-encoding")) {
            (101, ..) => Expected::Frames,
            (204 | 304, ..) => Expected::Head,
            (_, Some(length), _) => {
                Expected::Body { status, length: length.parse().map_err(|_number| "a length that is none")? }
            }
            (_, None, Some(encoding)) if encoding == "chunked" => {
                Expected::Chunks { status, body: Vec::new() }
            }
            (_, None, _) => return Err(format!("a reply of unknown length: {head}")),
        };
        Ok(Some(None))
    }

    fn chunk(&mut self, status: u16, mut body: Vec<u8>) -> Result<Option<Option<Message>>, String> {
        let whole = find(&self.bytes, b"\r\n").and_then(|end| {
            let size = usize::from_str_radix(std::str::from_utf8(&self.bytes[..end]).ok()?, 16).ok()?;
            (self.bytes.len() >= end + 2 + size + 2).then_some((end + 2, size))
        });
        let Some((start, size)) = whole else {
            self.expected = Expected::Chunks { status, body };
            return Ok(None);
        };
        body.extend_from_slice(&self.bytes[start..start + size]);
        self.bytes.drain(..start + size + 2);
        if size == 0 {
            return reply(status, &body).map(Some);
        }
        self.expected = Expected::Chunks { status, body };
        Ok(Some(None))
    }

    fn frame(&mut self) -> Result<Option<Option<Message>>, String> {
        self.expected = Expected::Frames;
        let [first, second, ..] = self.bytes[..] else { return Ok(None) };
        let extended = match second {
            0..=125 => 0,
            126 => 2,
            127 => 8,
            128.. => return Err("a server's frame is masked".to_owned()),
        };
        let start = 2 + extended;
        if self.bytes.len() < start {
            return Ok(None);
        }
        let length = match extended {
            0 => usize::from(second),
            _ => self.bytes[2..start].iter().fold(0, |length, byte| length << 8 | usize::from(*byte)),
        };
        if self.bytes.len() < start + length {
            return Ok(None);
        }
        let payload: Vec<u8> = self.bytes.drain(..start + length).skip(start).collect();
        match first {
            0x81 => {
                let frame = serde_json::from_slice(&payload).map_err(|error| format!("a frame: {error}"))?;
                Ok(Some(Some(Message::Frame(frame))))
            }
            // Close, ping and pong say nothing about a log.
            0x88..=0x8a => Ok(Some(None)),
            other => Err(format!("a frame of kind {other:#x}, which we cannot put together")),
        }
    }
}

fn reply(status: u16, body: &[u8]) -> Result<Option<Message>, String> {
    if status != 200 {
        return Ok(None);
    }
    match serde_json::from_slice(body) {
        Ok(body) => Ok(Some(Message::Reply(body))),
        // The probes answer in plain words.
        Err(_words) if !body.starts_with(b"{") => Ok(None),
        Err(error) => Err(format!("a reply: {error}")),
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

#[cfg(test)]
mod tests;
