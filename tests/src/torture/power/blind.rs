//! Why a trace cannot be judged.

use std::{error::Error, fmt};

/// Something in a trace that the harness does not understand. To go on would be to judge half of what happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Blind {
    /// The line of the trace, from 1.
    pub(super) line: usize,
    /// What is not understood.
    pub(super) why: String,
}

impl Blind {
    pub(super) fn new(line: usize, why: impl Into<String>) -> Self {
        Self { line, why: why.into() }
    }
}

impl fmt::Display for Blind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {} of the trace: {}", self.line, self.why)
    }
}

impl Error for Blind {}
