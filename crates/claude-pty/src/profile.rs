//! What a profile says to this backend alone.

use std::fmt;

use serde::Deserialize;
use serde_json::{Map, Value};

/// The keys of a profile that only this backend understands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClaudeProfile {
    /// Where the program takes settings from: none when empty. With settings come hooks, helpers, permission rules and
    /// variables, which run and hold without anybody being asked.
    #[serde(default)]
    pub settings_sources: Vec<SettingsSource>,
}

/// A place that the program takes settings from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SettingsSource {
    /// The person's, in the home directory.
    User,
    /// The repository's.
    Project,
    /// The repository's that are not shared.
    Local,
}

impl fmt::Display for SettingsSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::User => "user",
            Self::Project => "project",
            Self::Local => "local",
        })
    }
}

/// The profile's keys for this backend cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("read the profile's keys for claude-pty")]
pub struct ClaudeProfileError(#[from] serde_json::Error);

impl ClaudeProfile {
    /// Reads the options of a launch, or of a profile.
    ///
    /// # Errors
    ///
    /// When a key is unknown, or its value is none of it.
    pub fn from_options(options: &Map<String, Value>) -> Result<Self, ClaudeProfileError> {
        Ok(serde_json::from_value(Value::Object(options.clone()))?)
    }
}
