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
    /// Whether a client should send the same again by itself, after a while.
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
    ///
    /// Send JSON of the shape that the route takes, with `Content-Type: application/json`.
    InvalidJson = 400,
    /// The query has an unknown parameter or a bad value.
    ///
    /// Send only the parameters that the route has, each with a value of its type.
    InvalidQuery = 400,
    /// The worker id is empty, too long or has a foreign character.
    ///
    /// Use an id as a list of workers shows it.
    InvalidWorkerId = 400,
    /// The request makes no sense as it is.
    ///
    /// Mend what the message says; `field` is where in the body.
    InvalidRequest = 400,
    /// The page asked for is too large.
    ///
    /// Ask for at most `limit`, and for the next page.
    LimitTooLarge = 400,
    /// There is no such profile, or a selector of a config bundle is none.
    ///
    /// Choose one of `GET /v1/profiles`, or with a config bundle one that it declares.
    InvalidProfileSelector = 400,
    /// The digest is not that of the bundle, or of no revision of it that is stored.
    ///
    /// Leave the digest of a new bundle out to have it computed; of a stored one, use a digest that the list has.
    ConfigBundleDigestMismatch = 400,
    /// The bundle declares something of a kind that this version does not know.
    ///
    /// Declare what is of a kind that the message names; `field` is where in the body.
    UnsupportedConfigDeclaration = 400,
    /// The cursor is no cursor.
    ///
    /// Give a cursor back as it came. Without one, begin anew from the transcript or a snapshot.
    CursorMalformed = 400,
    /// The cursor is of another worker, or of the future.
    ///
    /// Keep cursors beside the id of their worker. Begin anew from the transcript or a snapshot.
    WrongRuntimeCursor = 400,
    /// The token is missing or wrong.
    ///
    /// Send `Authorization: Bearer TOKEN` with a token that the server knows.
    Unauthorized = 401,
    /// The token may not do this, the profile does not allow as much, or the request came from a page.
    ///
    /// Use a token with the route's scope and the worker's labels, and ask for what the profile allows; from a page, ask
    /// through a proxy of your own that leaves `Origin` out.
    Forbidden = 403,
    /// There is no such worker.
    ///
    /// Forget the worker: it never was, was deleted, or is not for this token.
    WorkerNotFound = 404,
    /// There is no such config bundle.
    ///
    /// Store the bundle first: it never was stored, or was deleted.
    ConfigBundleMissing = 404,
    /// No event of the worker names such a body.
    ///
    /// Use a digest that an event or a transcript entry of this worker names.
    BlobNotFound = 404,
    /// The worker never asked for such an approval, or its log keeps it no longer.
    ///
    /// List the worker's approvals again.
    ApprovalNotFound = 404,
    /// There is no such route.
    ///
    /// Look at the path; `GET /openapi.json` has all that this server knows.
    RouteNotFound = 404,
    /// The route has no such method.
    ///
    /// Use a method that the `Allow` header names.
    MethodNotAllowed = 405,
    /// What would execute the worker, or what its directory is looked at with, is not there.
    ///
    /// Have `missing` mended on the server; to create a worker, another profile may do.
    WorkerExecutionUnavailable = 409,
    /// The worker is busy, its turn is being ended, or a limit ended it.
    ///
    /// Wait until the worker is idle, or raise the limit that ended it.
    WorkerExecutionRejected = 409,
    /// The runtime has stopped.
    ///
    /// Start the server again; nothing is lost, and nothing is done until then.
    RuntimeStopped = 409,
    /// The cursor's event is gone, or is another one now.
    ///
    /// Go on from `oldest_cursor`, or begin anew from the transcript. With `reason: "history_changed"` forget what
    /// was read: another history took its place.
    CursorExpired = 410,
    /// The body is too large.
    ///
    /// Send less.
    PayloadTooLarge = 413,
    /// The body ends before the range that was asked for begins.
    ///
    /// Ask for a range that begins within the body; `Content-Range` says how long it is.
    RangeNotSatisfiable = 416,
    /// The Host header names a host that this server does not answer for.
    ///
    /// Use a name that the server listens to, or add this one to `allowed_hosts` of its config.
    MisdirectedHost = 421,
    /// The id or the `Idempotency-Key` was used before, with another content.
    ///
    /// Use a new key for a new request; send a repeated one unchanged.
    IdempotencyMismatch = 422,
    /// The first request under this `Idempotency-Key` is not answered yet.
    ///
    /// Send the same again under the same key, after a moment.
    IdempotencyInFlight = 409,
    /// A queue is full, there is more to do than time for it, or the token has as many keys as are remembered of one.
    ///
    /// Wait as long as `Retry-After` says and send the same again.
    Overloaded = 429,
    /// The worker is still running.
    ///
    /// Stop or cancel the worker first.
    WorkerRunning = 409,
    /// The approval takes no decision any more; it comes with the error.
    ///
    /// Take the `approval` of the error as the answer.
    ApprovalNotPending = 409,
    /// The bundle has that revision already, with another content.
    ///
    /// Store the new content under a revision of its own.
    ConfigBundleConflict = 409,
    /// The worker's worktree holds work that is nowhere else.
    ///
    /// Save the work, or delete with `discard=true` and a token of scope `admin`.
    WorkspaceDirty = 409,
    /// There is no commit that the worker's directory could be compared with.
    ///
    /// See `missing`; a worker whose workspace is in a git repository with a commit has a diff.
    WorkspaceNotVersioned = 409,
    /// The store failed.
    ///
    /// Tell who runs the server; it may end and start again, and then the same request is safe to repeat.
    StoreIo = 500,
    /// What is stored of the worker is damaged.
    ///
    /// Tell who runs the server: the worker can be read as far as it is whole, and does not go on.
    StoreCorrupt = 500,
    /// Processes of the worker could not be ended.
    ///
    /// Tell who runs the server: the survivors are in the worker's last event.
    ProcessesSurvived = 500,
    /// A defect of the server.
    ///
    /// Report it with the `request_id`; the server's log has the rest.
    Internal = 500,
    /// The server is ending.
    ///
    /// Send the same again after `Retry-After`: to the server that starts next.
    Draining = 503,
    /// There is no space left on the server, but for what ends what is under way.
    ///
    /// Have space made, then send the same again; what runs is ended, what is stored can be read.
    StoreFull = 507,
}

impl ErrorCode {
    /// Whether a client should send the same again by itself, after a while.
    #[must_use]
    pub fn is_retryable(self) -> bool {
        matches!(self, Self::IdempotencyInFlight | Self::Overloaded | Self::Draining | Self::StoreFull)
    }
}
