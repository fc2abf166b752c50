//! What tokens cost, as far as it is known. A small table, for a guess that is wrong is worse than none.

use musher_protocol::{CostSource, Usage};

use crate::Tokens;

/// The version of the table: the day on which it was held against the vendors' price lists.
pub const PRICES_VERSION: &str = "2026-11-28";

/// Tokens of a million.
const MILLION: f64 = 1e6;

/// What a long request costs more, as a whole; the same at both vendors.
const LONG_INPUT: f64 = 2.0;
const LONG_OUTPUT: f64 = 1.5;
/// Where a request becomes long.
const OPENAI_LONG: u64 = 272_000;
const GOOGLE_LONG: u64 = 200_000;

/// US dollars for a million tokens of text, and the tokens that a model takes.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Price {
    model: &'static str,
    /// How many it takes, without the answer where the vendor counts that apart.
    window: u64,
    input: f64,
    /// Read from the vendor's cache.
    read: f64,
    /// Written to it.
    written: f64,
    output: f64,
    /// A request with more tokens than that is long.
    long: Option<u64>,
}

const fn price(model: &'static str, window: u64, input: f64, read: f64, output: f64) -> Price {
    Price { model, window, input, read, written: input, output, long: None }
}

impl Price {
    /// The same with a price of its own for what is written to the cache.
    const fn writes(self, written: f64) -> Self {
        Self { written, ..self }
    }

    /// The same where long requests cost more.
    const fn long(self, above: u64) -> Self {
        Self { long: Some(above), ..self }
    }
}

/// Standard processing. From OpenAI's price list (`developers.openai.com/api/docs/pricing`, as of 2026-09-13) and the
/// pages of its newer models (2026-11-18); from Google's (`ai.google.dev/gemini-api/docs/pricing`, as of 2026-10-07),
/// what is read from a cache there from the public list `models.dev`.
///
/// Left out: models whose price was not found in full (`gpt-6.2-astra`, `gpt-5.6-sol`, `gemini-3.5-flash-lite`) or
/// changes on a day that is known (`gemini-3.8-flash`), and those that no worker runs.
const PRICES: [Price; 30] = [
    price("gpt-6.2-sol", 922_000, 2.0, 0.1, 10.0).writes(2.5).long(OPENAI_LONG),
    price("gpt-6.1-sol", 922_000, 2.0, 0.1, 10.0).writes(2.5).long(OPENAI_LONG),
    price("gpt-6-astra", 922_000, 10.0, 1.0, 50.0).writes(12.5).long(OPENAI_LONG),
    price("gpt-6-sol", 922_000, 2.0, 0.2, 10.0).writes(2.5).long(OPENAI_LONG),
    price("gpt-6-luna", 922_000, 0.1, 0.01, 0.5).writes(0.125).long(OPENAI_LONG),
    price("gpt-5.6-terra", 922_000, 2.0, 0.2, 12.0).writes(2.5).long(OPENAI_LONG),
    price("gpt-5.6-luna", 922_000, 0.2, 0.02, 1.2).writes(0.25).long(OPENAI_LONG),
    price("gpt-5.5", 922_000, 5.0, 0.5, 30.0).long(OPENAI_LONG),
    price("gpt-5.4", 922_000, 2.5, 0.25, 15.0).long(OPENAI_LONG),
    price("gpt-5.4-mini", 272_000, 0.75, 0.075, 4.5),
    price("gpt-5.4-nano", 272_000, 0.2, 0.02, 1.25),
    price("gpt-5.2", 272_000, 1.75, 0.175, 14.0),
    price("gpt-5.1", 272_000, 1.25, 0.125, 10.0),
    price("gpt-5", 272_000, 1.25, 0.125, 10.0),
    price("gpt-5-mini", 272_000, 0.25, 0.025, 2.0),
    price("gpt-5-nano", 272_000, 0.05, 0.005, 0.4),
    price("gpt-4.1", 1_047_576, 2.0, 0.5, 8.0),
    price("gpt-4.1-mini", 1_047_576, 0.4, 0.1, 1.6),
    price("gpt-4.1-nano", 1_047_576, 0.1, 0.025, 0.4),
    // The first snapshot costs more than its successors, and nothing less from a cache.
    price("gpt-4o-2024-05-13", 128_000, 5.0, 5.0, 15.0),
    price("gpt-4o", 128_000, 2.5, 1.25, 10.0),
    price("gpt-4o-mini", 128_000, 0.15, 0.075, 0.6),
    price("o3", 200_000, 2.0, 0.5, 8.0),
    price("o4-mini", 200_000, 1.1, 0.275, 4.4),
    price("gemini-3.5-flash", 1_048_576, 1.5, 0.15, 9.0),
    price("gemini-3.1-pro-preview", 1_048_576, 2.0, 0.2, 12.0).long(GOOGLE_LONG),
    price("gemini-3.1-flash-lite", 1_048_576, 0.25, 0.025, 1.5),
    price("gemini-2.5-pro", 1_048_576, 1.25, 0.125, 10.0).long(GOOGLE_LONG),
    price("gemini-2.5-flash", 1_048_576, 0.3, 0.03, 2.5),
    price("gemini-2.5-flash-lite", 1_048_576, 0.1, 0.01, 0.4),
];

/// The tokens that a model takes, where that is known.
#[must_use]
pub fn window(model: &str) -> Option<u64> {
    find(model).map(|price| price.window)
}

/// Whether a model's cost can be told, so that a limit on it can hold.
#[must_use]
pub(crate) fn is_priced(model: &str) -> bool {
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
        cost_follows: false,
        known_cost_usd: None,
        cost_source: cost.map(|_| CostSource::Estimated),
        price_table_version: cost.map(|_| PRICES_VERSION.to_owned()),
    }
}

/// Where the vendor does not say what of the input its cache had or got, the dearer is assumed: an estimate may be too
/// high, not too low.
fn cost(model: &str, tokens: &Tokens) -> Option<f64> {
    let price = find(model)?;
    let (input, output) = (tokens.input?, tokens.output?);
    let read = tokens.cache_read.unwrap_or(0).min(input);
    let written = tokens.cache_write.unwrap_or(u64::MAX).min(input - read);
    let of = |tokens: u64, price: f64| tokens as f64 * price / MILLION;
    let sent = of(input - read - written, price.input) + of(read, price.read) + of(written, price.written);
    let made = of(output, price.output);
    let is_long = price.long.is_some_and(|above| input > above);
    Some(if is_long { sent * LONG_INPUT + made * LONG_OUTPUT } else { sent + made })
}

/// A model by its name, also by that of a dated snapshot, e.g. `gpt-5-2025-08-07`, or with Google's prefix.
fn find(model: &str) -> Option<&'static Price> {
    let model = model.strip_prefix("models/").unwrap_or(model);
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

    fn tokens(input: u64, read: Option<u64>, written: Option<u64>, output: u64) -> Tokens {
        let (input, output) = (Some(input), Some(output));
        Tokens { input, output, cache_read: read, cache_write: written, reasoning: None }
    }

    #[track_caller]
    fn check(model: &str, tokens: Tokens, expected: &str) {
        let usage = usage(model, Some(tokens));
        let cost = usage.total_cost_usd.map_or("unknown".to_owned(), |cost| format!("{cost:.7}"));
        assert_eq!(cost, expected, "{model} {tokens:?}");
        assert_eq!(usage.cost_source.is_some(), expected != "unknown", "{model}");
    }

    #[test]
    fn what_is_new_read_and_written_has_each_its_price() {
        // 60,000 at 0.125, 40,000 at 1.25 and 2,000 at 10.
        check("gpt-5", tokens(100_000, Some(60_000), Some(0), 2_000), "0.0775000");
        // 10,000 at 2, 60,000 at 0.1, 30,000 at 2.5 and 2,000 at 10.
        check("gpt-6.2-sol", tokens(100_000, Some(60_000), Some(30_000), 2_000), "0.1210000");
        // 1,000 at 5, and nothing less for what was cached.
        check("gpt-4o-2024-05-13", tokens(1_000, Some(500), None, 0), "0.0050000");
        // 1,000 at 2.5.
        check("gpt-4o-2024-08-06", tokens(1_000, Some(0), None, 0), "0.0025000");
    }

    #[test]
    fn a_long_request_costs_more_as_a_whole() {
        // 272,000 at 2.
        check("gpt-6.2-sol", tokens(272_000, Some(0), Some(0), 0), "0.5440000");
        // 50,000 at 4, 200,000 at 0.2, 50,000 at 5 and 1,000 at 15.
        check("gpt-6.2-sol", tokens(300_000, Some(200_000), Some(50_000), 1_000), "0.5050000");
        // 200,000 at 1.25 and 1,000 at 10.
        check("gemini-2.5-pro", tokens(200_000, Some(0), None, 1_000), "0.2600000");
        // 200,001 at 2.5 and 1,000 at 15.
        check("gemini-2.5-pro", tokens(200_001, Some(0), None, 1_000), "0.5150025");
        // 150,000 at 4, 100,000 at 0.4 and 10,000 at 18.
        check("models/gemini-3.1-pro-preview", tokens(250_000, Some(100_000), None, 10_000), "0.8200000");
        // 500,000 at 0.3: this one knows no long requests.
        check("gemini-2.5-flash", tokens(500_000, None, None, 0), "0.1500000");
    }

    #[test]
    fn what_the_vendor_does_not_say_is_taken_for_the_dearer() {
        // 100,000 at 1.25: nothing was read.
        check("gpt-5-2025-08-07", tokens(100_000, None, None, 0), "0.1250000");
        // 60,000 at 0.1 and 40,000 at 2.5: all that was not read was written.
        check("gpt-6.1-sol", tokens(100_000, Some(60_000), None, 0), "0.1060000");
        // 1,000 at 0.1: no more can have been read than was sent.
        check("gpt-6.1-sol", tokens(1_000, Some(2_000), Some(3_000), 0), "0.0001000");
    }

    #[test]
    fn what_is_not_in_the_list_has_no_price() {
        for model in
            ["gpt-5-turbo", "gpt-5.6-sol", "gemini-3.8-flash", "gemini-2.5-flash-image", "o3-pro", "llama"]
        {
            check(model, tokens(1_000, None, None, 1_000), "unknown");
            assert!(!is_priced(model) && window(model).is_none(), "{model}");
        }
        let unsaid = Tokens { input: None, ..tokens(0, None, None, 1_000) };
        check("gpt-5", unsaid, "unknown");
        assert_eq!(usage("gpt-5", None), Usage::default());
    }

    #[test]
    fn what_a_model_takes_is_known_with_its_price() {
        assert_eq!((window("gpt-5-2025-08-07"), window("gemini-2.5-pro")), (Some(272_000), Some(1_048_576)));
        assert!(is_priced("o3") && is_priced("models/gemini-2.5-pro"));
    }

    #[test]
    fn no_name_hides_another() {
        for known in &PRICES {
            assert_eq!(find(known.model), Some(known));
            assert!(known.read <= known.input && known.input <= known.written, "{known:?}");
        }
    }
}
