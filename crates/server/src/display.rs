//! What a person sees of a worker: its events as text, harmless to the terminal.

use std::fmt::Write as _;

use musher_protocol::{BlobRef, Decision, Envelope, Outcome, Payload, TurnOutcome, Usage};

/// How much of a tool's input and result is shown; the log has all of it.
const PREVIEW_LINES: usize = 8;
const PREVIEW_CHARS: usize = 800;
/// How much of a change is shown: a hunk or two, which somebody can follow while the worker goes on.
const DIFF_LINES: usize = 40;
const DIFF_CHARS: usize = 4000;

/// Turns events into text, in the order in which they come.
#[derive(Clone, Debug, Default)]
pub(crate) struct Display {
    shows_thoughts: bool,
    /// A thought stands on the line that has not ended.
    in_thought: bool,
    /// Deltas of the thought that is under way were shown.
    thought_streamed: bool,
    /// The cursor stands behind text of the model that did not end its line.
    mid_line: bool,
    /// Deltas of the text that is under way were shown.
    streamed: bool,
}

impl Display {
    /// The same, with what a model thinks.
    pub(crate) fn with_thoughts(self) -> Self {
        Self { shows_thoughts: true, ..self }
    }

    /// The text of an event; empty when a person need not see it.
    pub(crate) fn show(&mut self, event: &Envelope) -> String {
        match &event.payload {
            Payload::WorkerCreated(created) => self.line(&format!(
                "worker {} · profile {} · {}",
                event.worker_id, created.profile, created.backend
            )),
            Payload::UserMessage { content, .. } => self.line(&format!("> {content}")),
            Payload::SystemItem { content, .. } => self.line(&format!("system: {content}")),
            Payload::TextDelta { text, .. } => {
                self.streamed = true;
                let room = if self.in_thought { self.end_line() } else { String::new() };
                room + &self.text(text)
            }
            Payload::TextDone { text, .. } => {
                let all = if std::mem::take(&mut self.streamed) { String::new() } else { self.text(text) };
                all + &self.end_line()
            }
            Payload::ThinkingDelta { text, .. } if self.shows_thoughts => {
                self.thought_streamed = true;
                self.thought(text)
            }
            Payload::ThinkingDone { text, .. } if self.shows_thoughts => {
                // Its end may be told behind the words that it led to.
                if std::mem::take(&mut self.thought_streamed) {
                    return if self.in_thought { self.end_line() } else { String::new() };
                }
                self.thought(text) + &self.end_line()
            }
            Payload::ToolCallDone { name, input, .. } => {
                self.line(&format!("* {name} {}", preview(&input.to_string())))
            }
            Payload::ToolResult { tool_call_id: _, content, blob, is_error, diff, diff_blob } => {
                let mark = if *is_error { "! " } else { "  " };
                let said = some_of(content, *blob, PREVIEW_LINES, PREVIEW_CHARS);
                let result = self.line(&indent(&said, mark));
                let diff = diff.iter().map(|diff| some_of(diff, *diff_blob, DIFF_LINES, DIFF_CHARS));
                diff.fold(result, |shown, diff| shown + &self.line(&indent(&diff, "  ")))
            }
            Payload::ApprovalResolved { decision, message, by, .. } => match decision {
                Decision::Allow => String::new(),
                Decision::Deny | Decision::Expired | Decision::Withdrawn | Decision::Unknown => {
                    let why = message.as_deref().unwrap_or("no reason given");
                    self.line(&format!("! not allowed by the {}: {why}", by.token))
                }
            },
            Payload::Retrying(retrying) => self.line(&format!(
                "~ attempt {} of {}: {}",
                retrying.attempt, retrying.max_attempts, retrying.reason
            )),
            Payload::RateLimited { scope, reset_at } => {
                let until =
                    reset_at.map_or_else(|| "until nobody knows when".to_owned(), |at| format!("until {at}"));
                self.line(&format!("~ rate limit `{scope}` {until}"))
            }
            Payload::LimitReached { which } => self.line(&format!("! limit reached: {}", word(which))),
            Payload::Diagnostic { code, message } | Payload::Error { code, message } => {
                self.line(&format!("- {code}: {message}"))
            }
            Payload::SessionEnded(ended) => ended.survivors.iter().fold(String::new(), |all, left| {
                all + &self.line(&format!("! process {} ({}) could not be ended", left.pid, left.command))
            }),
            Payload::TurnFinished(finished) => finished
                .error
                .as_ref()
                .map_or_else(String::new, |error| self.line(&format!("! {}: {}", error.code, error.message))),
            Payload::Snapshot(_)
            | Payload::InputAccepted { .. }
            | Payload::InputDelivered { .. }
            | Payload::InputTaken { .. }
            | Payload::InputDropped { .. }
            | Payload::InterruptRequested(_)
            | Payload::StopRequested(_)
            | Payload::CancelRequested(_)
            | Payload::SessionStarted(_)
            | Payload::SessionEnvironment(_)
            | Payload::TurnStarted { .. }
            | Payload::ThinkingDelta { .. }
            | Payload::ThinkingDone { .. }
            | Payload::ToolCallStarted { .. }
            | Payload::ToolCallDelta { .. }
            | Payload::ApprovalRequested(_)
            | Payload::Usage { .. }
            | Payload::LimitsRaised { .. }
            | Payload::Status { .. }
            | Payload::WorkerStopped(_)
            | Payload::WorkerCancelled(_)
            | Payload::Unknown => String::new(),
        }
    }

    /// Whether text of the model stands on a line that has not ended.
    pub(crate) fn is_mid_line(&self) -> bool {
        self.mid_line
    }

    fn thought(&mut self, text: &str) -> String {
        let mark = if self.in_thought { String::new() } else { self.end_line() + "thinks: " };
        self.in_thought = true;
        mark + &self.text(text)
    }

    fn text(&mut self, text: &str) -> String {
        let shown = harmless(text);
        if let Some(last) = shown.chars().last() {
            self.mid_line = last != '\n';
        }
        shown
    }

    fn line(&mut self, text: &str) -> String {
        self.end_line() + &harmless(text) + "\n"
    }

    /// What ends the line that text of the model stands on.
    pub(crate) fn end_line(&mut self) -> String {
        self.in_thought = false;
        if std::mem::take(&mut self.mid_line) { "\n".to_owned() } else { String::new() }
    }
}

/// How a worker ended, in one line.
pub(crate) fn ending(outcome: &Outcome) -> String {
    let how = match outcome.outcome {
        TurnOutcome::Completed => "done",
        TurnOutcome::Interrupted => "interrupted",
        TurnOutcome::Failed => "failed",
        TurnOutcome::Refused => "refused by the model",
        TurnOutcome::LimitReached => "a limit was reached",
        TurnOutcome::Unknown => "ended in a way that this version does not know",
    };
    format!("{how}{}", cost(&outcome.usage))
}

fn cost(usage: &Usage) -> String {
    let mut text = String::new();
    if let (Some(input), Some(output)) = (usage.input_tokens, usage.output_tokens)
        && input + output > 0
    {
        write!(text, " · {input} tokens in, {output} out").expect("a string takes every write");
    }
    if let Some(dollars) = usage.total_cost_usd.filter(|dollars| *dollars > 0.0) {
        write!(text, " · ${dollars:.4}").expect("a string takes every write");
    }
    text
}

/// What comes from workers is data: control characters and characters that reorder a line are shown, not sent.
pub(crate) fn harmless(text: &str) -> String {
    text.chars()
        .map(|char| match char {
            '\n' | '\t' => char,
            '\0'..='\x1f' => char::from_u32(0x2400 + u32::from(char)).unwrap_or('\u{fffd}'),
            '\x7f' => '\u{2421}',
            '\u{80}'..='\u{9f}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}' => '\u{fffd}',
            _ => char,
        })
        .collect()
}

/// The beginning of a text.
fn preview(text: &str) -> String {
    beginning(text, PREVIEW_LINES, PREVIEW_CHARS)
}

/// So much of a text, and how much is left out.
pub(crate) fn beginning(text: &str, max_lines: usize, max_chars: usize) -> String {
    some_of(text, None, max_lines, max_chars)
}

/// The same of a text that is a part of this body, where there is one.
fn some_of(text: &str, whole: Option<BlobRef>, max_lines: usize, max_chars: usize) -> String {
    let lines: Vec<_> = text.lines().collect();
    let shown: String = lines[..lines.len().min(max_lines)].join("\n").chars().take(max_chars).collect();
    let all = whole.map_or(text.trim_end().len() as u64, |whole| whole.bytes);
    let more = all.saturating_sub(shown.len() as u64);
    if more > 0 { format!("{shown} … {more} bytes more") } else { shown }
}

pub(crate) fn indent(text: &str, mark: &str) -> String {
    text.lines().map(|line| format!("{mark}{line}")).collect::<Vec<_>>().join("\n")
}

fn word(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_is_shown_instead() {
        let cases = [
            ("plain\ttext\n", "plain\ttext\n"),
            ("\u{1b}[31mred\u{1b}[0m", "␛[31mred␛[0m"),
            ("\u{1b}]52;c;ZXZpbA==\u{7}", "␛]52;c;ZXZpbA==␇"),
            ("over\rwritten", "over␍written"),
            ("\u{9b}2J", "\u{fffd}2J"),
            ("abc\u{202e}fed", "abc\u{fffd}fed"),
            ("é 世界 👩‍👩‍👧‍👦", "é 世界 👩‍👩‍👧‍👦"),
        ];
        for (text, expected) in cases {
            assert_eq!(harmless(text), expected);
        }
    }

    fn shown(payload: Payload) -> String {
        Display::default().show(&envelope(payload))
    }

    fn envelope(payload: Payload) -> Envelope {
        let worker_id: musher_protocol::WorkerId = "wrk_1".parse().unwrap();
        let cursor = musher_protocol::Cursor::new(&worker_id, 1, 0);
        let (event_id, at) = ("evt_1".parse().unwrap(), "2026-01-01T00:00:00Z".parse().unwrap());
        Envelope { cursor, seq: 1, event_id, worker_id, at, payload }
    }

    #[test]
    fn thoughts_are_lines_of_their_own_where_somebody_wants_them() {
        let event = |kind: &str, text: &str| {
            let payload = serde_json::json!({"type": kind, "turn_id": "trn_1", "block": 0, "text": text});
            envelope(serde_json::from_value(payload).unwrap())
        };
        let events = [
            event("thinking_delta", "hm, "),
            event("thinking_delta", "well"),
            event("text_delta", "so "),
            event("thinking_done", "hm, well"),
            event("text_delta", "be it"),
            event("text_done", "so be it"),
            event("thinking_done", "at once"),
            event("thinking_delta", "more"),
            event("thinking_done", "more"),
            event("text_done", "over"),
        ];
        let shown = |display: Display| {
            let mut display = display;
            events.iter().map(|event| display.show(event)).collect::<String>()
        };
        assert_eq!(shown(Display::default()), "so be it\nover\n");
        assert_eq!(
            shown(Display::default().with_thoughts()),
            "thinks: hm, well\nso be it\nthinks: at once\nthinks: more\nover\n"
        );
    }

    #[test]
    fn what_a_tool_changed_stands_behind_what_it_said() {
        let result = |content: &str, is_error, diff: &str, diff_bytes: Option<u64>| {
            let digest = musher_protocol::Digest([0; 32]);
            shown(Payload::ToolResult {
                tool_call_id: "c".parse().unwrap(),
                content: content.to_owned(),
                blob: None,
                is_error,
                diff: Some(diff.to_owned()).filter(|diff| !diff.is_empty()),
                diff_blob: diff_bytes.map(|bytes| BlobRef { digest, bytes }),
            })
        };
        let diff = "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+\u{1b}[31mb\n";
        assert_eq!(
            result("changed x", false, diff, None),
            "  changed x\n  --- a/x\n  +++ b/x\n  @@ -1 +1 @@\n  -a\n  +␛[31mb\n"
        );
        assert_eq!(result("a\nb", true, "", None), "! a\n! b\n");
        let long = (0..100).map(|line| format!("+{line:02}\n")).collect::<String>();
        for (whole, more) in [(None, 240), (Some(100_000), 99_841)] {
            let shown = result("x", false, &long, whole);
            assert!(shown.ends_with(&format!("  +38\n  +39 … {more} bytes more\n")), "{shown}");
            assert_eq!(shown.lines().count(), 1 + DIFF_LINES);
        }
    }

    #[test]
    fn a_long_text_says_how_much_is_left_out() {
        assert_eq!(preview("a\nb\n"), "a\nb");
        assert_eq!(preview(&"x".repeat(900)), format!("{} … 100 bytes more", "x".repeat(800)));
        assert_eq!(preview("1\n2\n3\n4\n5\n6\n7\n8\n9\n10"), "1\n2\n3\n4\n5\n6\n7\n8 … 5 bytes more");
    }
}
