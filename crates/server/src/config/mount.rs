//! Directories that workers may be given besides their workspaces.

use std::path::{Path, PathBuf};

use musher_core::Mount;
use serde::Deserialize;

use super::workspace::existing;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MountTable {
    path: PathBuf,
    /// Whether workers may change what is in it.
    #[serde(default)]
    writable: bool,
}

impl MountTable {
    /// The mount; what is wrong comes with its key.
    pub(super) fn resolve(self, directory: &Path) -> Result<Mount, (&'static str, String)> {
        Ok(Mount { path: existing(directory, &self.path)?, writable: self.writable })
    }
}
