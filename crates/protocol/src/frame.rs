//! What a stream sends.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Cursor, Envelope};

/// One message of a stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Frame {
    /// An event of the log, or the snapshot that a stream begins with.
    Event {
        /// The event.
        envelope: Box<Envelope>,
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

/// Something about a stream itself, mostly why it ends.
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
}

/// What a [`Diagnostic`] says.
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
    /// The worker was deleted; closes with 4404.
    #[serde(rename = "runtime.worker_not_found")]
    WorkerNotFound,
    /// A code that this version does not know.
    #[serde(other)]
    Unknown,
}
