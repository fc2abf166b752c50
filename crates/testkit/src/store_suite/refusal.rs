//! What a store refuses, in a form that compares.

use musher_core::{Head, StoreError};
use musher_protocol::WorkerId;

/// What a store answers: a refusal is an answer, a failure is none.
pub(super) type Answer<T> = Result<T, Refusal>;

/// A refusal after which nothing was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Conflict { worker: WorkerId, head: u64 },
    Fenced { worker: WorkerId, epoch: u64 },
    NoWorker(WorkerId),
    Pruned { worker: WorkerId, oldest: Head },
}

/// Takes a store's answer.
///
/// # Panics
///
/// When the store failed, for nothing gives it a reason to.
#[track_caller]
pub(super) fn answer<T>(answered: Result<T, StoreError>) -> Answer<T> {
    answered.map_err(|error| match error {
        StoreError::Conflict { worker, head } => Refusal::Conflict { worker, head },
        StoreError::Fenced { worker, epoch } => Refusal::Fenced { worker, epoch },
        StoreError::NoWorker(worker) => Refusal::NoWorker(worker),
        StoreError::Pruned { worker, oldest } => Refusal::Pruned { worker, oldest },
        error @ (StoreError::Full
        | StoreError::Corrupt { .. }
        | StoreError::Io { .. }
        | StoreError::Failed
        | _) => panic!("the store failed: {error:?}"),
    })
}
