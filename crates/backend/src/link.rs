//! The only way in and out of a session.

use musher_protocol::{ApprovalId, SessionId};
use tokio::sync::{mpsc, oneshot};

use crate::{ApprovalRequest, Command, Event};

/// One burst of a fast model; a slower store must slow the agent, not grow memory.
const REPORTS: usize = 256;
/// One input, one interrupt and two ends at most are ever on their way, and a decision for each open approval.
const COMMANDS: usize = 128;

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
