//! What work cost: tokens and money.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Tokens and cost of some work. Unknown is null, never 0.
///
/// In a `usage` event it is an increment; everywhere else it is a sum of such increments.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Usage {
    /// Tokens sent to the model, those read from and written to its cache included.
    pub input_tokens: Option<u64>,
    /// Tokens that the model produced, its reasoning included.
    pub output_tokens: Option<u64>,
    /// The part of `input_tokens` that was written to the cache.
    pub cache_creation_input_tokens: Option<u64>,
    /// The part of `input_tokens` that was read from the cache.
    pub cache_read_input_tokens: Option<u64>,
    /// The part of `output_tokens` that was reasoning.
    pub reasoning_tokens: Option<u64>,
    /// US dollars; null as soon as the cost of one increment is unknown.
    pub total_cost_usd: Option<f64>,
    /// Whether the cost is null only because it is told later: the next increment with a cost brings it, and the count of
    /// reasoning tokens. One without either ends the wait, and both are unknown for good.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cost_follows: bool,
    /// US dollars over the increments whose cost is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known_cost_usd: Option<f64>,
    /// Where the cost comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_source: Option<CostSource>,
    /// The version of the price table that an estimated cost was computed with; of a sum over several, the newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price_table_version: Option<String>,
}

/// Where a cost figure comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CostSource {
    /// The backend or provider said so.
    Reported,
    /// Computed from the tokens and a price table.
    Estimated,
    /// A source that this version does not know.
    #[serde(other)]
    Unknown,
}

impl Usage {
    /// The sum over no increments: known to be nothing.
    #[must_use]
    pub fn zero() -> Self {
        Self {
            input_tokens: Some(0),
            output_tokens: Some(0),
            cache_creation_input_tokens: Some(0),
            cache_read_input_tokens: Some(0),
            reasoning_tokens: Some(0),
            total_cost_usd: Some(0.0),
            cost_follows: false,
            known_cost_usd: None,
            cost_source: None,
            price_table_version: None,
        }
    }

    /// Adds an increment. A field that either side does not know is unknown in the sum, except that the
    /// cost known so far stays in `known_cost_usd`, and is the whole again when a cost comes that was to follow.
    pub fn add(&mut self, increment: &Self) {
        let known = self.known_cost_usd.or(self.total_cost_usd).unwrap_or(0.0)
            + increment.known_cost_usd.or(increment.total_cost_usd).unwrap_or(0.0);
        let sum = |a: Option<u64>, b: Option<u64>| Some(a?.saturating_add(b?));
        self.input_tokens = sum(self.input_tokens, increment.input_tokens);
        self.output_tokens = sum(self.output_tokens, increment.output_tokens);
        self.cache_creation_input_tokens =
            sum(self.cache_creation_input_tokens, increment.cache_creation_input_tokens);
        self.cache_read_input_tokens = sum(self.cache_read_input_tokens, increment.cache_read_input_tokens);
        self.reasoning_tokens = sum(self.reasoning_tokens, increment.reasoning_tokens);
        let may_be_known = self.total_cost_usd.is_some() || self.cost_follows;
        self.cost_follows = may_be_known && increment.cost_follows;
        let is_known = may_be_known && increment.total_cost_usd.is_some();
        self.total_cost_usd = is_known.then_some(known);
        self.known_cost_usd = (!is_known).then_some(known);
        self.cost_source = match (self.cost_source, increment.cost_source) {
            (None, source) | (source, None) => source,
            (Some(CostSource::Reported), Some(CostSource::Reported)) => Some(CostSource::Reported),
            (Some(_), Some(_)) => Some(CostSource::Estimated),
        };
        // Versions are days, so that the greater text is the newer table.
        if self.price_table_version < increment.price_table_version {
            self.price_table_version.clone_from(&increment.price_table_version);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn increment(output: Option<u64>, cost: Option<f64>) -> Usage {
        Usage { output_tokens: output, total_cost_usd: cost, ..Usage::zero() }
    }

    #[test]
    fn an_unknown_part_makes_the_sum_unknown_and_keeps_the_known_cost() {
        let mut sum = Usage::zero();
        sum.add(&increment(Some(3), Some(0.5)));
        assert_eq!(sum, increment(Some(3), Some(0.5)));
        sum.add(&increment(None, None));
        assert_eq!(sum, Usage { known_cost_usd: Some(0.5), ..increment(None, None) });
        sum.add(&increment(Some(1), Some(0.25)));
        assert_eq!(sum, Usage { known_cost_usd: Some(0.75), ..increment(None, None) });
    }

    #[test]
    fn a_cost_that_follows_is_unknown_until_it_comes_or_does_not() {
        let follows = || Usage { cost_follows: true, ..increment(Some(1), None) };
        for (increments, expected) in [
            (vec![follows()], "? (0) follows"),
            (vec![increment(Some(1), Some(0.5)), follows()], "? (0.5) follows"),
            (vec![follows(), follows(), increment(Some(1), Some(0.25))], "0.25"),
            (vec![follows(), increment(Some(1), Some(0.25)), follows()], "? (0.25) follows"),
            // Nobody says any more what it was.
            (vec![follows(), increment(Some(0), None)], "? (0)"),
            (vec![increment(Some(1), None), follows()], "? (0)"),
            (vec![follows(), increment(Some(0), None), follows(), increment(Some(1), Some(0.5))], "? (0.5)"),
        ] {
            let mut sum = Usage::zero();
            increments.iter().for_each(|increment| sum.add(increment));
            let known = sum.known_cost_usd.map(|known| format!("? ({known})")).unwrap_or_default();
            let total = sum.total_cost_usd.map(|total| total.to_string()).unwrap_or_default();
            let follows = if sum.cost_follows { " follows" } else { "" };
            assert_eq!(format!("{total}{known}{follows}"), expected, "{increments:?}");
        }
    }

    #[test]
    fn a_sum_names_the_newest_price_table_of_its_parts() {
        let by = |version: Option<&str>| Usage {
            price_table_version: version.map(str::to_owned),
            ..increment(Some(1), Some(0.5))
        };
        let mut sum = Usage::zero();
        let mut seen = Vec::new();
        for version in [None, Some("2026-11-28"), Some("2026-12-01"), Some("2026-11-28"), None] {
            sum.add(&by(version));
            seen.push(sum.price_table_version.clone());
        }
        let expected = [None, Some("2026-11-28"), Some("2026-12-01"), Some("2026-12-01"), Some("2026-12-01")];
        assert_eq!(seen, expected.map(|version| version.map(str::to_owned)));
    }
}
