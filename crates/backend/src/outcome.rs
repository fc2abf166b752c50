//! How sessions end.

use std::error::Error;

use jiff::Timestamp;

/// How a session ended. What was used in it, its id and its survivors the runtime knows itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionOutcome {
    /// Whether it ended as it should.
    pub exit_ok: bool,
    /// Whether it failed before it was established: nothing was taken up.
    pub aborted: bool,
    /// Whether a rate limit ended it.
    pub rate_limited: bool,
    /// When that limit resets.
    pub rate_limit_reset_at: Option<Timestamp>,
    /// The exit code of its process.
    pub exit_code: Option<i32>,
    /// The signal that ended its process.
    pub signal: Option<i32>,
    /// The last that its process wrote to stderr.
    pub stderr_tail: Option<String>,
}

impl SessionOutcome {
    /// It ended as it should.
    #[must_use]
    pub fn ended() -> Self {
        Self {
            exit_ok: true,
            aborted: false,
            rate_limited: false,
            rate_limit_reset_at: None,
            exit_code: None,
            signal: None,
            stderr_tail: None,
        }
    }

    /// It broke off after it had been established.
    #[must_use]
    pub fn crashed() -> Self {
        Self { exit_ok: false, ..Self::ended() }
    }

    /// It failed before it was established.
    #[must_use]
    pub fn aborted() -> Self {
        Self { aborted: true, ..Self::crashed() }
    }
}

/// A session failed in a way that has no outcome: it could not be started, or its program cannot be understood.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct BackendError {
    /// A stable name, which ends up in the turn's error.
    pub code: &'static str,
    /// What was tried, for a person.
    pub message: String,
    /// Why it failed.
    #[source]
    pub source: Option<Box<dyn Error + Send + Sync>>,
}

impl BackendError {
    /// The code of a session that was to be continued and that the vendor does not have: gone, expired, or of
    /// another version. The runtime forgets its id, and says so in the log; the next input begins a new session.
    pub const RESUME_REFUSED: &'static str = "resume_refused";

    /// The code of a turn whose credentials the vendor does not accept, also in a [`TurnEnd`](crate::TurnEnd). The
    /// runtime says that a person is needed.
    pub const AUTHENTICATION_FAILED: &'static str = "authentication_failed";

    /// A failure with its cause.
    #[must_use]
    pub fn new(
        code: &'static str,
        message: impl Into<String>,
        source: impl Error + Send + Sync + 'static,
    ) -> Self {
        Self { code, message: message.into(), source: Some(Box::new(source)) }
    }
}
