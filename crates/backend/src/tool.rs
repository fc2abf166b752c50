//! Tools that a backend calls in the worker's name, for backends whose loop is ours.

use std::{collections::BTreeSet, error::Error, fmt, path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use musher_protocol::{Capability, ToolCallId, WorkerId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::watch;

use crate::Root;

/// Something that a model can call.
///
/// A tool never asks for leave and never counts costs: whoever calls it does.
#[async_trait]
pub trait Tool: fmt::Debug + Send + Sync + 'static {
    /// What a model is told of it. The same for its whole life.
    fn spec(&self) -> &ToolSpec;

    /// Runs it once. Calls of one worker may overlap.
    ///
    /// Arguments that do not fit the schema, and everything else that a model could mend, are an output with
    /// [`ToolOutput::is_error`]. When [`ToolCall::cancellation`] comes the tool ends what it started and returns soon;
    /// its output then says how far it came. Dropping the future is the last resort: what it started must be killed.
    async fn call(&self, call: ToolCall) -> ToolOutput;
}

/// What a model is told of a tool, and what its caller has to know.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolSpec {
    /// Its name: `[A-Za-z0-9_-]{1,64}`, which every vendor takes.
    pub name: String,
    /// What it does, for the model.
    pub description: String,
    /// The JSON schema of its arguments, an object's.
    pub input_schema: Value,
    /// What a worker must be allowed to do for it.
    pub capability: Capability,
    /// Whether it only looks: then nobody is asked before it runs.
    pub is_read_only: bool,
    /// How long a call may take before the tool itself ends it.
    pub limit: Duration,
}

/// One call of a tool.
#[derive(Clone, Debug)]
pub struct ToolCall {
    /// The call, as the vendor names it.
    pub tool_call_id: ToolCallId,
    /// Its arguments: an object, otherwise unchecked.
    pub input: Value,
    /// Comes when the call is no longer wanted.
    pub cancellation: Cancellation,
}

/// What a tool answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ToolOutput {
    /// What the model is told. Bounded by the tool.
    pub content: String,
    /// All of a content that was cut for the model, for people. Of more than 16 MiB the log keeps the beginning.
    pub whole: Option<String>,
    /// Whether it failed, was refused or was cut off.
    pub is_error: bool,
    /// The unified diff of what it changed. Of more than 16 MiB the log keeps the beginning.
    pub diff: Option<String>,
}

impl ToolOutput {
    /// It did what it was asked.
    #[must_use]
    pub fn ok(content: impl Into<String>) -> Self {
        Self { content: content.into(), ..Self::default() }
    }

    /// It did not, and this is what the model may mend.
    #[must_use]
    pub fn error(content: impl Into<String>) -> Self {
        Self { content: content.into(), is_error: true, ..Self::default() }
    }
}

/// Tells a call that it is no longer wanted.
#[derive(Clone, Debug)]
pub struct Cancellation(watch::Receiver<bool>);

impl Cancellation {
    /// A cancellation, and what makes it come: sending `true`, or being dropped.
    #[must_use]
    pub fn pair() -> (watch::Sender<bool>, Self) {
        let (sender, receiver) = watch::channel(false);
        (sender, Self(receiver))
    }

    /// Waits until the call is no longer wanted. Cancel safe.
    pub async fn comes(&mut self) {
        // Whoever could still want the result has gone.
        drop(self.0.wait_for(|canceled| *canceled).await);
    }
}

/// Where tools for a worker come from.
#[async_trait]
pub trait Toolbox: fmt::Debug + Send + Sync + 'static {
    /// Whether tools of this capability could be given right now, held by this sandbox, and what is missing when not.
    /// Cheap, and starts nothing: it is asked at every create, on a thread for blocking work. Whoever asks waits for 5 s;
    /// a look that takes longer is none.
    fn missing(&self, capability: &Capability, sandbox: Sandbox) -> Option<String>;

    /// The tools of a session, only those that its capabilities allow. What they start carries the marker.
    ///
    /// The future is dropped when the session is no longer wanted: what it has started must then be killed.
    ///
    /// # Errors
    ///
    /// When what they need cannot be had, e.g. the directory is gone.
    async fn tools(&self, bench: Workbench) -> Result<Toolkit, ToolboxError>;
}

/// Where processes that a model commands through tools may write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sandbox {
    /// Only where they have to, where the host can hold them to it; otherwise anywhere, which the session's log says.
    #[default]
    Auto,
    /// Only where they have to, held by Landlock; nothing is started without it.
    Landlock,
    /// Wherever the server's user may.
    None,
}

/// The tools of one session. What they started ends when the last of them is dropped.
#[derive(Clone, Debug, Default)]
pub struct Toolkit {
    /// The tools; no two have the same name.
    pub tools: Vec<Arc<dyn Tool>>,
    /// What holds the processes that they start to where they may write: `landlock`, or `none` when nothing does;
    /// absent when no tool starts any that a model commands.
    pub sandbox: Option<String>,
    /// What could not be had and is done without.
    pub diagnostics: Vec<ToolDiagnostic>,
}

/// Something that a session's tools had to do without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolDiagnostic {
    /// A stable name.
    pub code: String,
    /// What happened, for a person.
    pub message: String,
}

/// Whom tools are for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workbench {
    /// The worker.
    pub worker_id: WorkerId,
    /// The value of `MUSHER_MARKER` in the environment of every process that a tool starts, where it may be followed
    /// by `/` and the name of a part.
    pub marker: String,
    /// The working directory: absolute, and there.
    pub working_dir: PathBuf,
    /// A private directory for temporary files, which whoever gives it removes ([`crate::Launch::temporary`]); a toolbox
    /// that needs one makes its own when absent.
    pub temporary: Option<PathBuf>,
    /// The directories that the worker has besides ([`crate::Launch::roots`]).
    pub roots: Vec<Root>,
    /// Where processes of tools may write besides, such as the parts of a repository that belong to its worktree: absolute,
    /// without links, and there; one that goes is made again.
    pub writable: Vec<PathBuf>,
    /// Variables of the host's that processes of tools get, too, where the host has them.
    pub pass_env: Vec<String>,
    /// What the worker may do.
    pub capabilities: BTreeSet<Capability>,
    /// What is to hold processes that a model commands.
    pub sandbox: Sandbox,
}

/// Tools for a session could not be had.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct ToolboxError {
    /// What was tried, for a person.
    pub message: String,
    /// Why it failed.
    #[source]
    pub source: Box<dyn Error + Send + Sync>,
}
