//! What a vendor would refuse.

use std::fmt;

use serde_json::json;

use super::Answer;

/// A status that nobody mends, repeats or expects, so that no test passes over a violation.
const STATUS: u16 = 418;

/// A rule of the vendor's that a request broke.
#[derive(Clone, Debug, PartialEq)]
pub struct Violation {
    message: String,
    refusal: Answer,
}

impl Violation {
    /// A violation. The request is refused in a way that every client fails of.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        // Without a word of what is wrong: a client may leave out what a message names, and go on.
        let error = json!({"message": "the request is not what the vendor takes"});
        Self { message: message.into(), refusal: Answer::json(STATUS, &json!({"error": error})) }
    }

    /// The same, refused as the vendor would: for what a client has to get along with.
    #[must_use]
    pub fn refused_with(self, refusal: Answer) -> Self {
        Self { refusal, ..self }
    }

    /// How a request that broke the rule is answered.
    pub(super) fn refusal(&self) -> &Answer {
        &self.refusal
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
