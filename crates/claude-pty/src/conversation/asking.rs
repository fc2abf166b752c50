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
    open: BTreeMap<String, Open>,
    /// The calls of the turn of which the log says that they needed leave, by the program's ids.
    known: BTreeSet<String>,
}

#[derive(Debug)]
struct Open {
    request: ApprovalRequest,
    asker: Asker,
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asker {
    /// The turn, which needs no answer any more when it is over.
    Turn,
    /// A task in the background, which goes on behind the turn.
    Task,
}

impl Asking {
    pub(super) fn ask(&mut self, request_id: &str, ask: Ask, asker: Asker) -> ApprovalRequest {
        let Ask { tool_name: tool, input, tool_use_id, permission_suggestions: suggestions } = ask;
        self.known.extend(tool_use_id.clone());
        let kind = match tool.as_str() {
            "AskUserQuestion" => ApprovalKind::Question,
            "ExitPlanMode" => ApprovalKind::Plan,
            _ => ApprovalKind::Tool,
        };
        let questions = if kind == ApprovalKind::Question { questions(&input) } else { Vec::new() };
        let tool_call_id = tool_use_id.as_deref().map(call_id);
        let request = ApprovalRequest { tool_call_id, kind, tool, input, questions, suggestions };
        self.open.insert(request_id.to_owned(), Open { request: request.clone(), asker });
        request
    }

    /// The line that answers; none when the question has lapsed.
    pub(super) fn answer(&mut self, request_id: &str, verdict: Verdict) -> Option<Said> {
        let Open { request, .. } = self.open.remove(request_id)?;
        Some(say::decision(request_id, request.input, verdict))
    }

    /// The question needs no answer any more. Whether it was open.
    pub(super) fn lapse(&mut self, request_id: &str) -> bool {
        self.open.remove(request_id).is_some()
    }

    /// Whether the log does not know yet that this call may not run.
    pub(super) fn is_news(&mut self, tool_use_id: &str) -> bool {
        self.known.insert(tool_use_id.to_owned())
    }

    /// The turn is over: its questions need no answer any more. The program gets one all the same, so that nothing
    /// of it waits for ever.
    pub(super) fn lapse_of_turn(&mut self) -> Vec<(String, Said)> {
        let lapsed: Vec<_> = self.open.extract_if(.., |_, open| open.asker == Asker::Turn).collect();
        let calls: Vec<_> = self.of_tasks().filter_map(|(_, request)| request.tool_call_id).collect();
        self.known.retain(|id| calls.contains(&call_id(id)));
        let deny = |(id, open): (String, Open)| {
            let said = say::decision(&id, open.request.input, Verdict::deny("the turn is over"));
            (id, said)
        };
        lapsed.into_iter().map(deny).collect()
    }

    /// The open questions of tasks in the background.
    pub(super) fn of_tasks(&self) -> impl Iterator<Item = (String, ApprovalRequest)> {
        let open = self.open.iter().filter(|(_, open)| open.asker == Asker::Task);
        open.map(|(id, open)| (id.clone(), open.request.clone()))
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
