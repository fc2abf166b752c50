//! What a session reports, without the secrets that are known: before anything is decided by it, stored or shown. Pure but
//! for the look at which secrets are known.
//!
//! What comes in pieces may have a secret cut anywhere: an end that may be the beginning of one waits until it is known how
//! it goes on, at most as long as the longest secret. Not looked at is what the backend keeps beside the log for itself,
//! which nobody else reads.

use std::sync::Arc;

use musher_backend::{
    ApprovalRequest, Event, Found, Report, Secrets, SessionOutcome, ToolOutput, TurnEnd, Vault,
};
use musher_protocol::{Block, Survivor, ToolCallId, TurnError};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::wall::{Wall, stands};

/// Streams of one session with an end that waits. A model has some at a time; of more the oldest end does not wait.
const MAX_ENDS: usize = 64;

/// Keeps secrets out of the reports of one session.
#[derive(Debug)]
pub(crate) struct Redaction {
    vault: Arc<Vault>,
    /// Ends that may begin a secret.
    ends: Vec<(Stream, String)>,
}

/// What comes in pieces.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Stream {
    Text(Block),
    Thinking(Block),
    Arguments(ToolCallId),
}

/// Why an end waits no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Last {
    /// All of it was said.
    Whole,
    /// It breaks off, perhaps in the middle of a secret.
    Broken,
}

impl Redaction {
    pub(crate) fn new(vault: Arc<Vault>) -> Self {
        Self { vault, ends: Vec::new() }
    }

    /// A report without secrets, behind what does not wait any longer because of it.
    pub(crate) fn take(&mut self, report: Report) -> Vec<Report> {
        let secrets = self.vault.secrets();
        if (secrets.is_empty() && self.ends.is_empty()) || !stands(Wall::Redaction) {
            return vec![report];
        }
        match report {
            Report::Event(event) => {
                let mut reports = self.before(&event, &secrets);
                reports.push(Report::Event(self.event(event, &secrets)));
                reports
            }
            Report::EventWith { event, private } => {
                let mut reports = self.before(&event, &secrets);
                reports.push(Report::EventWith { event: self.event(event, &secrets), private });
                reports
            }
            Report::ApprovalRequested { request, recorded } => {
                vec![Report::ApprovalRequested { request: approval(request, &secrets), recorded }]
            }
            report @ (Report::Keep { .. } | Report::SessionStarted { .. } | Report::ApprovalWithdrawn(_)) => {
                vec![report]
            }
        }
    }

    /// What still waits, once nothing more comes.
    pub(crate) fn finish(&mut self) -> Vec<Report> {
        let secrets = self.vault.secrets();
        self.release(|_| true, Last::Broken, &secrets)
    }

    /// How a session ended, without secrets.
    pub(crate) fn outcome(
        &self,
        outcome: Result<SessionOutcome, TurnError>,
    ) -> Result<SessionOutcome, TurnError> {
        let secrets = self.vault.secrets();
        outcome
            .map(|mut outcome| {
                outcome.stderr_tail = outcome.stderr_tail.map(|tail| text(tail, &secrets));
                outcome
            })
            .map_err(|error| turn_error(error, &secrets))
    }

    /// What was left running, without secrets on its command line.
    pub(crate) fn survivors(&self, survivors: Vec<Survivor>) -> Vec<Survivor> {
        let secrets = self.vault.secrets();
        let redacted = survivors
            .into_iter()
            .map(|survivor| Survivor { command: text(survivor.command, &secrets), ..survivor });
        redacted.collect()
    }

    /// What does not wait any longer when this event comes.
    fn before(&mut self, event: &Event, secrets: &Secrets) -> Vec<Report> {
        match event {
            Event::TextDone { block, .. } => self.whole(&Stream::Text(*block), secrets),
            Event::ThinkingDone { block, .. } => self.whole(&Stream::Thinking(*block), secrets),
            Event::ToolCallDone { tool_call_id, .. } => {
                self.whole(&Stream::Arguments(tool_call_id.clone()), secrets)
            }
            Event::TurnEnded(_) | Event::WokenEnded(_) => self.release(|_| true, Last::Broken, secrets),
            Event::Retrying { discarded_blocks, .. } => {
                let is_discarded = |stream: &Stream| match stream {
                    Stream::Text(block) | Stream::Thinking(block) => discarded_blocks.contains(block),
                    Stream::Arguments(_) => true,
                };
                self.release(is_discarded, Last::Broken, secrets)
            }
            Event::TextDelta { .. } | Event::ThinkingDelta { .. } | Event::ToolCallDelta { .. }
                if self.ends.len() > MAX_ENDS =>
            {
                let oldest = self.ends[0].0.clone();
                self.release(|stream| *stream == oldest, Last::Broken, secrets)
            }
            Event::TextDelta { .. }
            | Event::ThinkingDelta { .. }
            | Event::ToolCallDelta { .. }
            | Event::InputTaken { .. }
            | Event::TurnStarted
            | Event::ToolCallStarted { .. }
            | Event::ToolResult { .. }
            | Event::Usage(_)
            | Event::RateLimited { .. }
            | Event::Environment(_)
            | Event::Diagnostic { .. }
            | Event::Background { .. }
            | Event::Alive => Vec::new(),
        }
    }

    fn whole(&mut self, done: &Stream, secrets: &Secrets) -> Vec<Report> {
        self.release(|stream| stream == done, Last::Whole, secrets)
    }

    fn release(&mut self, is_over: impl Fn(&Stream) -> bool, last: Last, secrets: &Secrets) -> Vec<Report> {
        let released = self.ends.extract_if(.., |(stream, _)| is_over(stream));
        let said = released.map(|(stream, end)| {
            let end = match last {
                Last::Whole => text(end, secrets),
                Last::Broken => String::from_utf8_lossy(&secrets.redact_broken(end.as_bytes())).into_owned(),
            };
            Report::Event(stream.piece(end))
        });
        said.collect()
    }

    /// The event without secrets; a piece without what waits.
    fn event(&mut self, event: Event, secrets: &Secrets) -> Event {
        let text = |said| text(said, secrets);
        match event {
            Event::TextDelta { block, text } => self.piece(Stream::Text(block), text, secrets),
            Event::ThinkingDelta { block, text } => self.piece(Stream::Thinking(block), text, secrets),
            Event::ToolCallDelta { tool_call_id, arguments } => {
                self.piece(Stream::Arguments(tool_call_id), arguments, secrets)
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

    /// What of a stream is certain to hold no secret.
    fn piece(&mut self, stream: Stream, piece: String, secrets: &Secrets) -> Event {
        let waited = self.ends.iter().position(|(known, _)| *known == stream);
        let said = match waited.map(|place| self.ends.remove(place)) {
            Some((_, end)) => end + &piece,
            None => piece,
        };
        let (certain, end) = split(said, secrets);
        if !end.is_empty() {
            self.ends.push((stream.clone(), end));
        }
        // The session lives, though nothing can be said of it yet.
        if certain.is_empty() { Event::Alive } else { stream.piece(certain) }
    }
}

impl Stream {
    fn piece(self, said: String) -> Event {
        match self {
            Self::Text(block) => Event::TextDelta { block, text: said },
            Self::Thinking(block) => Event::ThinkingDelta { block, text: said },
            Self::Arguments(tool_call_id) => Event::ToolCallDelta { tool_call_id, arguments: said },
        }
    }
}

/// What can be said of a beginning without secrets, and its end which may begin one: together they are what would be said
/// of the whole.
fn split(said: String, secrets: &Secrets) -> (String, String) {
    let bytes = said.as_bytes();
    if secrets.open_end(bytes) == bytes.len() && secrets.find(bytes).is_none() {
        return (said, String::new());
    }
    let (mut certain, mut rest) = (Vec::new(), bytes);
    loop {
        let open = secrets.open_end(rest);
        match secrets.find(rest) {
            Some(Found { place, name }) if place.start < open => {
                certain.extend_from_slice(&rest[..place.start]);
                certain.extend_from_slice(name.as_bytes());
                rest = &rest[place.end..];
            }
            // It may be the beginning of a longer one.
            Some(_) | None => {
                certain.extend_from_slice(&rest[..open]);
                rest = &rest[open..];
                break;
            }
        }
    }
    // A secret that is no UTF-8 may begin or end in the middle of a letter.
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&certain), text(rest))
}

fn text(said: String, secrets: &Secrets) -> String {
    secrets.redact_text(&said).unwrap_or(said)
}

/// JSON of somebody else's, whose names are words like others.
fn value(value: Value, secrets: &Secrets) -> Value {
    texts(value, secrets, &|name| text(name, secrets))
}

/// All the texts in JSON, with names that are what is made of them.
fn texts(value: Value, secrets: &Secrets, name: &dyn Fn(String) -> String) -> Value {
    match value {
        Value::String(said) => Value::String(text(said, secrets)),
        Value::Array(items) => items.into_iter().map(|item| texts(item, secrets, name)).collect(),
        Value::Object(fields) => {
            fields.into_iter().map(|(key, item)| (name(key), texts(item, secrets, name))).collect()
        }
        plain @ (Value::Null | Value::Bool(_) | Value::Number(_)) => plain,
    }
}

/// All the texts in something of the wire, whose names are ours, also where a secret is one of them.
fn any<T: Serialize + DeserializeOwned>(said: T, secrets: &Secrets) -> T {
    let said = serde_json::to_value(&said).expect("it is of the wire");
    let redacted = texts(said, secrets, &|name| name);
    serde_json::from_value(redacted).expect("its texts may be any")
}

fn approval(request: ApprovalRequest, secrets: &Secrets) -> ApprovalRequest {
    let ApprovalRequest { tool_call_id, kind, tool, input, questions, suggestions } = request;
    ApprovalRequest {
        tool_call_id,
        kind,
        tool: text(tool, secrets),
        input: value(input, secrets),
        questions: any(questions, secrets),
        suggestions: suggestions.into_iter().map(|suggestion| value(suggestion, secrets)).collect(),
    }
}

fn turn_end(end: TurnEnd, secrets: &Secrets) -> TurnEnd {
    match end {
        TurnEnd::Failed(error) => TurnEnd::Failed(turn_error(error, secrets)),
        TurnEnd::Refused { vendor_stop_reason, message } => {
            TurnEnd::Refused { vendor_stop_reason, message: text(message, secrets) }
        }
        end @ (TurnEnd::Completed { .. } | TurnEnd::Interrupted) => end,
    }
}

fn turn_error(error: TurnError, secrets: &Secrets) -> TurnError {
    TurnError { message: text(error.message, secrets), ..error }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const KEY: &str = "sk-canary-0123456789";
    const NAME: &str = "[redacted:A_KEY]";

    fn redaction() -> Redaction {
        let vault = Vault::default();
        vault.hide("A_KEY", KEY.as_bytes());
        Redaction::new(Arc::new(vault))
    }

    fn events(reports: Vec<Report>) -> Vec<Event> {
        let event = |report| {
            let Report::Event(event) = report else { panic!("{report:?}") };
            event
        };
        reports.into_iter().map(event).collect()
    }

    fn delta(text: &str) -> Event {
        Event::TextDelta { block: 0, text: text.to_owned() }
    }

    #[test]
    fn a_secret_cut_anywhere_is_found_and_nothing_else_is_changed() {
        let said = format!("the key is {KEY}, sk-can and sk-canary-{KEY} and sk-");
        let expected = format!("the key is {NAME}, sk-can and sk-canary-{NAME} and sk-");
        for first in 0..said.len() {
            for second in first..said.len() {
                let mut redaction = redaction();
                let mut got = String::new();
                let pieces = [&said[..first], &said[first..second], &said[second..]];
                let done = Event::TextDone { block: 0, text: said.clone() };
                for event in pieces.into_iter().map(delta).chain([done]) {
                    for event in events(redaction.take(Report::Event(event))) {
                        if let Event::TextDelta { text, .. } = event {
                            got += &text;
                        } else if let Event::TextDone { text, .. } = event {
                            assert_eq!(text, expected);
                        } else {
                            assert_eq!(event, Event::Alive);
                        }
                    }
                }
                assert_eq!(got, expected, "cut at {first} and {second}");
            }
        }
    }

    #[test]
    fn what_comes_between_two_pieces_does_not_hide_a_secret() {
        let mut redaction = redaction();
        let other = Event::ThinkingDelta { block: 1, text: "hm".to_owned() };
        let reports = [delta("sk-canary"), other.clone(), Event::Alive, delta("-0123456789!")];
        let got: Vec<_> =
            reports.into_iter().flat_map(|event| redaction.take(Report::Event(event))).collect();
        assert_eq!(events(got), [Event::Alive, other, Event::Alive, delta(&format!("{NAME}!"))]);
    }

    #[test]
    fn a_stream_that_breaks_off_in_a_secret_does_not_show_its_beginning() {
        for last in [Event::TurnEnded(TurnEnd::Interrupted), Event::WokenEnded(TurnEnd::Interrupted)] {
            let mut redaction = redaction();
            assert_eq!(
                events(redaction.take(Report::Event(delta("it is sk-canary-01234")))),
                [delta("it is ")]
            );
            let got = events(redaction.take(Report::Event(last.clone())));
            assert_eq!(got, [delta(NAME), last]);
        }
        let mut redaction = redaction();
        drop(redaction.take(Report::Event(delta("sk-"))));
        assert_eq!(events(redaction.finish()), [delta("sk-")]);
        assert_eq!(events(redaction.finish()), []);
    }

    #[test]
    fn more_streams_than_a_model_has_take_no_more_memory() {
        let mut redaction = redaction();
        for block in 0..1000 {
            drop(redaction.take(Report::Event(Event::TextDelta { block, text: "sk-canary".to_owned() })));
        }
        assert!(redaction.ends.len() <= MAX_ENDS + 1);
    }

    #[test]
    fn a_secret_that_is_a_name_of_ours_changes_no_name() {
        let vault = Vault::default();
        vault.hide("A_KEY", b"settings");
        let mut redaction = Redaction::new(Arc::new(vault));
        let environment = json!({
            "tools": ["settings"], "mcp_servers": [{"name": "settings", "state": "connected"}],
            "settings_sources": ["user"], "env_keys": [], "sandbox": "none",
        });
        let environment = serde_json::from_value(environment).unwrap();
        let shown = events(redaction.take(Report::Event(Event::Environment(environment))));
        let [Event::Environment(shown)] = &shown[..] else { panic!("{shown:?}") };
        let expected = json!({
            "tools": [NAME], "mcp_servers": [{"name": NAME, "state": "connected"}],
            "settings_sources": ["user"], "env_keys": [], "sandbox": "none",
        });
        assert_eq!(serde_json::to_value(shown).unwrap(), expected);
    }

    #[test]
    fn every_text_of_a_report_is_looked_at() {
        let said = || format!("x {KEY} y");
        let id = || "call".parse::<ToolCallId>().unwrap();
        let error = || TurnError { code: "c".to_owned(), message: said() };
        let output = ToolOutput { content: said(), whole: Some(said()), is_error: false, diff: Some(said()) };
        let reports = [
            Event::TextDone { block: 0, text: said() },
            Event::ThinkingDone { block: 0, text: said() },
            Event::ToolCallStarted { tool_call_id: id(), name: said() },
            Event::ToolCallDone {
                tool_call_id: id(),
                name: said(),
                input: json!({ said(): [said(), {"a": said()}] }),
            },
            Event::ToolResult { tool_call_id: id(), output },
            Event::RateLimited { scope: said(), reset_at: None },
            Event::Retrying {
                attempt: 1,
                max_attempts: 2,
                delay_ms: 3,
                reason: said(),
                discarded_blocks: Vec::new(),
            },
            Event::Diagnostic { code: "c".to_owned(), message: said() },
            Event::TurnEnded(TurnEnd::Failed(error())),
            Event::WokenEnded(TurnEnd::Refused { vendor_stop_reason: None, message: said() }),
        ];
        let mut redaction = redaction();
        for event in reports {
            let shown = format!("{:?}", redaction.take(Report::Event(event)));
            assert!(!shown.contains(KEY) && shown.contains(NAME), "{shown}");
        }
        let stderr = SessionOutcome { stderr_tail: Some(said()), ..SessionOutcome::crashed() };
        let survivor = Survivor { pid: 1, command: said() };
        let shown = format!(
            "{:?} {:?} {:?}",
            redaction.outcome(Ok(stderr)),
            redaction.outcome(Err(error())),
            redaction.survivors(vec![survivor])
        );
        assert_eq!((shown.contains(KEY), shown.matches(NAME).count()), (false, 3), "{shown}");
    }
}
