//! What a vendor's protocol is to the loop: a request to send, and a way to read the answer.

use std::fmt;

use jiff::Timestamp;
use musher_backend::ToolSpec;
use musher_protocol::StopReason;
use secrecy::SecretString;
use serde_json::Value;

use crate::{Failure, Item, Scope, SseEvent};

/// A model behind a vendor's protocol. It decides what is sent and what an answer means; it does neither itself.
pub trait Model: fmt::Debug + Send + Sync + 'static {
    /// Who reads the opaque items that this model makes.
    fn scope(&self) -> &Scope;

    /// The request for one attempt.
    fn call(&mut self, prompt: &Prompt<'_>) -> Call;

    /// What reads the answer of one attempt.
    fn reader(&self) -> Box<dyn Reader>;

    /// What a response means that is no answer. The implementor may learn from it what the server does not take, and
    /// then says [`crate::FailureKind::Adapted`]: the next [`Model::call`] must differ.
    fn refused(&mut self, response: &Refusal) -> Failure;
}

/// Reads one answer. Unknown events mean nothing, for vendors add some at any time.
pub trait Reader: fmt::Debug + Send {
    /// Takes an event and adds what it tells to `pieces`.
    ///
    /// # Errors
    ///
    /// When the event says that the answer failed, or cannot be understood.
    fn event(&mut self, event: &SseEvent, pieces: &mut Vec<Piece>) -> Result<(), Failure>;

    /// The stream is over. Where the protocol has no last event of its own, this is what adds [`Piece::End`].
    ///
    /// # Errors
    ///
    /// When the vendor did not say that the answer is whole: then it is not.
    fn end(&mut self, pieces: &mut Vec<Piece>) -> Result<(), Failure>;
}

/// What a model is asked.
#[derive(Clone, Copy, Debug)]
pub struct Prompt<'a> {
    /// What comes before everything else.
    pub instructions: Option<&'a str>,
    /// What was said and done, oldest first.
    pub items: &'a [Item],
    /// The tools that there are.
    pub tools: &'a [ToolSpec],
    /// Whether it may call them now.
    pub may_call: bool,
    /// Names the conversation, so that a vendor's cache finds its beginning again.
    pub cache_key: &'a str,
}

/// A request.
#[derive(Clone, Debug)]
pub struct Call {
    /// Where to.
    pub url: String,
    /// Headers beside those of the body, whose values nobody may see.
    pub headers: Vec<(&'static str, SecretString)>,
    /// The body.
    pub body: Value,
}

/// A response that is no answer.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// Its status.
    pub status: u16,
    /// Its headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The start of its body.
    pub body: String,
    /// When it came.
    pub at: Timestamp,
}

impl Refusal {
    /// A header's value.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// A piece of an answer. A slot is a number for one output of the answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Piece {
    /// More of a text.
    Text {
        /// Which.
        slot: u64,
        /// What is new.
        text: String,
    },
    /// More of a thought.
    Thinking {
        /// Which.
        slot: u64,
        /// What is new.
        text: String,
    },
    /// More of something that is not shown before it is whole: a sign of progress.
    Progress,
    /// An output, whole. Outputs come in their order.
    Whole {
        /// Which.
        slot: u64,
        /// What it is.
        output: Output,
        /// The vendor's items that stand for it.
        raw: Vec<Value>,
    },
    /// What the answer has used so far: a running total.
    Usage(Tokens),
    /// The vendor's word that the answer is whole. Nothing comes after it.
    End(Ending),
}

/// What a model puts out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Words.
    Text(String),
    /// A thought that is shown.
    Thinking(String),
    /// A call of a tool.
    Call {
        /// The vendor's id of the call; empty where it gave none.
        id: String,
        /// The tool.
        name: String,
        /// The arguments, as JSON text.
        arguments: String,
    },
    /// Nothing to show, but to be sent back.
    Opaque,
}

/// How an answer ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The model stopped.
    Stopped {
        /// Why.
        reason: StopReason,
        /// The vendor's word for it.
        vendor: Option<String>,
    },
    /// The vendor's model or filter refused.
    Refused {
        /// The vendor's word for it.
        vendor: Option<String>,
        /// What it said.
        message: String,
    },
}

/// Tokens of one answer. Unknown is none, not 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    /// Sent, cached ones included.
    pub input: Option<u64>,
    /// Made, reasoning included.
    pub output: Option<u64>,
    /// The part of the sent ones that was read from the vendor's cache.
    pub cache_read: Option<u64>,
    /// The part of the sent ones that was written to it.
    pub cache_write: Option<u64>,
    /// The part of the made ones that was reasoning.
    pub reasoning: Option<u64>,
}
