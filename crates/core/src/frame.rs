//! Finished frames: an event serialized once, whatever the number of its readers.

use std::io::Write;

use bytes::Bytes;
use jiff::Timestamp;
use musher_protocol::{Cursor, EventId, Payload, WorkerId};

use crate::store::{StoredEvent, checksum};

const HEAD: &str = r#"{"kind":"event","envelope":"#;

/// An event as streams and pages send it.
#[derive(Clone, Debug)]
pub struct Frame {
    seq: u64,
    cursor: Cursor,
    type_name: &'static str,
    text: Bytes,
}

impl Frame {
    /// The event's number in its log.
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// The place behind the event.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        self.cursor
    }

    /// The payload's type.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        self.type_name
    }

    /// The message of a stream: `{"kind":"event","envelope":…}`.
    #[must_use]
    pub fn text(&self) -> Bytes {
        self.text.clone()
    }

    /// The envelope alone, as pages hold it.
    #[must_use]
    pub fn envelope(&self) -> Bytes {
        self.text.slice(HEAD.len()..self.text.len() - 1)
    }

    pub(crate) fn len(&self) -> usize {
        self.text.len()
    }

    /// The frame of a stored event.
    pub(crate) fn of(worker: &WorkerId, event: &StoredEvent) -> Self {
        let cursor = Cursor::new(worker, event.seq, event.checksum);
        let text = envelope(worker, cursor, event.seq, &event.event_id, event.at, &event.payload);
        Self { seq: event.seq, cursor, type_name: event.type_name, text }
    }

    /// The frame of a snapshot, which stands at a place of the log without being in it.
    pub(crate) fn snapshot(worker: &WorkerId, cursor: Cursor, at: Timestamp, payload: &Payload) -> Self {
        let json = serde_json::to_vec(payload).expect("a payload is JSON");
        let text = envelope(worker, cursor, cursor.seq(), &EventId::of_snapshot(cursor), at, &json);
        Self { seq: cursor.seq(), cursor, type_name: payload.type_name(), text }
    }
}

/// Ids, cursors and times hold nothing that JSON would escape, so they are written as they are.
fn envelope(
    worker: &WorkerId,
    cursor: Cursor,
    seq: u64,
    event_id: &EventId,
    at: Timestamp,
    payload: &[u8],
) -> Bytes {
    let mut text = Vec::with_capacity(HEAD.len() + payload.len() + 256);
    write!(
        text,
        r#"{HEAD}{{"cursor":"{cursor}","seq":{seq},"event_id":"{event_id}","worker_id":"{worker}","at":"{at}","payload":"#
    )
    .expect("a vector takes every write");
    text.extend_from_slice(payload);
    text.extend_from_slice(b"}}");
    text.into()
}

/// Gives an event its place, its bytes and its checksum.
pub(crate) fn seal(seq: u64, event_id: EventId, at: Timestamp, payload: &Payload) -> StoredEvent {
    let json = serde_json::to_vec(payload).expect("a payload is JSON");
    let checksum = checksum(&event_id, at, &json);
    StoredEvent { seq, event_id, at, type_name: payload.type_name(), checksum, payload: json.into() }
}

#[cfg(test)]
mod tests {
    use musher_protocol::{Envelope, Frame as WireFrame};

    use super::*;

    #[test]
    fn a_frame_reads_back_as_the_event_it_was_made_of() {
        let worker: WorkerId = "wrk_1".parse().unwrap();
        let at: Timestamp = "2026-11-20T10:00:00.123456Z".parse().unwrap();
        let payload = Payload::Diagnostic { code: "a.b".into(), message: "quote \" and \u{1b}[0m".into() };
        let event = seal(7, "evt_7".parse().unwrap(), at, &payload);
        let frame = Frame::of(&worker, &event);
        let envelope = Envelope {
            cursor: Cursor::new(&worker, 7, event.checksum),
            seq: 7,
            event_id: event.event_id,
            worker_id: worker,
            at,
            payload,
        };
        assert_eq!(serde_json::from_slice::<Envelope>(&frame.envelope()).unwrap(), envelope);
        assert_eq!(
            serde_json::from_slice::<WireFrame>(&frame.text()).unwrap(),
            WireFrame::Event { envelope: envelope.into() }
        );
    }
}
