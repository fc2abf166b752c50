//! What runs, and what a new worker is made of.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    time::Duration,
};

use musher_backend::{Access, Root, Sandbox};
use musher_protocol::{
    Capability, ConfigBundleRef, Intent, OnIdle, ProfileApproval, ResumeRequest, WorkerLimits,
    WorkerWorkspace,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    mount::{self, Mounted},
    workspace::{Workplace, look},
};

/// A named, complete answer to "what runs here".
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// The backend, by the name it was given to the runtime under.
    pub backend: String,
    /// The model; the backend's default when absent.
    pub model: Option<String>,
    /// What to add to the vendor's own instructions.
    pub instructions: Option<String>,
    /// What its workers may do at most.
    #[serde(default = "every_capability")]
    pub capabilities: BTreeSet<Capability>,
    /// How approvals are answered.
    pub approval: ApprovalPolicy,
    /// What ends a turn or refuses an input.
    pub limits: Limits,
    /// What happens when the vendor refuses until a time.
    pub rate_limit: RateLimitPolicy,
    /// What happens to a turn that the runtime's own end cut off.
    pub on_restart: OnRestart,
    /// What holds the processes of tools to where they may write; only for a backend that calls tools of ours.
    #[serde(default)]
    pub sandbox: Sandbox,
    /// How long an interrupted turn has to end, and a stopped worker whose stop names no other.
    #[serde(default = "ten_seconds")]
    pub grace: Duration,
    /// What only the backend understands, e.g. the script of a scripted one.
    pub options: Map<String, Value>,
}

impl Profile {
    /// A profile of this backend with the default of everything else.
    #[must_use]
    pub fn of(backend: &str) -> Self {
        Self {
            backend: backend.to_owned(),
            model: None,
            instructions: None,
            capabilities: every_capability(),
            approval: ApprovalPolicy::default(),
            limits: Limits::default(),
            rate_limit: RateLimitPolicy::default(),
            on_restart: OnRestart::default(),
            sandbox: Sandbox::default(),
            grace: ten_seconds(),
            options: Map::new(),
        }
    }
}

/// What a backend can do by itself; MCP servers are named one by one.
fn every_capability() -> BTreeSet<Capability> {
    BTreeSet::from([Capability::Read, Capability::Write, Capability::Shell, Capability::Network])
}

/// Long enough for a CLI to say what it was about, short enough for a person who waits.
fn ten_seconds() -> Duration {
    Duration::from_secs(10)
}

/// How approvals are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalPolicy {
    /// By whom.
    pub mode: ApprovalMode,
    /// How long a person has; then it is denied.
    pub deadline: Duration,
}

impl ApprovalPolicy {
    /// The policy as the wire shows it.
    pub(crate) fn shown(self) -> ProfileApproval {
        let mode = match self.mode {
            ApprovalMode::Ask => musher_protocol::ApprovalMode::Ask,
            ApprovalMode::Allow => musher_protocol::ApprovalMode::Allow,
            ApprovalMode::Deny => musher_protocol::ApprovalMode::Deny,
        };
        ProfileApproval { mode, deadline_secs: self.deadline.as_secs() }
    }
}

/// Who answers approvals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalMode {
    /// A person, by [`crate::Runtime::decide`].
    Ask,
    /// The profile: everything is allowed.
    Allow,
    /// The profile: everything is denied.
    Deny,
}

impl Default for ApprovalPolicy {
    fn default() -> Self {
        // Ten minutes: long enough to be called to the screen, short enough not to hold a turn for a day.
        Self { mode: ApprovalMode::Deny, deadline: Duration::from_secs(600) }
    }
}

/// What ends a turn or refuses an input.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// How long a turn may go without a sign of life.
    pub inactivity: Duration,
    /// How many accepted inputs may wait for their turn.
    pub queued_inputs: usize,
    /// Turns over the worker's life.
    #[serde(default)]
    pub turns: Option<u64>,
    /// Tokens to and from the model over the worker's life.
    #[serde(default)]
    pub tokens: Option<u64>,
    /// US dollars over the worker's life, as far as costs are known.
    #[serde(default)]
    pub cost_usd: Option<f64>,
    /// Time over the worker's life: since its creation where it has a task, of running turns otherwise.
    #[serde(default)]
    pub wall: Option<Duration>,
    /// Rounds of tool calls within a turn.
    #[serde(default)]
    pub tool_rounds: Option<u64>,
    /// How long tasks may live on behind a turn's end; none may when absent.
    #[serde(default)]
    pub background: Option<Duration>,
}

impl Limits {
    /// The limits as the wire shows them.
    #[must_use]
    pub fn shown(&self) -> WorkerLimits {
        let Self { inactivity, queued_inputs, turns, tokens, cost_usd, wall, tool_rounds, background } =
            *self;
        WorkerLimits {
            turns,
            tokens,
            cost_usd,
            wall_secs: wall.map(|wall| wall.as_secs()),
            inactivity_secs: Some(inactivity.as_secs()),
            tool_rounds,
            background_secs: background.map(|background| background.as_secs()),
            queued_inputs: Some(queued_inputs as u64),
        }
    }

    /// Takes over what is set.
    #[must_use]
    pub fn with(self, wanted: &WorkerLimits) -> Self {
        let secs = |secs: Option<u64>| secs.map(Duration::from_secs);
        Self {
            inactivity: secs(wanted.inactivity_secs).unwrap_or(self.inactivity),
            queued_inputs: wanted
                .queued_inputs
                .map_or(self.queued_inputs, |n| usize::try_from(n).unwrap_or(usize::MAX)),
            turns: wanted.turns.or(self.turns),
            tokens: wanted.tokens.or(self.tokens),
            cost_usd: wanted.cost_usd.or(self.cost_usd),
            wall: secs(wanted.wall_secs).or(self.wall),
            tool_rounds: wanted.tool_rounds.or(self.tool_rounds),
            background: secs(wanted.background_secs).or(self.background),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            inactivity: Duration::from_secs(300),
            queued_inputs: 64,
            turns: None,
            tokens: None,
            cost_usd: None,
            wall: None,
            tool_rounds: None,
            background: None,
        }
    }
}

/// What happens when the vendor refuses until a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RateLimitPolicy {
    /// The turn waits for the reset and goes on by itself, unless the reset is further away than this.
    Park {
        /// The longest wait.
        at_most: Duration,
    },
    /// The turn fails.
    End,
}

impl Default for RateLimitPolicy {
    fn default() -> Self {
        // Six hours: over the longest of the vendors' short windows, under the weekly ones.
        Self::Park { at_most: Duration::from_secs(21_600) }
    }
}

/// What happens to a turn that the runtime's own end cut off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnRestart {
    /// An input that the backend had not taken up is delivered again; otherwise the worker is told what was cut off,
    /// and goes on.
    #[default]
    Resume,
    /// What waits goes on waiting until somebody says something to the worker.
    Wait,
}

/// What a worker is, for its whole life.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct WorkerSpec {
    pub(crate) intent: Intent,
    pub(crate) profile_name: String,
    /// The config bundle that the profile is from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) config_bundle: Option<ConfigBundleRef>,
    pub(crate) profile: Profile,
    /// What it may do; a worker of an older version may do what its backend can.
    #[serde(default = "every_capability")]
    pub(crate) capabilities: BTreeSet<Capability>,
    pub(crate) display_name: Option<String>,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) workspaces: Vec<WorkerWorkspace>,
    /// Where it works, for each of its workspaces in their order; a worker of an older version knows only where it
    /// works first.
    #[serde(default)]
    pub(crate) workplaces: Vec<Workplace>,
    /// What it has besides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) mounts: Vec<Mounted>,
    pub(crate) working_dir: PathBuf,
    pub(crate) on_idle: OnIdle,
    /// The session that it was created to begin in.
    #[serde(default)]
    pub(crate) resume: Option<ResumeRequest>,
}

impl WorkerSpec {
    /// Whether it has mounts that it may not change.
    pub(crate) fn has_read_only_mounts(&self) -> bool {
        self.mounts.iter().any(|mount| !mount.shown.writable)
    }

    /// What holds its commands.
    pub(crate) fn sandbox(&self) -> Sandbox {
        mount::sandbox(self.profile.sandbox, self.has_read_only_mounts())
    }

    /// The directories of its that others may replace, by paths without links.
    pub(crate) fn foreign_directories(&self) -> Vec<PathBuf> {
        let children = self.workplaces.iter().filter(|workplace| workplace.is_child);
        let children = children.map(|workplace| workplace.directory.clone());
        children.chain(self.mounts.iter().map(|mount| mount.directory.clone())).collect()
    }

    /// The directories that it has besides its working directory, by paths without links: its further workspaces, then its
    /// mounts. Those of its worktrees may be below a link of the host's. What cannot be looked at fails where it is used.
    pub(crate) async fn roots(&self) -> Vec<Root> {
        let worktrees = self.workplaces.iter().filter(|workplace| workplace.worktree.is_some());
        let worktrees: BTreeSet<_> = worktrees.map(|workplace| workplace.directory.clone()).collect();
        let further = self.workplaces.iter().skip(1).map(|workplace| &workplace.directory);
        let further = further.map(|path| Root { path: path.clone(), access: Access::ReadWrite });
        let roots: Vec<_> = further.chain(self.mounts.iter().map(Mounted::root)).collect();
        let resolved = {
            let roots = roots.clone();
            move || {
                let resolved = roots.into_iter().map(|root| match root.path.canonicalize() {
                    Ok(path) if worktrees.contains(&root.path) => Root { path, ..root },
                    Ok(_) | Err(_) => root,
                });
                resolved.collect()
            }
        };
        look(resolved).await.unwrap_or(roots)
    }

    /// What is added to the vendor's instructions: the profile's, and the role that the worker was created for.
    pub(crate) fn instructions(&self) -> Option<String> {
        let role = match &self.intent {
            Intent::Role { role, purpose: None } => Some(format!("Your role: {role}")),
            Intent::Role { role, purpose: Some(purpose) } => {
                Some(format!("Your role: {role}\nWhat for: {purpose}"))
            }
            Intent::Assistant { purpose } => {
                purpose.as_ref().map(|purpose| format!("What you are here for: {purpose}"))
            }
            Intent::Task { .. } => None,
        };
        let parts: Vec<_> =
            self.profile.instructions.clone().into_iter().chain(role).chain(self.directories()).collect();
        (!parts.is_empty()).then(|| parts.join("\n\n"))
    }

    /// What a worker that has several directories is told of them.
    fn directories(&self) -> Option<String> {
        let further = self.workspaces.iter().zip(&self.workplaces).skip(1);
        let further = further.map(|(shown, workplace)| line(&shown.name, &workplace.directory, ""));
        let mounts = self.mounts.iter().map(|Mounted { shown, directory }| {
            line(&shown.name, directory, if shown.writable { "" } else { " (read-only)" })
        });
        let lines: String = further.chain(mounts).collect();
        (!lines.is_empty()).then(|| {
            format!("Besides your working directory you have these, by their absolute paths:\n{lines}")
        })
    }
}

fn line(name: &str, directory: &Path, access: &str) -> String {
    format!("- {name}: {}{access}\n", directory.display())
}
