//! Config bundles: profiles, and what they need of a server, as a control plane syncs them to it.
//!
//! Texts of a request are plain here; what each may hold is checked where they are stored, and refused by place.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    ConfigBundleId, Digest, ProfileSpec,
    bounds::{MAX_DECLARATIONS, MAX_LINE_BYTES, MAX_PROFILES, MAX_WORD_BYTES},
    id::NAMED,
};

/// A request to store a config bundle.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StoreConfigBundle {
    /// The bundle. Its digest is over the JSON that is here, in the form of RFC 8785.
    pub bundle: ConfigBundle,
}

/// A set of profiles and declarations. It never changes: what changes is a new revision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfigBundle {
    /// Which bundle it is, and whence.
    pub metadata: ConfigBundleMetadata,
    /// The profiles that workers may be created with; no selector comes twice.
    #[schemars(length(max = MAX_PROFILES))]
    pub profiles: Vec<ConfigBundleProfile>,
    /// What has to be there on the server for every profile of the bundle; no name comes twice.
    #[serde(default)]
    #[schemars(length(max = MAX_DECLARATIONS))]
    pub declarations: Vec<ConfigDeclaration>,
}

/// Which bundle it is, and whence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfigBundleMetadata {
    /// The bundle, over all its revisions: a letter or digit, then up to 127 letters, digits and `. _ : -`.
    #[schemars(regex(pattern = NAMED))]
    pub id: String,
    /// The SHA-256 of the bundle's canonical JSON without this field, as 64 lower hex digits; computed when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = crate::blob::DIGEST))]
    pub digest: Option<String>,
    /// The revision, written as an id. A bundle has each revision once.
    #[schemars(regex(pattern = NAMED))]
    pub revision: String,
    /// Whose bundle it is, in the words of the control plane; written as an id.
    #[schemars(regex(pattern = NAMED))]
    pub workspace_id: String,
    /// When it was made, as RFC 3339.
    #[schemars(extend("format" = "date-time"))]
    pub created_at: String,
    /// Where it comes from.
    pub provenance: ConfigBundleProvenance,
}

/// Where a bundle comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfigBundleProvenance {
    /// What made it; written as an id.
    #[schemars(regex(pattern = NAMED))]
    pub source: String,
    /// A line for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = MAX_LINE_BYTES))]
    pub detail: Option<String>,
}

/// A profile of a bundle.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfigBundleProfile {
    /// The name that create requests know it by; written as an id.
    #[schemars(regex(pattern = NAMED))]
    pub selector: String,
    /// A line for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = MAX_LINE_BYTES))]
    pub label: Option<String>,
    /// What it is; the server's own profile of that name when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec: Option<ProfileSpec>,
}

/// Something that has to be there on the server, by name. It brings no value, path or address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfigDeclaration {
    /// What it is.
    #[schemars(extend("not" = { "const": "unknown" }))]
    pub kind: ConfigDeclarationKind,
    /// The bundle's name for it, by which it is told when it is missing; written as an id.
    #[schemars(regex(pattern = NAMED))]
    pub name: String,
    /// The server's name for it; written as an id, or for a `secret_ref` as a variable's name.
    #[schemars(length(min = 1, max = MAX_WORD_BYTES))]
    pub reference: String,
}

/// What a declaration refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConfigDeclarationKind {
    /// A variable of the server's environment that its config gives to a backend.
    SecretRef,
    /// A workspace that the server's config declares.
    WorkspaceGrant,
    /// A mount that the server's config declares.
    MountGrant,
    /// An MCP server that the server's config declares.
    McpServer,
    /// A backend of the server's config.
    Backend,
    /// A kind that this version does not know.
    #[serde(other)]
    Unknown,
}

impl ConfigDeclarationKind {
    /// The kinds that a server of this version takes.
    pub const ALL: [Self; 5] =
        [Self::SecretRef, Self::WorkspaceGrant, Self::MountGrant, Self::McpServer, Self::Backend];

    /// The kind as the wire has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::SecretRef => "secret_ref",
            Self::WorkspaceGrant => "workspace_grant",
            Self::MountGrant => "mount_grant",
            Self::McpServer => "mcp_server",
            Self::Backend => "backend",
            Self::Unknown => "unknown",
        }
    }
}

/// One revision of a bundle, by what is in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfigBundleRef {
    /// The bundle.
    pub id: ConfigBundleId,
    /// The revision that is meant.
    pub digest: Digest,
}

/// A stored bundle in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigBundleSummary {
    /// The bundle.
    pub id: ConfigBundleId,
    /// Over its canonical JSON.
    pub digest: Digest,
    /// How the digest is made.
    pub digest_algorithm: DigestAlgorithm,
    /// The revision.
    pub revision: ConfigBundleId,
    /// Profiles in it.
    pub profile_count: u64,
    /// Declarations in it.
    pub declaration_count: u64,
    /// When it was made.
    pub created_at: Timestamp,
}

/// How a bundle's digest is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DigestAlgorithm {
    /// SHA-256 of the JSON in the form of RFC 8785, without the digest.
    #[serde(rename = "sha256-jcs")]
    Sha256Jcs,
    /// An algorithm that this version does not know.
    #[serde(other, rename = "unknown")]
    Unknown,
}

/// Answer to the list of bundles, and to one that is stored: then it is that one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigBundlesReply {
    /// By id; revisions of one in the order of their names.
    pub bundles: Vec<ConfigBundleSummary>,
}

/// What of a bundle can run here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigBundleAvailability {
    /// What a create request names it by.
    pub reference: ConfigBundleRef,
    /// The bundle.
    pub summary: ConfigBundleSummary,
    /// Its profiles, in its order.
    pub profiles: Vec<ConfigBundleReadiness>,
}

/// Whether workers of a profile could be created right now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigBundleReadiness {
    /// The profile.
    pub selector: String,
    /// Whether a worker that asks for no less than the profile gives would be created right now.
    pub ready: bool,
    /// What is missing for that, by name.
    pub missing: Vec<String>,
}

/// Answer to the availability of a bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigBundleAvailabilityReply {
    /// What can run.
    pub availability: ConfigBundleAvailability,
}

/// Query of one revision of a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfigBundleQuery {
    /// The revision, by its digest.
    pub digest: Digest,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_called_what_the_wire_calls_it() {
        for kind in ConfigDeclarationKind::ALL.into_iter().chain([ConfigDeclarationKind::Unknown]) {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
        }
    }
}
