//! What calls of the runtime fail with.

use std::{sync::Arc, time::Duration};

use musher_protocol::{
    Approval, ApprovalId, Cursor, Decision, Digest, IdempotencyKey, InputId, LimitKind, Survivor, WorkerId,
};

use crate::{bundle::BundleError, store::StoreError, worktree::Unsaved};

/// Why a call was refused or failed. After a refusal nothing of the call is in any log.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no such worker.
    #[error("no worker `{0}`")]
    WorkerNotFound(WorkerId),
    /// No event of the worker names such a body.
    #[error("no body `{digest}` of worker `{worker}`")]
    BlobNotFound {
        /// The worker.
        worker: WorkerId,
        /// The body.
        digest: Digest,
    },
    /// The worker takes no inputs any more.
    #[error("worker `{0}` is not running")]
    NotRunning(WorkerId),
    /// The worker has not ended.
    #[error("worker `{0}` is still running; stop or cancel it first")]
    StillRunning(WorkerId),
    /// The worker is busy, and the input asked to be refused then.
    #[error("worker `{0}` is busy")]
    Busy(WorkerId),
    /// As many inputs wait as the worker's profile allows.
    #[error("worker `{worker}` has {limit} inputs waiting already, which is its limit")]
    QueueFull {
        /// The worker.
        worker: WorkerId,
        /// Its limit.
        limit: usize,
    },
    /// The inputs that wait would take more memory than a worker may have.
    #[error("the inputs that wait for worker `{worker}` may have {limit} bytes together")]
    QueueTooLarge {
        /// The worker.
        worker: WorkerId,
        /// The bound, in bytes.
        limit: usize,
    },
    /// The input's id was accepted before, with another content.
    #[error("input `{0}` was accepted before with another content")]
    InputIdReused(InputId),
    /// The idempotency key was used before, for another request.
    #[error("key `{0}` was used before, for another request")]
    KeyReused(IdempotencyKey),
    /// The first request under the idempotency key is not answered yet.
    #[error("the first request under key `{0}` is not answered yet")]
    KeyInFlight(IdempotencyKey),
    /// The token has used as many idempotency keys as are remembered of one.
    #[error("{limit} idempotency keys of this token are remembered already, which is the limit")]
    ManyKeys {
        /// The limit.
        limit: u64,
        /// How long it takes until the oldest of them is forgotten.
        wait: Duration,
    },
    /// What came of requests under the token's idempotency keys has as many bytes as are remembered of one.
    #[error("the idempotency keys of this token take {limit} bytes already, which is the limit")]
    LargeKeys {
        /// The limit, in bytes.
        limit: u64,
        /// How long it takes until the oldest of them is forgotten.
        wait: Duration,
    },
    /// What is remembered of the idempotency key was written by nothing known here.
    #[error("read what came of the request under key `{key}`")]
    KeyUnreadable {
        /// The key.
        key: IdempotencyKey,
        /// Why it cannot be read.
        #[source]
        source: serde_json::Error,
    },
    /// What the worker may use over its life is used up.
    #[error("worker `{worker}` has reached its limit of {}", limit_name(*which))]
    LimitReached {
        /// The worker.
        worker: WorkerId,
        /// The limit.
        which: LimitKind,
    },
    /// The request wants more than its profile allows.
    #[error("{message}")]
    Forbidden {
        /// Where, as a JSON pointer into the request.
        field: &'static str,
        /// What is wanted, and what there is.
        message: String,
    },
    /// The worker asked for no such approval, or its log keeps it no longer.
    #[error("no approval `{approval_id}` of worker `{worker}`")]
    ApprovalNotFound {
        /// The worker.
        worker: WorkerId,
        /// The approval.
        approval_id: ApprovalId,
    },
    /// The approval was decided otherwise, or needs no decision any more.
    #[error("{}", why_not_pending(.0))]
    ApprovalNotPending(Box<Approval>),
    /// The approval is open, and its turn is being ended: it can only be denied.
    #[error("the turn that asks is being ended; nothing more is allowed in it")]
    TurnEnding(Box<Approval>),
    /// The request makes no sense.
    #[error("{message}")]
    InvalidRequest {
        /// Where the fault is, as a JSON pointer into the request.
        field: &'static str,
        /// What is wrong and what would be right.
        message: String,
    },
    /// There is no such profile.
    #[error("no profile `{0}`")]
    NoProfile(String),
    /// A config bundle is not taken, or not had.
    #[error(transparent)]
    Bundle(Box<BundleError>),
    /// What would execute the worker is not there.
    #[error("backend `{backend}` cannot run here; missing: {}", missing.join(", "))]
    Unavailable {
        /// The backend.
        backend: String,
        /// What is missing, by name.
        missing: Vec<String>,
    },
    /// A workspace cannot be had as it is declared.
    #[error("workspace `{workspace}` cannot be had; missing: {missing}")]
    WorkspaceUnavailable {
        /// The workspace, as the server calls it.
        workspace: String,
        /// What is missing.
        missing: String,
    },
    /// There is no space left for what a worker would work in.
    #[error("there is no space left to make workspace `{0}`; make some, and try again")]
    WorkspaceSpace(String),
    /// A mount cannot be had as it is declared.
    #[error("mount `{mount}` cannot be had; missing: {missing}")]
    MountUnavailable {
        /// The mount, as the server calls it.
        mount: String,
        /// What is missing.
        missing: String,
    },
    /// The worker has no directory of this name.
    #[error("worker `{worker}` has no workspace `{workspace}`")]
    NoWorkspace {
        /// The worker.
        worker: WorkerId,
        /// The name.
        workspace: String,
    },
    /// There is no commit that a directory of the worker's could be compared with.
    #[error("workspace `{workspace}` cannot be compared with a commit; missing: {missing}")]
    NotVersioned {
        /// The worker's name for it.
        workspace: String,
        /// What is missing.
        missing: String,
    },
    /// What is needed to compare a directory of the worker's is not there.
    #[error("workspace `{workspace}` cannot be looked at; missing: {missing}")]
    NotComparable {
        /// The worker's name for it.
        workspace: String,
        /// What is missing.
        missing: String,
    },
    /// A comparison took as long as one may.
    #[error("workspace `{workspace}` is not compared within {} s, which is the limit", limit.as_secs())]
    DiffTime {
        /// The worker's name for it.
        workspace: String,
        /// The limit.
        limit: Duration,
    },
    /// There is no space left for what a comparison has to write down for a moment.
    #[error("there is no space left to compare workspace `{0}`; make some, and try again")]
    DiffSpace(String),
    /// A comparison broke off.
    #[error("compare workspace `{workspace}` with a commit")]
    Diff {
        /// The worker's name for it.
        workspace: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// As many files are compared already as may be at once.
    #[error("{limit} diffs are made already, which is the limit")]
    ManyDiffs {
        /// The limit.
        limit: usize,
    },
    /// A worktree of the worker holds work that is nowhere else.
    #[error("the worktree of workspace `{workspace}` has {}", unsaved.as_str())]
    WorkspaceDirty {
        /// The workspace, as the server calls it.
        workspace: String,
        /// What is nowhere else.
        unsaved: Unsaved,
    },
    /// Processes of the worker could not be ended.
    #[error("{} processes of worker `{worker}` could not be ended", survivors.len())]
    ProcessesSurvived {
        /// The worker.
        worker: WorkerId,
        /// The processes.
        survivors: Vec<Survivor>,
    },
    /// The runtime is ending.
    #[error("the runtime is ending")]
    Draining,
    /// The runtime has ended.
    #[error("the runtime has ended")]
    Stopped,
    /// The store refused or failed.
    #[error("use the store of the runtime")]
    Store(#[source] Arc<StoreError>),
    /// The worker's task has ended after its store failed; its log can still be read.
    #[error("worker `{0}` takes nothing more since its store failed")]
    WorkerFailed(WorkerId),
}

fn why_not_pending(approval: &Approval) -> &'static str {
    match approval.decision {
        Some(Decision::Withdrawn) => "the approval was withdrawn: the worker needs no answer any more",
        Some(Decision::Expired) => "nobody had decided the approval by its deadline, so it was denied",
        Some(Decision::Allow | Decision::Deny | Decision::Unknown) | None => {
            "the approval was decided before, and not like this"
        }
    }
}

/// Why a cursor does not lead anywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CursorProblem {
    /// It is of another worker.
    #[error("the cursor is of another worker")]
    Foreign,
    /// It is of the future: the log does not go that far.
    #[error("the cursor is of the future: the log does not go that far")]
    Future,
    /// The events behind it are gone.
    #[error("the events behind the cursor are gone")]
    Pruned {
        /// The oldest place that can still be resumed from.
        oldest: Cursor,
    },
    /// The event that it stands behind is another one now.
    #[error("the log has another history than the cursor")]
    HistoryChanged {
        /// The oldest place that can still be resumed from.
        oldest: Cursor,
    },
}

/// Why a log cannot be read from a place.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The worker or the store.
    #[error(transparent)]
    Runtime(#[from] Error),
    /// The cursor.
    #[error(transparent)]
    Cursor(#[from] CursorProblem),
}

/// The name of a limit, as profiles and events have it.
fn limit_name(limit: LimitKind) -> &'static str {
    match limit {
        LimitKind::Turns => "turns",
        LimitKind::Tokens => "tokens",
        LimitKind::CostUsd => "cost_usd",
        LimitKind::WallSecs => "wall_secs",
        LimitKind::InactivitySecs => "inactivity_secs",
        LimitKind::ToolRounds => "tool_rounds",
        LimitKind::Unknown => "unknown",
    }
}

impl From<BundleError> for Error {
    fn from(error: BundleError) -> Self {
        Self::Bundle(Box::new(error))
    }
}

impl From<StoreError> for Error {
    fn from(source: StoreError) -> Self {
        Self::Store(Arc::new(source))
    }
}

impl From<StoreError> for ReadError {
    fn from(source: StoreError) -> Self {
        Self::Runtime(source.into())
    }
}
