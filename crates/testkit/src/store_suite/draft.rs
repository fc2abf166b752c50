//! Commits as the runtime would make them.

use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use musher_core::{AcceptedInput, Blob, Checkpoint, Commit, Head, Kept, KeyRecord, StoredEvent};
use musher_protocol::{
    ApprovalId, Cursor, EventId, InputId, Payload, Role, RuntimeId, TranscriptEntry, WorkerId, WorkerRef,
};
use serde_json::Value;
use uuid::Uuid;

use super::row::RowDraft;

/// The types of the events that are about an approval.
pub(super) const ASKED: &str = "approval_requested";
pub(super) const RESOLVED: &str = "approval_resolved";

/// A commit in the making: it has one event unless it is told otherwise.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    worker: WorkerId,
    /// Goes into the commit's ids and texts, so that no two commits have anything in common.
    number: u64,
    epoch: u64,
    expected_head: u64,
    payloads: Vec<Bytes>,
    /// Types and payloads of further events.
    about: Vec<(&'static str, Bytes)>,
    entries: Vec<u64>,
    accepted: Vec<InputId>,
    blobs: Vec<Bytes>,
    kept: Vec<Kept>,
    keys: Vec<KeyRecord>,
    row: Option<RowDraft>,
    checkpoint: bool,
}

impl Draft {
    pub(super) fn new(worker: &WorkerId, number: u64, epoch: u64, expected_head: u64) -> Self {
        let payloads = vec![payload(number, 0)];
        Self {
            worker: worker.clone(),
            number,
            epoch,
            expected_head,
            payloads,
            about: Vec::new(),
            entries: Vec::new(),
            accepted: Vec::new(),
            blobs: Vec::new(),
            kept: Vec::new(),
            keys: Vec::new(),
            row: None,
            checkpoint: false,
        }
    }

    pub(super) fn epoch(self, epoch: u64) -> Self {
        Self { epoch, ..self }
    }

    pub(super) fn expected_head(self, expected_head: u64) -> Self {
        Self { expected_head, ..self }
    }

    /// So many events.
    pub(super) fn events(self, n_events: usize) -> Self {
        let payloads = (0..n_events).map(|place| payload(self.number, place)).collect();
        Self { payloads, ..self }
    }

    /// An event for each of these payloads.
    pub(super) fn payloads(self, payloads: impl IntoIterator<Item = Bytes>) -> Self {
        Self { payloads: payloads.into_iter().collect(), ..self }
    }

    /// An event of this type about an approval, behind the others.
    pub(super) fn about(mut self, type_name: &'static str, approval: &ApprovalId) -> Self {
        let payload = format!("{{ \"b\":{},\"approval_id\" : \"{approval}\" }}", self.number);
        self.about.push((type_name, payload.into()));
        self
    }

    /// Transcript entries with these sequences.
    pub(super) fn entries(self, sequences: impl IntoIterator<Item = u64>) -> Self {
        Self { entries: sequences.into_iter().collect(), ..self }
    }

    pub(super) fn accepts(mut self, input: &InputId) -> Self {
        self.accepted.push(input.clone());
        self
    }

    pub(super) fn blob(mut self, bytes: impl Into<Bytes>) -> Self {
        self.blobs.push(bytes.into());
        self
    }

    pub(super) fn keep(mut self, name: &str, bytes: impl Into<Bytes>) -> Self {
        self.kept.push(Kept { name: name.to_owned(), bytes: bytes.into() });
        self
    }

    pub(super) fn remember(mut self, record: &KeyRecord) -> Self {
        self.keys.push(record.clone());
        self
    }

    /// Keeps something that nobody has kept before.
    pub(super) fn keep_new(self, name: &str) -> Self {
        let bytes = format!("record {} of commit {}", self.kept.len(), self.number);
        self.keep(name, bytes)
    }

    pub(super) fn row(self, row: RowDraft) -> Self {
        Self { row: Some(row), ..self }
    }

    pub(super) fn checkpoint(self) -> Self {
        Self { checkpoint: true, ..self }
    }

    pub(super) fn commit(self) -> Commit {
        let Self {
            worker,
            number,
            epoch,
            expected_head,
            payloads,
            about,
            entries,
            accepted,
            blobs,
            kept,
            keys,
            row,
            checkpoint,
        } = self;
        let payloads = payloads.into_iter().map(|payload| (None, payload));
        let payloads = payloads.chain(about.into_iter().map(|(about, payload)| (Some(about), payload)));
        let events: Vec<_> = (expected_head + 1..)
            .zip(payloads)
            .map(|(seq, (type_name, payload))| event(number, seq, type_name, payload))
            .collect();
        let (first, last) = events.first().zip(events.last()).expect("a commit has events");
        let entries = entries.into_iter().map(|sequence| entry(&worker, number, sequence, first)).collect();
        let accept = |input_id| AcceptedInput {
            input_id,
            digest: content_digest(number),
            event_id: first.event_id.clone(),
            transcript_sequence: number.is_multiple_of(2).then_some(number),
            cursor: Cursor::new(&worker, first.seq, first.checksum),
        };
        Commit {
            epoch,
            expected_head,
            batch_id: Uuid::from_u128(u128::from(number)),
            entries,
            accepted: accepted.into_iter().map(accept).collect(),
            blobs: blobs.into_iter().map(Blob::of).collect(),
            kept,
            keys,
            row: row.map(|row| row.at(last)),
            checkpoint: checkpoint.then(|| checkpoint_at(place_behind(last))),
            events,
            worker,
        }
    }
}

/// The place behind an event.
pub(super) fn place_behind(event: &StoredEvent) -> Head {
    Head { seq: event.seq, checksum: event.checksum }
}

/// A checkpoint at this place: bytes that are no text, and the same for the same place.
pub(super) fn checkpoint_at(head: Head) -> Checkpoint {
    let body = [&[0, 0xff, 0xfe], head.seq.to_be_bytes().as_slice()].concat();
    Checkpoint { head, body: body.into() }
}

/// The approval that an event is about.
pub(super) fn approval_of(event: &StoredEvent) -> Option<ApprovalId> {
    if ![ASKED, RESOLVED].contains(&event.type_name) {
        return None;
    }
    let payload: Value = serde_json::from_slice(&event.payload).ok()?;
    payload["approval_id"].as_str()?.parse().ok()
}

/// An event of commit `number`. Its type goes by its number alone where none is given: of most, stores do not read payloads.
fn event(number: u64, seq: u64, type_name: Option<&'static str>, payload: Bytes) -> StoredEvent {
    let event_id: EventId = format!("evt_{number:016x}{seq:016x}").parse().expect("an event id");
    let at = instant(number, seq);
    let mut checksum = crc32fast::Hasher::new();
    checksum.update(event_id.as_str().as_bytes());
    checksum.update(&at.as_nanosecond().to_be_bytes());
    checksum.update(&payload);
    let types = Payload::TYPES;
    let nth = usize::try_from(seq).map_or(0, |seq| seq % types.len());
    let type_name = type_name.unwrap_or(types[nth]);
    let event = StoredEvent { seq, event_id, at, type_name, checksum: checksum.finalize(), payload };
    assert!(event.is_intact(), "the suite makes checksums as core does");
    event
}

fn entry(worker: &WorkerId, number: u64, sequence: u64, event: &StoredEvent) -> TranscriptEntry {
    TranscriptEntry {
        sequence,
        worker_ref: WorkerRef {
            runtime_id: "rt_suite".parse::<RuntimeId>().expect("a runtime id"),
            worker_id: worker.clone(),
        },
        role: Role::Assistant,
        content: format!("entry {sequence} as of commit {number}, “quoted”"),
        blob: None,
        event_id: event.event_id.clone(),
        at: event.at,
        turn_id: None,
        partial: number.is_multiple_of(2),
        tool_call_id: None,
        name: None,
        input: None,
        input_blob: None,
        result: None,
        result_blob: None,
        is_error: None,
    }
}

/// Some instant with microseconds, which is what a log keeps.
fn instant(number: u64, seq: u64) -> Timestamp {
    Timestamp::UNIX_EPOCH + Duration::from_micros(1_700_000_000_000_001 + number * 1_000_003 + seq)
}

/// JSON that no two serializers would write alike: stores keep the bytes.
fn payload(number: u64, place: usize) -> Bytes {
    format!(
        "{{ \"b\":{number},\"a\" : 1.50e1, \"b\":{place},\"\\u00e9\":\"é\\u0000\", \"approval_id\":\"apr_{number}\" }}"
    )
    .into()
}

/// Some digest of an input's content.
fn content_digest(number: u64) -> [u8; 32] {
    Blob::digest_of(&number.to_be_bytes()).0
}
