//! OpenAI's Responses: `POST /v1/responses`, streaming.

use musher_protocol::Usage;
use serde_json::{Value, json};

use super::{
    Answer, Call, MODEL, Received, Reply, Turn, Violation,
    chat::violations_at,
    pairing::Pairing,
    reply::{Event, OPAQUE, beginning, pieces, stream},
};

/// What the vendor would refuse of any request: another route, another key, a call without its result, a result without
/// its call, reasoning that leads to nothing.
#[must_use]
pub fn violations(received: &Received, api_key: &str) -> Vec<Violation> {
    let mut violations = violations_at("/v1/responses", received, api_key);
    if !received.body["input"].is_array() && !received.body["input"].is_string() {
        violations.push(Violation::new("no input"));
    }
    let mut pairing = Pairing::default();
    let items = input(received);
    for (at, item) in items.iter().enumerate() {
        match item["type"].as_str() {
            Some("function_call") => pairing.call(&item["call_id"]),
            Some("function_call_output") => pairing.result(&item["call_id"]),
            Some("reasoning") => {
                let leads_on = |next: &Value| next["type"] == "function_call" || next["role"] == "assistant";
                if !items.get(at + 1).is_some_and(leads_on) {
                    pairing.refuse(format!("reasoning {} leads nowhere", item["id"]));
                }
            }
            Some(_) | None => {}
        }
    }
    violations.extend(pairing.finish());
    violations
}

/// Where the conversation of a request stands.
#[must_use]
pub fn turn(received: &Received) -> Turn {
    Turn::of(
        input(received),
        |item| item["content"].as_str().filter(|_| item["role"] == "user"),
        |item| if item["type"] == "function_call_output" { vec![&item["output"]] } else { Vec::new() },
    )
}

fn input(received: &Received) -> &[Value] {
    received.body["input"].as_array().map_or(&[][..], Vec::as_slice)
}

/// A whole answer.
#[must_use]
pub fn answer(reply: &Reply) -> Answer {
    spelled(events(reply), reply)
}

/// An answer up to its last piece: nothing of it is whole.
#[must_use]
pub fn begun(reply: &Reply) -> Answer {
    spelled(beginning(events(reply)), reply)
}

fn spelled(mut events: Vec<Event>, reply: &Reply) -> Answer {
    for (number, event) in events.iter_mut().enumerate() {
        let (Event::Piece(event) | Event::Frame(event)) = event;
        event["sequence_number"] = json!(number);
    }
    stream(events, reply.pace, |answer, event| {
        answer.event_of(event["type"].as_str().unwrap_or_default(), event)
    })
}

fn events(reply: &Reply) -> Vec<Event> {
    let of_response = |kind: &str, status: &str| {
        Event::Frame(json!({"type": kind, "response": response(status, &[], &Usage::default())}))
    };
    let mut events = vec![
        of_response("response.created", "in_progress"),
        of_response("response.in_progress", "in_progress"),
    ];
    let mut items = Vec::new();
    if reply.thought.is_some() || !reply.calls.is_empty() {
        let thought = reply.thought.as_deref().unwrap_or_default();
        add(&mut events, &mut items, reasoning(thought), |slot| thought_events(slot, thought));
    }
    if !reply.words.is_empty() {
        add(&mut events, &mut items, message(&reply.words), |slot| word_events(slot, &reply.words));
    }
    for Call { id, name, arguments } in &reply.calls {
        add(&mut events, &mut items, call(id, name, arguments), |slot| argument_events(slot, id, arguments));
    }
    let response = response("completed", &items, &reply.usage);
    events.push(Event::Frame(json!({"type": "response.completed", "response": response})));
    events
}

/// An item from its beginning to its end.
fn add(events: &mut Vec<Event>, items: &mut Vec<Value>, item: Value, within: impl Fn(usize) -> Vec<Event>) {
    let slot = items.len();
    let mut begun = item.clone();
    begun["status"] = json!("in_progress");
    for field in ["content", "summary"] {
        if begun[field].is_array() {
            begun[field] = json!([]);
        }
    }
    if begun["arguments"].is_string() {
        begun["arguments"] = json!("");
    }
    let added = json!({"type": "response.output_item.added", "output_index": slot, "item": begun});
    events.push(Event::Frame(added));
    events.extend(within(slot));
    events.push(Event::Frame(done(slot, item.clone())));
    items.push(item);
}

fn thought_events(slot: usize, thought: &str) -> Vec<Event> {
    if thought.is_empty() {
        return Vec::new();
    }
    let event = |kind: &str| {
        let kind = format!("response.reasoning_summary_{kind}");
        json!({"type": kind, "item_id": "rs_1", "output_index": slot, "summary_index": 0})
    };
    let with = |mut event: Value, field: &str, value: Value| {
        event[field] = value;
        event
    };
    let part = |text: &str| json!({"type": "summary_text", "text": text});
    let mut events = vec![Event::Frame(with(event("part.added"), "part", part("")))];
    let delta = |piece: &str| Event::Piece(with(event("text.delta"), "delta", json!(piece)));
    events.extend(pieces(thought).map(delta));
    events.push(Event::Frame(with(event("text.done"), "text", json!(thought))));
    events.push(Event::Frame(with(event("part.done"), "part", part(thought))));
    events
}

fn word_events(slot: usize, words: &str) -> Vec<Event> {
    let event = |kind: &str, field: &str, value: Value| {
        let mut event = json!({"type": kind, "item_id": "msg_1", "output_index": slot, "content_index": 0});
        event[field] = value;
        Event::Frame(event)
    };
    let mut events = vec![event("response.content_part.added", "part", text_part(""))];
    events.extend(pieces(words).map(|piece| Event::Piece(delta(slot, piece))));
    events.push(event("response.output_text.done", "text", json!(words)));
    events.push(event("response.content_part.done", "part", text_part(words)));
    events
}

fn argument_events(slot: usize, id: &str, arguments: &str) -> Vec<Event> {
    let event = |kind: &str, field: &str| {
        let kind = format!("response.function_call_arguments.{kind}");
        let mut event = json!({"type": kind, "item_id": format!("fc_{id}"), "output_index": slot});
        event[field] = json!(arguments);
        event
    };
    vec![Event::Piece(event("delta", "delta")), Event::Frame(event("done", "arguments"))]
}

/// The event of a piece of the text in this place of the answer.
#[must_use]
pub fn delta(slot: usize, words: &str) -> Value {
    json!({
        "type": "response.output_text.delta",
        "item_id": "msg_1",
        "output_index": slot,
        "content_index": 0,
        "delta": words,
    })
}

/// The event of a whole item in this place of the answer.
#[must_use]
pub fn done(slot: usize, item: Value) -> Value {
    json!({"type": "response.output_item.done", "output_index": slot, "item": item})
}

/// The last event of a whole answer.
#[must_use]
pub fn completed(usage: &Usage) -> Value {
    json!({"type": "response.completed", "response": response("completed", &[], usage)})
}

/// The last event of an answer that was cut for this reason, e.g. `max_output_tokens`.
#[must_use]
pub fn incomplete(reason: &str) -> Value {
    let mut response = response("incomplete", &[], &Usage::default());
    response["incomplete_details"] = json!({"reason": reason});
    json!({"type": "response.incomplete", "response": response})
}

/// The last event of an answer that failed.
#[must_use]
pub fn failed(code: &str, message: &str) -> Value {
    let mut response = response("failed", &[], &Usage::default());
    response["error"] = json!({"code": code, "message": message});
    json!({"type": "response.failed", "response": response})
}

/// The item of a text.
#[must_use]
pub fn message(words: &str) -> Value {
    json!({
        "type": "message",
        "id": "msg_1",
        "role": "assistant",
        "status": "completed",
        "content": [text_part(words)],
    })
}

/// The item of reasoning that shows so much of itself, with what only its maker reads.
#[must_use]
pub fn reasoning(thought: &str) -> Value {
    let summary =
        if thought.is_empty() { json!([]) } else { json!([{"type": "summary_text", "text": thought}]) };
    json!({"type": "reasoning", "id": "rs_1", "summary": summary, "encrypted_content": OPAQUE})
}

/// The item of a call.
#[must_use]
pub fn call(id: &str, name: &str, arguments: &str) -> Value {
    json!({
        "type": "function_call",
        "id": format!("fc_{id}"),
        "call_id": id,
        "name": name,
        "arguments": arguments,
        "status": "completed",
    })
}

fn text_part(words: &str) -> Value {
    json!({"type": "output_text", "text": words, "annotations": [], "logprobs": []})
}

fn response(status: &str, items: &[Value], usage: &Usage) -> Value {
    json!({
        "id": "resp_1",
        "object": "response",
        "created_at": 0,
        "status": status,
        "model": MODEL,
        "output": items,
        "error": null,
        "incomplete_details": null,
        "parallel_tool_calls": true,
        "tool_choice": "auto",
        "tools": [],
        "usage": usage_of(usage),
    })
}

fn usage_of(usage: &Usage) -> Value {
    let (Some(input), Some(output)) = (usage.input_tokens, usage.output_tokens) else { return Value::Null };
    json!({
        "input_tokens": input,
        "input_tokens_details": {"cached_tokens": usage.cache_read_input_tokens},
        "output_tokens": output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": input + output,
    })
}
