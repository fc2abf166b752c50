//! All workers as they change: states, not logs.

use std::collections::BTreeMap;

use musher_protocol::{WorkerId, WorkerSummary};

use super::Runtime;
use crate::{
    changes::{Change, Forgotten, Reader},
    error::Error,
    show,
    store::StoreError,
};

/// What becomes of workers, from now on. Each change is told when it is durable; who is behind is told only the newest of
/// each worker.
///
/// It does not end by itself: after the runtime's end nothing changes any more.
#[derive(Debug)]
pub struct CatalogFeed {
    runtime: Runtime,
    reader: Reader,
}

/// What has become of a worker.
#[derive(Clone, Debug, PartialEq)]
pub enum CatalogChange {
    /// It is new, or shows something new.
    Worker(Box<WorkerSummary>),
    /// It is no more.
    Deleted {
        /// Its id.
        worker_id: WorkerId,
        /// The labels that it had; none where its row was damaged.
        labels: BTreeMap<String, String>,
    },
}

/// Why a feed cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FeedError {
    /// So many workers have changed since the feed was last asked that some of them are forgotten.
    #[error("more workers have changed than are remembered for who is behind")]
    TooFarBehind,
    /// The store.
    #[error(transparent)]
    Runtime(#[from] Error),
}

impl Runtime {
    /// What becomes of workers from now on. A list that is read afterwards shows what was before, or something newer.
    #[must_use]
    pub fn watch_catalog(&self) -> CatalogFeed {
        CatalogFeed { reader: self.0.changes.read(), runtime: self.clone() }
    }
}

impl CatalogFeed {
    /// Waits until there is a change that was not told. Cancel safe.
    pub async fn ready(&mut self) {
        self.reader.ready().await;
    }

    /// The next change; `None` when there is none yet. Cancel safe: what a dropped call would have told the next one tells.
    ///
    /// # Errors
    ///
    /// When the store cannot be read; the feed may be asked again. [`FeedError::TooFarBehind`] is for good: who wants to go
    /// on begins another feed and lists all workers.
    pub async fn next(&mut self) -> Result<Option<CatalogChange>, FeedError> {
        loop {
            let next = self.reader.peek().map_err(|Forgotten| FeedError::TooFarBehind)?;
            let Some((number, Change { worker, labels })) = next else { return Ok(None) };
            let read = self.runtime.0.store.worker(&worker).await;
            let change = match read {
                Ok(Some(row)) => {
                    let row = self.runtime.as_it_is(row);
                    Some(CatalogChange::Worker(Box::new(show::summary(
                        &row,
                        self.runtime.worker_ref(&worker),
                    ))))
                }
                Ok(None) => Some(CatalogChange::Deleted { worker_id: worker, labels }),
                // A row that is damaged is shown by no list either, but by its own error.
                Err(StoreError::Corrupt { .. }) => None,
                Err(error) => return Err(Error::from(error).into()),
            };
            self.reader.pass(number);
            if change.is_some() {
                return Ok(change);
            }
        }
    }
}
