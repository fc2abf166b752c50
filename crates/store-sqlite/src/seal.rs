//! Checksums of rows: what is read back is what was written, in the row it was written to.
//!
//! A seal begins with the worker's id, so that a row that turns up under another worker is damage too. Texts and
//! bodies are preceded by their length, so that no two rows have the same bytes to seal.

use jiff::Timestamp;
use musher_core::{AcceptedInput, Checkpoint, Head, Kept, KeyRecord, RowParts, StoredEvent};
use musher_protocol::WorkerId;
use uuid::Uuid;

/// The seal of an event's row. The event's own checksum is over id, time and payload; this one is over the rest.
pub(crate) fn event(
    worker: &WorkerId,
    event: &StoredEvent,
    type_name: &str,
    batch: Option<Uuid>,
    subject: Option<&str>,
) -> u32 {
    let mut seal = Seal::of(worker);
    seal.number(event.seq);
    seal.number(event.checksum.into());
    seal.text(type_name);
    seal.option(batch.as_ref().map(|batch| &batch.as_bytes()[..]));
    seal.option(subject.map(str::as_bytes));
    seal.finish()
}

/// The seal of a worker's row, without its spec and the bounds of its log.
pub(crate) fn row(parts: &RowParts, status: &str, unsettled: bool) -> u32 {
    let mut seal = Seal::of(&parts.worker_id);
    seal.text(status);
    seal.number(unsettled.into());
    seal.text(&parts.facts);
    seal.head(&parts.head);
    seal.text(parts.last_event_id.as_str());
    seal.time(parts.created_at);
    seal.time(parts.updated_at);
    seal.finish()
}

/// The seal of what a worker was created as.
pub(crate) fn spec(worker: &WorkerId, spec: &str) -> u32 {
    let mut seal = Seal::of(worker);
    seal.text(spec);
    seal.finish()
}

/// The seal of who may write a log and where it begins.
pub(crate) fn log(worker: &WorkerId, epoch: u64, oldest: &Head, pruned_batch: Option<Uuid>) -> u32 {
    let mut seal = Seal::of(worker);
    seal.number(epoch);
    seal.head(oldest);
    seal.option(pruned_batch.as_ref().map(|batch| &batch.as_bytes()[..]));
    seal.finish()
}

/// The seal of a transcript entry.
pub(crate) fn entry(worker: &WorkerId, sequence: u64, body: &[u8]) -> u32 {
    let mut seal = Seal::of(worker);
    seal.number(sequence);
    seal.bytes(body);
    seal.finish()
}

/// The seal of an accepted input.
pub(crate) fn input(worker: &WorkerId, input: &AcceptedInput) -> u32 {
    let mut seal = Seal::of(worker);
    seal.text(input.input_id.as_str());
    seal.bytes(&input.digest);
    seal.text(input.event_id.as_str());
    // Sequences begin with 1.
    seal.number(input.transcript_sequence.unwrap_or(0));
    seal.text(&input.cursor.to_string());
    seal.finish()
}

/// The seal of a checkpoint.
pub(crate) fn checkpoint(worker: &WorkerId, checkpoint: &Checkpoint) -> u32 {
    let mut seal = Seal::of(worker);
    seal.head(&checkpoint.head);
    seal.bytes(&checkpoint.body);
    seal.finish()
}

/// The seal of a kept record.
pub(crate) fn kept(worker: &WorkerId, kept: &Kept) -> u32 {
    let mut seal = Seal::of(worker);
    seal.text(&kept.name);
    seal.bytes(&kept.bytes);
    seal.finish()
}

/// The seal of what is remembered of a key. It begins with the scope, which is nobody's id. The owner, whom a record of an
/// earlier version has not, comes last and only where there is one.
pub(crate) fn key(record: &KeyRecord) -> u32 {
    let mut seal = Seal(crc32fast::Hasher::new());
    seal.text(&record.scope);
    seal.text(record.key.as_str());
    seal.bytes(&record.digest);
    seal.bytes(&record.outcome);
    seal.time(record.at);
    if !record.owner.is_empty() {
        seal.text(&record.owner);
    }
    seal.finish()
}

/// The seal of what lists show of a config bundle; its content has its digest.
pub(crate) fn bundle(summary: &str) -> u32 {
    let mut seal = Seal(crc32fast::Hasher::new());
    seal.text(summary);
    seal.finish()
}

struct Seal(crc32fast::Hasher);

impl Seal {
    fn of(worker: &WorkerId) -> Self {
        let mut seal = Self(crc32fast::Hasher::new());
        seal.text(worker.as_str());
        seal
    }

    fn number(&mut self, number: u64) {
        self.0.update(&number.to_be_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.update(bytes);
    }

    fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    fn option(&mut self, bytes: Option<&[u8]>) {
        self.number(bytes.is_some().into());
        self.bytes(bytes.unwrap_or_default());
    }

    fn head(&mut self, head: &Head) {
        self.number(head.seq);
        self.number(head.checksum.into());
    }

    fn time(&mut self, time: Timestamp) {
        self.0.update(&time.as_nanosecond().to_be_bytes());
    }

    fn finish(self) -> u32 {
        self.0.finalize()
    }
}
