//! Where logs live: the trait that every store implements, and what goes through it.

mod bundle;
mod commit;
mod error;
mod row;

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use musher_protocol::{
    ApprovalId, ConfigBundleId, ConfigBundleRef, ConfigBundleSummary, Cursor, Digest, EventId,
    IdempotencyKey, InputId, Order, RuntimeId, StoreKind, TranscriptEntry, WorkerId, WorkerStatus,
};
use tokio::sync::watch;

pub(crate) use self::row::WorkerFacts;
pub use self::{
    bundle::{BundlePut, StoredBundle},
    commit::{AcceptedInput, Blob, Checkpoint, Commit, Kept, KeyRecord, OwnedKeys, Prune},
    error::StoreError,
    row::{RowError, RowParts, WorkerRow},
};

/// Keeps logs, and what is derived from them in the same commit.
///
/// The runtime is the only writer and writes each worker's log from one task. A store must answer reads with
/// what was committed, all of a commit or nothing of it, and nothing that is not durable.
///
/// Calls may be dropped: a write that has begun goes on, and is whole or not there.
#[async_trait]
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// Which kind of store this is, for the runtime's summary.
    fn kind(&self) -> StoreKind;

    /// How the store is; changes wake. After [`Health::Failed`] nothing is written any more, for the life of the
    /// process.
    fn health(&self) -> watch::Receiver<Health>;

    /// Tells the store that a runtime begins to work on it, and answers with what it has to know. Called once,
    /// before anything else.
    ///
    /// # Errors
    ///
    /// When the store cannot be written.
    async fn begin(&self, life: NewLife) -> Result<Life, StoreError>;

    /// Takes the exclusive right to write a worker's log, and answers with its epoch: higher than any before, so
    /// that commits of an earlier holder are refused from here on. `None` when there is no such worker.
    ///
    /// # Errors
    ///
    /// When the store cannot be written.
    async fn claim(&self, worker: &WorkerId) -> Result<Option<u64>, StoreError>;

    /// Writes one commit of one worker, and returns when it is durable. The first commit of a worker, with an
    /// expected head of 0, the epoch [`Commit::FIRST_EPOCH`] and a row, creates it; with the id of a deleted worker it
    /// is [`StoreError::NoWorker`]. The commit that was written last is a success when it comes again, and writes
    /// nothing; an older one is a conflict.
    ///
    /// The epoch is looked at first: whoever does not hold the newest one is fenced, whatever he brings.
    ///
    /// Commits of several workers that wait at the same time become durable together; one that is refused leaves the
    /// others as they are.
    ///
    /// # Errors
    ///
    /// After [`StoreError::Fenced`], [`StoreError::Conflict`] and [`StoreError::NoWorker`] nothing was written, nor
    /// after [`StoreError::Full`]. After any other error it is unknown whether something was; the caller must not go
    /// on with this worker.
    ///
    /// A commit that no right caller makes, such as one that keeps something under what is no [name](Kept::is_name),
    /// is refused with [`io::ErrorKind::InvalidInput`](std::io::ErrorKind::InvalidInput), and nothing of it is written.
    async fn append(&self, commit: Commit) -> Result<(), StoreError>;

    /// A worker's row, or `None` when there is no such worker.
    ///
    /// # Errors
    ///
    /// When the store cannot be read, or the row is damaged.
    async fn worker(&self, worker: &WorkerId) -> Result<Option<WorkerRow>, StoreError>;

    /// Rows in this order of creation, behind `after`, which may have been deleted since, of this status where one is
    /// given. Damaged rows are left out: they are shown by nothing but their own error.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    async fn workers(
        &self,
        status: Option<WorkerStatus>,
        order: Order,
        after: Option<&WorkerId>,
        limit: usize,
    ) -> Result<Vec<WorkerRow>, StoreError>;

    /// Workers that a runtime has to look after when it begins, in the order of creation, behind `after`: those whose
    /// last row is [`WorkerRow::unsettled`].
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    async fn unsettled(&self, after: Option<&WorkerId>, limit: usize) -> Result<Vec<WorkerId>, StoreError>;

    /// How many workers there are, in constant time.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    async fn counts(&self) -> Result<WorkerCounts, StoreError>;

    /// How much the store holds on its disk; `None` where it has none.
    ///
    /// # Errors
    ///
    /// When that cannot be looked at.
    async fn bytes(&self) -> Result<Option<u64>, StoreError> {
        Ok(None)
    }

    /// Where a worker's log begins and ends; `None` when there is no such worker.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    async fn extent(&self, worker: &WorkerId) -> Result<Option<Extent>, StoreError>;

    /// Events with a higher number than `after`, in order and without gaps, as many as `most` allows: fewer only at
    /// the log's end. None for a worker that is not there.
    ///
    /// # Errors
    ///
    /// [`StoreError::Pruned`] when the event behind `after` is gone; [`StoreError::Corrupt`] when the first event to
    /// answer with is damaged, or missing though the log goes further. Good events before damage are answered with.
    async fn events(&self, worker: &WorkerId, after: u64, most: Most)
    -> Result<Vec<StoredEvent>, StoreError>;

    /// The events that ask for an approval and resolve it, in order, as far as a log has them: the first two of the types
    /// `approval_requested` and `approval_resolved` whose payload has this `approval_id`. Found in time that does not grow
    /// with the log. None for a worker that is not there.
    ///
    /// # Errors
    ///
    /// When the store cannot be read, or such an event is damaged.
    async fn approval_events(
        &self,
        worker: &WorkerId,
        approval: &ApprovalId,
    ) -> Result<Vec<StoredEvent>, StoreError>;

    /// A slice of a worker's transcript, with the head that it belongs to; an empty one for a worker that is not there.
    ///
    /// # Errors
    ///
    /// When the store cannot be read, or an entry is damaged.
    async fn transcript(
        &self,
        worker: &WorkerId,
        start: Start,
        limit: usize,
    ) -> Result<TranscriptSlice, StoreError>;

    /// The ack of an input that was accepted before, whenever that was: kept as long as its worker.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    async fn accepted_input(
        &self,
        worker: &WorkerId,
        input: &InputId,
    ) -> Result<Option<AcceptedInput>, StoreError>;

    /// The newest checkpoint of a worker, when it has one.
    ///
    /// # Errors
    ///
    /// When the store cannot be read. A damaged checkpoint is [`StoreError::Corrupt`].
    async fn checkpoint(&self, worker: &WorkerId) -> Result<Option<Checkpoint>, StoreError>;

    /// A large body that a commit of this worker brought; `None` when no commit did.
    ///
    /// # Errors
    ///
    /// When the store cannot be read, or the body is not what its digest says.
    async fn blob(&self, worker: &WorkerId, digest: Digest) -> Result<Option<Bytes>, StoreError>;

    /// What a worker's backend keeps, of one moment: records with a name behind `after`, in the byte order of the names,
    /// as many as `most` allows: fewer only where there are no more. None for a worker that is not there.
    ///
    /// # Errors
    ///
    /// When the store cannot be read, or any of the records to answer with is damaged.
    async fn kept(&self, worker: &WorkerId, after: Option<&str>, most: Most)
    -> Result<Vec<Kept>, StoreError>;

    /// Writes what requests under idempotency keys came to that left no event, as [`Commit::keys`] is written. Returns
    /// when it is durable.
    ///
    /// # Errors
    ///
    /// After [`StoreError::Full`] nothing was written; after any other error it is unknown.
    async fn remember(&self, keys: Vec<KeyRecord>) -> Result<(), StoreError>;

    /// What is remembered of a key, whoever wrote it and however old it is.
    ///
    /// # Errors
    ///
    /// When the store cannot be read, or the record is damaged.
    async fn remembered(&self, scope: &str, key: &IdempotencyKey) -> Result<Option<KeyRecord>, StoreError>;

    /// How many keys of an owner are remembered, with how many bytes, in time that does not grow with their number.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    async fn keys_of(&self, owner: &str) -> Result<OwnedKeys, StoreError>;

    /// Forgets records of keys that are older than `before`, as many as `limit`, and answers how many it forgot: fewer
    /// than `limit` only where no more are left.
    ///
    /// # Errors
    ///
    /// When the store cannot be written.
    async fn forget_keys(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError>;

    /// Forgets the oldest events of a log, in one commit with the checkpoint that stands for them. Transcript, inputs,
    /// large bodies and what is kept stay. Returns when that is durable; what was forgotten may go later, in slices.
    ///
    /// # Errors
    ///
    /// As [`Store::append`].
    async fn prune(&self, prune: Prune) -> Result<(), StoreError>;

    /// Deletes a worker: from here on it is as if it had never been, except that its id is not free. Returns when that
    /// is durable; its rows go later, in slices. Whether there was such a worker.
    ///
    /// # Errors
    ///
    /// When the store cannot be written.
    async fn delete(&self, worker: &WorkerId) -> Result<bool, StoreError>;

    /// Stores a revision of a config bundle, unless it is there or `most` others are, and in the same commit what the
    /// request under a key came to, where the revision is stored or was there. Returns when that is durable.
    ///
    /// # Errors
    ///
    /// When the store cannot be written, or what it has of the revision is damaged. After [`StoreError::Full`] nothing was
    /// written, neither the bundle nor the key.
    async fn put_bundle(
        &self,
        bundle: StoredBundle,
        most: usize,
        key: Option<KeyRecord>,
    ) -> Result<BundlePut, StoreError>;

    /// A revision of a config bundle; `None` when there is no such one.
    ///
    /// # Errors
    ///
    /// When the store cannot be read, or the revision is damaged.
    async fn bundle(&self, reference: &ConfigBundleRef) -> Result<Option<StoredBundle>, StoreError>;

    /// Whether any revision of a config bundle is stored, whole or damaged.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    async fn has_bundle(&self, id: &ConfigBundleId) -> Result<bool, StoreError>;

    /// All revisions of all config bundles, in the byte order of their ids, then of their revisions. Damaged ones are
    /// left out, as damaged rows of workers are.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    async fn bundles(&self) -> Result<Vec<ConfigBundleSummary>, StoreError>;

    /// Deletes a revision of a config bundle, and returns when that is durable. Whether there was such a one.
    ///
    /// # Errors
    ///
    /// When the store cannot be written.
    async fn delete_bundle(&self, reference: &ConfigBundleRef) -> Result<bool, StoreError>;
}

/// How a store is.
#[derive(Clone, Debug)]
pub enum Health {
    /// All is well.
    Good,
    /// There is little space left: what is under way can be ended, nothing new may begin.
    Full,
    /// The store failed; what was acknowledged is safe, nothing more is written.
    Failed(Arc<StoreError>),
}

/// A runtime that begins to work on a store.
#[derive(Clone, Debug)]
pub struct NewLife {
    /// The id of the runtime, should the store have none yet.
    pub runtime_id: RuntimeId,
    /// Whose processes this runtime's will be: see [`musher_process::Owner`].
    pub owner: String,
}

/// What a runtime has to know of the store it begins to work on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Life {
    /// The id of the runtime whose store this is, as the first life gave it.
    pub runtime_id: RuntimeId,
    /// Whose processes those of the life before were, where there was one.
    pub previous_owner: Option<String>,
}

/// An event as stores keep it: serialized once, for ever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEvent {
    /// Its number in the log.
    pub seq: u64,
    /// Its id.
    pub event_id: EventId,
    /// When it was decided, to the microsecond.
    pub at: Timestamp,
    /// Its payload's type, one of [`musher_protocol::Payload::TYPES`].
    pub type_name: &'static str,
    /// Over id, time and payload; also in the event's cursor. See [`StoredEvent::is_intact`].
    pub checksum: u32,
    /// The payload as JSON.
    pub payload: Bytes,
}

impl StoredEvent {
    /// Whether id, time and payload are what the checksum was made over.
    #[must_use]
    pub fn is_intact(&self) -> bool {
        checksum(&self.event_id, self.at, &self.payload) == self.checksum
    }
}

pub(crate) fn checksum(event_id: &EventId, at: Timestamp, payload: &[u8]) -> u32 {
    let mut checksum = crc32fast::Hasher::new();
    checksum.update(event_id.as_str().as_bytes());
    checksum.update(&at.as_nanosecond().to_be_bytes());
    checksum.update(payload);
    checksum.finalize()
}

/// The most that a read of events or of kept records answers with; the first one in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Most {
    /// So many events or records.
    pub events: usize,
    /// So many bytes together: those of payloads, or those that are kept.
    pub bytes: usize,
}

/// A place in a log, with what a cursor needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The number of the event that the place is behind, 0 for the place before the first.
    pub seq: u64,
    /// That event's checksum; 0 for the place before the first.
    pub checksum: u32,
}

impl Head {
    /// The place before the first event.
    pub const EMPTY: Self = Self { seq: 0, checksum: 0 };

    pub(crate) fn cursor(&self, worker: &WorkerId) -> Cursor {
        Cursor::new(worker, self.seq, self.checksum)
    }
}

/// Where a log begins and ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The place before the oldest event that is left.
    pub oldest: Head,
    /// The place behind the newest event.
    pub head: Head,
}

/// How many workers there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WorkerCounts {
    /// Workers that take inputs.
    pub active: u64,
    /// Workers that ended gracefully.
    pub stopped: u64,
    /// Workers that were ended at once.
    pub cancelled: u64,
}

impl WorkerCounts {
    /// The count of workers of this status.
    pub fn of(&mut self, status: WorkerStatus) -> &mut u64 {
        match status {
            WorkerStatus::Stopped => &mut self.stopped,
            WorkerStatus::Cancelled => &mut self.cancelled,
            WorkerStatus::Running | WorkerStatus::Unknown => &mut self.active,
        }
    }
}

/// Where a slice of a transcript begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Behind so many entries.
    Behind(u64),
    /// So many entries before the end.
    BeforeEnd(u64),
}

/// A slice of a transcript.
#[derive(Clone, Debug, PartialEq)]
pub struct TranscriptSlice {
    /// How many entries were passed over.
    pub start: u64,
    /// How many entries there are.
    pub total: u64,
    /// The entries.
    pub entries: Vec<TranscriptEntry>,
    /// The place in the log that they were folded to.
    pub head: Head,
}
