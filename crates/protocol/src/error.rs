//! Errors on the wire: a stable code, a message for a person, what helps.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Approval, Cursor, RequestId};

/// The body of every error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorReply {
    /// The error.
    pub error: ErrorBody,
}

/// An error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorBody {
    /// What it is.
    pub code: ErrorCode,
    /// What happened, for a person; never a path, a token or SQL.
    pub message: String,
    /// The request, for finding it in the server's log.
    pub request_id: RequestId,
    /// Whether the same request may succeed later.
    pub retryable: bool,
    /// Where in the body the fault is, as a JSON pointer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// What is missing on the server, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
    /// The limit that the request went over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// The oldest place that can still be resumed from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_cursor: Option<Cursor>,
    /// Why a cursor no longer holds: `history_changed` when its event is another one now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The approval, when it takes no decision, another one than it has, or no allowance any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<Box<Approval>>,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $status:literal),* $(,)?) => {
        /// What an error is. A code has one status, and keeps both for ever.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum ErrorCode {
            $($(#[$doc])* $name,)*
            /// A code that this version does not know.
            #[serde(other)]
            Unknown,
        }

        impl ErrorCode {
            /// Every code that a server of this version may answer with.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The HTTP status of the code.
            #[must_use]
            pub fn status(self) -> u16 {
                match self {
                    $(Self::$name => $status,)*
                    Self::Unknown => 500,
                }
            }
        }
    };
}

codes! {
    /// The body is no JSON, has another shape, or another content type.
    InvalidJson = 400,
    /// The query has an unknown parameter or a bad value.
    InvalidQuery = 400,
    /// The worker id is empty, too long or has a foreign character.
    InvalidWorkerId = 400,
    /// The request makes no sense as it is.
    InvalidRequest = 400,
    /// The page asked for is too large.
    LimitTooLarge = 400,
    /// There is no such profile.
    InvalidProfileSelector = 400,
    /// The cursor is no cursor.
    CursorMalformed = 400,
    /// The cursor is of another worker, or of the future.
    WrongRuntimeCursor = 400,
    /// The token is missing or wrong.
    Unauthorized = 401,
    /// The token may not do this, or the request came from a page of another origin.
    Forbidden = 403,
    /// There is no such worker.
    WorkerNotFound = 404,
    /// No event of the worker names such a body.
    BlobNotFound = 404,
    /// The worker never asked for such an approval, or its log keeps it no longer.
    ApprovalNotFound = 404,
    /// There is no such route.
    RouteNotFound = 404,
    /// The route has no such method.
    MethodNotAllowed = 405,
    /// What would execute the worker is not there.
    WorkerExecutionUnavailable = 409,
    /// The worker is busy, its turn is being ended, or a limit ended it.
    WorkerExecutionRejected = 409,
    /// The runtime has stopped.
    RuntimeStopped = 409,
    /// The cursor's event is gone, or is another one now.
    CursorExpired = 410,
    /// The body is too large.
    PayloadTooLarge = 413,
    /// The body ends before the range that was asked for begins.
    RangeNotSatisfiable = 416,
    /// The Host header names a host that this server does not answer for.
    MisdirectedHost = 421,
    /// The id was used before, with another content.
    IdempotencyMismatch = 422,
    /// A queue is full.
    Overloaded = 429,
    /// The worker is still running.
    WorkerRunning = 409,
    /// The approval takes no decision any more; it comes with the error.
    ApprovalNotPending = 409,
    /// The worker's worktree holds work that is nowhere else.
    WorkspaceDirty = 409,
    /// The store failed.
    StoreIo = 500,
    /// What is stored of the worker is damaged.
    StoreCorrupt = 500,
    /// Processes of the worker could not be ended.
    ProcessesSurvived = 500,
    /// A defect of the server.
    Internal = 500,
    /// The server is ending.
    Draining = 503,
    /// The store has space left only to end what is under way.
    StoreFull = 507,
}

impl ErrorCode {
    /// Whether the same request may succeed later.
    #[must_use]
    pub fn is_retryable(self) -> bool {
        matches!(self, Self::Overloaded | Self::Draining | Self::StoreFull)
    }
}
