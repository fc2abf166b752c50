//! What the runtime asks of a session.

use std::time::Duration;

use musher_protocol::{Answers, ApprovalId, InputId, InputKind};
use serde_json::Value;

/// What the runtime asks of a session. Commands come in the order in which they were decided.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Begins a turn. After [`crate::Event::RateLimited`] the same input goes on with the turn that was refused;
    /// another one means that the runtime has ended that turn, and begins a new one.
    Input(Input),
    /// Joins the running turn; only for a backend that can ([`crate::Capabilities::steer`]). One that comes too late for
    /// it, or that it has no place for, is left out: what was not taken when the turn ends comes again as an
    /// [`Command::Input`].
    Steer(Input),
    /// Asks for the open turn's end; the session stays.
    Interrupt,
    /// Answers an approval.
    Decision(DecisionGiven),
    /// Asks for the session's end. It may come twice, the second time with less grace.
    End {
        /// How long an open turn and the processes get to end by themselves.
        grace: Duration,
    },
}

/// Something said to the worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// The input.
    pub input_id: InputId,
    /// Whose words these are.
    pub kind: InputKind,
    /// The words. They are data: never an argument of a program, never a command of the vendor's.
    pub content: String,
}

impl Input {
    /// A user's words under a new id.
    #[must_use]
    pub fn user(content: &str) -> Self {
        Self { input_id: InputId::mint(), kind: InputKind::User, content: content.to_owned() }
    }
}

/// The answer to an approval.
#[derive(Clone, Debug, PartialEq)]
pub struct DecisionGiven {
    /// The approval.
    pub approval_id: ApprovalId,
    /// The answer.
    pub verdict: Verdict,
}

/// Whether a tool may run.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// It may.
    Allow {
        /// What it is to be called with instead.
        updated_input: Option<Value>,
        /// Answers to its questions.
        answers: Option<Answers>,
    },
    /// It may not.
    Deny {
        /// What to tell the model.
        message: String,
        /// Whether the turn ends with it. The runtime also asks for the turn's end; a backend whose vendor can be told
        /// both at once keeps the model from going on in between.
        interrupt: bool,
    },
}

impl Verdict {
    /// It may, as it asked.
    #[must_use]
    pub fn allow() -> Self {
        Self::Allow { updated_input: None, answers: None }
    }

    /// It may not, and the turn goes on.
    #[must_use]
    pub fn deny(message: &str) -> Self {
        Self::Deny { message: message.to_owned(), interrupt: false }
    }
}
