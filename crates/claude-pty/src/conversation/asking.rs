//! Questions whether a tool may run.

use std::collections::{BTreeMap, BTreeSet};

use musher_backend::{ApprovalRequest, Verdict};
use musher_protocol::{ApprovalKind, Question, QuestionOption};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::speech::call_id;
use crate::{
    say::{self, Said},
    wire::Ask,
};

/// More questions, or suggestions, than a person reads at once; the program asks at most four.
const MAX_ASIDE: usize = 16;
/// The most that questions and suggestions have together, as JSON: they are in the log, in the worker's row and in
/// every list of approvals, where something larger would be heavy for everybody.
const MAX_ASIDE_BYTES: usize = 64 << 10;

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
        let mut room = MAX_ASIDE_BYTES;
        let questions = if kind == ApprovalKind::Question { questions(&input) } else { Vec::new() };
        let questions = within(questions, &mut room);
        let suggestions = within(suggestions, &mut room);
        let tool_call_id = tool_use_id.as_deref().map(call_id);
        let request = ApprovalRequest { tool_call_id, kind, tool, input, questions, suggestions };
        self.open.insert(request_id.to_owned(), Open { request: request.clone(), asker });
        request
    }

    /// What an open question asks.
    pub(super) fn request(&self, request_id: &str) -> Option<&ApprovalRequest> {
        self.open.get(request_id).map(|open| &open.request)
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

/// The first of these that fit; what is left out is no reason not to ask.
fn within<T: Serialize>(all: Vec<T>, room: &mut usize) -> Vec<T> {
    let fits = |one: &T| {
        let n_bytes = serde_json::to_vec(one).expect("it came as JSON").len();
        let left = room.checked_sub(n_bytes);
        *room = left.unwrap_or(0);
        left.is_some()
    };
    all.into_iter().take(MAX_ASIDE).take_while(fits).collect()
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// How many questions and suggestions of these are kept, and whether the input is.
    fn kept(questions: &[String], suggestions: &[String]) -> (usize, usize) {
        let questions: Vec<_> =
            questions.iter().map(|text| json!({"question": text, "options": []})).collect();
        let input = json!({ "questions": questions });
        let ask = json!({
            "tool_name": "AskUserQuestion", "input": input, "permission_suggestions": suggestions,
        });
        let request = Asking::default().ask("r1", serde_json::from_value(ask).unwrap(), Asker::Turn);
        assert_eq!(request.input, input, "the input is whole in any case");
        (request.questions.len(), request.suggestions.len())
    }

    #[test]
    fn what_stands_beside_the_input_is_bounded() {
        let short = |n: usize| vec!["why?".to_owned(); n];
        let long = |n: usize| vec!["x".repeat(MAX_ASIDE_BYTES / 4); n];
        for (questions, suggestions, expected) in [
            (short(2), short(3), (2, 3)),
            (short(16), short(16), (16, 16)),
            (short(17), short(17), (16, 16)),
            (long(3), long(3), (3, 0)),
            (long(5), short(1), (3, 0)),
            (short(1), vec!["x".repeat(MAX_ASIDE_BYTES)], (1, 0)),
        ] {
            assert_eq!(kept(&questions, &suggestions), expected);
        }
    }
}
