//! Steps: what a turn consists of.

use std::time::Duration;

use musher_backend::ApprovalRequest;
use musher_protocol::{CostSource, TurnError, Usage};
use serde_json::Value;

use super::{
    approval::approvals,
    place::{Fields, Place},
};
use crate::{ScriptError, ScriptProblem};

/// The longest limits of the vendors reset by the month.
const MAX_RESET_SECS: u64 = 31 * 24 * 60 * 60;

/// One thing that happens in a turn.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Thinking(String),
    Text { text: String, word_delay: Option<Duration> },
    ToolCall(ToolCall),
    Approvals(Vec<ApprovalRequest>),
    Usage(Usage),
    Sleep(Duration),
    RateLimit(RateLimit),
    Fail(TurnError),
    Hang,
    Crash,
}

#[derive(Clone, Debug)]
pub(crate) struct ToolCall {
    pub(crate) name: String,
    pub(crate) input: Value,
    pub(crate) result: String,
    pub(crate) is_error: bool,
    pub(crate) takes: Duration,
}

#[derive(Clone, Debug)]
pub(crate) struct RateLimit {
    pub(crate) scope: String,
    pub(crate) reset_after: Option<Duration>,
}

impl Step {
    /// The tools that the step names.
    pub(super) fn tools(&self) -> Vec<&str> {
        match self {
            Self::ToolCall(call) => vec![&call.name],
            Self::Approvals(requests) => requests.iter().map(|request| request.tool.as_str()).collect(),
            Self::Thinking(_)
            | Self::Text { .. }
            | Self::Usage(_)
            | Self::Sleep(_)
            | Self::RateLimit(_)
            | Self::Fail(_)
            | Self::Hang
            | Self::Crash => Vec::new(),
        }
    }

    pub(super) fn read(place: &Place<'_>) -> Result<Self, ScriptError> {
        let mut fields = place.fields("an object")?;
        let step = Self::read_fields(&mut fields)?;
        // A second step in the same object ends here too: nothing says which of them came first.
        fields.finish()?;
        Ok(step)
    }

    fn read_fields(fields: &mut Fields<'_>) -> Result<Self, ScriptError> {
        if let Some(text) = fields.optional("text") {
            let word_delay = fields.optional_delay("word_delay_ms")?;
            return Ok(Self::Text { text: text.text()?.to_owned(), word_delay });
        }
        if let Some(text) = fields.optional("thinking") {
            return Ok(Self::Thinking(text.text()?.to_owned()));
        }
        if let Some(call) = fields.optional("tool_call") {
            return tool_call(&call).map(Self::ToolCall);
        }
        if let Some(asked) = fields.optional("approval") {
            return approvals(&asked).map(Self::Approvals);
        }
        if let Some(increment) = fields.optional("usage") {
            return usage(&increment).map(Self::Usage);
        }
        if let Some(time) = fields.optional_delay("sleep_ms")? {
            return Ok(Self::Sleep(time));
        }
        if let Some(limit) = fields.optional("rate_limit") {
            return rate_limit(&limit).map(Self::RateLimit);
        }
        if let Some(failure) = fields.optional("fail") {
            return fail(&failure).map(Self::Fail);
        }
        if let Some(said) = fields.optional("hang") {
            return said.only_true().map(|()| Self::Hang);
        }
        if let Some(said) = fields.optional("crash") {
            return said.only_true().map(|()| Self::Crash);
        }
        Err(fields.refuse(ScriptProblem::Expected(
            "a step: one of text, thinking, tool_call, approval, usage, sleep_ms, rate_limit, fail, hang, crash",
        )))
    }
}

fn tool_call(place: &Place<'_>) -> Result<ToolCall, ScriptError> {
    let mut fields = place.fields("an object")?;
    let call = ToolCall {
        name: fields.text("name")?,
        input: fields.required("input")?.value().clone(),
        result: fields.text("result")?,
        is_error: fields.optional_flag("is_error")?,
        takes: fields.optional_delay("takes_ms")?.unwrap_or_default(),
    };
    fields.finish()?;
    Ok(call)
}

fn usage(place: &Place<'_>) -> Result<Usage, ScriptError> {
    let mut fields = place.fields("an object")?;
    let usage = Usage {
        input_tokens: fields.optional_count("input_tokens")?,
        output_tokens: fields.optional_count("output_tokens")?,
        cache_creation_input_tokens: fields.optional_count("cache_creation_input_tokens")?,
        cache_read_input_tokens: fields.optional_count("cache_read_input_tokens")?,
        reasoning_tokens: fields.optional_count("reasoning_tokens")?,
        total_cost_usd: fields.optional("total_cost_usd").map(|cost| cost.number()).transpose()?,
        cost_follows: fields.optional_flag("cost_follows")?,
        // Only a sum has one: it is what is known beside an increment without a cost.
        known_cost_usd: None,
        cost_source: fields.optional("cost_source").map(|source| cost_source(&source)).transpose()?,
        // A script says its costs itself; no table is asked.
        price_table_version: None,
    };
    fields.finish()?;
    Ok(usage)
}

fn cost_source(place: &Place<'_>) -> Result<CostSource, ScriptError> {
    match place.text()? {
        "reported" => Ok(CostSource::Reported),
        "estimated" => Ok(CostSource::Estimated),
        _ => Err(place.refuse(ScriptProblem::Expected("reported or estimated"))),
    }
}

fn rate_limit(place: &Place<'_>) -> Result<RateLimit, ScriptError> {
    let mut fields = place.fields("an object")?;
    let reset_after = match fields.optional("reset_after_secs") {
        Some(secs) => Some(Duration::from_secs(secs.count(MAX_RESET_SECS)?)),
        None => None,
    };
    let scope = fields.optional_text("scope")?.unwrap_or_else(|| "requests".to_owned());
    fields.finish()?;
    Ok(RateLimit { scope, reset_after })
}

fn fail(place: &Place<'_>) -> Result<TurnError, ScriptError> {
    let mut fields = place.fields("an object")?;
    let error = TurnError { code: fields.text("code")?, message: fields.text("message")? };
    fields.finish()?;
    Ok(error)
}
