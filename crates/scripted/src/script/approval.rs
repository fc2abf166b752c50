//! Approvals of a script: what is asked, and how many at once.

use musher_backend::ApprovalRequest;
use musher_protocol::{ApprovalKind, Question, QuestionOption};

use super::place::Place;
use crate::ScriptError;

/// Their decisions must fit a link's queue of commands: a runtime that decides by itself may answer all of
/// them before the last one is asked.
const MAX_APPROVALS_AT_ONCE: u64 = 32;

pub(super) fn approvals(place: &Place<'_>) -> Result<Vec<ApprovalRequest>, ScriptError> {
    if !place.value().is_array() {
        return Ok(vec![approval(place)?]);
    }
    let items = place.items_up_to(MAX_APPROVALS_AT_ONCE)?;
    items.iter().map(approval).collect()
}

fn approval(place: &Place<'_>) -> Result<ApprovalRequest, ScriptError> {
    let mut fields = place.fields("an object or a list of objects")?;
    let tool = fields.text("tool")?;
    let input = fields.required("input")?.value().clone();
    let questions = fields.optional_list("questions", question)?;
    fields.finish()?;
    let kind = if questions.is_empty() { ApprovalKind::Tool } else { ApprovalKind::Question };
    Ok(ApprovalRequest { tool_call_id: None, kind, tool, input, questions, suggestions: Vec::new() })
}

fn question(place: &Place<'_>) -> Result<Question, ScriptError> {
    let mut fields = place.fields("an object")?;
    let question = Question {
        question: fields.text("question")?,
        header: fields.optional_text("header")?,
        options: fields.optional_list("options", question_option)?,
        multi_select: fields.optional_flag("multi_select")?,
    };
    fields.finish()?;
    Ok(question)
}

fn question_option(place: &Place<'_>) -> Result<QuestionOption, ScriptError> {
    let mut fields = place.fields("an object")?;
    let option =
        QuestionOption { label: fields.text("label")?, description: fields.optional_text("description")? };
    fields.finish()?;
    Ok(option)
}
