//! What tokens cost, as far as it is known. A small table, for a guess that is wrong is worse than none.

use musher_protocol::{CostSource, Usage};

use crate::Tokens;

/// The version of the table: the day on which it was taken from the vendors' price lists.
pub const PRICES_VERSION: &str = "2026-11-20";

/// US dollars for a million tokens, and the tokens that a model takes.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Price {
    model: &'static str,
    input: f64,
    cached: f64,
    output: f64,
    window: u64,
}

const fn price(model: &'static str, input: f64, cached: f64, output: f64, window: u64) -> Price {
    Price { model, input, cached, output, window }
}

const PRICES: [Price; 13] = [
    price("gpt-5", 1.25, 0.125, 10.0, 400_000),
    price("gpt-5-mini", 0.25, 0.025, 2.0, 400_000),
    price("gpt-5-nano", 0.05, 0.005, 0.4, 400_000),
    price("gpt-5.1", 1.25, 0.125, 10.0, 400_000),
    price("gpt-4.1", 2.0, 0.5, 8.0, 1_047_576),
    price("gpt-4.1-mini", 0.4, 0.1, 1.6, 1_047_576),
    price("gpt-4.1-nano", 0.1, 0.025, 0.4, 1_047_576),
    price("gpt-4o", 2.5, 1.25, 10.0, 128_000),
    price("gpt-4o-mini", 0.15, 0.075, 0.6, 128_000),
    price("o3", 2.0, 0.5, 8.0, 200_000),
    price("o4-mini", 1.1, 0.275, 4.4, 200_000),
    price("gemini-2.5-flash", 0.3, 0.03, 2.5, 1_048_576),
    price("gemini-2.5-flash-lite", 0.1, 0.01, 0.4, 1_048_576),
];

/// The tokens that a model takes, where that is known.
#[must_use]
pub fn window(model: &str) -> Option<u64> {
    find(model).map(|price| price.window)
}

/// Whether a model's cost can be told, so that a limit on it can hold.
#[must_use]
pub fn is_priced(model: &str) -> bool {
    find(model).is_some()
}

/// What an answer used, with what it cost where that can be told.
pub(crate) fn usage(model: &str, tokens: Option<Tokens>) -> Usage {
    let tokens = tokens.unwrap_or_default();
    let cost = cost(model, &tokens);
    Usage {
        input_tokens: tokens.input,
        output_tokens: tokens.output,
        cache_creation_input_tokens: tokens.cache_write,
        cache_read_input_tokens: tokens.cache_read,
        reasoning_tokens: tokens.reasoning,
        total_cost_usd: cost,
        known_cost_usd: None,
        cost_source: cost.map(|_| CostSource::Estimated),
    }
}

fn cost(model: &str, tokens: &Tokens) -> Option<f64> {
    let price = find(model)?;
    let (input, output) = (tokens.input?, tokens.output?);
    // Without a word of a cache everything is priced as new: an estimate may be too high, not too low.
    let cached = tokens.cache_read.unwrap_or(0).min(input);
    let of = |tokens: u64, price: f64| tokens as f64 * price / 1e6;
    Some(of(input - cached, price.input) + of(cached, price.cached) + of(output, price.output))
}

/// A model by its name, also by that of a dated snapshot, e.g. `gpt-5-2025-08-07`.
fn find(model: &str) -> Option<&'static Price> {
    let is_date = |rest: &str| {
        let rest = rest.strip_prefix('-')?;
        (rest.len() == 10 && rest.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-')).then_some(())
    };
    let matches = |price: &&Price| {
        model.strip_prefix(price.model).is_some_and(|rest| rest.is_empty() || is_date(rest).is_some())
    };
    PRICES.iter().find(matches)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(input: Option<u64>, cache_read: Option<u64>, output: Option<u64>) -> Tokens {
        Tokens { input, output, cache_read, ..Tokens::default() }
    }

    #[test]
    fn a_cost_is_estimated_or_unknown() {
        let million = Some(1_000_000);
        for (model, tokens, expected) in [
            ("gpt-5", tokens(million, Some(0), million), Some(11.25)),
            ("gpt-5-2025-08-07", tokens(million, million, Some(0)), Some(0.125)),
            ("gpt-5-mini", tokens(million, None, Some(0)), Some(0.25)),
            ("gpt-5", tokens(None, None, million), None),
            ("gpt-5-turbo", tokens(million, None, million), None),
            ("llama", tokens(million, None, million), None),
        ] {
            let usage = usage(model, Some(tokens));
            assert_eq!(usage.total_cost_usd, expected, "{model}");
            assert_eq!(usage.cost_source.is_some(), expected.is_some(), "{model}");
        }
        assert_eq!(usage("gpt-5", None), Usage::default());
    }

    #[test]
    fn what_a_model_takes_is_known_with_its_price() {
        assert_eq!((window("gpt-4o-2024-08-06"), window("gpt-4o-audio")), (Some(128_000), None));
        assert!(is_priced("o3") && !is_priced("o3-pro"));
    }
}
