//! Chat Completions: `POST /v1/chat/completions`, streaming, as OpenAI and most others speak it.

use musher_protocol::Usage;
use serde_json::{Value, json};

use super::{
    Answer, Call, MODEL, Received, Reply, Turn, Violation,
    pairing::Pairing,
    reply::{Event, beginning, pieces, stream},
};

/// What ends a stream.
pub const DONE: &str = "data: [DONE]\n\n";

/// What the vendor would refuse of any request: another route, another key, a call without its result, a result without
/// its call.
#[must_use]
pub fn violations(received: &Received, api_key: &str) -> Vec<Violation> {
    let mut violations = violations_at("/v1/chat/completions", received, api_key);
    if messages(received).is_empty() {
        violations.push(Violation::new("no messages"));
    }
    let mut pairing = Pairing::default();
    for message in messages(received) {
        if message["role"] == "tool" {
            pairing.result(&message["tool_call_id"]);
            continue;
        }
        // In this protocol results come at once.
        pairing.close();
        message["tool_calls"].as_array().into_iter().flatten().for_each(|call| pairing.call(&call["id"]));
    }
    violations.extend(pairing.finish());
    violations
}

/// What OpenAI would refuse on any of its routes.
pub(super) fn violations_at(route: &str, received: &Received, api_key: &str) -> Vec<Violation> {
    let Received { method, path, body, .. } = received;
    let has_key = received.header("authorization") == Some(&format!("Bearer {api_key}"));
    let rules = [
        (method == "POST" && path == route, format!("no route {method} {path}")),
        (has_key, "no such key".to_owned()),
        (body["stream"] == true, "no stream is asked for".to_owned()),
    ];
    rules.into_iter().filter(|(is_kept, _)| !is_kept).map(|(_, message)| Violation::new(message)).collect()
}

/// How OpenAI refuses, on all of its routes.
#[must_use]
pub fn refusal(status: u16, code: &str, message: &str) -> Answer {
    let error = json!({"message": message, "type": "invalid_request_error", "param": null, "code": code});
    Answer::json(status, &json!({"error": error}))
}

/// Where the conversation of a request stands.
#[must_use]
pub fn turn(received: &Received) -> Turn {
    Turn::of(
        messages(received),
        |message| message["content"].as_str().filter(|_| message["role"] == "user"),
        |message| if message["role"] == "tool" { vec![&message["content"]] } else { Vec::new() },
    )
}

fn messages(received: &Received) -> &[Value] {
    received.body["messages"].as_array().map_or(&[][..], Vec::as_slice)
}

/// A whole answer.
#[must_use]
pub fn answer(reply: &Reply) -> Answer {
    stream(events(reply), reply.pace, Answer::event).bytes(DONE)
}

/// An answer up to its last piece: nothing of it is whole.
#[must_use]
pub fn begun(reply: &Reply) -> Answer {
    stream(beginning(events(reply)), reply.pace, Answer::event)
}

fn events(reply: &Reply) -> Vec<Event> {
    let mut events = vec![Event::Frame(delta(&json!({"role": "assistant", "content": ""})))];
    // The name that most servers give to it; OpenAI shows none here.
    let thoughts = pieces(reply.thought.as_deref().unwrap_or_default());
    events.extend(thoughts.map(|piece| Event::Piece(delta(&json!({"reasoning_content": piece})))));
    events.extend(pieces(&reply.words).map(|piece| Event::Piece(delta(&json!({"content": piece})))));
    let calls = reply.calls.iter().enumerate();
    events.extend(
        calls.map(|(index, Call { id, name, arguments })| Event::Piece(call(index, id, name, arguments))),
    );
    let reason = if reply.calls.is_empty() { "stop" } else { "tool_calls" };
    events.extend([Event::Frame(finish(reason)), Event::Frame(usage(&reply.usage))]);
    events
}

/// The event of a piece of the answer.
#[must_use]
pub fn delta(delta: &Value) -> Value {
    chunk(&json!([{"index": 0, "delta": delta, "finish_reason": null}]))
}

/// The event of a whole call.
#[must_use]
pub fn call(index: usize, id: &str, name: &str, arguments: &str) -> Value {
    let function = json!({"name": name, "arguments": arguments});
    delta(&json!({"tool_calls": [{"index": index, "id": id, "type": "function", "function": function}]}))
}

/// The event that says why the answer ends.
#[must_use]
pub fn finish(reason: &str) -> Value {
    chunk(&json!([{"index": 0, "delta": {}, "finish_reason": reason}]))
}

/// The event of what the answer used.
#[must_use]
pub fn usage(usage: &Usage) -> Value {
    let mut chunk = chunk(&json!([]));
    if let (Some(input), Some(output)) = (usage.input_tokens, usage.output_tokens) {
        chunk["usage"] = json!({
            "prompt_tokens": input,
            "prompt_tokens_details": {"cached_tokens": usage.cache_read_input_tokens},
            "completion_tokens": output,
            "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
            "total_tokens": input + output,
        });
    }
    chunk
}

fn chunk(choices: &Value) -> Value {
    json!({
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 0,
        "model": MODEL,
        "choices": choices,
    })
}
