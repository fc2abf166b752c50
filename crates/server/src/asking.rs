//! What a worker asks, put to a person at the terminal. Nothing here reads or writes.

use std::{collections::VecDeque, fmt::Write as _};

use musher_protocol::{
    Answers, Approval, ApprovalId, ApprovalKind, DecisionRequest, Permission, Question, Remember,
};

use crate::display::{beginning, harmless, indent};

/// Whoever allows something should see it; what is longer fills the screen and pushes its beginning off it.
const MAX_LINES: usize = 30;
const MAX_CHARS: usize = 3000;
/// How much of a question and of an option is shown.
const MAX_WORDS: usize = 500;

/// What waits for an answer, the oldest first: as many as a worker may ask at once.
#[derive(Debug, Default)]
pub(crate) struct Asking {
    open: VecDeque<Approval>,
    /// What was answered so far of the first one's questions.
    answers: Answers,
}

impl Asking {
    pub(crate) fn ask(&mut self, approval: Approval) {
        self.open.push_back(approval);
    }

    /// It needs no answer any more. Whether it was the one that a person looks at.
    pub(crate) fn resolve(&mut self, approval_id: &ApprovalId) -> bool {
        let was_first = self.open.front().is_some_and(|first| first.approval_id == *approval_id);
        self.open.retain(|open| open.approval_id != *approval_id);
        if was_first {
            self.answers.clear();
        }
        was_first
    }

    /// Nobody answers any more: what is left.
    pub(crate) fn give_up(&mut self) -> VecDeque<Approval> {
        self.answers.clear();
        std::mem::take(&mut self.open)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// All of the first one, but its prompt.
    pub(crate) fn show(&self) -> String {
        let Some(first) = self.open.front() else { return String::new() };
        let text = match self.question(first) {
            Some(question) => ask_question(question),
            None => ask_permission(first),
        };
        harmless(&text)
    }

    /// The last line of it: from here on somebody may answer.
    pub(crate) fn prompt(&self) -> String {
        let Some(first) = self.open.front() else { return String::new() };
        let text = match (self.question(first), first.kind) {
            (Some(Question { multi_select: true, .. }), _) => {
                "numbers as 1,2 or your own words; 0 for no answer > "
            }
            (Some(_), _) => "a number or your own words; 0 for no answer > ",
            (None, ApprovalKind::Tool | ApprovalKind::Plan) if first.redacted => {
                "y yes · n no · t always this tool · i no, and end the turn > "
            }
            (None, ApprovalKind::Tool | ApprovalKind::Plan) => {
                "y yes · n no · a always with this input · t always this tool · i no, and end the turn > "
            }
            (None, ApprovalKind::Question | ApprovalKind::Unknown) => {
                "y yes · n no · i no, and end the turn > "
            }
        };
        text.to_owned()
    }

    /// Takes a line; a decision when it was the last that was needed. A line that says nothing is asked for again.
    pub(crate) fn hear(&mut self, line: &str) -> Option<(ApprovalId, DecisionRequest)> {
        let line = line.trim();
        let first = self.open.front()?.clone();
        let decision = match self.question(&first) {
            Some(_) if line == "0" => deny(false),
            Some(question) => {
                let chosen = choose(question, line)?;
                self.answers.insert(question.question.clone(), chosen);
                if self.question(&first).is_some() {
                    return None;
                }
                DecisionRequest { answers: Some(self.answers.clone()), ..allow(None) }
            }
            None => permit(&first, line)?,
        };
        Some((first.approval_id, decision))
    }

    /// The first of its questions that has no answer yet.
    fn question<'a>(&self, approval: &'a Approval) -> Option<&'a Question> {
        let is_question = approval.kind == ApprovalKind::Question;
        approval.questions.iter().find(|asked| is_question && !self.answers.contains_key(&asked.question))
    }
}

/// What is said where nobody can be asked.
pub(crate) fn nobody_here(approval: &Approval) -> String {
    let what = match approval.kind {
        ApprovalKind::Question => "a question",
        ApprovalKind::Plan => "a plan",
        ApprovalKind::Tool | ApprovalKind::Unknown => "a tool",
    };
    let tool = harmless(beginning(&approval.tool, 1, MAX_WORDS).as_str());
    let until = approval.deadline_at;
    format!(
        "? {what} (`{tool}`) waits for a decision until {until} and is denied then: nobody can be asked here\n"
    )
}

fn ask_permission(approval: &Approval) -> String {
    let input = serde_json::to_string_pretty(&approval.input).unwrap_or_else(|_no_json| String::new());
    let input = indent(&beginning(&input, MAX_LINES, MAX_CHARS), "    ");
    let tool = beginning(&approval.tool, 1, MAX_WORDS);
    let what = match approval.kind {
        ApprovalKind::Plan => "may this plan be carried out?".to_owned(),
        ApprovalKind::Tool | ApprovalKind::Question | ApprovalKind::Unknown => {
            format!("may `{tool}` run with this?")
        }
    };
    format!("? {what} (denied at {})\n{input}\n", approval.deadline_at)
}

fn ask_question(question: &Question) -> String {
    let header = question.header.as_ref().map_or_else(String::new, |header| format!("{header}: "));
    let mut text = format!("? {}\n", beginning(&(header + &question.question), MAX_LINES, MAX_WORDS));
    for (n, option) in (1..).zip(&question.options) {
        let label = beginning(&option.label, 1, MAX_WORDS);
        let what = option
            .description
            .as_ref()
            .map_or_else(String::new, |what| format!(" · {}", beginning(what, 1, MAX_WORDS)));
        writeln!(text, "    {n} {label}{what}").expect("a string takes every write");
    }
    text
}

/// The labels that the numbers stand for; words that are no numbers are the answer themselves.
fn choose(question: &Question, line: &str) -> Option<Vec<String>> {
    if line.is_empty() {
        return None;
    }
    let numbers: Result<Vec<usize>, _> = line.split(',').map(|part| part.trim().parse()).collect();
    let Ok(numbers) = numbers else { return Some(vec![line.to_owned()]) };
    if numbers.len() > 1 && !question.multi_select {
        return None;
    }
    let label = |n: &usize| Some(question.options.get(n.checked_sub(1)?)?.label.clone());
    let mut labels: Vec<String> = numbers.iter().map(label).collect::<Option<_>>()?;
    let mut seen = std::collections::BTreeSet::new();
    labels.retain(|label| seen.insert(label.clone()));
    Some(labels)
}

fn permit(asked: &Approval, line: &str) -> Option<DecisionRequest> {
    let may_remember = match asked.kind {
        ApprovalKind::Tool | ApprovalKind::Plan => true,
        ApprovalKind::Question | ApprovalKind::Unknown => false,
    };
    Some(match line {
        "y" | "yes" => allow(None),
        "n" | "no" => deny(false),
        "i" => deny(true),
        // Another secret could not be told from the one that is hidden.
        "a" if may_remember && !asked.redacted => allow(Some(Remember::Input)),
        "t" if may_remember => allow(Some(Remember::Tool)),
        _ => return None,
    })
}

pub(crate) fn allow(remember: Option<Remember>) -> DecisionRequest {
    DecisionRequest { remember, ..DecisionRequest::new(Permission::Allow) }
}

fn deny(interrupt: bool) -> DecisionRequest {
    let message = Some("the user at the terminal denied it".to_owned());
    DecisionRequest { message, interrupt, ..DecisionRequest::new(Permission::Deny) }
}

#[cfg(test)]
mod tests;
