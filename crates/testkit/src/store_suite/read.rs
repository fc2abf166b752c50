//! Everything that a store can be asked.

use bytes::Bytes;
use musher_core::{
    AcceptedInput, Checkpoint, Extent, Kept, Most, Start, Store, StoredEvent, TranscriptSlice, WorkerCounts,
    WorkerRow,
};
use musher_protocol::{ApprovalId, Digest, InputId, Order, WorkerId, WorkerStatus};

use super::refusal::{Answer, answer};

/// A question to a store.
#[derive(Clone, Debug)]
pub(super) enum Read {
    Worker(WorkerId),
    Workers { status: Option<WorkerStatus>, order: Order, after: Option<WorkerId>, limit: usize },
    Unsettled { after: Option<WorkerId>, limit: usize },
    Counts,
    Extent(WorkerId),
    Events { worker: WorkerId, after: u64, most: Most },
    Approval(WorkerId, ApprovalId),
    Transcript { worker: WorkerId, start: Start, limit: usize },
    AcceptedInput(WorkerId, InputId),
    Checkpoint(WorkerId),
    Blob(WorkerId, Digest),
    Kept { worker: WorkerId, after: Option<String>, most: Most },
}

/// What a store says to a [`Read`].
#[derive(Debug, PartialEq)]
pub(super) enum Reply {
    Worker(Option<Box<WorkerRow>>),
    Workers(Vec<WorkerRow>),
    Unsettled(Vec<WorkerId>),
    Counts(WorkerCounts),
    Extent(Option<Extent>),
    Events(Vec<StoredEvent>),
    Transcript(TranscriptSlice),
    AcceptedInput(Option<AcceptedInput>),
    Checkpoint(Option<Checkpoint>),
    Blob(Option<Bytes>),
    Kept(Vec<Kept>),
}

impl Read {
    /// Asks a store.
    pub(super) async fn of(&self, store: &dyn Store) -> Answer<Reply> {
        answer(match self {
            Self::Worker(worker) => store.worker(worker).await.map(|row| Reply::Worker(row.map(Box::new))),
            Self::Workers { status, order, after, limit } => {
                store.workers(*status, *order, after.as_ref(), *limit).await.map(Reply::Workers)
            }
            Self::Unsettled { after, limit } => {
                store.unsettled(after.as_ref(), *limit).await.map(Reply::Unsettled)
            }
            Self::Counts => store.counts().await.map(Reply::Counts),
            Self::Extent(worker) => store.extent(worker).await.map(Reply::Extent),
            Self::Events { worker, after, most } => {
                store.events(worker, *after, *most).await.map(Reply::Events)
            }
            Self::Approval(worker, approval) => {
                store.approval_events(worker, approval).await.map(Reply::Events)
            }
            Self::Transcript { worker, start, limit } => {
                store.transcript(worker, *start, *limit).await.map(Reply::Transcript)
            }
            Self::AcceptedInput(worker, input) => {
                store.accepted_input(worker, input).await.map(Reply::AcceptedInput)
            }
            Self::Checkpoint(worker) => store.checkpoint(worker).await.map(Reply::Checkpoint),
            Self::Blob(worker, digest) => store.blob(worker, *digest).await.map(Reply::Blob),
            Self::Kept { worker, after, most } => {
                store.kept(worker, after.as_deref(), *most).await.map(Reply::Kept)
            }
        })
    }
}
