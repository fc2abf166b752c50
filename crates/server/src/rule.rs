//! What is decided without the person at the terminal.

use musher_protocol::{Actor, Approval, DecisionRequest};

/// Decides what it knows the answer to; the rest is the person's.
pub(crate) type Rule = fn(&Approval, Presence) -> Option<Ruling>;

/// Whether there is a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    Here,
    Gone,
}

/// A decision.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Ruling {
    pub(crate) request: DecisionRequest,
    /// In whose name.
    pub(crate) by: Actor,
    /// What is said about it.
    pub(crate) said: String,
}

/// Who decides what a worker asks.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Decider {
    /// The profile alone.
    Profile,
    /// The person at the terminal.
    Person,
    /// The rule, and the person where it has no answer.
    Ruled(Rule),
}
