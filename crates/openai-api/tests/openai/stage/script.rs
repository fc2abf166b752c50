//! Answers in either dialect.

use musher_openai_api::Dialect;
use musher_testkit::model_api::{Answer, Received};
use serde_json::{Value, json};

/// What the last user said, and how many tool results came since.
pub(crate) fn situation(received: &Received) -> (String, usize) {
    let items = ["input", "messages"].into_iter().find_map(|field| received.body[field].as_array());
    let items = items.expect("a conversation");
    let last = items.iter().rposition(|item| item["role"] == "user").expect("somebody said something");
    let is_result = |item: &&Value| item["type"] == "function_call_output" || item["role"] == "tool";
    let words = items[last]["content"].as_str().expect("a text").to_owned();
    (words, items[last..].iter().filter(is_result).count())
}

/// A whole answer of words.
pub(crate) fn text(dialect: Dialect, words: &str) -> Answer {
    match dialect {
        Dialect::Responses => {
            let answer = words
                .split_inclusive(' ')
                .fold(Answer::stream(), |answer, word| answer.event(&delta(0, word)));
            answer.events(&[done(0, message(words)), completed()])
        }
        Dialect::Chat => {
            let chunk = |word: &str| json!({"choices": [{"index": 0, "delta": {"content": word}}]});
            let answer =
                words.split_inclusive(' ').fold(Answer::stream(), |answer, word| answer.event(&chunk(word)));
            answer
                .events(&[
                    json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}),
                    json!({"choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": 5}}),
                ])
                .bytes("data: [DONE]\n\n")
        }
    }
}

/// A whole answer of calls: id, tool and arguments.
pub(crate) fn calls(dialect: Dialect, calls: &[(&str, &str, &str)]) -> Answer {
    match dialect {
        Dialect::Responses => {
            let reasoning = done(0, reasoning());
            let items = calls
                .iter()
                .zip(1..)
                .map(|((id, name, arguments), slot)| done(slot, call(id, name, arguments)));
            let events: Vec<_> = std::iter::once(reasoning).chain(items).chain([completed()]).collect();
            Answer::stream().events(&events)
        }
        Dialect::Chat => {
            let calls = calls.iter().zip(0..).map(|((id, name, arguments), index)| {
                json!({"index": index, "id": id, "type": "function", "function": {"name": name, "arguments": arguments}})
            });
            let calls: Vec<_> = calls.collect();
            Answer::stream()
                .events(&[
                    json!({"choices": [{"index": 0, "delta": {"tool_calls": calls}}]}),
                    json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}),
                ])
                .bytes("data: [DONE]\n\n")
        }
    }
}

/// The start of an answer of words.
pub(crate) fn begun(dialect: Dialect, words: &str) -> Answer {
    Answer::stream().event(&match dialect {
        Dialect::Responses => delta(0, words),
        Dialect::Chat => json!({"choices": [{"index": 0, "delta": {"content": words}}]}),
    })
}

pub(crate) fn delta(slot: u64, words: &str) -> Value {
    json!({"type": "response.output_text.delta", "output_index": slot, "delta": words})
}

pub(crate) fn done(slot: u64, item: Value) -> Value {
    json!({"type": "response.output_item.done", "output_index": slot, "item": item})
}

pub(crate) fn message(words: &str) -> Value {
    let content = json!([{"type": "output_text", "text": words, "annotations": [], "logprobs": []}]);
    json!({"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": content})
}

pub(crate) fn reasoning() -> Value {
    json!({"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "only its maker reads this"})
}

pub(crate) fn call(id: &str, name: &str, arguments: &str) -> Value {
    json!({
        "type": "function_call",
        "id": format!("fc_{id}"),
        "call_id": id,
        "name": name,
        "arguments": arguments,
        "status": "completed",
    })
}

pub(crate) fn completed() -> Value {
    let usage = json!({
        "input_tokens": 10,
        "input_tokens_details": {"cached_tokens": 4},
        "output_tokens": 5,
        "output_tokens_details": {"reasoning_tokens": 2},
        "total_tokens": 15,
    });
    json!({"type": "response.completed", "response": {"status": "completed", "output": [], "usage": usage}})
}
