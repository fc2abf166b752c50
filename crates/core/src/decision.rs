//! Decisions about approvals: which make sense, and which are the same.

use musher_backend::Verdict;
use musher_protocol::{
    Actor, Answers, Approval, ApprovalId, ApprovalKind, ApprovalState, BlobRef, Decision, DecisionRequest,
    Payload, Permission, Remember, bounds::MAX_WORDS_BYTES,
};
use serde_json::Value;

use crate::{body::in_line, error::Error, fold::can_remember, machine::Command};

/// What a denial without a message tells the model.
const DENIED: &str = "it was denied, without a reason";

/// All of a decision but who made it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Ruling {
    decision: Decision,
    message: Option<String>,
    updated_input: Option<Value>,
    answers: Option<Answers>,
    interrupt: bool,
    remember: Option<Remember>,
}

impl Ruling {
    /// What somebody decides, when it makes sense whatever it is about.
    pub(crate) fn of(request: DecisionRequest) -> Result<Self, Error> {
        let DecisionRequest { decision, message, updated_input, answers, interrupt, remember, actor: _ } =
            request;
        if message.as_ref().is_some_and(|message| message.len() > MAX_WORDS_BYTES) {
            return refuse("/message", format!("a message has at most {MAX_WORDS_BYTES} bytes"));
        }
        let ruling = match decision {
            Permission::Allow if interrupt => {
                return refuse("/interrupt", "only a denial ends the turn");
            }
            Permission::Allow if updated_input.is_some() && remember.is_some() => {
                return refuse("/remember", "what was changed for this call cannot be remembered");
            }
            Permission::Allow if updated_input.as_ref().is_some_and(|input| !input.is_object()) => {
                return refuse("/updated_input", "what a tool is called with is an object");
            }
            Permission::Allow => {
                Self { decision: Decision::Allow, message, updated_input, answers, interrupt, remember }
            }
            Permission::Deny if updated_input.is_some() => {
                return refuse("/updated_input", "a denied tool is called with nothing");
            }
            Permission::Deny if answers.is_some() => {
                return refuse("/answers", "answers go with `allow`");
            }
            Permission::Deny if remember.is_some() => {
                return refuse("/remember", "only what is allowed can be remembered");
            }
            Permission::Deny => {
                let message = message.or_else(|| Some(DENIED.to_owned()));
                Self { decision: Decision::Deny, message, updated_input, answers, interrupt, remember }
            }
        };
        Ok(ruling)
    }

    /// Whether it makes sense about this.
    pub(crate) fn check(&self, asked: &Approval) -> Result<(), Error> {
        let allows = self.decision == Decision::Allow;
        match asked.kind {
            ApprovalKind::Question => {
                if self.remember.is_some() {
                    return refuse("/remember", "a question is asked anew each time");
                }
                if allows { self.check_answers(asked) } else { Ok(()) }
            }
            ApprovalKind::Tool | ApprovalKind::Plan | ApprovalKind::Unknown => {
                if self.answers.is_some() {
                    return refuse("/answers", "this approval asks no question");
                }
                if self.remember.is_some() && asked.kind == ApprovalKind::Unknown {
                    return refuse("/remember", "what this approval is about is not known");
                }
                if self.remember.is_some_and(|what| !can_remember(asked, what)) {
                    return refuse(
                        "/remember",
                        "a secret is hidden in it, so another one could not be told from it: decide it each time",
                    );
                }
                Ok(())
            }
        }
    }

    /// Every question has its answers, and every answer its question.
    fn check_answers(&self, asked: &Approval) -> Result<(), Error> {
        let none = Answers::new();
        let answers = self.answers.as_ref().unwrap_or(&none);
        if let Some(unknown) =
            answers.keys().find(|text| !asked.questions.iter().any(|asked| asked.question == **text))
        {
            return refuse("/answers", format!("nobody asked `{unknown}`"));
        }
        for question in &asked.questions {
            let text = &question.question;
            let chosen = answers.get(text).map(Vec::as_slice).unwrap_or_default();
            // All that is offered, and own words.
            let most = if question.multi_select { question.options.len() + 1 } else { 1 };
            if chosen.is_empty() {
                return refuse("/answers", format!("`{text}` has no answer"));
            }
            if chosen.len() > most {
                return refuse("/answers", format!("`{text}` takes at most {most} answers"));
            }
            if chosen.iter().any(|answer| answer.trim().is_empty() || answer.len() > MAX_WORDS_BYTES) {
                let message = format!("an answer to `{text}` has 1 to {MAX_WORDS_BYTES} bytes");
                return refuse("/answers", message);
            }
        }
        Ok(())
    }

    /// What the worker's task is asked to do.
    pub(crate) fn command(&self, approval_id: ApprovalId, by: Actor) -> Command {
        let Self { decision, message, updated_input, answers, interrupt, remember } = self.clone();
        let (verdict, note) = if decision == Decision::Allow {
            // No answers to no questions are nothing to tell.
            let answers = answers.filter(|answers| !answers.is_empty());
            (Verdict::Allow { updated_input, answers }, message)
        } else {
            (Verdict::Deny { message: message.unwrap_or_else(|| DENIED.to_owned()), interrupt }, None)
        };
        Command::Decide { approval_id, verdict, note, remember, by }
    }

    /// Whether this event says the same, value for value.
    pub(crate) fn is(&self, resolved: &Payload) -> bool {
        let Payload::ApprovalResolved {
            approval_id: _,
            decision,
            message,
            updated_input,
            blob,
            answers,
            interrupt,
            remember,
            by: _,
        } = resolved
        else {
            return false;
        };
        let (wanted, wanted_blob): (Option<Value>, Option<BlobRef>) =
            self.updated_input.clone().map_or((None, None), |input| {
                let (input, blob) = in_line(input);
                (Some(input), blob)
            });
        let said = |answers: &Option<Answers>| answers.clone().filter(|answers| !answers.is_empty());
        (self.decision, &self.message, &wanted, &wanted_blob) == (*decision, message, updated_input, blob)
            && said(&self.answers) == said(answers)
            && (self.interrupt, self.remember) == (*interrupt, *remember)
    }
}

/// Whether this event resolves an approval.
pub(crate) fn resolves(event: &Payload, approval: &ApprovalId) -> bool {
    matches!(event, Payload::ApprovalResolved { approval_id, .. } if approval_id == approval)
}

/// An approval as the event that resolves it leaves it.
pub(crate) fn resolved(mut asked: Approval, event: &Payload) -> Approval {
    if let Payload::ApprovalResolved { decision, message, by, .. } = event {
        asked.state = ApprovalState::Resolved;
        (asked.decision, asked.message, asked.by) = (Some(*decision), message.clone(), Some(by.clone()));
    }
    asked
}

fn refuse<T>(field: &'static str, message: impl Into<String>) -> Result<T, Error> {
    Err(Error::InvalidRequest { field, message: message.into() })
}

#[cfg(test)]
mod tests;
