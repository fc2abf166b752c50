//! Why a store refused or failed.

use std::io;

use musher_protocol::{ConfigBundleId, WorkerId};

use super::Head;

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
    /// Somebody else has taken the right to write this log.
    #[error("the log of `{worker}` has a writer of epoch {epoch}")]
    Fenced {
        /// The worker.
        worker: WorkerId,
        /// The epoch that may write.
        epoch: u64,
    },
    /// There is no such worker, or no longer.
    #[error("no worker `{0}`")]
    NoWorker(WorkerId),
    /// The events behind the place that was asked for are gone.
    #[error("the log of `{worker}` begins behind event {}", oldest.seq)]
    Pruned {
        /// The worker.
        worker: WorkerId,
        /// The place before the oldest event that is left.
        oldest: Head,
    },
    /// There is no space left, not even for what has to be ended.
    #[error("the store is full")]
    Full,
    /// What is stored is not what was written.
    #[error("{what} of `{worker}` is damaged")]
    Corrupt {
        /// The worker.
        worker: WorkerId,
        /// What of it, e.g. `event 7`.
        what: String,
    },
    /// What is stored of a config bundle is not what was written.
    #[error("config bundle `{id}` is damaged")]
    CorruptBundle {
        /// The bundle.
        id: ConfigBundleId,
    },
    /// Reading or writing failed.
    #[error("{attempt}")]
    Io {
        /// What was tried.
        attempt: &'static str,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The store had failed before; its first failure says how.
    #[error("the store has failed and takes nothing more")]
    Failed,
}
