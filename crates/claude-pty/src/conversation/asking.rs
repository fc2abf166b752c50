//! Questions whether a tool may run.

use std::collections::{BTreeMap, BTreeSet};

use musher_backend::{ApprovalRequest, Verdict};
use musher_protocol::{ApprovalKind, Question, QuestionOption};
use serde::Deserialize;
use serde_json::Value;

use super::speech::call_id;
use crate::{
    say::{self, Said},
    wire::Ask,
};

/// The questions that wait for an answer, by the program's own ids: as many as tools wait at once.
#[derive(Debug, Default)]
pub(super) struct Asking {
    /// What the tool would be called with.
    open: BTreeMap<String, Value>,
    /// The calls of the turn of which the log says that they needed leave, by the program's ids.
    known: BTreeSet<String>,
}

impl Asking {
    pub(super) fn ask(&mut self, request_id: &str, ask: Ask) -> ApprovalRequest {
        let Ask { tool_name: tool, input, tool_use_id, permission_suggestions: suggestions } = ask;
        self.open.insert(request_id.to_owned(), input.clone());
        self.known.extend(tool_use_id.clone());
        let kind = match tool.as_str() {
            "AskUserQuestion" => ApprovalKind::Question,
            "ExitPlanMode" => ApprovalKind::Plan,
            _ => ApprovalKind::Tool,
        };
        let questions = if kind == ApprovalKind::Question { questions(&input) } else { Vec::new() };
        let tool_call_id = tool_use_id.as_deref().map(call_id);
        ApprovalRequest { tool_call_id, kind, tool, input, questions, suggestions }
    }

    /// The line that answers; none when the question has lapsed.
    pub(super) fn answer(&mut self, request_id: &str, verdict: Verdict) -> Option<Said> {
        let input = self.open.remove(request_id)?;
        Some(say::decision(request_id, input, verdict))
    }

    /// The question needs no answer any more. Whether it was open.
    pub(super) fn lapse(&mut self, request_id: &str) -> bool {
        self.open.remove(request_id).is_some()
    }

    /// Whether the log does not know yet that this call may not run.
    pub(super) fn is_news(&mut self, tool_use_id: &str) -> bool {
        self.known.insert(tool_use_id.to_owned())
    }

    /// The turn is over: all questions that are open need no answer any more.
    pub(super) fn lapse_all(&mut self) -> impl Iterator<Item = String> + use<> {
        self.known.clear();
        std::mem::take(&mut self.open).into_keys()
    }
}

#[derive(Deserialize)]
struct Questions {
    questions: Vec<WireQuestion>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireQuestion {
    question: String,
    header: Option<String>,
    #[serde(default)]
    options: Vec<WireOption>,
    #[serde(default)]
    multi_select: bool,
}

#[derive(Deserialize)]
struct WireOption {
    label: String,
    description: Option<String>,
}

/// Questions that cannot be read are still in the input, which a person sees, too.
fn questions(input: &Value) -> Vec<Question> {
    let read: Option<Questions> = serde_json::from_value(input.clone()).ok();
    let option = |WireOption { label, description }| QuestionOption { label, description };
    let question = |WireQuestion { question, header, options, multi_select }| Question {
        question,
        header,
        options: options.into_iter().map(option).collect(),
        multi_select,
    };
    read.map_or_else(Vec::new, |read| read.questions.into_iter().map(question).collect())
}
