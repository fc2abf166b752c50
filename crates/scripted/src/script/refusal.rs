//! Why a script is refused.

use thiserror::Error;

/// A script cannot be played as it is written.
#[derive(Debug, Error)]
#[error("read the script at `{pointer}`")]
pub struct ScriptError {
    /// The place, as a JSON pointer (RFC 6901) into what was read; empty for the whole of it.
    pub pointer: String,
    /// What is wrong there.
    #[source]
    pub problem: ScriptProblem,
}

/// What is wrong at a place of a script.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ScriptProblem {
    /// The field means nothing here.
    #[error("no such field here")]
    UnknownField,
    /// The object lacks a field.
    #[error("field `{0}` is missing")]
    MissingField(&'static str),
    /// The value is of another kind.
    #[error("expected {0}")]
    Expected(&'static str),
    /// The number, or the number of items, is too large.
    #[error("more than {0}")]
    TooLarge(u64),
    /// The text is no regular expression, or one that takes too much memory.
    #[error("not a usable regular expression")]
    Pattern(#[source] regex::Error),
}
