//! What a profile says: the keys of a `[profiles.NAME]` table, in a config file and in a config bundle alike.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Capability, WorkerLimits};

/// A profile as it is written. What is absent has the server's default; which keys a backend takes depends on its kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProfileSpec {
    /// The backend, by its name in the server's config.
    pub backend: String,
    /// The model; the backend's default when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// What to add to the vendor's own instructions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instructions: Option<String>,
    /// How approvals are answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<ApprovalSpec>,
    /// What its workers may do at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Vec<Capability>>")]
    pub capabilities: Option<BTreeSet<Capability>>,
    /// What ends its workers' turns, or keeps them from beginning another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<WorkerLimits>,
    /// What happens when the vendor refuses until a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_rate_limit: Option<OnRateLimit>,
    /// The longest wait of a parked turn, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub park_max_secs: Option<u64>,
    /// What happens to a turn that the server's end cut off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_restart: Option<OnRestart>,
    /// What holds the processes of the server's tools to where they may write.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sandbox: Option<SandboxSpec>,
    /// Seconds that an interrupted turn has to end, 60 at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace_secs: Option<u64>,
    /// For `claude-pty`: where the program takes settings from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings_sources: Option<Vec<String>>,
    /// For `openai-api`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning_effort: Option<String>,
    /// For `gemini-api`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thinking_level: Option<String>,
    /// For `openai-api` and `gemini-api`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_output_tokens: Option<u64>,
    /// For `scripted`: `echo`, or, in a config file only, a path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script: Option<String>,
    /// For `scripted`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub word_delay_ms: Option<u64>,
}

/// How approvals of a profile's workers are to be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApprovalSpec {
    /// By whom.
    pub mode: ApproverSpec,
    /// Seconds that a person has; then it is denied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_secs: Option<u64>,
}

/// Who is to answer approvals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ApproverSpec {
    /// A person.
    Ask,
    /// The profile: everything is allowed.
    Allow,
    /// The profile: everything is denied.
    Deny,
}

/// What happens when the vendor refuses until a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnRateLimit {
    /// The turn waits for the reset.
    Park,
    /// The turn fails.
    End,
}

/// What happens to a turn that the server's end cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnRestart {
    /// The worker goes on by itself.
    Resume,
    /// What waits goes on waiting until somebody says something to the worker.
    Wait,
}

/// What is to hold the processes of the server's tools.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SandboxSpec {
    /// What the host has.
    Auto,
    /// Landlock, or nothing is created.
    Landlock,
    /// Nothing.
    None,
}
