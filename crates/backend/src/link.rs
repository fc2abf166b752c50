//! The only way in and out of a session.

use musher_protocol::{ApprovalId, SessionId};
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

use crate::{ApprovalRequest, Command, Event};

/// One burst of a fast model; a slower store must slow the agent, not grow memory.
const REPORTS: usize = 256;
/// One input, one interrupt, two ends and 64 steers at most are ever on their way, and a decision for each open approval.
const COMMANDS: usize = 128;
/// What a store takes as one body; a history that is larger cannot be sent to any model either.
const MAX_KEPT: usize = 16 << 20;

/// A session's way in and out.
#[derive(Debug)]
pub struct Link {
    commands: mpsc::Receiver<Command>,
    reports: mpsc::Sender<Report>,
}

/// The runtime's half of a [`Link`].
#[derive(Debug)]
pub struct RuntimeHalf {
    /// To the session.
    pub commands: mpsc::Sender<Command>,
    /// From the session, in order.
    pub reports: mpsc::Receiver<Report>,
}

/// What comes through a [`Link`].
#[derive(Debug)]
pub enum Report {
    /// Something happened.
    Event(Event),
    /// Something happened, and this is to be kept beside it: in the same commit, never on the wire.
    EventWith {
        /// What happened.
        event: Event,
        /// What the backend needs to go on from here in a later session; it comes back in
        /// [`crate::HistoryEntry::private`].
        private: Value,
    },
    /// A file of the backend's own is to be kept for its later sessions; it replaces the one of the same name.
    Keep {
        /// Its name.
        name: String,
        /// All of it, at most 16 MiB.
        bytes: Vec<u8>,
        /// To be told when it is durable; dropped where it is not kept.
        recorded: oneshot::Sender<()>,
    },
    /// The session's id is known.
    SessionStarted {
        /// The session.
        session_id: SessionId,
        /// Whether it continues an earlier session.
        resumed: bool,
        /// To be told when the id is durable.
        recorded: oneshot::Sender<()>,
    },
    /// The worker asks before it acts.
    ApprovalRequested {
        /// What it asks.
        request: ApprovalRequest,
        /// To be told the approval's id when the question is durable.
        recorded: oneshot::Sender<ApprovalId>,
    },
    /// The worker no longer needs the answer.
    ApprovalWithdrawn(ApprovalId),
}

/// Why a file was not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeepError {
    /// It is larger than the 16 MiB that a store takes.
    #[error("{0} bytes are more than can be kept")]
    TooLarge(usize),
    /// The runtime keeps no files, or not this one.
    #[error("the runtime did not keep it")]
    NotKept,
    /// There is nobody to keep it.
    #[error(transparent)]
    Closed(#[from] LinkClosed),
}

/// The runtime has let go of the session: there is nobody to report to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the runtime has let go of the session")]
pub struct LinkClosed;

impl Link {
    /// A link and the half that drives it.
    #[must_use]
    pub fn pair() -> (Self, RuntimeHalf) {
        let (commands_in, commands) = mpsc::channel(COMMANDS);
        let (reports, reports_out) = mpsc::channel(REPORTS);
        (Self { commands, reports }, RuntimeHalf { commands: commands_in, reports: reports_out })
    }

    /// Waits for the next command. When the runtime has let go, that is an [`Command::End`] without grace.
    ///
    /// Cancel safe: no command is lost when the future is dropped.
    pub async fn next_command(&mut self) -> Command {
        self.commands.recv().await.unwrap_or(Command::End { grace: std::time::Duration::ZERO })
    }

    /// Reports what happened. Waits while the store is behind.
    ///
    /// # Errors
    ///
    /// When the runtime has let go of the session.
    pub async fn emit(&self, event: Event) -> Result<(), LinkClosed> {
        self.report(Report::Event(event)).await
    }

    /// Reports what happened together with what a later session needs to go on from here, such as the vendor's own
    /// items that the event stands for. Both are kept or neither.
    ///
    /// # Errors
    ///
    /// When the runtime has let go of the session.
    pub async fn emit_with(&self, event: Event, private: Value) -> Result<(), LinkClosed> {
        self.report(Report::EventWith { event, private }).await
    }

    /// Keeps a file for later sessions of the worker, at most 16 MiB, and returns when it is durable. It comes back in
    /// [`crate::Launch::kept`] under its name.
    ///
    /// # Errors
    ///
    /// When it is too large, or was not kept. The earlier file of that name is then still there.
    pub async fn keep(&self, name: &str, bytes: Vec<u8>) -> Result<(), KeepError> {
        if bytes.len() > MAX_KEPT {
            return Err(KeepError::TooLarge(bytes.len()));
        }
        let (recorded, done) = oneshot::channel();
        self.report(Report::Keep { name: name.to_owned(), bytes, recorded }).await?;
        done.await.map_err(|_unanswered| {
            if self.reports.is_closed() { KeepError::Closed(LinkClosed) } else { KeepError::NotKept }
        })
    }

    /// Reports the session's id, and returns when it is durable. Once, before any work.
    ///
    /// # Errors
    ///
    /// When the runtime has let go of the session.
    pub async fn session_started(&self, session_id: SessionId, resumed: bool) -> Result<(), LinkClosed> {
        let (recorded, done) = oneshot::channel();
        self.report(Report::SessionStarted { session_id, resumed, recorded }).await?;
        done.await.map_err(closed)
    }

    /// Asks for leave, and returns when the question is durable. The answer comes as a [`Command::Decision`].
    ///
    /// # Errors
    ///
    /// When the runtime has let go of the session.
    pub async fn request_approval(&self, request: ApprovalRequest) -> Result<ApprovalId, LinkClosed> {
        let (recorded, done) = oneshot::channel();
        self.report(Report::ApprovalRequested { request, recorded }).await?;
        done.await.map_err(closed)
    }

    /// Takes a question back: its answer is no longer needed and will not come.
    ///
    /// # Errors
    ///
    /// When the runtime has let go of the session.
    pub async fn withdraw_approval(&self, approval_id: ApprovalId) -> Result<(), LinkClosed> {
        self.report(Report::ApprovalWithdrawn(approval_id)).await
    }

    async fn report(&self, report: Report) -> Result<(), LinkClosed> {
        self.reports.send(report).await.map_err(|_unsent| LinkClosed)
    }
}

fn closed(_: oneshot::error::RecvError) -> LinkClosed {
    LinkClosed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn keeping_a_file_says_whether_it_was_kept() {
        let (link, mut runtime) = Link::pair();
        let mut answer = async |kept: bool| {
            let Some(Report::Keep { name, bytes, recorded }) = runtime.reports.recv().await else {
                panic!("a file to keep")
            };
            assert_eq!((name.as_str(), bytes.as_slice()), ("history", b"[]".as_slice()));
            if kept {
                recorded.send(()).expect("the session waits for it");
            }
        };
        for (kept, expected) in [(true, Ok(())), (false, Err(KeepError::NotKept))] {
            let (said, ()) = tokio::join!(link.keep("history", b"[]".to_vec()), answer(kept));
            assert_eq!(said, expected);
        }
        let large = link.keep("history", vec![0; MAX_KEPT + 1]).await;
        assert_eq!(large, Err(KeepError::TooLarge(MAX_KEPT + 1)));
        drop(runtime);
        assert_eq!(link.keep("history", Vec::new()).await, Err(KeepError::Closed(LinkClosed)));
    }
}
