//! What a session reports, without the secrets that are known: before anything is decided by it, stored or shown. Pure but
//! for the look at which secrets are known.
//!
//! Not looked at is what the backend keeps beside the log for itself, which nobody else reads.

mod hidden;
mod pieces;

use std::sync::Arc;

use musher_backend::{Event, Report, Secrets, SessionOutcome, ToolOutput, TurnEnd, Vault};
use musher_protocol::{Survivor, TurnError};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

pub(crate) use self::hidden::{Hidden, UnclearMark};
use self::pieces::{Pieces, Stream};
use crate::wall::{Wall, stands};

/// Keeps secrets out of the reports of one session.
#[derive(Debug)]
pub(crate) struct Redaction {
    vault: Arc<Vault>,
    pieces: Pieces,
}

/// A report as it may be shown.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) report: Report,
    /// What is not shown of it, where it asks something.
    pub(crate) hidden: Option<Box<Hidden>>,
}

impl From<Report> for Shown {
    fn from(report: Report) -> Self {
        Self { report, hidden: None }
    }
}

impl Redaction {
    pub(crate) fn new(vault: Arc<Vault>) -> Self {
        Self { vault, pieces: Pieces::default() }
    }

    /// A report without secrets, behind what does not wait any longer because of it.
    pub(crate) fn take(&mut self, report: Report) -> Vec<Shown> {
        let secrets = self.secrets();
        match report {
            Report::ApprovalRequested { request, recorded } => {
                let (request, hidden) = Hidden::part(request, &secrets);
                vec![Shown {
                    report: Report::ApprovalRequested { request, recorded },
                    hidden: Some(Box::new(hidden)),
                }]
            }
            report @ (Report::Event(_) | Report::EventWith { .. })
                if secrets.is_empty() && self.pieces.is_empty() =>
            {
                vec![report.into()]
            }
            Report::Event(event) => {
                let mut reports = self.pieces.before(&event, &secrets);
                reports.push(Report::Event(self.event(event, &secrets)));
                shown(reports)
            }
            Report::EventWith { event, private } => {
                let mut reports = self.pieces.before(&event, &secrets);
                reports.push(Report::EventWith { event: self.event(event, &secrets), private });
                shown(reports)
            }
            report @ (Report::Keep { .. } | Report::SessionStarted { .. } | Report::ApprovalWithdrawn(_)) => {
                vec![report.into()]
            }
        }
    }

    /// What still waits, once nothing more comes.
    pub(crate) fn finish(&mut self) -> Vec<Shown> {
        let secrets = self.secrets();
        shown(self.pieces.end(&secrets))
    }

    /// The secrets that are known now.
    fn secrets(&self) -> Arc<Secrets> {
        if stands(Wall::Redaction) { self.vault.secrets() } else { Arc::default() }
    }

    /// How a session ended, without secrets.
    pub(crate) fn outcome(
        &self,
        outcome: Result<SessionOutcome, TurnError>,
    ) -> Result<SessionOutcome, TurnError> {
        let secrets = self.secrets();
        outcome
            .map(|mut outcome| {
                outcome.stderr_tail = outcome.stderr_tail.map(|tail| text(tail, &secrets));
                outcome
            })
            .map_err(|error| turn_error(error, &secrets))
    }

    /// What was left running, without secrets on its command line.
    pub(crate) fn survivors(&self, survivors: Vec<Survivor>) -> Vec<Survivor> {
        let secrets = self.secrets();
        let redacted = survivors
            .into_iter()
            .map(|survivor| Survivor { command: text(survivor.command, &secrets), ..survivor });
        redacted.collect()
    }

    /// The event without secrets; a piece without what waits.
    fn event(&mut self, event: Event, secrets: &Secrets) -> Event {
        let text = |said| text(said, secrets);
        match event {
            Event::TextDelta { block, text } => self.pieces.piece(Stream::Text(block), &text, secrets),
            Event::ThinkingDelta { block, text } => {
                self.pieces.piece(Stream::Thinking(block), &text, secrets)
            }
            Event::ToolCallDelta { tool_call_id, arguments } => {
                self.pieces.piece(Stream::Arguments(tool_call_id), &arguments, secrets)
            }
            Event::TextDone { block, text: said } => Event::TextDone { block, text: text(said) },
            Event::ThinkingDone { block, text: said } => Event::ThinkingDone { block, text: text(said) },
            Event::ToolCallStarted { tool_call_id, name } => {
                Event::ToolCallStarted { tool_call_id, name: text(name) }
            }
            Event::ToolCallDone { tool_call_id, name, input } => {
                Event::ToolCallDone { tool_call_id, name: text(name), input: value(input, secrets) }
            }
            Event::ToolResult { tool_call_id, output } => {
                let ToolOutput { content, whole, is_error, diff } = output;
                let output = ToolOutput {
                    content: text(content),
                    whole: whole.map(text),
                    is_error,
                    diff: diff.map(text),
                };
                Event::ToolResult { tool_call_id, output }
            }
            Event::RateLimited { scope, reset_at } => Event::RateLimited { scope: text(scope), reset_at },
            Event::Retrying { attempt, max_attempts, delay_ms, reason, discarded_blocks } => {
                Event::Retrying { attempt, max_attempts, delay_ms, reason: text(reason), discarded_blocks }
            }
            Event::Environment(environment) => Event::Environment(any(environment, secrets)),
            Event::Diagnostic { code, message } => Event::Diagnostic { code, message: text(message) },
            Event::TurnEnded(end) => Event::TurnEnded(turn_end(end, secrets)),
            Event::WokenEnded(end) => Event::WokenEnded(turn_end(end, secrets)),
            event @ (Event::InputTaken { .. }
            | Event::TurnStarted
            | Event::Usage(_)
            | Event::Background { .. }
            | Event::Alive) => event,
        }
    }
}

fn shown(reports: Vec<Report>) -> Vec<Shown> {
    reports.into_iter().map(Shown::from).collect()
}

fn text(said: String, secrets: &Secrets) -> String {
    secrets.redact_text(&said).unwrap_or(said)
}

/// JSON of somebody else's, whose names are words like others.
fn value(value: Value, secrets: &Secrets) -> Value {
    let said = |said| text(said, secrets);
    texts(value, &said, &said)
}

/// JSON with others in the place of its texts and of its names. Names that would become the same get numbers, so that
/// nothing is left out.
fn texts(value: Value, text: &dyn Fn(String) -> String, name: &dyn Fn(String) -> String) -> Value {
    match value {
        Value::String(said) => Value::String(text(said)),
        Value::Array(items) => items.into_iter().map(|item| texts(item, text, name)).collect(),
        Value::Object(fields) => {
            let mut shown = Map::new();
            for (key, item) in fields {
                let key = name(key);
                let names = std::iter::once(key.clone()).chain((2..).map(|n| format!("{key} ({n})")));
                let free = names.into_iter().find(|name| !shown.contains_key(name));
                shown.insert(free.expect("there are more numbers than names"), texts(item, text, name));
            }
            Value::Object(shown)
        }
        plain @ (Value::Null | Value::Bool(_) | Value::Number(_)) => plain,
    }
}

/// All the texts in something of the wire, whose names are ours, also where a secret is one of them.
fn any<T: Serialize + DeserializeOwned>(said: T, secrets: &Secrets) -> T {
    let said = serde_json::to_value(&said).expect("it is of the wire");
    let redacted = texts(said, &|said| text(said, secrets), &|name| name);
    serde_json::from_value(redacted).expect("its texts may be any")
}

fn turn_end(end: TurnEnd, secrets: &Secrets) -> TurnEnd {
    match end {
        TurnEnd::Failed(error) => TurnEnd::Failed(turn_error(error, secrets)),
        TurnEnd::Refused { vendor_stop_reason, message } => TurnEnd::Refused {
            vendor_stop_reason: vendor_stop_reason.map(|said| text(said, secrets)),
            message: text(message, secrets),
        },
        TurnEnd::Completed { stop_reason, vendor_stop_reason } => TurnEnd::Completed {
            stop_reason,
            vendor_stop_reason: vendor_stop_reason.map(|said| text(said, secrets)),
        },
        TurnEnd::Interrupted => TurnEnd::Interrupted,
    }
}

fn turn_error(error: TurnError, secrets: &Secrets) -> TurnError {
    TurnError { message: text(error.message, secrets), ..error }
}

#[cfg(test)]
mod tests;
