//! How the binary fails: one line for a person, with its causes, the next step where there is one, and an exit code.

use std::{error::Error, process::ExitCode};

pub(crate) use musher_backend::Chain;

use crate::terminal;

/// Wrong words or a wrong config.
const USAGE: u8 = 2;
/// Everything else.
const OTHER: u8 = 1;

/// Why the binary ends.
#[derive(Debug)]
pub(crate) struct Failure {
    attempt: Option<String>,
    source: Box<dyn Error + Send + Sync>,
    code: u8,
    next: Option<&'static str>,
}

impl Failure {
    /// The words or the config are wrong.
    pub(crate) fn usage(source: impl Error + Send + Sync + 'static) -> Self {
        Self { attempt: None, source: Box::new(source), code: USAGE, next: None }
    }

    /// Something that was tried failed.
    pub(crate) fn other(attempt: impl Into<String>, source: impl Error + Send + Sync + 'static) -> Self {
        Self { attempt: Some(attempt.into()), source: Box::new(source), code: OTHER, next: None }
    }

    /// What a person can do now.
    pub(crate) fn next(self, next: &'static str) -> Self {
        Self { next: Some(next), ..self }
    }
}

/// Prints a failure with its causes, and answers with its exit code.
pub(crate) fn report(failure: &Failure) -> ExitCode {
    let mut line = String::from("error: ");
    if let Some(attempt) = &failure.attempt {
        line += &format!("{attempt}: ");
    }
    line += &Chain(&*failure.source).to_string();
    if let Some(next) = failure.next {
        line += &format!("\n{next}");
    }
    terminal::say(line);
    ExitCode::from(failure.code)
}
