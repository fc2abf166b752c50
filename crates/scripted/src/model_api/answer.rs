//! What a request is answered with.

use std::time::Duration;

use bytes::Bytes;
use hyper::{
    HeaderMap, StatusCode,
    header::{CONTENT_TYPE, HeaderName, HeaderValue},
};
use serde_json::Value;

use super::playback::Frame;

/// A response, frame by frame.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// None: nothing comes, not even this.
    head: Option<Head>,
    frames: Vec<Frame>,
}

/// How a response begins.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Head {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
}

impl Answer {
    /// A stream of events; nothing is in it yet.
    #[must_use]
    pub fn stream() -> Self {
        Self::of(200, "text/event-stream; charset=utf-8")
    }

    /// A JSON body under this status.
    ///
    /// # Panics
    ///
    /// When there is no such status.
    #[must_use]
    pub fn json(status: u16, body: &Value) -> Self {
        Self::of(status, "application/json").bytes(body.to_string())
    }

    /// A page under this status, as proxies send it.
    ///
    /// # Panics
    ///
    /// When there is no such status.
    #[must_use]
    pub fn page(status: u16, html: &str) -> Self {
        Self::of(status, "text/html").bytes(html.to_owned())
    }

    /// Nothing at all, ever: not even a response's head.
    #[must_use]
    pub fn never() -> Self {
        Self { head: None, frames: Vec::new() }
    }

    fn of(status: u16, content_type: &'static str) -> Self {
        let status = StatusCode::from_u16(status).expect("a status of HTTP");
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(content_type))]);
        Self { head: Some(Head { status, headers }), frames: Vec::new() }
    }

    /// Adds a header.
    ///
    /// # Panics
    ///
    /// When the name is not in lower case, or the value holds what a header cannot.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        let value = HeaderValue::from_str(value).expect("visible characters");
        if let Some(head) = &mut self.head {
            head.headers.append(HeaderName::from_static(name), value);
        }
        self
    }

    /// Adds an event with this text.
    #[must_use]
    pub fn event(self, text: &Value) -> Self {
        self.bytes(format!("data: {text}\n\n"))
    }

    /// Adds an event of this type with this text.
    #[must_use]
    pub fn event_of(self, kind: &str, text: &Value) -> Self {
        self.bytes(format!("event: {kind}\ndata: {text}\n\n"))
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

    /// Nothing comes for so long; no time at all is no pause.
    #[must_use]
    pub fn pause(mut self, time: Duration) -> Self {
        if !time.is_zero() {
            self.frames.push(Frame::Pause(time));
        }
        self
    }

    /// Cuts what there is so far into pieces of so many bytes; pauses stay between them.
    ///
    /// # Panics
    ///
    /// When that is none.
    #[must_use]
    pub fn in_pieces(mut self, size: usize) -> Self {
        let mut pieces = Vec::new();
        let runs = self.frames.chunk_by(|a, b| matches!((a, b), (Frame::Bytes(_), Frame::Bytes(_))));
        for run in runs {
            let mut whole = Vec::new();
            for frame in run {
                match frame {
                    Frame::Bytes(bytes) => whole.extend_from_slice(bytes),
                    Frame::Pause(_) | Frame::Disconnect | Frame::Silence => pieces.push(frame.clone()),
                }
            }
            pieces.extend(whole.chunks(size).map(|piece| Frame::Bytes(Bytes::copy_from_slice(piece))));
        }
        self.frames = pieces;
        self
    }

    /// Ends the connection here, without an end of the body.
    #[must_use]
    pub fn cut(mut self) -> Self {
        self.frames.push(Frame::Disconnect);
        self
    }

    /// Nothing comes any more, and the connection stays until either side ends it.
    #[must_use]
    pub fn hang(mut self) -> Self {
        self.frames.push(Frame::Silence);
        self
    }

    /// What comes behind its head, in order.
    #[must_use]
    pub fn frames(&self) -> &[Frame] {
        &self.frames
    }

    /// Its head, where one is sent, and what comes behind that.
    pub(super) fn into_parts(self) -> (Option<Head>, Vec<Frame>) {
        (self.head, self.frames)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_cut_across_events_but_not_across_pauses() {
        let pause = Duration::from_millis(1);
        let pieces = |size| {
            let answer =
                Answer::stream().bytes("abc").bytes("de").pause(pause).bytes("fg").cut().in_pieces(size);
            let word = |frame: &Frame| match frame {
                Frame::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
                Frame::Pause(_) => "pause".to_owned(),
                Frame::Disconnect => "cut".to_owned(),
                Frame::Silence => "silence".to_owned(),
            };
            answer.frames.iter().map(word).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(pieces(2), "ab cd e pause fg cut");
        assert_eq!(pieces(9), "abcde pause fg cut");
        assert_eq!(Answer::stream().pause(Duration::ZERO), Answer::stream());
    }
}
