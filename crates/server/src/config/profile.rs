//! `[profiles.NAME]`.

use std::{collections::BTreeSet, fs, io, path::Path, time::Duration};

use musher_claude_pty::{ClaudeProfile, ClaudeProfileError};
use musher_core::{ApprovalMode, ApprovalPolicy, OnRestart, Profile, RateLimitPolicy};
use musher_protocol::{Capability, WorkerLimits};
use musher_scripted::{Script, ScriptError};
use serde::Deserialize;
use serde_json::{Value, json};

/// Larger scripts are a mistake: everything in them is kept in memory for each worker.
const MAX_SCRIPT_BYTES: u64 = 4 << 20;
/// As much as a stop may ask for: its caller waits for it.
const MAX_GRACE_SECS: u64 = 60;
const CLAUDE: &str = "claude-pty";
const SCRIPTED: &str = "scripted";

/// Why a profile cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProfileError {
    #[error("no backend `{0}`; there are `{CLAUDE}` and `{SCRIPTED}`")]
    NoBackend(String),
    #[error("`{key}` is for the backend `{backend}`")]
    Misplaced { key: &'static str, backend: &'static str },
    #[error("settings_sources")]
    Claude(#[source] ClaudeProfileError),
    #[error("{0}: a limit is greater than 0")]
    Zero(String),
    #[error("grace_secs: {0} is more than {MAX_GRACE_SECS}")]
    LongGrace(u64),
    #[error("read the script {file}")]
    ReadScript {
        file: String,
        #[source]
        source: io::Error,
    },
    #[error("the script {file} is no JSON")]
    ParseScript {
        file: String,
        #[source]
        source: serde_json::Error,
    },
    #[error("the script {0} is larger than {MAX_SCRIPT_BYTES} bytes")]
    LargeScript(String),
    #[error("script")]
    Script(#[source] ScriptError),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ProfileTable {
    backend: String,
    model: Option<String>,
    instructions: Option<String>,
    approval: Option<ApprovalTable>,
    capabilities: Option<BTreeSet<Capability>>,
    limits: Option<WorkerLimits>,
    on_rate_limit: Option<OnRateLimit>,
    park_max_secs: Option<u64>,
    on_restart: Option<OnRestartKey>,
    grace_secs: Option<u64>,
    /// For `claude-pty`.
    settings_sources: Option<Vec<String>>,
    /// For `scripted`.
    script: Option<String>,
    /// For `scripted`.
    word_delay_ms: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ApprovalTable {
    mode: ModeKey,
    deadline_secs: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ModeKey {
    Ask,
    Allow,
    Deny,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum OnRateLimit {
    Park,
    End,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum OnRestartKey {
    Resume,
    Wait,
}

impl ProfileTable {
    /// The profile, with the script read from beside the config.
    pub(super) fn resolve(self, directory: &Path) -> Result<Profile, ProfileError> {
        if ![CLAUDE, SCRIPTED].contains(&self.backend.as_str()) {
            return Err(ProfileError::NoBackend(self.backend));
        }
        let mut profile = Profile::of(&self.backend);
        profile.model = self.model;
        profile.instructions = self.instructions;
        if let Some(ApprovalTable { mode, deadline_secs }) = self.approval {
            let mode = match mode {
                ModeKey::Ask => ApprovalMode::Ask,
                ModeKey::Allow => ApprovalMode::Allow,
                ModeKey::Deny => ApprovalMode::Deny,
            };
            let deadline = deadline_secs.map_or(profile.approval.deadline, Duration::from_secs);
            profile.approval = ApprovalPolicy { mode, deadline };
        }
        if let Some(limits) = self.limits {
            if let Some(place) = limits.first_not_positive() {
                return Err(ProfileError::Zero(place.trim_start_matches('/').replace('/', ".")));
            }
            profile.limits = profile.limits.with(&limits);
        }
        if let Some(capabilities) = self.capabilities {
            profile.capabilities = capabilities;
        }
        profile.rate_limit = match (self.on_rate_limit, self.park_max_secs, profile.rate_limit) {
            (Some(OnRateLimit::End), ..) => RateLimitPolicy::End,
            (_, Some(secs), _) => RateLimitPolicy::Park { at_most: Duration::from_secs(secs) },
            (_, None, default) => default,
        };
        profile.on_restart = match self.on_restart {
            Some(OnRestartKey::Wait) => OnRestart::Wait,
            Some(OnRestartKey::Resume) => OnRestart::Resume,
            None => profile.on_restart,
        };
        profile.grace = match self.grace_secs {
            Some(secs) if secs > MAX_GRACE_SECS => return Err(ProfileError::LongGrace(secs)),
            Some(secs) => Duration::from_secs(secs),
            None => profile.grace,
        };
        let of_scripted =
            [("script", self.script.is_some()), ("word_delay_ms", self.word_delay_ms.is_some())];
        let of_claude = [("settings_sources", self.settings_sources.is_some())];
        for (backend, keys) in [(SCRIPTED, &of_scripted[..]), (CLAUDE, &of_claude)] {
            if let Some((key, _)) = keys.iter().find(|(_, is_set)| *is_set && self.backend != backend) {
                return Err(ProfileError::Misplaced { key, backend });
            }
        }
        if let Some(sources) = self.settings_sources {
            profile.options.insert("settings_sources".to_owned(), json!(sources));
        }
        if self.backend == CLAUDE {
            ClaudeProfile::from_options(&profile.options).map_err(ProfileError::Claude)?;
            return Ok(profile);
        }
        if let Some(script) = self.script {
            profile.options.insert("script".to_owned(), read_script(&script, directory)?);
        }
        if let Some(delay) = self.word_delay_ms {
            profile.options.insert("word_delay_ms".to_owned(), json!(delay));
        }
        Script::from_options(&profile.options).map_err(ProfileError::Script)?;
        Ok(profile)
    }
}

/// `echo` is a word; everything else is a path relative to the config.
fn read_script(script: &str, directory: &Path) -> Result<Value, ProfileError> {
    if script == "echo" {
        return Ok(json!(script));
    }
    let path = directory.join(script);
    let file = path.display().to_string();
    let failed = |source| ProfileError::ReadScript { file: file.clone(), source };
    if fs::metadata(&path).map_err(failed)?.len() > MAX_SCRIPT_BYTES {
        return Err(ProfileError::LargeScript(file));
    }
    let text = fs::read_to_string(&path).map_err(failed)?;
    serde_json::from_str(&text).map_err(|source| ProfileError::ParseScript { file, source })
}
