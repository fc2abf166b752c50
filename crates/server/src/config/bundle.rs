//! What config bundles find of a config: the backends that their profiles run, and what their declarations refer to.

use std::{collections::BTreeMap, sync::Arc};

use musher_core::{Builder, Profile, SpecError};
use musher_protocol::{ConfigDeclarationKind, ProfileSpec};
use musher_tools::McpServer;

use super::{
    Config,
    backend::BackendOptions,
    profile::{ProfileError, Scripts, resolve},
};
use crate::failure::Chain;

impl Config {
    /// Gives a runtime what bundles may use of this config.
    pub(crate) fn open_to_bundles(&self, builder: Builder) -> Builder {
        let secrets = self.backends.values().flat_map(BackendOptions::secrets);
        let builder = secrets
            .fold(builder, |builder, variable| builder.grant(ConfigDeclarationKind::SecretRef, variable));
        let servers = self.mcp.keys();
        let builder = servers.fold(builder, |builder, server| {
            builder.grant(ConfigDeclarationKind::McpServer, server.as_str())
        });
        let (backends, servers) = (Arc::new(self.backends.clone()), Arc::new(self.mcp.clone()));
        builder.profile_specs(move |spec| profile(spec, &backends, &servers))
    }
}

/// The profile that a bundle says. What this config lacks is missing: another config may have it.
fn profile(
    spec: &ProfileSpec,
    backends: &BTreeMap<String, BackendOptions>,
    servers: &BTreeMap<String, McpServer>,
) -> Result<Profile, SpecError> {
    resolve(spec.clone(), Scripts::BuiltIn, backends, servers).map_err(|error| match error {
        ProfileError::NoBackend { name, .. } => SpecError::Missing(format!("backend `{name}`")),
        ProfileError::NoServer { name, .. } => SpecError::Missing(format!("an MCP server `{name}`")),
        ProfileError::Misplaced { .. }
        | ProfileError::NoTools(_)
        | ProfileError::NoSandbox(_)
        | ProfileError::Claude(_)
        | ProfileError::Zero(_)
        | ProfileError::LongGrace(_)
        | ProfileError::ReadScript { .. }
        | ProfileError::ParseScript { .. }
        | ProfileError::LargeScript(_)
        | ProfileError::ForeignScript
        | ProfileError::Script(_) => {
            SpecError::Wrong { key: error.key().replace('.', "/"), message: Chain(&error).to_string() }
        }
    })
}
