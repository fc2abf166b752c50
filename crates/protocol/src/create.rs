//! What a create request means.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    ConfigBundleRef, InputId, InputKind, SessionId, WorkerLimits,
    bounds::{LINE, LINE_OR_NOTHING, MAX_DIRECTORIES, MAX_INPUT_BYTES, MAX_LABELS, MAX_LINE_BYTES, WORDS},
};

/// A request for a new worker. What cannot be honored is refused, so an unknown field is an error.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateWorker {
    /// What the worker is for.
    pub intent: Intent,
    /// What runs.
    #[serde(default)]
    pub profile: ProfileSelector,
    /// The bundle that declares the profile, which is `named` then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_bundle: Option<ConfigBundleRef>,
    /// What the worker may do, at most what its profile allows; what the profile allows when absent, nothing when empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested_capabilities: Option<Vec<CapabilityRequest>>,
    /// Directories that the server's config declares; the first is the working directory. None: a private
    /// scratch directory.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MAX_DIRECTORIES))]
    pub workspace_refs: Vec<WorkspaceRef>,
    /// Further directories that the server's config declares, read-only unless it says otherwise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MAX_DIRECTORIES))]
    pub mount_refs: Vec<MountRef>,
    /// What to say first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial_input: Option<InitialInput>,
    /// Limits below the profile's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<WorkerLimits>,
    /// What happens when a turn has ended and nothing waits.
    #[serde(default)]
    pub on_idle: OnIdle,
    /// A session to begin in, where the backend can continue one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume: Option<ResumeRequest>,
    /// The creator's labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend(
        "maxProperties" = MAX_LABELS,
        "propertyNames" = { "minLength": 1, "maxLength": MAX_LINE_BYTES, "pattern": LINE },
        "additionalProperties" = { "type": "string", "maxLength": MAX_LINE_BYTES, "pattern": LINE_OR_NOTHING },
    ))]
    pub labels: BTreeMap<String, String>,
    /// A name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = MAX_LINE_BYTES), regex(pattern = LINE))]
    pub display_name: Option<String>,
}

impl CreateWorker {
    /// A request of the server's default profile, with nothing but an intent.
    #[must_use]
    pub fn new(intent: Intent) -> Self {
        Self {
            intent,
            profile: ProfileSelector::RuntimeDefault {},
            config_bundle: None,
            requested_capabilities: None,
            workspace_refs: Vec::new(),
            mount_refs: Vec::new(),
            initial_input: None,
            limits: None,
            on_idle: OnIdle::Wait,
            resume: None,
            labels: BTreeMap::new(),
            display_name: None,
        }
    }
}

/// A capability that a worker is to have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CapabilityRequest {
    /// Its name: `read`, `write`, `shell`, `network` or `mcp:<server>`.
    #[schemars(regex(pattern = crate::capability::PATTERN))]
    pub name: String,
    /// What for; for people who read the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = MAX_LINE_BYTES), regex(pattern = LINE))]
    pub reason: Option<String>,
}

/// A session of the backend that another program, or an earlier worker, left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResumeRequest {
    /// The session, by the backend's own id.
    pub session_id: SessionId,
    /// What a new session is told first, should the backend refuse this one. Without it the first turn fails then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = MAX_INPUT_BYTES), regex(pattern = WORDS))]
    pub fresh_prompt: Option<String>,
}

/// What a worker is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Intent {
    /// Waits for input.
    Assistant {
        /// What it will be asked about.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        purpose: Option<String>,
    },
    /// Starts its first turn with the objective.
    Task {
        /// The first input; its `input_id` is the worker's id.
        #[schemars(length(min = 1, max = MAX_INPUT_BYTES), regex(pattern = WORDS))]
        objective: String,
    },
    /// Takes the role into its instructions and waits for input.
    Role {
        /// Who it is to be.
        #[schemars(length(min = 1), regex(pattern = WORDS))]
        role: String,
        /// What it will be asked about.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        purpose: Option<String>,
    },
}

impl Intent {
    /// The kind, without its fields.
    #[must_use]
    pub fn kind(&self) -> IntentKind {
        match self {
            Self::Assistant { .. } => IntentKind::Assistant,
            Self::Task { .. } => IntentKind::Task,
            Self::Role { .. } => IntentKind::Role,
        }
    }
}

/// The kind of an intent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum IntentKind {
    /// Waits for input.
    Assistant,
    /// Starts with its objective.
    Task,
    /// Plays a role.
    Role,
    /// A kind that this version does not know.
    #[serde(other)]
    Unknown,
}

/// Which profile answers what runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum ProfileSelector {
    /// The server's default profile.
    // With braces, for of a variant without any serde takes every field.
    RuntimeDefault {},
    /// A profile that every server has; `coder` is its default coding profile.
    Builtin {
        /// The name.
        value: String,
    },
    /// A profile of the request's config bundle; without one, of the server's config.
    Named {
        /// The name.
        value: String,
    },
}

impl Default for ProfileSelector {
    fn default() -> Self {
        Self::RuntimeDefault {}
    }
}

/// A directory that the server's config declares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WorkspaceRef {
    /// The request's name for it.
    #[schemars(length(min = 1, max = MAX_LINE_BYTES), regex(pattern = LINE))]
    pub name: String,
    /// The server's name for it.
    pub reference: String,
}

/// A mount that the server's config declares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MountRef {
    /// The request's name for it.
    #[schemars(length(min = 1, max = MAX_LINE_BYTES), regex(pattern = LINE))]
    pub name: String,
    /// The server's name for it.
    pub reference: String,
}

/// What a new worker is told first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InitialInput {
    /// Whose words these are.
    pub kind: InputKind,
    /// The words.
    #[schemars(length(min = 1, max = MAX_INPUT_BYTES), regex(pattern = WORDS))]
    pub content: String,
    /// The client's id for it; minted when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_id: Option<InputId>,
}

/// What happens when a turn has ended, the queue is empty and no question is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnIdle {
    /// The worker waits for its next input.
    #[default]
    Wait,
    /// The worker stops gracefully by itself.
    Stop,
}
