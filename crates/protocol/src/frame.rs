//! What a stream sends.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{AttentionItem, Cursor, Envelope, Topic, WorkerId, WorkerSummary};

/// One message of a stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Frame {
    /// An event of the log, or the snapshot that a stream begins with.
    Event {
        /// The event.
        envelope: Box<Envelope>,
    },
    /// What has become of a worker: it is new or changed, or it is no more. Topic `catalog`.
    Catalog {
        /// The worker as lists show it now.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        worker: Option<Box<WorkerSummary>>,
        /// The worker that is no more.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        deleted: Option<WorkerId>,
    },
    /// All that waits for a person, as `GET /v1/attention` answers it. Topic `attention`.
    Attention {
        /// The list, oldest first.
        attention: Vec<AttentionItem>,
        /// How many are left out above its bounds.
        #[serde(default, skip_serializing_if = "crate::attention::is_zero")]
        omitted: u64,
    },
    /// A topic is sent from now on: whatever was before is in a list that is read after this.
    Subscribed {
        /// The topic.
        topic: Topic,
    },
    /// Nothing more is sent of this: the client asked for that, or a log has its last event.
    Unsubscribed {
        /// The worker.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        worker_id: Option<WorkerId>,
        /// The topic.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        topic: Option<Topic>,
    },
    /// Something about the stream itself.
    Diagnostic {
        /// The diagnostic.
        diagnostic: Diagnostic,
    },
    /// A message that this version does not know.
    #[serde(other)]
    Unknown,
}

/// Something about a stream itself, mostly why it ends. On a socket for many workers one that names a worker or a topic
/// is about that subscription, which is over; the socket goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Diagnostic {
    /// What it is.
    pub code: DiagnosticCode,
    /// What happened, for a person.
    pub message: String,
    /// The oldest place that can still be resumed from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_cursor: Option<Cursor>,
    /// Why a cursor no longer holds: `history_changed` when its event is another one now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The worker whose subscription it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker_id: Option<WorkerId>,
    /// The topic whose subscription it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<Topic>,
}

/// What a diagnostic says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DiagnosticCode {
    /// The cursor is no cursor; closes with 4400.
    #[serde(rename = "runtime.cursor_malformed")]
    CursorMalformed,
    /// The cursor is of another worker, of the future, pruned or of another history; closes with 4410.
    #[serde(rename = "runtime.cursor_unknown_or_expired")]
    CursorUnknownOrExpired,
    /// The client sent something, but the socket only observes; closes with 1008.
    #[serde(rename = "runtime.observation_only")]
    ObservationOnly,
    /// The server is ending; closes with 1001.
    #[serde(rename = "runtime.upstream_closed")]
    UpstreamClosed,
    /// The store failed; closes with 1011.
    #[serde(rename = "runtime.unavailable")]
    Unavailable,
    /// There is no such worker, or it was deleted; closes with 4404.
    #[serde(rename = "runtime.worker_not_found")]
    WorkerNotFound,
    /// The token that the stream was opened with was revoked, or is another one now; closes with 4401.
    #[serde(rename = "runtime.unauthorized")]
    Unauthorized,
    /// The client's message makes no sense; nothing came of it, and the socket goes on.
    #[serde(rename = "runtime.invalid_message")]
    InvalidMessage,
    /// The socket has as many subscriptions as one may have.
    #[serde(rename = "runtime.too_many_subscriptions")]
    TooManySubscriptions,
    /// So many workers changed while the client took nothing that some were forgotten: subscribe again, then list.
    #[serde(rename = "runtime.too_far_behind")]
    TooFarBehind,
    /// A code that this version does not know.
    #[serde(other)]
    Unknown,
}
