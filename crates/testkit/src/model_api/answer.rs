//! What a request is answered with.

use bytes::Bytes;
use serde_json::Value;

use crate::playback::Frame;

/// A response, frame by frame.
#[derive(Clone, Debug)]
pub struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) frames: Vec<Frame>,
}

impl Answer {
    /// A stream of events; nothing is in it yet.
    #[must_use]
    pub fn stream() -> Self {
        let headers = vec![("content-type", "text/event-stream; charset=utf-8".to_owned())];
        Self { status: 200, headers, frames: Vec::new() }
    }

    /// A JSON body under this status.
    #[must_use]
    pub fn json(status: u16, body: &Value) -> Self {
        let headers = vec![("content-type", "application/json".to_owned())];
        Self { status, headers, frames: Vec::new() }.bytes(body.to_string())
    }

    /// A page under this status, as proxies send it.
    #[must_use]
    pub fn page(status: u16, html: &str) -> Self {
        let headers = vec![("content-type", "text/html".to_owned())];
        Self { status, headers, frames: Vec::new() }.bytes(html.to_owned())
    }

    /// Nothing at all, ever: not even a response's head.
    #[must_use]
    pub fn never() -> Self {
        Self { status: 0, headers: Vec::new(), frames: Vec::new() }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    /// Adds an event with this text.
    #[must_use]
    pub fn event(self, text: &Value) -> Self {
        self.bytes(format!("data: {text}\n\n"))
    }

    /// Adds an event for each text.
    #[must_use]
    pub fn events(self, texts: &[Value]) -> Self {
        texts.iter().fold(self, Self::event)
    }

    /// Adds bytes as they are.
    #[must_use]
    pub fn bytes(mut self, bytes: impl Into<Bytes>) -> Self {
        self.frames.push(Frame::Bytes(bytes.into()));
        self
    }

    /// Cuts what there is so far into pieces of so many bytes.
    ///
    /// # Panics
    ///
    /// When that is none.
    #[must_use]
    pub fn in_pieces(mut self, size: usize) -> Self {
        let whole: Vec<u8> = self
            .frames
            .iter()
            .flat_map(|frame| match frame {
                Frame::Bytes(bytes) => bytes.to_vec(),
                Frame::Pause(_) | Frame::Disconnect | Frame::Silence => Vec::new(),
            })
            .collect();
        self.frames = whole.chunks(size).map(|piece| Frame::Bytes(Bytes::copy_from_slice(piece))).collect();
        self
    }

    /// Ends the connection here, without an end of the body.
    #[must_use]
    pub fn cut(mut self) -> Self {
        self.frames.push(Frame::Disconnect);
        self
    }

    /// Nothing comes any more, and the connection stays.
    #[must_use]
    pub fn hang(mut self) -> Self {
        self.frames.push(Frame::Silence);
        self
    }
}
