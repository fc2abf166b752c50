//! A log as server-sent events: the frames that sockets send, in the form that browsers and `curl` read.

use std::{convert::Infallible, pin::Pin, sync::Arc, time::Duration};

use axum::{body::Body, response::Response};
use bytes::{BufMut as _, Bytes, BytesMut};
use futures_util::stream::unfold;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use musher_core::{Frame, Observation, Runtime};
use tokio::time::timeout;

use crate::{
    farewell::Farewell,
    router::{Adapter, Cut, StreamSlot},
    token::Caller,
};

const MEDIA_TYPE: &str = "text/event-stream";
/// A proxy that collects answers before it passes them on would hold events back.
const UNBUFFERED: (HeaderName, HeaderValue) =
    (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
/// How long a client waits before it comes back, in milliseconds: long enough for a server that starts again, short
/// enough for a person who looks.
const RETRY: &[u8] = b"retry: 2000\n\n";
const HEARTBEAT: &[u8] = b":\n\n";
/// What stands around a cursor and an envelope.
const AROUND: usize = "id: \ndata: \n\n".len() + 64;

/// Whether a request asks for a stream in the place of a page: its `Accept` names `text/event-stream`. What else it
/// names, and with which weight, makes no difference; `*/*`, as `curl` sends it, asks for a page.
pub(crate) fn is_wanted(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT).into_iter().filter_map(|value| value.to_str().ok());
    let media_types = values.flat_map(|value| value.split(',')).filter_map(|range| range.split(';').next());
    media_types.into_iter().any(|media_type| media_type.trim().eq_ignore_ascii_case(MEDIA_TYPE))
}

/// Answers with a log for as long as it goes on. The answer takes the slot with it.
pub(crate) fn respond(
    observation: Observation,
    types: Option<Vec<&'static str>>,
    adapter: Arc<Adapter>,
    caller: Caller,
    slot: StreamSlot,
) -> Response {
    let (heartbeat, runtime) = (adapter.bounds.heartbeat_interval, adapter.runtime.clone());
    let cut = Box::pin(async move { adapter.cut(&caller).await });
    let source = Source { observation, types, runtime, cut, heartbeat, stage: Stage::Begin, _slot: slot };
    let chunks = unfold(source, async |mut source| {
        let chunk = source.next().await?;
        Some((Ok::<_, Infallible>(chunk), source))
    });
    let mut response = Response::new(Body::from_stream(chunks));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    let (name, value) = UNBUFFERED;
    headers.insert(name, value);
    response
}

/// Where the bytes of a stream come from. The connection asks for the next ones only when it has room for them, so a
/// slow reader holds what one read gave.
struct Source {
    observation: Observation,
    /// What is sent; everything where that is not said.
    types: Option<Vec<&'static str>>,
    runtime: Runtime,
    /// Wakes when the stream has to end.
    cut: Pin<Box<dyn Future<Output = Cut> + Send>>,
    heartbeat: Duration,
    stage: Stage,
    _slot: StreamSlot,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing was sent.
    Begin,
    Follow,
    /// The last words were sent.
    Over,
}

impl Source {
    /// The next bytes; `None` at the end.
    async fn next(&mut self) -> Option<Bytes> {
        match self.stage {
            Stage::Begin => {
                self.stage = Stage::Follow;
                return Some(Bytes::from_static(RETRY));
            }
            Stage::Follow => {}
            Stage::Over => return None,
        }
        let farewell = tokio::select! {
            // The end of the server or of the token does not wait for a log that never pauses.
            biased;
            cut = &mut self.cut => Farewell::of(cut, &self.runtime),
            read = timeout(self.heartbeat, self.observation.next()) => match read {
                Err(_nothing_came) => return Some(Bytes::from_static(HEARTBEAT)),
                Ok(Ok(Some(frames))) => return Some(events(&frames, self.types.as_deref())),
                Ok(Ok(None)) => Farewell::over(&self.observation, &self.runtime),
                Ok(Err(error)) => Farewell::broken(error),
            },
        };
        self.stage = Stage::Over;
        last_words(farewell)
    }
}

/// Why a stream ends is a comment: it is for people, and a client comes back in any case, with its last id.
fn last_words(farewell: Farewell) -> Option<Bytes> {
    let diagnostic = farewell.into_diagnostic()?;
    let json = serde_json::to_string(&diagnostic).expect("a diagnostic is JSON");
    Some(format!(": {json}\n\n").into())
}

/// Frames as events. A place behind events that are left out is told without an event, so that a client comes back
/// behind them.
fn events(frames: &[Frame], types: Option<&[&str]>) -> Bytes {
    // A snapshot has no type that could be asked for; it says where the stream begins.
    let is_sent = |frame: &&Frame| {
        types.is_none_or(|types| types.contains(&frame.type_name())) || frame.type_name() == "snapshot"
    };
    let bytes = frames.iter().filter(is_sent).map(|frame| frame.envelope().len() + AROUND).sum::<usize>();
    let mut text = BytesMut::with_capacity(bytes + AROUND);
    for frame in frames.iter().filter(is_sent) {
        text.put_slice(format!("id: {}\ndata: ", frame.cursor()).as_bytes());
        // JSON has its line breaks escaped, so an envelope is one line.
        text.put_slice(&frame.envelope());
        text.put_slice(b"\n\n");
    }
    if let Some(last) = frames.last().filter(|last| !is_sent(last)) {
        text.put_slice(format!("id: {}\n\n", last.cursor()).as_bytes());
    }
    text.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_asked_for_by_its_name() {
        let cases: &[(&[&'static str], bool)] = &[
            (&["text/event-stream"], true),
            (&["Text/Event-Stream"], true),
            (&["application/json, text/event-stream"], true),
            (&["text/event-stream;q=0.5,application/json"], true),
            (&["application/json", "text/event-stream"], true),
            (&[" text/event-stream ; charset=utf-8"], true),
            (&[], false),
            (&[""], false),
            (&["*/*"], false),
            (&["text/*"], false),
            (&["application/json"], false),
            (&["text/event-streams"], false),
            (&["application/json;x=text/event-stream"], false),
        ];
        for (given, expected) in cases {
            let headers = given.iter().map(|value| (header::ACCEPT, HeaderValue::from_static(value)));
            assert_eq!(is_wanted(&headers.collect()), *expected, "{given:?}");
        }
    }
}
