//! Events as they came over the wire, byte for byte.

use std::{
    borrow::Cow,
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

use bytes::Bytes;
use hyper::Method;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{Broken, Client};

/// An event of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its number in the log.
    pub seq: u64,
    /// The event.
    pub event_id: String,
    /// The place behind it.
    pub cursor: String,
    /// The type of its payload.
    pub type_name: String,
    /// All of it, as JSON.
    pub envelope: String,
}

/// One message of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// What a stream begins with: the next event is the one behind this place.
    Snapshot {
        /// The number of the event that the place is behind.
        seq: u64,
        /// The place.
        cursor: String,
    },
    /// An event.
    Event(Event),
    /// Something about the stream itself, as JSON.
    Other(String),
}

/// A page of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The events.
    pub events: Vec<Event>,
    /// Whether there are more already.
    pub has_more: bool,
    /// Where the next page begins.
    pub next: String,
}

#[derive(Deserialize)]
struct WireFrame<'a> {
    #[serde(borrow)]
    envelope: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct WirePage<'a> {
    #[serde(borrow)]
    events: Vec<&'a RawValue>,
    has_more: bool,
    next: String,
}

#[derive(Deserialize)]
struct WireEnvelope<'a> {
    seq: u64,
    event_id: String,
    cursor: String,
    #[serde(borrow)]
    payload: WirePayload<'a>,
}

#[derive(Deserialize)]
struct WirePayload<'a> {
    #[serde(borrow, rename = "type")]
    type_name: Cow<'a, str>,
}

impl Event {
    /// Reads an envelope.
    pub fn read(envelope: &str) -> serde_json::Result<Self> {
        let WireEnvelope { seq, event_id, cursor, payload } = serde_json::from_str(envelope)?;
        let type_name = payload.type_name.into_owned();
        Ok(Self { seq, event_id, cursor, type_name, envelope: envelope.to_owned() })
    }

    /// Whether a log ends with it.
    #[must_use]
    pub fn is_last(&self) -> bool {
        ["worker_stopped", "worker_cancelled"].contains(&self.type_name.as_str())
    }

    /// A number that two different events do not share.
    #[must_use]
    pub fn digest(&self) -> u64 {
        digest(&self.envelope)
    }
}

impl Message {
    /// Reads a text frame.
    pub fn read(frame: &str) -> serde_json::Result<Self> {
        let Some(envelope) = serde_json::from_str::<WireFrame<'_>>(frame)?.envelope else {
            return Ok(Self::Other(frame.to_owned()));
        };
        let event = Event::read(envelope.get())?;
        Ok(match event {
            Event { type_name, seq, cursor, .. } if type_name == "snapshot" => Self::Snapshot { seq, cursor },
            event => Self::Event(event),
        })
    }
}

impl Page {
    /// Reads the body of an answer.
    pub fn read(body: &[u8]) -> serde_json::Result<Self> {
        let WirePage { events, has_more, next } = serde_json::from_slice(body)?;
        let events =
            events.into_iter().map(|envelope| Event::read(envelope.get())).collect::<Result<_, _>>()?;
        Ok(Self { events, has_more, next })
    }
}

impl Client {
    /// Reads a page of a log from a server that may go away.
    pub async fn try_page(&self, path: &str) -> Result<Page, Broken> {
        let (status, body) = self.try_bytes(Method::GET, path, &[], Bytes::new()).await?;
        let page = if status == 200 { Page::read(&body).ok() } else { None };
        page.ok_or_else(|| Broken(format!("{status}: {}", String::from_utf8_lossy(&body))))
    }
}

/// A number that two different envelopes do not share.
#[must_use]
pub fn digest(envelope: &str) -> u64 {
    // Its keys are constants, so that digests of one run compare.
    let mut hasher = DefaultHasher::new();
    envelope.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENVELOPE: &str = r#"{"cursor":"wo_1","seq":7,"event_id":"evt_1","worker_id":"wrk_1","at":"2026-11-20T10:00:00Z","payload":{"type":"error","code":"c","message":"\u00e9 }"}}"#;

    #[test]
    fn envelopes_are_kept_as_they_came() {
        let event = Event {
            seq: 7,
            event_id: "evt_1".to_owned(),
            cursor: "wo_1".to_owned(),
            type_name: "error".to_owned(),
            envelope: ENVELOPE.to_owned(),
        };
        let frame = format!(r#"{{"kind":"event","envelope":{ENVELOPE}}}"#);
        assert_eq!(Message::read(&frame).unwrap(), Message::Event(event.clone()));
        let page = format!(r#"{{"events":[{ENVELOPE},{ENVELOPE}],"next":"wo_1","has_more":true}}"#);
        let expected = Page { events: vec![event.clone(), event], has_more: true, next: "wo_1".to_owned() };
        assert_eq!(Page::read(page.as_bytes()).unwrap(), expected);
    }

    #[test]
    fn snapshots_and_diagnostics_are_no_events() {
        let snapshot = ENVELOPE.replace(r#""error""#, r#""snapshot""#);
        let frame = format!(r#"{{"kind":"event","envelope":{snapshot}}}"#);
        assert_eq!(Message::read(&frame).unwrap(), Message::Snapshot { seq: 7, cursor: "wo_1".to_owned() });
        let diagnostic = r#"{"kind":"diagnostic","diagnostic":{"code":"runtime.unavailable","message":"m"}}"#;
        assert_eq!(Message::read(diagnostic).unwrap(), Message::Other(diagnostic.to_owned()));
        assert!(Message::read("{").is_err());
    }
}
