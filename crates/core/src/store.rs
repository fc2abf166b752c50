//! Where logs live: the trait that every store implements, and what goes through it.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use musher_protocol::{
    Approval, Cursor, EventId, Execution, InputId, Outcome, SessionId, StoreKind, TranscriptEntry, Usage,
    WorkerId, WorkerStatus,
};

use crate::{fold::End, profile::WorkerSpec};

/// Keeps logs, and what is derived from them in the same commit.
///
/// The runtime is the only writer and writes each worker's log from one task. A store must answer reads with
/// what was committed, all of a commit or nothing of it.
#[async_trait]
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// Which kind of store this is, for the runtime's summary.
    fn kind(&self) -> StoreKind;

    /// Writes one commit of one worker, and returns when it is durable. The first commit of a worker, with an
    /// expected head of 0 and a row, creates it.
    ///
    /// # Errors
    ///
    /// After [`StoreError::Conflict`] nothing was written. After any other error it is unknown whether
    /// something was; the caller must not go on with this worker.
    async fn append(&self, commit: Commit) -> Result<(), StoreError>;

    /// A worker's row, or `None` when there is no such worker.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    async fn worker(&self, worker: &WorkerId) -> Result<Option<WorkerRow>, StoreError>;

    /// Rows in the order of creation, behind `after`, of this status where one is given.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    async fn workers(
        &self,
        status: Option<WorkerStatus>,
        after: Option<&WorkerId>,
        limit: usize,
    ) -> Result<Vec<WorkerRow>, StoreError>;

    /// How many workers there are, in constant time.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    async fn counts(&self) -> Result<WorkerCounts, StoreError>;

    /// The place of a worker's newest event; 0 when there is no such worker.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    async fn head(&self, worker: &WorkerId) -> Result<Head, StoreError>;

    /// Events with a higher number than `after`, in order, as many as `most` allows.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    async fn events(&self, worker: &WorkerId, after: u64, most: Most)
    -> Result<Vec<StoredEvent>, StoreError>;

    /// A slice of a worker's transcript, with the head that it belongs to.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    async fn transcript(
        &self,
        worker: &WorkerId,
        start: Start,
        limit: usize,
    ) -> Result<TranscriptSlice, StoreError>;

    /// The ack of an input that was accepted before, whenever that was.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    async fn accepted_input(
        &self,
        worker: &WorkerId,
        input: &InputId,
    ) -> Result<Option<AcceptedInput>, StoreError>;
}

/// Why a store refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The log's head is not where the commit expects it: somebody else wrote.
    #[error("the log of `{worker}` is at event {head}, not where the commit expects it")]
    Conflict {
        /// The worker.
        worker: WorkerId,
        /// Where the log is.
        head: u64,
    },
    /// Reading or writing failed.
    #[error("{attempt}")]
    Io {
        /// What was tried.
        attempt: &'static str,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
}

/// One atomic write to one worker's log and to what is derived from it.
#[derive(Clone, Debug)]
pub struct Commit {
    /// The worker.
    pub worker: WorkerId,
    /// The number of the newest event that the writer knows.
    pub expected_head: u64,
    /// Events, numbered from `expected_head + 1` without gaps.
    pub events: Vec<StoredEvent>,
    /// Entries that are new or have changed, by their sequence.
    pub entries: Vec<TranscriptEntry>,
    /// Inputs that are accepted by this commit.
    pub accepted: Vec<AcceptedInput>,
    /// The worker's row, when something that it shows has changed.
    pub row: Option<WorkerRow>,
}

/// An event as stores keep it: serialized once, for ever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEvent {
    /// Its number in the log.
    pub seq: u64,
    /// Its id.
    pub event_id: EventId,
    /// When it was decided.
    pub at: Timestamp,
    /// Its payload's type, one of [`musher_protocol::Payload::TYPES`].
    pub type_name: &'static str,
    /// Over id, time and payload; also in the event's cursor.
    pub checksum: u32,
    /// The payload as JSON.
    pub payload: Bytes,
}

/// The most that a read of events answers with; the first event in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Most {
    /// So many events.
    pub events: usize,
    /// So many bytes of payload together.
    pub bytes: usize,
}

/// A place in a log, with what a cursor needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The number of the newest event, 0 for an empty log.
    pub seq: u64,
    /// That event's checksum.
    pub checksum: u32,
}

impl Head {
    /// The place before the first event.
    pub(crate) const EMPTY: Self = Self { seq: 0, checksum: 0 };

    pub(crate) fn cursor(&self, worker: &WorkerId) -> Cursor {
        Cursor::new(worker, self.seq, self.checksum)
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

/// What lists and details show of a worker: a cache of the fold of its log.
#[derive(Clone, Debug)]
pub struct WorkerRow {
    /// The worker.
    pub worker_id: WorkerId,
    /// What it was created as.
    pub(crate) spec: Arc<WorkerSpec>,
    /// What its log says.
    pub(crate) facts: WorkerFacts,
    /// The place that the row was folded to.
    pub head: Head,
    /// The event there.
    pub last_event_id: EventId,
    /// When the worker was created.
    pub created_at: Timestamp,
    /// When the row last changed.
    pub updated_at: Timestamp,
}

impl WorkerRow {
    /// Whether the worker takes inputs.
    #[must_use]
    pub fn status(&self) -> WorkerStatus {
        self.facts.status
    }
}

/// What a worker's log says of it, without texts in flight.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct WorkerFacts {
    pub(crate) status: WorkerStatus,
    pub(crate) execution: Execution,
    pub(crate) session_id: Option<SessionId>,
    pub(crate) transcript_len: u64,
    pub(crate) queued_inputs: u64,
    pub(crate) approvals: Vec<Approval>,
    pub(crate) usage: Usage,
    pub(crate) outcome: Option<Outcome>,
    pub(crate) end: Option<End>,
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
