//! Why a socket ends.

use axum::extract::ws::{CloseCode, CloseFrame, Message, Utf8Bytes, close_code};
use musher_core::CursorProblem;
use musher_protocol::{Cursor, CursorError, Diagnostic, DiagnosticCode, Frame};

const CURSOR_MALFORMED: CloseCode = 4400;
const WORKER_NOT_FOUND: CloseCode = 4404;
const CURSOR_UNKNOWN_OR_EXPIRED: CloseCode = 4410;

/// The last things that a socket says.
#[derive(Debug)]
pub(crate) struct Farewell {
    diagnostic: Option<Diagnostic>,
    /// What the Close frame says; none when the peer's own Close is answered.
    close: Option<CloseCode>,
}

impl Farewell {
    /// The log has its last event.
    pub(super) fn complete() -> Self {
        Self { diagnostic: None, close: Some(close_code::NORMAL) }
    }

    /// The peer closes.
    pub(super) fn answered() -> Self {
        Self { diagnostic: None, close: None }
    }

    pub(super) fn draining() -> Self {
        let message = "the server is ending; go on from your last cursor elsewhere or later";
        Self::because(DiagnosticCode::UpstreamClosed, message, close_code::AWAY)
    }

    pub(super) fn observation_only() -> Self {
        let message = "this socket only observes; commands have routes of their own";
        Self::because(DiagnosticCode::ObservationOnly, message, close_code::POLICY)
    }

    pub(super) fn unavailable() -> Self {
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

    pub(super) fn worker_not_found() -> Self {
        Self::because(DiagnosticCode::WorkerNotFound, "the worker was deleted", WORKER_NOT_FOUND)
    }

    fn because(code: DiagnosticCode, message: impl Into<String>, close: CloseCode) -> Self {
        let diagnostic = Diagnostic { code, message: message.into(), oldest_cursor: None, reason: None };
        Self { diagnostic: Some(diagnostic), close: Some(close) }
    }

    fn resuming_at(mut self, oldest: Cursor, reason: &str) -> Self {
        if let Some(diagnostic) = &mut self.diagnostic {
            diagnostic.oldest_cursor = Some(oldest);
            diagnostic.reason = Some(reason.to_owned());
        }
        self
    }

    pub(super) fn into_messages(self) -> impl Iterator<Item = Message> {
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
