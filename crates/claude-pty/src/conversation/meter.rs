//! What a turn cost.
//!
//! The program counts, and says so at each turn's end. New versions say what was used since the end before.
//! Old ones count over the life of the process only, and leave out an answer that was interrupted; that, and
//! all that is known when a process ends in the middle of a turn, is taken from the stream: tokens, no cost.

use std::collections::BTreeMap;

use musher_protocol::{CostSource, Usage};
use serde_json::{Map, Value};

use crate::wire::{MessageUsage, ModelUsage, TurnResult};

/// What has been counted, and what has been told.
#[derive(Debug, Default)]
pub(super) struct Meter {
    /// The program's count over its life, as of the last turn's end.
    told: Sum,
    /// Requests to the model since then, by message.
    requests: BTreeMap<String, Request>,
    /// The message that is being streamed.
    current: String,
}

#[derive(Clone, Copy, Debug, Default)]
struct Request {
    usage: MessageUsage,
    is_over: bool,
}

/// Tokens, each kind apart as the vendor counts them, and dollars.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    input: u64,
    output: u64,
    cache_creation: u64,
    cache_read: u64,
    thinking: Option<u64>,
    cost_usd: f64,
}

impl Meter {
    /// A request was answered; its answer follows.
    pub(super) fn begin(&mut self, message_id: &str, usage: MessageUsage) {
        message_id.clone_into(&mut self.current);
        self.requests.insert(message_id.to_owned(), Request { usage, is_over: false });
    }

    /// The vendor's count of the answer so far.
    pub(super) fn more(&mut self, usage: MessageUsage) {
        if let Some(request) = self.requests.get_mut(&self.current) {
            request.usage.output_tokens = usage.output_tokens.or(request.usage.output_tokens);
        }
    }

    /// The answer is whole.
    pub(super) fn end(&mut self) {
        if let Some(request) = self.requests.get_mut(&self.current) {
            request.is_over = true;
        }
    }

    /// A request whose answer came as a whole: a subagent's, or one that was not streamed. The same one may come
    /// several times, and again after it was streamed.
    pub(super) fn whole(&mut self, message_id: &str, usage: MessageUsage) {
        self.requests.entry(message_id.to_owned()).or_insert(Request { usage, is_over: true });
    }

    /// What was used since the turn's end before, by the result of this one. Two increments where only one of
    /// them has a known cost.
    pub(super) fn settle(&mut self, result: &TurnResult) -> Vec<Usage> {
        let requests = std::mem::take(&mut self.requests);
        let counted = Sum::over(&result.model_usage, result.total_cost_usd);
        let told = std::mem::replace(&mut self.told, counted);
        let mut increments = Vec::new();
        match &result.model_usage_since_last_result {
            Some(since) => increments.push(Sum::over(since, None).usage(true)),
            None => {
                increments.push(counted.since(told).usage(true));
                if result.terminal_reason.as_deref() == Some("aborted_streaming") {
                    let cut = requests.values().filter(|request| !request.is_over);
                    increments.push(streamed(cut).usage(false));
                }
            }
        }
        increments.into_iter().flatten().collect()
    }

    /// What is known to have been used when the program ends without saying.
    pub(super) fn unsettled(&mut self) -> Option<Usage> {
        streamed(std::mem::take(&mut self.requests).values()).usage(false)
    }
}

impl Sum {
    /// Over all models: a model may change its name within a session. `cost_usd`: when the sum is told, too.
    fn over(models: &Map<String, Value>, cost_usd: Option<f64>) -> Sum {
        let mut sum = Sum::default();
        let mut cost = 0.0;
        for model in models.values() {
            let model: ModelUsage = serde_json::from_value(model.clone()).unwrap_or_default();
            sum.input += model.input_tokens.unwrap_or_default();
            sum.output += model.output_tokens.unwrap_or_default();
            sum.cache_creation += model.cache_creation_input_tokens.unwrap_or_default();
            sum.cache_read += model.cache_read_input_tokens.unwrap_or_default();
            sum.thinking =
                model.thinking_tokens.map(|n| n + sum.thinking.unwrap_or_default()).or(sum.thinking);
            cost += model.cost_usd.unwrap_or_default();
        }
        sum.cost_usd = cost_usd.unwrap_or(cost);
        sum
    }

    /// The difference to an earlier sum; all of it where it is smaller, for then it began anew.
    fn since(self, before: Sum) -> Sum {
        let tokens = |sum: Sum| [sum.input, sum.output, sum.cache_creation, sum.cache_read];
        let began_anew = self.cost_usd < before.cost_usd
            || tokens(self).into_iter().zip(tokens(before)).any(|(now, then)| now < then);
        if began_anew {
            return self;
        }
        Sum {
            input: self.input - before.input,
            output: self.output - before.output,
            cache_creation: self.cache_creation - before.cache_creation,
            cache_read: self.cache_read - before.cache_read,
            thinking: self.thinking.map(|now| now.saturating_sub(before.thinking.unwrap_or_default())),
            cost_usd: self.cost_usd - before.cost_usd,
        }
    }

    /// An increment; none when nothing was used.
    fn usage(self, has_cost: bool) -> Option<Usage> {
        let input = self.input + self.cache_creation + self.cache_read;
        if input == 0 && self.output == 0 && self.cost_usd == 0.0 {
            return None;
        }
        Some(Usage {
            input_tokens: Some(input),
            output_tokens: Some(self.output),
            cache_creation_input_tokens: Some(self.cache_creation),
            cache_read_input_tokens: Some(self.cache_read),
            reasoning_tokens: self.thinking,
            total_cost_usd: has_cost.then_some(self.cost_usd),
            known_cost_usd: None,
            cost_source: has_cost.then_some(CostSource::Reported),
        })
    }
}

fn streamed<'a>(requests: impl Iterator<Item = &'a Request>) -> Sum {
    requests.fold(Sum::default(), |sum, Request { usage, .. }| Sum {
        input: sum.input + usage.input_tokens.unwrap_or_default(),
        output: sum.output + usage.output_tokens.unwrap_or_default(),
        cache_creation: sum.cache_creation + usage.cache_creation_input_tokens.unwrap_or_default(),
        cache_read: sum.cache_read + usage.cache_read_input_tokens.unwrap_or_default(),
        ..sum
    })
}

#[cfg(test)]
mod tests;
