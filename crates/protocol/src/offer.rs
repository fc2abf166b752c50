//! What can run on a server, and what is missing where something cannot.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Capability, WorkerLimits};

/// A backend of the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BackendSummary {
    /// Its name, by which profiles know it.
    pub name: String,
    /// Its kind, e.g. `claude-pty`; several may be of one.
    pub kind: String,
    /// Whether a session could be started right now.
    pub available: bool,
    /// What is missing for that, by name.
    pub missing: Vec<String>,
    /// What it can do.
    pub capabilities: BackendCapabilities,
}

/// What a backend can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BackendCapabilities {
    /// Takes an input into the running turn. Without it, such an input waits for the next one.
    pub steer: bool,
    /// Ends a turn and keeps the session.
    pub interrupt: bool,
    /// Asks for leave before it acts.
    pub approvals: bool,
    /// Continues a session of an earlier life.
    pub resume: bool,
    /// Calls the server's tools: files, a shell. One without brings its own, or has none.
    pub tools: bool,
}

/// Answer to the list of backends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BackendsReply {
    /// All of them, by name.
    pub backends: Vec<BackendSummary>,
}

/// A profile of the server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProfileSummary {
    /// Its name.
    pub name: String,
    /// The backend that executes its workers.
    pub backend: String,
    /// The model; the backend's default when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Whether it is the profile of requests that name none, and `builtin:coder`.
    pub default: bool,
    /// Whether a worker that asks for no less than the profile gives would be created right now.
    pub ready: bool,
    /// What is missing for that, by name.
    pub missing: Vec<String>,
    /// What its workers may do at most.
    pub capabilities: Vec<Capability>,
    /// What ends its workers' turns, or keeps them from beginning another.
    #[serde(deserialize_with = "crate::limits::said")]
    pub limits: WorkerLimits,
    /// How approvals are answered.
    pub approval: ProfileApproval,
    /// What is asked to hold the processes of the server's tools; what a session got is in its environment.
    pub sandbox: SandboxMode,
}

/// How approvals of a profile's workers are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProfileApproval {
    /// By whom.
    pub mode: ApprovalMode,
    /// Seconds that a person has; then it is denied.
    pub deadline_secs: u64,
}

/// Who answers approvals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalMode {
    /// A person.
    Ask,
    /// The profile: everything is allowed.
    Allow,
    /// The profile: everything is denied.
    Deny,
    /// A mode that this version does not know.
    #[serde(other)]
    Unknown,
}

/// What is asked to hold the processes of the server's tools.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SandboxMode {
    /// What the host has.
    Auto,
    /// Landlock, or nothing is created.
    Landlock,
    /// Nothing.
    None,
    /// A sandbox that this version does not know.
    #[serde(other)]
    Unknown,
}

/// Answer to the list of profiles.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProfilesReply {
    /// All of them, by name.
    pub profiles: Vec<ProfileSummary>,
}
