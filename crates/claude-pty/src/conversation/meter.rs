//! What a turn cost.
//!
//! The program counts, and says so at each turn's end. New versions say what was used since the end before.
//! Old ones count over the life of the process only, and leave out an answer that was interrupted; that, and
//! all that is known when a process ends in the middle of a turn, is taken from the stream: tokens, no cost.
//!
//! A turn may be long, so the tokens of each answer are told when it is whole. What the turn's end says on top of
//! them is told there, with the cost and the count of thoughts, of which nothing is known before: they follow. A
//! program that ends without a word makes both unknown, and what it produced of an answer that was not whole, of which
//! the stream says the first tokens only.

use std::collections::BTreeMap;

use musher_protocol::{CostSource, Usage};
use serde_json::{Map, Value};

use crate::wire::{MessageUsage, ModelUsage, TurnResult};

/// What has been counted, and what has been told.
#[derive(Debug, Default)]
pub(super) struct Meter {
    /// The program's count over its life, as of the last turn's end.
    counted: Sum,
    /// All tokens up to the last turn's end.
    settled: Tokens,
    /// Those of whole answers since then.
    answers: Tokens,
    /// All tokens that were told, whoever counted them.
    told: Tokens,
    /// Tokens were told whose cost is to follow.
    owes_cost: bool,
    /// Requests to the model since then, by message.
    requests: BTreeMap<String, Request>,
    /// The message that is being streamed.
    current: String,
}

#[derive(Clone, Copy, Debug, Default)]
struct Request {
    usage: MessageUsage,
    answer: Answer,
}

/// How far the answer to a request has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Answer {
    #[default]
    Coming,
    Whole,
    BrokenOff,
}

/// Tokens, each kind apart as the vendor counts them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tokens {
    input: u64,
    output: u64,
    cache_creation: u64,
    cache_read: u64,
}

/// Tokens, those that are thoughts, and dollars.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    tokens: Tokens,
    thinking: Option<u64>,
    cost_usd: Option<f64>,
}

impl Meter {
    /// A request was answered; its answer follows.
    pub(super) fn begin(&mut self, message_id: &str, usage: MessageUsage) {
        message_id.clone_into(&mut self.current);
        self.requests.insert(message_id.to_owned(), Request { usage, answer: Answer::Coming });
    }

    /// The vendor's count of the answer so far.
    pub(super) fn more(&mut self, usage: MessageUsage) {
        if let Some(request) = self.requests.get_mut(&self.current) {
            request.usage.output_tokens = usage.output_tokens.or(request.usage.output_tokens);
        }
    }

    /// The answer is whole.
    pub(super) fn end(&mut self) -> Option<Usage> {
        let request =
            self.requests.get_mut(&self.current).filter(|request| request.answer == Answer::Coming)?;
        request.answer = Answer::Whole;
        let answer = Tokens::of(request.usage);
        self.answered(answer)
    }

    /// The answer broke off. What of it was used, the turn's end says.
    pub(super) fn break_off(&mut self) {
        if let Some(request) = self.requests.get_mut(&self.current) {
            request.answer = Answer::BrokenOff;
        }
    }

    /// A request whose answer came as a whole: a subagent's, or one that was not streamed. The same one may come
    /// several times, and again after it was streamed.
    pub(super) fn whole(&mut self, message_id: &str, usage: MessageUsage) -> Option<Usage> {
        if self.requests.contains_key(message_id) {
            return None;
        }
        self.requests.insert(message_id.to_owned(), Request { usage, answer: Answer::Whole });
        self.answered(Tokens::of(usage))
    }

    /// What was used since the turn's end before, by the result of this one, and was not told yet. Two increments
    /// where only one of them has a known cost.
    pub(super) fn settle(&mut self, result: &TurnResult) -> Vec<Usage> {
        let requests = std::mem::take(&mut self.requests);
        self.answers = Tokens::default();
        let counted = Sum::over(&result.model_usage, result.total_cost_usd);
        let before = std::mem::replace(&mut self.counted, counted);
        let used = match &result.model_usage_since_last_result {
            Some(since) => Sum::over(since, None),
            None => counted.since(before),
        };
        self.settled = self.settled.and(used.tokens);
        let tokens = self.tell(self.settled);
        let mut increments = Vec::new();
        let is_news = used.cost_usd != Some(0.0) || used.thinking.is_some_and(|n| n > 0);
        if std::mem::take(&mut self.owes_cost) || tokens != Tokens::default() || is_news {
            increments.push(increment(tokens, used.thinking, used.cost_usd));
        }
        let is_cut = result.terminal_reason.as_deref() == Some("aborted_streaming");
        if is_cut && result.model_usage_since_last_result.is_none() {
            let cut = streamed(requests.values().filter(|request| request.answer == Answer::Coming));
            self.settled = self.settled.and(cut);
            let tokens = self.tell(self.settled);
            increments.extend((tokens != Tokens::default()).then(|| broken_off(tokens)));
        }
        increments
    }

    /// What is known to have been used when the program ends without saying; without tokens where they were told
    /// and only their cost stays unknown.
    pub(super) fn unsettled(&mut self) -> Option<Usage> {
        let requests = std::mem::take(&mut self.requests);
        self.answers = Tokens::default();
        let used = streamed(requests.values());
        self.settled = self.settled.and(used);
        let tokens = self.tell(self.settled);
        let is_whole = requests.values().all(|request| request.answer == Answer::Whole);
        let increment = |tokens| if is_whole { increment(tokens, None, None) } else { broken_off(tokens) };
        (std::mem::take(&mut self.owes_cost) || used != Tokens::default()).then(|| increment(tokens))
    }

    /// An answer is whole.
    fn answered(&mut self, answer: Tokens) -> Option<Usage> {
        self.answers = self.answers.and(answer);
        let tokens = self.tell(self.settled.and(self.answers));
        let is_news = tokens != Tokens::default();
        self.owes_cost |= is_news;
        is_news.then(|| Usage { cost_follows: true, ..increment(tokens, Some(0), None) })
    }

    /// What is new in all that was used so far. Less than was told is nothing new: it is made up for by what comes.
    fn tell(&mut self, all: Tokens) -> Tokens {
        let new = all.beyond(self.told);
        self.told = self.told.and(new);
        new
    }
}

impl Tokens {
    fn of(usage: MessageUsage) -> Self {
        Self {
            input: usage.input_tokens.unwrap_or_default(),
            output: usage.output_tokens.unwrap_or_default(),
            cache_creation: usage.cache_creation_input_tokens.unwrap_or_default(),
            cache_read: usage.cache_read_input_tokens.unwrap_or_default(),
        }
    }

    fn and(self, more: Self) -> Self {
        self.with(more, u64::saturating_add)
    }

    fn beyond(self, before: Self) -> Self {
        self.with(before, u64::saturating_sub)
    }

    fn with(self, other: Self, each: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            input: each(self.input, other.input),
            output: each(self.output, other.output),
            cache_creation: each(self.cache_creation, other.cache_creation),
            cache_read: each(self.cache_read, other.cache_read),
        }
    }
}

impl Sum {
    /// Over all models: a model may change its name within a session. `cost_usd`: when the sum is told, too.
    fn over(models: &Map<String, Value>, cost_usd: Option<f64>) -> Sum {
        let mut sum = Sum::default();
        let mut cost = Some(0.0);
        for model in models.values() {
            let model: ModelUsage = serde_json::from_value(model.clone()).unwrap_or_default();
            sum.tokens.input = sum.tokens.input.saturating_add(model.input_tokens.unwrap_or_default());
            sum.tokens.output = sum.tokens.output.saturating_add(model.output_tokens.unwrap_or_default());
            sum.tokens.cache_creation = sum
                .tokens
                .cache_creation
                .saturating_add(model.cache_creation_input_tokens.unwrap_or_default());
            sum.tokens.cache_read =
                sum.tokens.cache_read.saturating_add(model.cache_read_input_tokens.unwrap_or_default());
            sum.thinking = model
                .thinking_tokens
                .map(|n| n.saturating_add(sum.thinking.unwrap_or_default()))
                .or(sum.thinking);
            cost = cost.zip(model.cost_usd).map(|(sum, cost)| sum + cost);
        }
        sum.cost_usd = cost_usd.or(cost);
        sum
    }

    /// The difference to an earlier sum; all of it where it is smaller, for then it began anew.
    fn since(self, before: Sum) -> Sum {
        let costs = self.cost_usd.zip(before.cost_usd);
        let is_less = costs.is_some_and(|(now, before)| now < before);
        let began_anew = is_less || before.tokens.beyond(self.tokens) != Tokens::default();
        if began_anew {
            return self;
        }
        Sum {
            tokens: self.tokens.beyond(before.tokens),
            thinking: self.thinking.map(|now| now.saturating_sub(before.thinking.unwrap_or_default())),
            cost_usd: self.cost_usd.map(|now| now - before.cost_usd.unwrap_or_default()),
        }
    }
}

fn increment(tokens: Tokens, thinking: Option<u64>, cost_usd: Option<f64>) -> Usage {
    let Tokens { input, output, cache_creation, cache_read } = tokens;
    Usage {
        input_tokens: Some(input.saturating_add(cache_creation).saturating_add(cache_read)),
        output_tokens: Some(output),
        cache_creation_input_tokens: Some(cache_creation),
        cache_read_input_tokens: Some(cache_read),
        reasoning_tokens: thinking,
        total_cost_usd: cost_usd,
        cost_follows: false,
        known_cost_usd: None,
        cost_source: cost_usd.map(|_known| CostSource::Reported),
        // The program has its own prices and does not say which.
        price_table_version: None,
    }
}

/// What was used when an answer was cut off: of what it had produced nobody says how much.
fn broken_off(tokens: Tokens) -> Usage {
    Usage { output_tokens: None, ..increment(tokens, None, None) }
}

fn streamed<'a>(requests: impl Iterator<Item = &'a Request>) -> Tokens {
    requests.fold(Tokens::default(), |sum, request| sum.and(Tokens::of(request.usage)))
}

#[cfg(test)]
mod tests;
