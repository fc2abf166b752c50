use serde_json::json;

use super::*;

/// A result by the program's count over its life: input, output, dollars.
fn old(input: u64, output: u64, cost: f64, reason: &str) -> TurnResult {
    let model = json!({ "inputTokens": input, "outputTokens": output });
    let result = json!({ "modelUsage": { "m": model }, "total_cost_usd": cost, "terminal_reason": reason });
    serde_json::from_value(result).unwrap()
}

fn streamed(input: u64, output: u64) -> MessageUsage {
    MessageUsage { input_tokens: Some(input), output_tokens: Some(output), ..MessageUsage::default() }
}

/// Input, output and dollars of each increment.
fn brief(increments: &[Usage]) -> Vec<(u64, u64, Option<f64>)> {
    increments
        .iter()
        .map(|usage| (usage.input_tokens.unwrap(), usage.output_tokens.unwrap(), usage.total_cost_usd))
        .collect()
}

#[test]
fn a_new_version_says_what_is_new() {
    let since = json!({
        "a": { "inputTokens": 100, "cacheReadInputTokens": 1000, "cacheCreationInputTokens": 7, "outputTokens": 6,
               "thinkingTokens": 2, "costUSD": 0.5 },
        "b": { "inputTokens": 1.0, "outputTokens": 1, "costUSD": 0.25 },
    });
    let result = json!({
        "modelUsage": { "a": { "inputTokens": 90000 } }, "total_cost_usd": 77.0,
        "model_usage_since_last_result": since,
    });
    let result = serde_json::from_value(result).unwrap();
    assert_eq!(
        Meter::default().settle(&result),
        [Usage {
            input_tokens: Some(1108),
            output_tokens: Some(7),
            cache_creation_input_tokens: Some(7),
            cache_read_input_tokens: Some(1000),
            reasoning_tokens: Some(2),
            total_cost_usd: Some(0.75),
            known_cost_usd: None,
            cost_source: Some(CostSource::Reported),
        }],
    );
}

#[test]
fn an_old_version_counts_over_its_life() {
    let mut meter = Meter::default();
    assert_eq!(brief(&meter.settle(&old(100, 10, 1.0, "completed"))), [(100, 10, Some(1.0))]);
    assert_eq!(brief(&meter.settle(&old(150, 12, 1.5, "completed"))), [(50, 2, Some(0.5))]);
    assert_eq!(brief(&meter.settle(&old(150, 12, 1.5, "completed"))), []);
    // A smaller count is a new one.
    assert_eq!(brief(&meter.settle(&old(20, 2, 0.25, "completed"))), [(20, 2, Some(0.25))]);
}

#[test]
fn an_old_version_forgets_what_was_interrupted() {
    let mut meter = Meter::default();
    meter.begin("m1", streamed(100, 1));
    meter.more(streamed(0, 9));
    meter.end();
    meter.begin("m2", streamed(120, 1));
    let increments = meter.settle(&old(100, 9, 1.0, "aborted_streaming"));
    assert_eq!(brief(&increments), [(100, 9, Some(1.0)), (120, 1, None)]);
    assert_eq!(meter.unsettled(), None);
}

#[test]
fn an_end_without_a_result_counts_the_stream() {
    let mut meter = Meter::default();
    meter.begin("m1", streamed(100, 1));
    meter.more(streamed(0, 9));
    meter.end();
    meter.whole("m1", streamed(100, 1));
    meter.whole("sub", streamed(30, 3));
    meter.whole("sub", streamed(30, 3));
    meter.begin("m2", streamed(120, 1));
    assert_eq!(brief(&meter.unsettled().into_iter().collect::<Vec<_>>()), [(250, 13, None)]);
    assert_eq!(meter.unsettled(), None);
}
