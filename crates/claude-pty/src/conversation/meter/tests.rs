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
fn brief<'a>(increments: impl IntoIterator<Item = &'a Usage>) -> String {
    let one = |usage: &Usage| {
        let number = |n: Option<u64>| n.map_or("?".to_owned(), |n| n.to_string());
        let cost = usage.total_cost_usd.map(|cost| format!("${cost}"));
        let no_cost = if usage.cost_follows { "follows" } else { "?" };
        let (input, output) = (number(usage.input_tokens), number(usage.output_tokens));
        format!("{input}/{output} {}", cost.as_deref().unwrap_or(no_cost))
    };
    increments.into_iter().map(one).collect::<Vec<_>>().join(", ")
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
            cost_follows: false,
            known_cost_usd: None,
            cost_source: Some(CostSource::Reported),
            price_table_version: None,
        }],
    );
}

#[test]
fn an_old_version_counts_over_its_life() {
    let mut meter = Meter::default();
    assert_eq!(brief(&meter.settle(&old(100, 10, 1.0, "completed"))), "100/10 $1");
    assert_eq!(brief(&meter.settle(&old(150, 12, 1.5, "completed"))), "50/2 $0.5");
    assert_eq!(brief(&meter.settle(&old(150, 12, 1.5, "completed"))), "");
    // A smaller count is a new one.
    assert_eq!(brief(&meter.settle(&old(20, 2, 0.25, "completed"))), "20/2 $0.25");
}

/// Ends the answer that is being streamed; returns all that was told of it.
fn answer(meter: &mut Meter, id: &str, input: u64, output: u64) -> Vec<Usage> {
    meter.begin(id, streamed(input, 1));
    meter.more(streamed(0, output));
    meter.end().into_iter().collect()
}

#[test]
fn an_answer_is_told_when_it_is_whole_and_the_rest_at_the_turns_end() {
    let mut meter = Meter::default();
    assert_eq!(brief(&answer(&mut meter, "m1", 100, 9)), "100/9 follows");
    assert_eq!(meter.end(), None, "told once");
    assert_eq!(meter.whole("m1", streamed(100, 1)), None);
    assert_eq!(brief(&meter.whole("sub", streamed(30, 1))), "30/1 follows");
    assert_eq!(meter.whole("sub", streamed(30, 1)), None);
    assert_eq!(brief(&meter.settle(&old(130, 15, 1.0, "completed"))), "0/5 $1");
    // Another turn, of which nothing but the cost is news.
    assert_eq!(brief(&answer(&mut meter, "m2", 10, 2)), "10/2 follows");
    assert_eq!(brief(&meter.settle(&old(140, 17, 1.5, "completed"))), "0/0 $0.5");
}

#[test]
fn all_increments_together_are_what_the_results_say() {
    let since = |input: u64, output: u64, thinking: u64, cost: f64| {
        let model = json!({ "inputTokens": input, "outputTokens": output, "thinkingTokens": thinking, "costUSD": cost });
        let result = json!({ "model_usage_since_last_result": { "m": model } });
        serde_json::from_value::<TurnResult>(result).unwrap()
    };
    // What is streamed is more than the result says, then less.
    let mut meter = Meter::default();
    let mut told = answer(&mut meter, "m1", 100, 9);
    told.extend(meter.settle(&since(80, 10, 3, 0.5)));
    told.extend(answer(&mut meter, "m2", 10, 1));
    told.extend(answer(&mut meter, "m3", 30, 1));
    told.extend(meter.settle(&since(50, 2, 1, 0.25)));
    let mut sum = Usage::zero();
    told.iter().for_each(|increment| sum.add(increment));
    let expected = Usage {
        input_tokens: Some(130),
        output_tokens: Some(12),
        reasoning_tokens: Some(4),
        total_cost_usd: Some(0.75),
        cost_source: Some(CostSource::Reported),
        price_table_version: None,
        ..Usage::zero()
    };
    assert_eq!(sum, expected, "{told:#?}");
}

#[test]
fn an_answer_that_broke_off_is_left_to_the_turns_end() {
    let mut meter = Meter::default();
    meter.begin("m1", streamed(100, 1));
    meter.break_off();
    assert_eq!(meter.end(), None);
    assert_eq!(brief(&meter.settle(&old(100, 3, 1.0, "completed"))), "100/3 $1");
    // What it came to is not known when the program says no more.
    meter.begin("m2", streamed(120, 1));
    meter.break_off();
    assert_eq!(brief(&meter.unsettled()), "120/? ?");
}

#[test]
fn an_old_version_forgets_what_was_interrupted() {
    let mut meter = Meter::default();
    assert_eq!(brief(&answer(&mut meter, "m1", 100, 9)), "100/9 follows");
    meter.begin("m2", streamed(120, 1));
    let increments = meter.settle(&old(100, 9, 1.0, "aborted_streaming"));
    assert_eq!(brief(&increments), "0/0 $1, 120/? ?");
    assert_eq!(meter.unsettled(), None);
}

#[test]
fn an_end_without_a_result_counts_the_stream_and_knows_no_cost() {
    let mut meter = Meter::default();
    answer(&mut meter, "m1", 100, 9);
    meter.whole("sub", streamed(30, 3));
    meter.begin("m2", streamed(120, 1));
    assert_eq!(brief(&meter.unsettled()), "120/? ?");
    assert_eq!(meter.unsettled(), None);
    // Also where all tokens were told before.
    answer(&mut meter, "m3", 10, 1);
    assert_eq!(brief(&meter.unsettled()), "0/0 ?");
}

#[test]
fn a_cost_that_was_to_follow_comes_also_when_it_is_nothing_or_unknown() {
    for (cost, expected) in [(json!(0.0), "0/0 $0"), (json!(null), "0/0 ?")] {
        let mut meter = Meter::default();
        answer(&mut meter, "m1", 100, 9);
        let model = json!({ "inputTokens": 100, "outputTokens": 9, "costUSD": cost });
        let result =
            serde_json::from_value(json!({ "model_usage_since_last_result": { "m": model } })).unwrap();
        assert_eq!(brief(&meter.settle(&result)), expected);
        assert_eq!(meter.unsettled(), None, "nothing is owed any more");
    }
}
