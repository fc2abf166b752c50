//! What clients were answered about approvals, beside what the log says of them. Pure.

use std::collections::HashMap;

use musher_protocol::{Actor, ApprovalId, Decision, Envelope, Payload, ToolCallId, TurnId, TurnOutcome};
use serde_json::Value;

use super::deed::Choice;
use crate::{Answer, torture::event::Event};

/// The code of what is refused because the turn that asks is being ended.
const TURN_ENDING: &str = "worker_execution_rejected";

/// A decision, and what its client was answered.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Answered {
    pub(super) approval: String,
    pub(super) choice: Choice,
    /// Whom the client named; no other one did.
    pub(super) actor: String,
    pub(super) answer: Answer,
}

/// What became of one decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It decided.
    Made,
    /// It was decided so already.
    Repeated,
    /// It was decided otherwise, or needed no decision any more.
    Refused,
}

/// How the log says that an approval was resolved.
#[derive(Clone, Debug)]
struct Resolved {
    seq: u64,
    decision: Decision,
    message: Option<String>,
    interrupt: bool,
    by: Actor,
}

/// An approval, as the log has it.
#[derive(Debug)]
struct Asked {
    turn: TurnId,
    call: Option<ToolCallId>,
    resolved: Vec<Resolved>,
}

/// All approvals of a log, and what they were about.
#[derive(Debug, Default)]
pub(super) struct Book {
    asked: HashMap<String, Asked>,
    /// Where tools that ran to a good end have their results.
    ran: HashMap<ToolCallId, u64>,
    completed: Vec<TurnId>,
}

impl Answered {
    /// What the server says that it did with the decision.
    pub(super) fn fate(&self) -> Option<Fate> {
        match (self.answer.error(), &self.answer.body["duplicate"]) {
            ((200, _), Value::Bool(true)) => Some(Fate::Repeated),
            ((200, _), Value::Bool(false)) => Some(Fate::Made),
            ((409, "approval_not_pending" | TURN_ENDING), _) => Some(Fate::Refused),
            _ => None,
        }
    }

    /// The approval that the answer shows.
    fn shown(&self) -> &Value {
        let body = &self.answer.body;
        if self.answer.status == 200 { &body["approval"] } else { &body["error"]["approval"] }
    }
}

impl Resolved {
    /// Whether it says what somebody decided, whoever it was.
    fn is(&self, choice: Choice) -> bool {
        let body = choice.body("");
        let decision = if choice == Choice::Allow { Decision::Allow } else { Decision::Deny };
        (self.decision, self.message.as_deref(), self.interrupt)
            == (decision, body["message"].as_str(), body["interrupt"] == true)
    }

    /// Whether a person decided, rather than a rule.
    fn is_made(&self) -> bool {
        self.by.actor.is_some()
    }

    /// Whether an answer shows it.
    fn is_shown_in(&self, approval: &Value) -> bool {
        let told = (&approval["decision"], &approval["message"], &approval["by"]);
        let json = |value: Result<Value, serde_json::Error>| value.expect("it came as JSON");
        let (decision, message, by) = (
            json(serde_json::to_value(self.decision)),
            json(serde_json::to_value(&self.message)),
            json(serde_json::to_value(&self.by)),
        );
        approval["state"] == "resolved" && told == (&decision, &message, &by)
    }
}

impl Book {
    /// Reads a whole log; what is no envelope is for others to complain about.
    pub(super) fn read(events: &[Event]) -> Self {
        let mut book = Self::default();
        for event in events {
            let Ok(Envelope { payload, .. }) = serde_json::from_str(&event.envelope) else { continue };
            book.event(event.seq, payload);
        }
        book
    }

    fn event(&mut self, seq: u64, payload: Payload) {
        if let Payload::ApprovalRequested(approval) = payload {
            let asked = Asked { turn: approval.turn_id, call: approval.tool_call_id, resolved: Vec::new() };
            self.asked.insert(approval.approval_id.to_string(), asked);
        } else if let Payload::ApprovalResolved { approval_id, decision, message, interrupt, by, .. } =
            payload
        {
            self.resolve(&approval_id, Resolved { seq, decision, message, interrupt, by });
        } else if let Payload::ToolResult { tool_call_id, is_error: false, .. } = payload {
            self.ran.insert(tool_call_id, seq);
        } else if let Payload::TurnFinished(finished) = payload
            && finished.outcome == TurnOutcome::Completed
        {
            self.completed.push(finished.turn_id);
        }
    }

    fn resolve(&mut self, approval: &ApprovalId, resolved: Resolved) {
        if let Some(asked) = self.asked.get_mut(approval.as_str()) {
            asked.resolved.push(resolved);
        }
    }

    /// What is wrong with the approvals, whatever anybody was answered, and with what clients were answered.
    pub(super) fn compare(&self, answered: &[Answered]) -> Vec<String> {
        let mut problems = Vec::new();
        for (id, asked) in &self.asked {
            let [resolved] = &asked.resolved[..] else {
                problems.push(format!("{id} is resolved once, not so: {:?}", asked.resolved));
                continue;
            };
            let ran = asked.call.as_ref().and_then(|call| self.ran.get(call));
            if ran.is_some_and(|ran| resolved.decision != Decision::Allow || *ran < resolved.seq) {
                problems.push(format!("the tool of {id} ran, and was not allowed before: {resolved:?}"));
            }
            if resolved.interrupt && self.completed.contains(&asked.turn) {
                problems.push(format!("the denial of {id} ends the turn, and the turn completed"));
            }
            let made = answered.iter().filter(|answered| answered.approval == *id);
            let made = made.filter(|answered| answered.fate() == Some(Fate::Made)).count();
            if made != usize::from(resolved.is_made()) {
                problems.push(format!("{made} clients were told that they decided {id}: {resolved:?}"));
            }
        }
        problems.extend(answered.iter().filter_map(|answered| self.untruth(answered)));
        problems
    }

    /// What is wrong with one answer.
    fn untruth(&self, answered: &Answered) -> Option<String> {
        let asked = self.asked.get(&answered.approval);
        let Some([resolved]) = asked.map(|asked| &asked.resolved[..]) else {
            return Some(format!("this is about an approval that the log resolves: {answered:?}"));
        };
        let (is_same, shown) = (resolved.is(answered.choice), answered.shown());
        let is_own = resolved.by.actor.as_ref() == Some(&answered.actor);
        // In a turn that is being ended nothing is allowed any more, while a denial may still come.
        let is_ending = answered.answer.error().1 == TURN_ENDING;
        let is_too_late = is_ending && answered.choice == Choice::Allow && shown["state"] == "pending";
        let is_shown = resolved.is_shown_in(shown);
        let is_true = match answered.fate() {
            Some(Fate::Made) => is_shown && is_same && is_own,
            Some(Fate::Repeated) => is_shown && is_same && !is_own,
            Some(Fate::Refused) => (if is_ending { is_too_late } else { is_shown }) && !is_same,
            None => false,
        };
        (!is_true).then(|| format!("the log has {resolved:?}, and a client was told {answered:?}"))
    }
}

#[cfg(test)]
mod tests;
