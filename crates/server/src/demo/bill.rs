//! What was used, and what it would have cost.

use std::fmt::Write as _;

use musher_protocol::{Envelope, Payload};

use super::script;

/// Tokens and cost of a log, as far as they are known.
#[derive(Debug, Default, PartialEq)]
struct Bill {
    n_told: u32,
    /// Answers that broke off before they said what they had used.
    n_untold: u32,
    input: u64,
    cached: u64,
    output: u64,
    dollars: f64,
    /// The table that costs were estimated with.
    prices: Option<String>,
}

/// The bill as two lines of text.
pub(super) fn bill(log: &[Envelope]) -> String {
    let Bill { n_told, n_untold, input, cached, output, dollars, prices } = add(log);
    let mut text = format!(
        "used   {input} tokens in ({cached} of them from the cache), {output} out, in {n_told} answers\n"
    );
    if n_untold > 0 {
        let line = format!(
            "       {n_untold} more broke off and told nothing, so the log's sum is unknown, not 0\n"
        );
        text.push_str(&line);
    }
    let source = match prices {
        Some(version) => format!("estimated with Musher's prices of {version}"),
        None => "as it was reported".to_owned(),
    };
    let model = script::MODEL;
    writeln!(text, "cost   ${dollars:.4} is what {model} would take, {source}")
        .expect("a string takes every write");
    text.push_str("       nothing was spent: no model ran\n");
    text
}

fn add(log: &[Envelope]) -> Bill {
    let mut bill = Bill::default();
    for event in log {
        let Payload::Usage {
            input_tokens,
            output_tokens,
            cache_read_input_tokens,
            total_cost_usd,
            price_table_version,
            ..
        } = &event.payload
        else {
            continue;
        };
        let (Some(input), Some(output)) = (input_tokens, output_tokens) else {
            bill.n_untold += 1;
            continue;
        };
        bill.n_told += 1;
        bill.input += input;
        bill.output += output;
        bill.cached += cache_read_input_tokens.unwrap_or(0);
        bill.dollars += total_cost_usd.unwrap_or(0.0);
        bill.prices = bill.prices.max(price_table_version.clone());
    }
    bill
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::demo::log;

    #[test]
    fn an_answer_that_told_nothing_is_counted_and_not_guessed() {
        let usage = |input: Option<u64>, output: Option<u64>, cost: Option<f64>| {
            json!({
                "type": "usage", "turn_id": "trn_1", "input_tokens": input, "output_tokens": output,
                "cache_creation_input_tokens": null, "cache_read_input_tokens": input.map(|_| 100),
                "reasoning_tokens": null, "total_cost_usd": cost, "cost_source": cost.map(|_| "estimated"),
                "price_table_version": cost.map(|_| "2026-11-28"),
            })
        };
        let all = [
            usage(Some(1000), Some(50), Some(0.5)),
            usage(None, None, None),
            usage(Some(2000), Some(60), Some(0.25)),
        ];
        let expected = "used   3000 tokens in (200 of them from the cache), 110 out, in 2 answers\n       \
             1 more broke off and told nothing, so the log's sum is unknown, not 0\n\
             cost   $0.7500 is what gpt-5 would take, estimated with Musher's prices of 2026-11-28\n       \
             nothing was spent: no model ran\n";
        assert_eq!(bill(&log(&all)), expected);
    }
}
