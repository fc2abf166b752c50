//! Why a stream ends.

use axum::extract::ws::{CloseCode, CloseFrame, Message, Utf8Bytes, close_code};
use musher_core::{CursorProblem, Error, Observation, ReadError, Runtime};
use musher_protocol::{Cursor, CursorError, Diagnostic, DiagnosticCode, Frame};

use crate::{router::Cut, token};

const CURSOR_MALFORMED: CloseCode = 4400;
const UNAUTHORIZED: CloseCode = 4401;
const WORKER_NOT_FOUND: CloseCode = 4404;
const CURSOR_UNKNOWN_OR_EXPIRED: CloseCode = 4410;

/// The last things that a stream says.
#[derive(Debug)]
pub(crate) struct Farewell {
    diagnostic: Option<Diagnostic>,
    /// What the Close frame says; none when the peer's own Close is answered.
    close: Option<CloseCode>,
}

impl Farewell {
    /// The stream is not to go on.
    pub(crate) fn of(cut: Cut, runtime: &Runtime) -> Self {
        match cut {
            Cut::Leaving => Self::leaving(runtime),
            Cut::Revoked => {
                Self::because(DiagnosticCode::Unauthorized, token::revoked().message(), UNAUTHORIZED)
            }
        }
    }

    /// The server or the runtime begins to end.
    fn leaving(runtime: &Runtime) -> Self {
        match runtime.readiness() {
            Err(Error::Store(_)) => Self::unavailable(),
            Ok(()) | Err(_) => Self::ending(),
        }
    }

    fn ending() -> Self {
        let message = "the server is ending; go on from your last cursor elsewhere or later";
        Self::because(DiagnosticCode::UpstreamClosed, message, close_code::AWAY)
    }

    /// An observation has nothing more. It may be the first that is seen of the runtime's end.
    pub(crate) fn over(observation: &Observation, runtime: &Runtime) -> Self {
        if observation.is_complete() {
            return Self { diagnostic: None, close: Some(close_code::NORMAL) };
        }
        match runtime.readiness() {
            Ok(()) => Self::unavailable(),
            Err(_) => Self::leaving(runtime),
        }
    }

    /// An observation cannot go on.
    pub(crate) fn broken(error: ReadError) -> Self {
        match error {
            // Retention went past a reader who was too slow for it.
            ReadError::Cursor(problem) => Self::cursor_problem(problem),
            ReadError::Runtime(Error::WorkerNotFound(_)) => {
                Self::because(DiagnosticCode::WorkerNotFound, "the worker was deleted", WORKER_NOT_FOUND)
            }
            ReadError::Runtime(Error::Draining | Error::Stopped) => Self::ending(),
            error @ (ReadError::Runtime(_) | _) => {
                tracing::error!(error = &error as &dyn std::error::Error, "read a log for a stream");
                Self::unavailable()
            }
        }
    }

    /// The peer closes.
    pub(crate) fn answered() -> Self {
        Self { diagnostic: None, close: None }
    }

    pub(crate) fn observation_only() -> Self {
        let message = "this socket only observes; commands have routes of their own";
        Self::because(DiagnosticCode::ObservationOnly, message, close_code::POLICY)
    }

    pub(crate) fn nonsense() -> Self {
        let message = "what came is too long, or no message of a WebSocket";
        Self::because(DiagnosticCode::InvalidMessage, message, close_code::POLICY)
    }

    fn unavailable() -> Self {
        let message = "the log cannot be read any further; go on from your last cursor later";
        Self::because(DiagnosticCode::Unavailable, message, close_code::ERROR)
    }

    pub(crate) fn cursor_malformed(error: &CursorError) -> Self {
        Self::because(DiagnosticCode::CursorMalformed, error.to_string(), CURSOR_MALFORMED)
    }

    pub(crate) fn cursor_problem(problem: CursorProblem) -> Self {
        let code = DiagnosticCode::CursorUnknownOrExpired;
        let plain = Self::because(code, problem.to_string(), CURSOR_UNKNOWN_OR_EXPIRED);
        match problem {
            CursorProblem::Foreign | CursorProblem::Future => plain,
            CursorProblem::Pruned { oldest } => plain.resuming_at(oldest, "pruned"),
            CursorProblem::HistoryChanged { oldest } => plain.resuming_at(oldest, "history_changed"),
        }
    }

    fn because(code: DiagnosticCode, message: impl Into<String>, close: CloseCode) -> Self {
        let message = message.into();
        let diagnostic =
            Diagnostic { code, message, oldest_cursor: None, reason: None, worker_id: None, topic: None };
        Self { diagnostic: Some(diagnostic), close: Some(close) }
    }

    fn resuming_at(mut self, oldest: Cursor, reason: &str) -> Self {
        if let Some(diagnostic) = &mut self.diagnostic {
            diagnostic.oldest_cursor = Some(oldest);
            diagnostic.reason = Some(reason.to_owned());
        }
        self
    }

    /// What it says besides that it ends.
    pub(crate) fn into_diagnostic(self) -> Option<Diagnostic> {
        self.diagnostic
    }

    /// As messages of a socket.
    pub(crate) fn into_messages(self) -> impl Iterator<Item = Message> {
        let diagnostic = self.diagnostic.map(|diagnostic| {
            let json =
                serde_json::to_string(&Frame::Diagnostic { diagnostic }).expect("a diagnostic is JSON");
            Message::Text(json.into())
        });
        let close =
            self.close.map(|code| Message::Close(Some(CloseFrame { code, reason: Utf8Bytes::default() })));
        diagnostic.into_iter().chain(close)
    }
}
