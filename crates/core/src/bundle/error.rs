//! Why a config bundle is not taken, or not had.

use musher_protocol::{ConfigBundleId, Digest};

/// Why a config bundle is not taken, or not had. Places are JSON pointers into the bundle.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// It is no JSON, has another shape, or is JSON in which two readers could see different things.
    #[error("read the config bundle")]
    Json(#[source] serde_json::Error),
    /// It is too large.
    #[error("a config bundle has at most {limit} bytes")]
    TooLarge {
        /// The bound, in bytes.
        limit: usize,
    },
    /// Something in it is not what may be there.
    #[error("`{field}`: {message}")]
    Wrong {
        /// Where.
        field: String,
        /// What is wrong, and what would be right.
        message: String,
    },
    /// A profile's selector is none, or the bundle has it twice.
    #[error("`{field}`: {message}")]
    Selector {
        /// Where.
        field: String,
        /// What is wrong, and what would be right.
        message: String,
    },
    /// A declaration is of a kind that this version does not know.
    #[error("`{0}`: there are `secret_ref`, `workspace_grant`, `mount_grant`, `mcp_server` and `backend`")]
    UnsupportedDeclaration(String),
    /// The bundle names another digest than it has.
    #[error("the digest of config bundle `{id}` is {computed}, not the one that it names")]
    DigestMismatch {
        /// The bundle.
        id: ConfigBundleId,
        /// Its digest.
        computed: Digest,
    },
    /// The revision is stored with another content.
    #[error("config bundle `{id}` has a revision `{revision}` already, with the digest {digest}")]
    Conflict {
        /// The bundle.
        id: ConfigBundleId,
        /// The revision.
        revision: ConfigBundleId,
        /// The digest that is stored.
        digest: Digest,
    },
    /// As many bundles are stored as may be.
    #[error("{limit} revisions of config bundles are stored already, which is the limit; delete some")]
    TooMany {
        /// The limit.
        limit: usize,
    },
    /// No revision of such a bundle is stored.
    #[error("no config bundle `{0}`")]
    Missing(ConfigBundleId),
    /// The bundle is stored, and no revision of it has the digest.
    #[error("no revision of config bundle `{id}` has the digest {digest}")]
    NoRevision {
        /// The bundle.
        id: ConfigBundleId,
        /// The digest that was asked for.
        digest: Digest,
    },
    /// The bundle declares no such profile.
    #[error("config bundle `{id}` declares no profile `{selector}`")]
    NoProfile {
        /// The bundle.
        id: ConfigBundleId,
        /// What was asked for.
        selector: String,
    },
    /// The request names a profile that is not one of the bundle's.
    #[error("with a config bundle the profile is one that it declares: `named`, by its selector")]
    NotNamed,
    /// The profile cannot run here.
    #[error("profile `{selector}` of config bundle `{id}` cannot run here; missing: {}", missing.join(", "))]
    Unavailable {
        /// The bundle.
        id: ConfigBundleId,
        /// The profile.
        selector: String,
        /// What is missing, by name.
        missing: Vec<String>,
    },
}
