//! Config bundles: what of one is taken, and what its profiles come to here.

mod document;
mod error;
mod grammar;

use std::{fmt, sync::Arc};

use bytes::Bytes;
use musher_protocol::{
    ConfigBundle, ConfigBundleProfile, ConfigBundleRef, ConfigBundleSummary, ConfigDeclaration,
    ConfigDeclarationKind, Digest, DigestAlgorithm, ProfileSpec,
};

use self::document::Document;
pub use self::error::BundleError;
use crate::{
    builder::Catalog,
    profile::Profile,
    store::{Blob, StoreError, StoredBundle},
    wall::{Wall, stands},
};

/// As many profiles and declarations as a bundle may have, with short instructions; a page of instructions for each is
/// no config.
pub(crate) const MAX_BUNDLE_BYTES: usize = 256 << 10;
/// So many revisions of bundles are kept, which is 256 MiB at worst. A control plane deletes those that it has replaced.
pub(crate) const MAX_BUNDLES: usize = 1024;

/// Makes profiles of what bundles say: whoever puts a runtime together knows what its backends take.
#[derive(Clone)]
pub(crate) struct Specs(pub(crate) Arc<Resolve>);

type Resolve = dyn Fn(&ProfileSpec) -> Result<Profile, SpecError> + Send + Sync;

/// Why a profile cannot be made of a spec.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// It makes no sense as it is.
    #[error("{message}")]
    Wrong {
        /// The key that is wrong.
        key: String,
        /// What is wrong, and what would be right.
        message: String,
    },
    /// It names what is not there.
    #[error("missing: {0}")]
    Missing(String),
}

impl Default for Specs {
    fn default() -> Self {
        Self(Arc::new(|_| {
            let message = "this runtime has profiles of its own only: leave the spec out";
            Err(SpecError::Wrong { key: String::new(), message: message.to_owned() })
        }))
    }
}

impl fmt::Debug for Specs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Specs")
    }
}

/// A bundle that was checked.
#[derive(Clone, Debug)]
pub(crate) struct Bundle {
    pub(crate) summary: ConfigBundleSummary,
    content: ConfigBundle,
    canonical: Bytes,
}

impl Bundle {
    /// Reads a bundle as it was sent, and checks all that does not depend on the runtime.
    pub(crate) fn read(json: &str) -> Result<Self, BundleError> {
        if json.len() > MAX_BUNDLE_BYTES {
            return Err(BundleError::TooLarge { limit: MAX_BUNDLE_BYTES });
        }
        let document = Document::read(json).map_err(BundleError::Json)?;
        let content: ConfigBundle = document.parse().map_err(BundleError::Json)?;
        grammar::check(&content)?;
        let canonical = document.canonical();
        let computed = Blob::digest_of(&canonical);
        let metadata = &content.metadata;
        let wrong = |field: &str, message: &str| BundleError::Wrong {
            field: field.to_owned(),
            message: message.to_owned(),
        };
        let given = metadata.digest.as_deref().map(str::parse::<Digest>).transpose();
        let given = given.map_err(|error| wrong("/metadata/digest", &error.to_string()))?;
        let not_a_time = |_| wrong("/metadata/created_at", "a time as RFC 3339 has it is expected");
        let created_at = metadata.created_at.parse().map_err(not_a_time)?;
        let id = |field: &str, text: &str| {
            text.parse().map_err(|error: musher_protocol::IdError| wrong(field, &error.to_string()))
        };
        let summary = ConfigBundleSummary {
            id: id("/metadata/id", &metadata.id)?,
            digest: computed,
            digest_algorithm: DigestAlgorithm::Sha256Jcs,
            revision: id("/metadata/revision", &metadata.revision)?,
            profile_count: content.profiles.len() as u64,
            declaration_count: content.declarations.len() as u64,
            created_at,
        };
        match given {
            Some(given) if given != computed && stands(Wall::BundleDigest) => {
                Err(BundleError::DigestMismatch { id: summary.id, computed })
            }
            Some(_) | None => Ok(Self { summary, content, canonical: canonical.into() }),
        }
    }

    /// Reads a bundle as it is stored.
    pub(crate) fn stored(StoredBundle { summary, canonical }: StoredBundle) -> Result<Self, StoreError> {
        let damaged = |error: &dyn fmt::Display| {
            tracing::error!(bundle = %summary.id, %error, "a stored config bundle does not read");
            StoreError::CorruptBundle { id: summary.id.clone() }
        };
        let content = serde_json::from_slice(&canonical).map_err(|error| damaged(&error))?;
        Ok(Self { summary, content, canonical })
    }

    /// What a store keeps of it.
    pub(crate) fn to_store(&self) -> StoredBundle {
        StoredBundle { summary: self.summary.clone(), canonical: self.canonical.clone() }
    }

    pub(crate) fn reference(&self) -> ConfigBundleRef {
        ConfigBundleRef { id: self.summary.id.clone(), digest: self.summary.digest }
    }

    /// The bundle without its digest, in the form of RFC 8785.
    pub(crate) fn canonical(&self) -> &str {
        std::str::from_utf8(&self.canonical).expect("canonical JSON is text")
    }

    /// The selectors, in the bundle's order.
    pub(crate) fn selectors(&self) -> impl Iterator<Item = &str> {
        self.content.profiles.iter().map(|profile| profile.selector.as_str())
    }

    /// Refuses specs that make no sense here, whatever else the runtime will have some day.
    pub(crate) fn check_specs(&self, catalog: &Catalog) -> Result<(), BundleError> {
        let specs = self.content.profiles.iter().enumerate();
        specs.filter_map(|(n, profile)| Some((n, profile.spec.as_ref()?))).try_for_each(|(n, spec)| {
            match catalog.specs.0(spec) {
                Ok(_) | Err(SpecError::Missing(_)) => Ok(()),
                Err(SpecError::Wrong { key, message }) => {
                    let key = if key.is_empty() { key } else { format!("/{key}") };
                    Err(BundleError::Wrong { field: format!("/profiles/{n}/spec{key}"), message })
                }
            }
        })
    }

    /// The profile of this selector, or what is missing for it; `None` when the bundle has no such profile.
    pub(crate) fn profile(&self, catalog: &Catalog, selector: &str) -> Option<Result<Profile, String>> {
        let ConfigBundleProfile { spec, .. } =
            self.content.profiles.iter().find(|profile| profile.selector == selector)?;
        let profile = match spec {
            None => catalog.profiles.get(selector).cloned().ok_or_else(|| format!("profile `{selector}`")),
            Some(spec) => match catalog.specs.0(spec) {
                Ok(profile) => Ok(profile),
                Err(SpecError::Missing(missing)) => Err(missing),
                // It made sense when it was stored: the runtime's own config is another one now.
                Err(SpecError::Wrong { message, .. }) => {
                    Err(format!("a config in which the profile makes sense: {message}"))
                }
            },
        };
        Some(profile.and_then(|profile| {
            if catalog.backends.contains_key(&profile.backend) {
                Ok(profile)
            } else {
                Err(format!("backend `{}`", profile.backend))
            }
        }))
    }

    /// The declarations that nothing here stands for, by name. References are not told: who wrote a secret in the place
    /// of its variable's name should not find it in replies.
    pub(crate) fn unresolved(&self, catalog: &Catalog) -> Vec<String> {
        let unresolved = self.content.declarations.iter().filter(|declaration| !catalog.grants(declaration));
        unresolved.map(|ConfigDeclaration { kind, name, .. }| format!("{} `{name}`", kind.name())).collect()
    }
}

impl Catalog {
    fn grants(&self, ConfigDeclaration { kind, reference, .. }: &ConfigDeclaration) -> bool {
        self.grants.contains(&(*kind, reference.clone()))
            || match kind {
                ConfigDeclarationKind::Backend => self.backends.contains_key(reference),
                ConfigDeclarationKind::WorkspaceGrant => self.workspaces.contains_key(reference),
                ConfigDeclarationKind::MountGrant => self.mounts.contains_key(reference),
                ConfigDeclarationKind::McpServer => self.tools.have_server(reference),
                ConfigDeclarationKind::SecretRef | ConfigDeclarationKind::Unknown => false,
            }
    }
}

#[cfg(test)]
mod tests;
