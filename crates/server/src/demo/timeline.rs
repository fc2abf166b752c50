//! What happened when, from a log.

use musher_protocol::{Actor, Decision, Envelope, Payload, TurnOutcome};

use crate::display::{beginning, harmless};

/// How much of a tool's result is repeated.
const RESULT_CHARS: usize = 80;

/// A line for each event that moved something, with the milliseconds since the first.
pub(super) fn timeline(log: &[Envelope]) -> String {
    let Some(first) = log.first() else { return String::new() };
    let line = |event: &Envelope| {
        let millis = event.at.duration_since(first.at).as_millis();
        Some(format!("{millis:>7} ms  {}\n", harmless(&what(&event.payload)?)))
    };
    log.iter().filter_map(line).collect()
}

/// What an event means, where it moved something.
fn what(payload: &Payload) -> Option<String> {
    Some(match payload {
        Payload::WorkerCreated(_) => "the worker is there, and its input is durable".to_owned(),
        Payload::SessionStarted(_) => "its session begins".to_owned(),
        Payload::InputTaken { .. } => "the model begins to answer".to_owned(),
        Payload::ThinkingDone { text, .. } => format!("it has thought ({} words)", n_words(text)),
        Payload::TextDone { text, .. } => format!("it has spoken ({} words)", n_words(text)),
        Payload::ToolCallDone { name, .. } => format!("it calls {name}"),
        Payload::ApprovalRequested(approval) => format!("{} waits for leave", approval.tool),
        Payload::ApprovalResolved { decision, by, .. } => decided(*decision, by),
        Payload::ToolResult { content, is_error, .. } => {
            let how = if *is_error { "it is told a failure" } else { "it is told the result" };
            format!("{how}: {}", beginning(content.trim_end(), 1, RESULT_CHARS))
        }
        Payload::Retrying(retrying) => format!(
            "the answer breaks off: what it said does not count, attempt {} of {} in {} ms",
            retrying.attempt, retrying.max_attempts, retrying.delay_ms
        ),
        Payload::TurnFinished(finished) => format!("the turn is {}", ended(finished.outcome)),
        Payload::SessionEnded(session) => {
            format!("its session is over, and {} of its processes are left", session.survivors.len())
        }
        Payload::WorkerStopped(_) => "the worker is stopped".to_owned(),
        Payload::WorkerCancelled(_) => "the worker is canceled".to_owned(),
        Payload::Snapshot(_)
        | Payload::InputAccepted { .. }
        | Payload::InputDelivered { .. }
        | Payload::InputDropped { .. }
        | Payload::InterruptRequested(_)
        | Payload::StopRequested(_)
        | Payload::CancelRequested(_)
        | Payload::UserMessage { .. }
        | Payload::SystemItem { .. }
        | Payload::SessionEnvironment(_)
        | Payload::TurnStarted { .. }
        | Payload::TextDelta { .. }
        | Payload::ThinkingDelta { .. }
        | Payload::ToolCallStarted { .. }
        | Payload::ToolCallDelta { .. }
        | Payload::Usage { .. }
        | Payload::RateLimited { .. }
        | Payload::LimitReached { .. }
        | Payload::LimitsRaised { .. }
        | Payload::Status { .. }
        | Payload::Diagnostic { .. }
        | Payload::Error { .. }
        | Payload::Unknown => return None,
    })
}

fn n_words(text: &str) -> usize {
    text.split_whitespace().count()
}

fn decided(decision: Decision, by: &Actor) -> String {
    let who = by.actor.as_deref().unwrap_or(&by.token);
    let how = match decision {
        Decision::Allow => "allowed",
        Decision::Deny => "denied",
        Decision::Expired => return "denied, for nobody decided in time".to_owned(),
        Decision::Withdrawn => return "the question is withdrawn".to_owned(),
        Decision::Unknown => "decided",
    };
    format!("{how} by {who}")
}

fn ended(outcome: TurnOutcome) -> &'static str {
    match outcome {
        TurnOutcome::Completed => "completed",
        TurnOutcome::Interrupted => "interrupted",
        TurnOutcome::Failed => "failed",
        TurnOutcome::Refused => "refused by the model",
        TurnOutcome::LimitReached => "ended by a limit",
        TurnOutcome::Unknown => "over",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::demo::log;

    #[track_caller]
    fn check(payload: Value, expected: &str) {
        let first = json!({"type": "turn_started", "turn_id": "trn_1", "input_ids": [], "cause": "input"});
        assert_eq!(timeline(&log(&[first, payload.clone()])), expected, "{payload}");
    }

    #[test]
    fn what_moved_something_has_a_line_with_its_moment() {
        let text = json!({"type": "text_done", "turn_id": "trn_1", "block": 0, "text": "so be it"});
        check(text, "     10 ms  it has spoken (3 words)\n");
        let delta = json!({"type": "text_delta", "turn_id": "trn_1", "block": 0, "text": "so"});
        check(delta, "");
        let result = |content: &str, is_error: bool| json!({"type": "tool_result", "tool_call_id": "c", "content": content, "is_error": is_error});
        check(result("4\n", false), "     10 ms  it is told the result: 4\n");
        check(result("a\u{1b}[1m\nb", true), "     10 ms  it is told a failure: a␛[1m … 2 bytes more\n");
        let decided = |decision: &str, by: Value| json!({"type": "approval_resolved", "approval_id": "apr_1", "decision": decision, "by": by});
        let person = json!({"token": "demo", "actor": "the person at the terminal"});
        check(decided("deny", person), "     10 ms  denied by the person at the terminal\n");
        check(decided("allow", json!({"token": "remembered"})), "     10 ms  allowed by remembered\n");
        check(
            decided("expired", json!({"token": "deadline"})),
            "     10 ms  denied, for nobody decided in time\n",
        );
        let retrying = json!({"type": "retrying", "turn_id": "trn_1", "attempt": 2, "max_attempts": 6,
            "delay_ms": 231, "reason": "cut", "discarded_blocks": [1]});
        check(
            retrying,
            "     10 ms  the answer breaks off: what it said does not count, attempt 2 of 6 in 231 ms\n",
        );
    }
}
