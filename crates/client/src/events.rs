//! One answer of server-sent events.

use std::time::Duration;

use musher_protocol::{Envelope, WorkerId, route::RouteId};
use reqwest::{
    Response, StatusCode,
    header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue},
};
use tokio::time::timeout;

use crate::{
    Client, Error,
    decoder::{Decoder, Item, MAX_BLOCK},
    request::Request,
};

const EVENT_STREAM: HeaderValue = HeaderValue::from_static("text/event-stream");
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// A server answers before there is an event.
const BEGIN_LIMIT: Duration = Duration::from_secs(30);

/// One answer of server-sent events, as it comes.
#[derive(Debug)]
pub struct Events {
    response: Response,
    decoder: Decoder,
}

/// What such an answer says.
#[derive(Clone, Debug, PartialEq)]
pub enum Heard {
    /// An event, or the snapshot that the answer begins with.
    Event(Box<Envelope>),
    /// Nothing new: a sign of life every 15 s when it is empty, else why the answer ends, as the JSON text of a
    /// [`Diagnostic`](musher_protocol::Diagnostic).
    Comment(String),
}

pub(crate) async fn open(
    client: &Client,
    worker: &WorkerId,
    after: Option<&str>,
) -> Result<Option<Events>, Error> {
    let mut request = Request::of(RouteId::Events, &[worker.as_str()]).header(ACCEPT, EVENT_STREAM);
    if let Some(after) = after {
        // Letters that no header has are in no cursor either: the server is asked all the same, and says so.
        let value = HeaderValue::from_bytes(after.as_bytes()).unwrap_or(HeaderValue::from_static("?"));
        request = request.header(LAST_EVENT_ID, value);
    }
    let answer = timeout(BEGIN_LIMIT, client.open(&request)).await;
    let response = answer.map_err(|_too_late| Error::TimeUp(BEGIN_LIMIT))??;
    if response.status() == StatusCode::NO_CONTENT {
        return Ok(None);
    }
    if !is_event_stream(response.headers()) {
        return Err(Error::Foreign { status: response.status().as_u16(), retry_after: None });
    }
    Ok(Some(Events { response, decoder: Decoder::default() }))
}

fn is_event_stream(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value
        .split(';')
        .next()
        .is_some_and(|media_type| media_type.trim().eq_ignore_ascii_case("text/event-stream"))
}

impl Events {
    /// What comes next; `None` at the end of the answer, which is not the end of the log. When dropped early, nothing is
    /// lost.
    ///
    /// # Errors
    ///
    /// When the connection breaks, or what comes makes no sense. The answer is of no use then.
    pub async fn next(&mut self) -> Result<Option<Heard>, Error> {
        loop {
            match self.decoder.next() {
                Ok(Some(Item::Event(text))) => return Ok(Some(Heard::Event(serde_json::from_str(&text)?))),
                Ok(Some(Item::Comment(text))) => return Ok(Some(Heard::Comment(text))),
                Ok(None) => {}
                Err(_too_large) => return Err(Error::TooLarge(MAX_BLOCK)),
            }
            match self.response.chunk().await.map_err(Error::Broken)? {
                Some(bytes) => self.decoder.push(&bytes),
                None => return Ok(None),
            }
        }
    }
}
