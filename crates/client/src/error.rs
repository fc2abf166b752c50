//! Why a call has no answer.

use std::time::Duration;

use musher_protocol::{ErrorBody, ErrorCode};
use tokio_tungstenite::tungstenite;

/// Why a call has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The connection could not be made, or broke before the answer was whole. What was asked for may have been done.
    #[error("no answer from the server")]
    Broken(#[source] reqwest::Error),
    /// The server did not answer in time. What was asked for may have been done.
    #[error("no answer from the server within {} s", .0.as_secs())]
    TimeUp(Duration),
    /// The server refused, and says why.
    #[error("{}", .0.body.message)]
    Refused(Box<Refusal>),
    /// The answer is not one of Musher's: something else listens there, or a proxy answered in its place.
    #[error("an answer with status {status} that is not Musher's")]
    Foreign {
        /// Its status.
        status: u16,
        /// When to come back, where it says so.
        retry_after: Option<Duration>,
    },
    /// The answer is Musher's, and makes no sense to this version.
    #[error("read the answer")]
    Unreadable(#[from] serde_json::Error),
    /// The answer, or one event of a stream, is larger than any that a server sends.
    #[error("an answer of more than {0} bytes")]
    TooLarge(usize),
    /// The server did not go over to a socket as it should.
    #[error("begin a socket")]
    Handshake(#[from] tungstenite::Error),
}

/// What a server refused with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The status.
    pub status: u16,
    /// When to come back, where it says so.
    pub retry_after: Option<Duration>,
    /// Code, message, request id, and what helps: the field, the limit, the oldest cursor, the approval.
    pub body: ErrorBody,
}

impl Error {
    /// What the server refused with, where it did.
    #[must_use]
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            Self::Broken(_)
            | Self::TimeUp(_)
            | Self::Foreign { .. }
            | Self::Unreadable(_)
            | Self::TooLarge(_)
            | Self::Handshake(_) => None,
        }
    }

    /// The code that the server refused with, where it did.
    #[must_use]
    pub fn code(&self) -> Option<ErrorCode> {
        self.refusal().map(|refusal| refusal.body.code)
    }
}
