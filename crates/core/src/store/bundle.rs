//! Config bundles as stores keep them: beside all workers, each revision once and for good.

use bytes::Bytes;
use musher_protocol::{ConfigBundleSummary, Digest};

use super::Blob;

/// A revision of a config bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredBundle {
    /// What lists show of it.
    pub summary: ConfigBundleSummary,
    /// The bundle as JSON, in the form that its digest is over.
    pub canonical: Bytes,
}

impl StoredBundle {
    /// Whether the content is what its digest says.
    #[must_use]
    pub fn is_intact(&self) -> bool {
        Blob::digest_of(&self.canonical) == self.summary.digest
    }
}

/// What became of a bundle that was to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BundlePut {
    /// It is stored, and durable, with the key that came with it.
    Stored,
    /// It was there already, with this very digest; the key that came is written.
    WasThere,
    /// Its revision is there, with this digest; nothing was written.
    OtherContent(Digest),
    /// There are as many bundles as may be; nothing was written.
    TooMany,
}
