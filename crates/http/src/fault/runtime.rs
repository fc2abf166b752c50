//! What the runtime's errors are on the wire.

use musher_core::{CursorProblem, Error, ReadError, StoreError};
use musher_protocol::{Cursor, ErrorCode};

use super::Fault;

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        let plain = |code| Self::new(code, message.clone());
        match error {
            Error::WorkerNotFound(_) => plain(ErrorCode::WorkerNotFound),
            Error::BlobNotFound { .. } => plain(ErrorCode::BlobNotFound),
            Error::NotRunning(_) => plain(ErrorCode::InvalidRequest),
            Error::ApprovalNotFound { .. } => plain(ErrorCode::ApprovalNotFound),
            Error::ApprovalNotPending(approval) => plain(ErrorCode::ApprovalNotPending).about(approval),
            Error::TurnEnding(approval) => plain(ErrorCode::WorkerExecutionRejected).about(approval),
            Error::Forbidden { field, .. } => plain(ErrorCode::Forbidden).at(field),
            Error::Busy(_) | Error::LimitReached { .. } => plain(ErrorCode::WorkerExecutionRejected),
            Error::StillRunning(_) => plain(ErrorCode::WorkerRunning),
            Error::QueueFull { limit, .. } | Error::QueueTooLarge { limit, .. } => {
                plain(ErrorCode::Overloaded).over(limit as u64)
            }
            Error::InputIdReused(_) | Error::KeyReused(_) => plain(ErrorCode::IdempotencyMismatch),
            Error::ManyKeys { limit, wait } | Error::LargeKeys { limit, wait } => {
                plain(ErrorCode::Overloaded).over(limit).after(wait)
            }
            Error::KeyInFlight(_) => plain(ErrorCode::IdempotencyInFlight),
            Error::InvalidRequest { field, .. } => plain(ErrorCode::InvalidRequest).at(field),
            Error::NoProfile(_) => plain(ErrorCode::InvalidProfileSelector).at("/profile"),
            Error::Bundle(error) => (*error).into(),
            Error::Unavailable { missing, .. } => {
                let mut fault = plain(ErrorCode::WorkerExecutionUnavailable);
                fault.0.missing = missing;
                fault
            }
            Error::WorkspaceUnavailable { missing, .. } => {
                let mut fault = plain(ErrorCode::WorkerExecutionUnavailable).at("/workspace_refs");
                fault.0.missing = vec![missing];
                fault
            }
            Error::MountUnavailable { missing, .. } => {
                let mut fault = plain(ErrorCode::WorkerExecutionUnavailable).at("/mount_refs");
                fault.0.missing = vec![missing];
                fault
            }
            Error::NoWorkspace { .. } => plain(ErrorCode::InvalidQuery),
            Error::NotVersioned { missing, .. } => {
                let mut fault = plain(ErrorCode::WorkspaceNotVersioned);
                fault.0.missing = vec![missing];
                fault
            }
            Error::NotComparable { missing, .. } => {
                let mut fault = plain(ErrorCode::WorkerExecutionUnavailable);
                fault.0.missing = vec![missing];
                fault
            }
            Error::ManyDiffs { limit } => plain(ErrorCode::Overloaded).over(limit as u64),
            Error::DiffTime { limit, .. } => plain(ErrorCode::Overloaded).over(limit.as_secs()),
            Error::WorkspaceSpace(_) | Error::DiffSpace(_) => plain(ErrorCode::StoreFull),
            Error::WorkspaceDirty { .. } => plain(ErrorCode::WorkspaceDirty),
            Error::ProcessesSurvived { .. } => plain(ErrorCode::ProcessesSurvived),
            Error::Draining => plain(ErrorCode::Draining),
            Error::Stopped => plain(ErrorCode::RuntimeStopped),
            Error::Store(source) => store(&source),
            Error::WorkerFailed(_) => plain(ErrorCode::StoreIo),
            Error::KeyUnreadable { .. } | Error::Diff { .. } => internal(&error),
            // The runtime's errors may grow; what is new is a defect here until it has its own line.
            _ => internal(&error),
        }
    }
}

impl From<ReadError> for Fault {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Runtime(error) => error.into(),
            ReadError::Cursor(problem) => problem.into(),
            // As above.
            _ => internal(&error),
        }
    }
}

impl From<CursorProblem> for Fault {
    fn from(problem: CursorProblem) -> Self {
        let message = problem.to_string();
        match problem {
            CursorProblem::Foreign | CursorProblem::Future => {
                Self::new(ErrorCode::WrongRuntimeCursor, message)
            }
            CursorProblem::Pruned { oldest } => expired(message, oldest, "pruned"),
            CursorProblem::HistoryChanged { oldest } => expired(message, oldest, "history_changed"),
        }
    }
}

fn expired(message: String, oldest: Cursor, reason: &'static str) -> Fault {
    let mut fault = Fault::new(ErrorCode::CursorExpired, message);
    fault.0.oldest_cursor = Some(oldest);
    fault.0.reason = Some(reason);
    fault
}

/// What is said names neither paths nor statements; the operator finds them in the log, by the request's id.
fn store(source: &StoreError) -> Fault {
    match source {
        StoreError::Full => {
            let message = "the store has space left only to end what is under way; make some, and try again";
            Fault::new(ErrorCode::StoreFull, message)
        }
        StoreError::Corrupt { .. } | StoreError::CorruptBundle { .. } => {
            tracing::error!(error = source as &dyn std::error::Error, "damaged");
            Fault::new(ErrorCode::StoreCorrupt, source.to_string())
        }
        StoreError::NoWorker(_) => Fault::new(ErrorCode::WorkerNotFound, source.to_string()),
        // What remains is for the operator, in whatever form it comes.
        StoreError::Conflict { .. }
        | StoreError::Fenced { .. }
        | StoreError::Pruned { .. }
        | StoreError::Io { .. }
        | StoreError::Failed
        | _ => {
            tracing::error!(error = source as &dyn std::error::Error, "store failed");
            Fault::new(ErrorCode::StoreIo, "the store failed; the server's log says how")
        }
    }
}

pub(super) fn internal(error: &(dyn std::error::Error + 'static)) -> Fault {
    tracing::error!(error, "unexpected error");
    Fault::new(ErrorCode::Internal, "the server failed; its log says how")
}

#[cfg(test)]
mod tests {
    use std::{io, time::Duration};

    use musher_core::{BundleError, Unsaved};
    use musher_protocol::{Approval, ApprovalState, Decision, Digest, Survivor, WorkerId};
    use serde_json::json;

    use super::super::Parts;
    use super::*;

    fn parts(code: ErrorCode, message: &str) -> Parts {
        *Fault::new(code, message).0
    }

    fn approval() -> Approval {
        let approval = json!({
            "approval_id": "apr_1", "worker_id": "wrk_1", "turn_id": "trn_1", "kind": "tool", "tool": "shell",
            "input": {}, "state": "pending", "requested_at": "2026-11-20T10:00:00Z",
            "deadline_at": "2026-11-20T10:10:00Z",
        });
        serde_json::from_value(approval).unwrap()
    }

    fn decided(decision: Decision) -> Box<Approval> {
        Box::new(Approval { state: ApprovalState::Resolved, decision: Some(decision), ..approval() })
    }

    #[test]
    fn every_error_has_its_code() {
        let worker: WorkerId = "wrk_1".parse().unwrap();
        let cases = [
            (Error::WorkerNotFound(worker.clone()), parts(ErrorCode::WorkerNotFound, "no worker `wrk_1`")),
            (
                Error::BlobNotFound { worker: worker.clone(), digest: Digest([0xab; 32]) },
                parts(ErrorCode::BlobNotFound, &format!("no body `{}` of worker `wrk_1`", "ab".repeat(32))),
            ),
            (
                Error::NotRunning(worker.clone()),
                parts(ErrorCode::InvalidRequest, "worker `wrk_1` is not running"),
            ),
            (
                Error::Busy(worker.clone()),
                parts(ErrorCode::WorkerExecutionRejected, "worker `wrk_1` is busy"),
            ),
            (
                Error::QueueFull { worker: worker.clone(), limit: 64 },
                Parts {
                    limit: Some(64),
                    ..parts(
                        ErrorCode::Overloaded,
                        "worker `wrk_1` has 64 inputs waiting already, which is its limit",
                    )
                },
            ),
            (
                Error::InputIdReused("k".parse().unwrap()),
                parts(ErrorCode::IdempotencyMismatch, "input `k` was accepted before with another content"),
            ),
            (
                Error::KeyReused("k".parse().unwrap()),
                parts(ErrorCode::IdempotencyMismatch, "key `k` was used before, for another request"),
            ),
            (
                Error::ManyKeys { limit: 7, wait: Duration::from_secs(9) },
                Parts {
                    limit: Some(7),
                    retry_after: Some(Duration::from_secs(9)),
                    ..parts(
                        ErrorCode::Overloaded,
                        "7 idempotency keys of this token are remembered already, which is the limit",
                    )
                },
            ),
            (
                Error::LargeKeys { limit: 1024, wait: Duration::from_secs(9) },
                Parts {
                    limit: Some(1024),
                    retry_after: Some(Duration::from_secs(9)),
                    ..parts(
                        ErrorCode::Overloaded,
                        "the idempotency keys of this token take 1024 bytes already, which is the limit",
                    )
                },
            ),
            (
                Error::KeyInFlight("k".parse().unwrap()),
                parts(ErrorCode::IdempotencyInFlight, "the first request under key `k` is not answered yet"),
            ),
            (
                Error::ApprovalNotFound { worker: worker.clone(), approval_id: "apr_1".parse().unwrap() },
                parts(ErrorCode::ApprovalNotFound, "no approval `apr_1` of worker `wrk_1`"),
            ),
            (
                Error::ApprovalNotPending(decided(Decision::Allow)),
                Parts {
                    approval: Some(decided(Decision::Allow)),
                    ..parts(
                        ErrorCode::ApprovalNotPending,
                        "the approval was decided before, and not like this",
                    )
                },
            ),
            (
                Error::ApprovalNotPending(decided(Decision::Withdrawn)),
                Parts {
                    approval: Some(decided(Decision::Withdrawn)),
                    ..parts(
                        ErrorCode::ApprovalNotPending,
                        "the approval was withdrawn: the worker needs no answer any more",
                    )
                },
            ),
            (
                Error::ApprovalNotPending(decided(Decision::Expired)),
                Parts {
                    approval: Some(decided(Decision::Expired)),
                    ..parts(
                        ErrorCode::ApprovalNotPending,
                        "nobody had decided the approval by its deadline, so it was denied",
                    )
                },
            ),
            (
                Error::TurnEnding(Box::new(approval())),
                Parts {
                    approval: Some(Box::new(approval())),
                    ..parts(
                        ErrorCode::WorkerExecutionRejected,
                        "the turn that asks is being ended; nothing more is allowed in it",
                    )
                },
            ),
            (
                Error::InvalidRequest { field: "/content", message: "an input needs words".into() },
                Parts {
                    field: Some("/content".into()),
                    ..parts(ErrorCode::InvalidRequest, "an input needs words")
                },
            ),
            (
                Error::NoProfile("x".into()),
                Parts {
                    field: Some("/profile".into()),
                    ..parts(ErrorCode::InvalidProfileSelector, "no profile `x`")
                },
            ),
            (
                Error::Unavailable { backend: "b".into(), missing: vec!["claude".into()] },
                Parts {
                    missing: vec!["claude".into()],
                    ..parts(
                        ErrorCode::WorkerExecutionUnavailable,
                        "backend `b` cannot run here; missing: claude",
                    )
                },
            ),
            (
                BundleError::Unavailable {
                    id: "team-a".parse().unwrap(),
                    selector: "coder".into(),
                    missing: vec!["secret_ref `key`".into()],
                }
                .into(),
                Parts {
                    missing: vec!["secret_ref `key`".into()],
                    ..parts(
                        ErrorCode::WorkerExecutionUnavailable,
                        "profile `coder` of config bundle `team-a` cannot run here; missing: secret_ref `key`",
                    )
                },
            ),
            (
                BundleError::TooMany { limit: 7 }.into(),
                Parts {
                    limit: Some(7),
                    ..parts(
                        ErrorCode::Overloaded,
                        "7 revisions of config bundles are stored already, which is the limit; delete some",
                    )
                },
            ),
            (
                StoreError::CorruptBundle { id: "team-a".parse().unwrap() }.into(),
                parts(ErrorCode::StoreCorrupt, "config bundle `team-a` is damaged"),
            ),
            (
                Error::WorkspaceUnavailable { workspace: "shop".into(), missing: "program `git`".into() },
                Parts {
                    field: Some("/workspace_refs".into()),
                    missing: vec!["program `git`".into()],
                    ..parts(
                        ErrorCode::WorkerExecutionUnavailable,
                        "workspace `shop` cannot be had; missing: program `git`",
                    )
                },
            ),
            (
                Error::MountUnavailable { mount: "handbook".into(), missing: "its directory".into() },
                Parts {
                    field: Some("/mount_refs".into()),
                    missing: vec!["its directory".into()],
                    ..parts(
                        ErrorCode::WorkerExecutionUnavailable,
                        "mount `handbook` cannot be had; missing: its directory",
                    )
                },
            ),
            (
                Error::WorkspaceDirty { workspace: "shop".into(), unsaved: Unsaved::Changes },
                parts(
                    ErrorCode::WorkspaceDirty,
                    "the worktree of workspace `shop` has changes that are not committed",
                ),
            ),
            (
                Error::NoWorkspace { worker: worker.clone(), workspace: "docs".into() },
                parts(ErrorCode::InvalidQuery, "worker `wrk_1` has no workspace `docs`"),
            ),
            (
                Error::NotVersioned { workspace: "main".into(), missing: "a git repository".into() },
                Parts {
                    missing: vec!["a git repository".into()],
                    ..parts(
                        ErrorCode::WorkspaceNotVersioned,
                        "workspace `main` cannot be compared with a commit; missing: a git repository",
                    )
                },
            ),
            (
                Error::NotComparable { workspace: "main".into(), missing: "program `git`".into() },
                Parts {
                    missing: vec!["program `git`".into()],
                    ..parts(
                        ErrorCode::WorkerExecutionUnavailable,
                        "workspace `main` cannot be looked at; missing: program `git`",
                    )
                },
            ),
            (
                Error::DiffTime { workspace: "main".into(), limit: Duration::from_secs(60) },
                Parts {
                    limit: Some(60),
                    ..parts(
                        ErrorCode::Overloaded,
                        "workspace `main` is not compared within 60 s, which is the limit",
                    )
                },
            ),
            (
                Error::WorkspaceSpace("shop".into()),
                parts(
                    ErrorCode::StoreFull,
                    "there is no space left to make workspace `shop`; make some, and try again",
                ),
            ),
            (
                Error::DiffSpace("main".into()),
                parts(
                    ErrorCode::StoreFull,
                    "there is no space left to compare workspace `main`; make some, and try again",
                ),
            ),
            (
                Error::Diff {
                    workspace: "main".into(),
                    source: io::Error::other("open /srv/shop/secret").into(),
                },
                parts(ErrorCode::Internal, "the server failed; its log says how"),
            ),
            (
                Error::ManyDiffs { limit: 2 },
                Parts {
                    limit: Some(2),
                    ..parts(ErrorCode::Overloaded, "2 diffs are made already, which is the limit")
                },
            ),
            (
                Error::ProcessesSurvived {
                    worker: worker.clone(),
                    survivors: vec![Survivor { pid: 7, command: "sh".into() }],
                },
                parts(ErrorCode::ProcessesSurvived, "1 processes of worker `wrk_1` could not be ended"),
            ),
            (Error::Draining, parts(ErrorCode::Draining, "the runtime is ending")),
            (Error::Stopped, parts(ErrorCode::RuntimeStopped, "the runtime has ended")),
            (
                StoreError::Io {
                    attempt: "write /var/lib/musher/log",
                    source: io::Error::other("INSERT INTO events"),
                }
                .into(),
                parts(ErrorCode::StoreIo, "the store failed; the server's log says how"),
            ),
            (
                Error::WorkerFailed(worker.clone()),
                parts(ErrorCode::StoreIo, "worker `wrk_1` takes nothing more since its store failed"),
            ),
        ];
        for (error, expected) in cases {
            assert_eq!(*Fault::from(error).0, expected);
        }
        let oldest = Cursor::new(&worker, 0, 0);
        let cases = [
            (CursorProblem::Foreign, parts(ErrorCode::WrongRuntimeCursor, "the cursor is of another worker")),
            (
                CursorProblem::Future,
                parts(
                    ErrorCode::WrongRuntimeCursor,
                    "the cursor is of the future: the log does not go that far",
                ),
            ),
            (
                CursorProblem::HistoryChanged { oldest },
                Parts {
                    oldest_cursor: Some(oldest),
                    reason: Some("history_changed"),
                    ..parts(ErrorCode::CursorExpired, "the log has another history than the cursor")
                },
            ),
        ];
        for (problem, expected) in cases {
            assert_eq!(*Fault::from(ReadError::from(problem)).0, expected);
        }
    }
}
