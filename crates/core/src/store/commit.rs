//! What is written to a store: each of these is atomic.

use bytes::Bytes;
use jiff::Timestamp;
use musher_protocol::{Cursor, Digest, EventId, IdempotencyKey, InputId, TranscriptEntry, WorkerId};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::{Head, StoredEvent, WorkerRow};

/// One atomic write to one worker's log and to what is derived from it.
#[derive(Clone, Debug, PartialEq)]
pub struct Commit {
    /// The worker.
    pub worker: WorkerId,
    /// The right to write, as [`super::Store::claim`] gave it.
    pub epoch: u64,
    /// The number of the newest event that the writer knows.
    pub expected_head: u64,
    /// Names this commit: one that comes twice is written once.
    pub batch_id: Uuid,
    /// Events, numbered from `expected_head + 1` without gaps; one at least.
    pub events: Vec<StoredEvent>,
    /// Entries that are new or have changed, by their sequence.
    pub entries: Vec<TranscriptEntry>,
    /// Inputs that are accepted by this commit.
    pub accepted: Vec<AcceptedInput>,
    /// Large bodies that the events name.
    pub blobs: Vec<Blob>,
    /// What a backend keeps: a name that is there already is replaced; in the order given, so the last of one name
    /// wins.
    pub kept: Vec<Kept>,
    /// What requests under an idempotency key came to, whose effect this commit is: what was stored of the same scope and
    /// key is replaced.
    pub keys: Vec<KeyRecord>,
    /// The worker's row, when something that it shows has changed.
    pub row: Option<WorkerRow>,
    /// The fold at the last event of this commit, where it is time for one.
    pub checkpoint: Option<Checkpoint>,
}

impl Commit {
    /// The epoch of a worker's creator.
    pub const FIRST_EPOCH: u64 = 1;

    /// The place behind the last event.
    ///
    /// # Panics
    ///
    /// When there are no events, which no commit is made of.
    #[must_use]
    pub fn head(&self) -> Head {
        let last = self.events.last().expect("a commit has events");
        Head { seq: last.seq, checksum: last.checksum }
    }
}

/// The first ack of an input, kept as long as its worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceptedInput {
    /// The input.
    pub input_id: InputId,
    /// Over its kind and content.
    pub digest: [u8; 32],
    /// Its `input_accepted` event.
    pub event_id: EventId,
    /// Its place in the transcript, when it was delivered in the same commit.
    pub transcript_sequence: Option<u64>,
    /// The place behind its `input_accepted` event.
    pub cursor: Cursor,
}

/// A large body beside the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    /// Over the bytes.
    pub digest: Digest,
    /// The body.
    pub bytes: Bytes,
}

impl Blob {
    /// Names a body by its digest.
    #[must_use]
    pub fn of(bytes: Bytes) -> Self {
        Self { digest: Self::digest_of(&bytes), bytes }
    }

    /// The name that a body has.
    #[must_use]
    pub fn digest_of(bytes: &[u8]) -> Digest {
        Digest(Sha256::digest(bytes).into())
    }
}

/// What a backend keeps beside its worker's log, by name: nobody else reads it. It stays when events are pruned, and
/// goes with its worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its name among those of its worker, see [`Kept::is_name`].
    pub name: String,
    /// The backend's own bytes. Every store takes 16 MiB, as it does of a large body; more is not promised.
    pub bytes: Bytes,
}

impl Kept {
    /// The longest name in bytes: enough for a path of some ids, and little beside what it names.
    pub const MAX_NAME: usize = 128;

    /// Whether records may have this name: 1 to [`Kept::MAX_NAME`] of the bytes `a-z`, `0-9`, `/`, `.`, `_` and `-`,
    /// which every store orders and compares alike.
    #[must_use]
    pub fn is_name(name: &str) -> bool {
        let is_allowed = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'/' | b'.' | b'_' | b'-');
        (1..=Self::MAX_NAME).contains(&name.len()) && name.bytes().all(is_allowed)
    }
}

/// What a request under an idempotency key came to. It is nobody's but its scope's, stays when a worker is deleted, and
/// goes by its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRecord {
    /// Whose key it is: by this they are counted.
    pub owner: String,
    /// Whose key it is and what for: as only the runtime reads it. No two owners have the same.
    pub scope: String,
    /// The key, unique in its scope.
    pub key: IdempotencyKey,
    /// Over what was asked for.
    pub digest: [u8; 32],
    /// What came of it, as only the runtime reads it.
    pub outcome: Bytes,
    /// When that was, to the microsecond.
    pub at: Timestamp,
}

impl KeyRecord {
    /// How many bytes it has, as far as its request decides that: those of its texts and of its outcome.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let Self { owner, scope, key, digest: _, outcome, at: _ } = self;
        (owner.len() + scope.len() + key.as_str().len() + outcome.len()) as u64
    }
}

/// What is remembered of one owner's keys, whatever its age.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OwnedKeys {
    /// How many there are.
    pub count: u64,
    /// How many [bytes](KeyRecord::bytes) they have.
    pub bytes: u64,
    /// The time of the oldest one.
    pub oldest: Option<Timestamp>,
}

/// The fold of a log up to a place, so that nobody has to read the log from its beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The place that it was folded to.
    pub head: Head,
    /// The fold, as only the runtime reads it.
    pub body: Bytes,
}

/// Forgetting the oldest events of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prune {
    /// The worker.
    pub worker: WorkerId,
    /// The right to write, as [`super::Store::claim`] gave it.
    pub epoch: u64,
    /// The place before the oldest event that is to stay. A place that is older than the log's oldest changes nothing.
    pub oldest: Head,
    /// The fold at `oldest` or behind it.
    pub checkpoint: Checkpoint,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_of_a_few_bytes_that_are_the_same_everywhere() {
        let longest = "a".repeat(Kept::MAX_NAME);
        let too_long = "a".repeat(Kept::MAX_NAME + 1);
        for name in ["a", "0", "item/evt_1", "session/3f-9.jsonl", "..", "/", &longest] {
            assert!(Kept::is_name(name), "{name:?}");
        }
        for name in ["", "A", "a b", "a\n", "a\\b", "a\0", "é", "a:b", "a~", "`", "{", &too_long] {
            assert!(!Kept::is_name(name), "{name:?}");
        }
    }
}
