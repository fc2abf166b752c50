//! Gemini: `POST /v1beta/models/MODEL:streamGenerateContent?alt=sse`.

use musher_protocol::Usage;
use serde_json::{Value, json};

use super::{
    Answer, Call, MODEL, Received, Reply, Turn, Violation,
    reply::{Event, OPAQUE, beginning, pieces, stream},
};

/// What the vendor would refuse of any request: another route, another key, calls and results that differ in number.
#[must_use]
pub fn violations(received: &Received, api_key: &str) -> Vec<Violation> {
    let Received { method, path, .. } = received;
    let is_route = path.starts_with("/v1beta/models/") && path.ends_with(":streamGenerateContent?alt=sse");
    let contents = contents(received);
    let rules = [
        (method == "POST" && is_route, format!("no route {method} {path}")),
        (received.header("x-goog-api-key") == Some(api_key), "no such key".to_owned()),
        (!contents.is_empty(), "no contents".to_owned()),
    ];
    let broken = rules.into_iter().filter(|(is_kept, _)| !is_kept).map(|(_, message)| message);
    // Behind a content with calls comes one with as many results.
    let count = |at: Option<usize>, field: &str| {
        let content = at.and_then(|at| contents.get(at));
        let parts = content.and_then(|content| content["parts"].as_array());
        parts.into_iter().flatten().filter(|part| part[field].is_object()).count()
    };
    let differs =
        |at: &usize| count(at.checked_sub(1), "functionCall") != count(Some(*at), "functionResponse");
    let uneven = (0..=contents.len()).find(differs);
    let uneven = uneven.map(|at| format!("calls and results differ in number before content {at}"));
    broken.chain(uneven).map(Violation::new).collect()
}

/// How the vendor refuses.
#[must_use]
pub fn refusal(code: u16, status: &str, message: &str) -> Answer {
    Answer::json(code, &json!({"error": {"code": code, "status": status, "message": message}}))
}

/// Where the conversation of a request stands. What the user said in a row is one content, of which the last counts.
#[must_use]
pub fn turn(received: &Received) -> Turn {
    Turn::of(
        contents(received),
        |content| {
            let last = content["parts"].as_array()?.last()?;
            last["text"].as_str().filter(|_| content["role"] == "user")
        },
        |content| {
            let parts = content["parts"].as_array().map_or(&[][..], Vec::as_slice);
            parts.iter().filter_map(|part| part["functionResponse"].get("response")).map(result).collect()
        },
    )
}

/// What a tool said: the vendor has a field for that, and one for what went wrong.
fn result(response: &Value) -> &Value {
    response.get("output").or_else(|| response.get("error")).unwrap_or(response)
}

fn contents(received: &Received) -> &[Value] {
    received.body["contents"].as_array().map_or(&[][..], Vec::as_slice)
}

/// A whole answer.
///
/// # Panics
///
/// When a call's arguments are no JSON, which this protocol cannot say.
#[must_use]
pub fn answer(reply: &Reply) -> Answer {
    stream(events(reply), reply.pace, spell)
}

/// An answer up to its last piece: nothing says that it is whole.
///
/// # Panics
///
/// When a call's arguments are no JSON.
#[must_use]
pub fn begun(reply: &Reply) -> Answer {
    stream(beginning(events(reply)), reply.pace, spell)
}

/// A stream of chunks.
#[must_use]
pub fn chunks(chunks: &[Value]) -> Answer {
    chunks.iter().fold(Answer::stream(), spell)
}

/// With the line ends that the vendor uses.
fn spell(answer: Answer, chunk: &Value) -> Answer {
    answer.bytes(format!("data: {chunk}\r\n\r\n"))
}

fn events(reply: &Reply) -> Vec<Event> {
    let mut events = Vec::new();
    let thoughts = pieces(reply.thought.as_deref().unwrap_or_default());
    events.extend(thoughts.map(|piece| Event::Piece(parts(&json!([{"text": piece, "thought": true}])))));
    events.extend(pieces(&reply.words).map(|piece| Event::Piece(parts(&json!([{"text": piece}])))));
    if !reply.calls.is_empty() {
        let calls = reply.calls.iter().enumerate().map(|(at, call)| {
            let mut part = call_part(call);
            if at == 0 {
                part["thoughtSignature"] = json!(OPAQUE);
            }
            part
        });
        events.push(Event::Piece(parts(&calls.collect())));
    }
    events.push(Event::Frame(finish("STOP", &reply.usage)));
    events
}

fn call_part(Call { id: _, name, arguments }: &Call) -> Value {
    let args: Value = serde_json::from_str(arguments).expect("arguments that are JSON");
    json!({"functionCall": {"name": name, "args": args}})
}

/// The chunk of these parts.
#[must_use]
pub fn parts(parts: &Value) -> Value {
    json!({"candidates": [{"content": {"role": "model", "parts": parts}, "index": 0}], "modelVersion": MODEL})
}

/// The chunk that says why the answer ends, and what it used.
#[must_use]
pub fn finish(reason: &str, usage: &Usage) -> Value {
    let mut chunk = json!({"candidates": [{"finishReason": reason, "index": 0}], "modelVersion": MODEL});
    if let (Some(input), Some(output)) = (usage.input_tokens, usage.output_tokens) {
        // The vendor counts thoughts apart from the answer.
        let thoughts = usage.reasoning_tokens.unwrap_or(0);
        chunk["usageMetadata"] = json!({
            "promptTokenCount": input,
            "cachedContentTokenCount": usage.cache_read_input_tokens,
            "candidatesTokenCount": output.saturating_sub(thoughts),
            "thoughtsTokenCount": thoughts,
            "totalTokenCount": input + output,
        });
    }
    chunk
}
