use musher_protocol::StopReason;
use musher_turn_loop::{Ending, Output, Piece, Raw, SseEvent, Tokens};

use super::*;

fn scope() -> Scope {
    let endpoint = Arc::new(Endpoint::new("http://localhost/v1", None));
    Chat::new(endpoint, "m".to_owned(), Tuning::default()).scope
}

#[test]
fn what_a_model_said_and_called_in_one_go_is_one_message() {
    let scope = scope();
    let raw = |items: Value| Raw { scope: scope.clone(), items: vec![items] };
    let own = json!({"id": "v", "type": "function", "function": {"name": "ls", "arguments": "{}"}, "extra_content": 1});
    let details = json!({"reasoning_details": [{"data": "x"}]});
    let call = |id: &str, raw| Item::Call {
        id: id.parse().unwrap(),
        name: "ls".to_owned(),
        arguments: "{}".to_owned(),
        raw,
    };
    let result = |id: &str| Item::Result {
        id: id.parse().unwrap(),
        name: "ls".to_owned(),
        content: "a".to_owned(),
        is_error: false,
    };
    let items = [
        Item::User { text: "u".to_owned() },
        Item::Thinking { raw: raw(details) },
        Item::Text { text: "t".to_owned(), raw: None },
        call("c1", Some(raw(own.clone()))),
        call("c2", None),
        result("c1"),
        result("c2"),
        Item::Text { text: "end".to_owned(), raw: None },
        Item::System { text: "s".to_owned() },
    ];
    let expected = json!([
        {"role": "user", "content": "u"},
        {
            "role": "assistant",
            "content": "t",
            "reasoning_details": [{"data": "x"}],
            "tool_calls": [own, {"id": "c2", "type": "function", "function": {"name": "ls", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "v", "content": "a"},
        {"role": "tool", "tool_call_id": "c2", "content": "a"},
        {"role": "assistant", "content": "end"},
        {"role": "user", "content": "<system-message>\ns\n</system-message>"},
    ]);
    assert_eq!(Value::Array(conversation(&items, &scope)), expected);
}

fn read(events: &[&str]) -> String {
    let mut reader = ChatReader::default();
    let mut pieces = Vec::new();
    let mut failed = None;
    for text in events {
        let event = SseEvent { name: String::new(), text: (*text).to_owned() };
        if let Err(failure) = reader.event(&event, &mut pieces) {
            failed = Some(failure);
            break;
        }
    }
    let failed = failed.or_else(|| reader.end(&mut pieces).err());
    let mut line: Vec<_> = pieces.iter().map(word).collect();
    line.extend(failed.map(|failure| format!("{}: {}", failure.code, failure.message)));
    line.join(" ")
}

fn word(piece: &Piece) -> String {
    match piece {
        Piece::Text { text, .. } => format!("+{text}"),
        Piece::Thinking { text, .. } => format!("~{text}"),
        Piece::Progress => ".".to_owned(),
        Piece::Whole { output: Output::Text(text), .. } => format!("={text}"),
        Piece::Whole { output: Output::Thinking(text), raw, .. } => format!("=~{text}/{}", raw.len()),
        Piece::Whole { output: Output::Call { id, name, arguments }, .. } => {
            format!("{id}:{name}({arguments})")
        }
        Piece::Whole { output: Output::Opaque, .. } => "opaque".to_owned(),
        Piece::Usage(tokens) => format!("used({:?}/{:?})", tokens.input, tokens.output),
        Piece::End(Ending::Stopped { reason: StopReason::EndTurn, vendor: None }) => "end".to_owned(),
        Piece::End(ending) => format!("{ending:?}"),
    }
}

#[test]
fn chunks_become_an_answer() {
    let stop = r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#;
    let text = r#"{"choices":[{"delta":{"role":"assistant","content":"hi"},"finish_reason":null}]}"#;
    let usage = r#"{"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3}}"#;
    let call = r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"ls","arguments":"{}"}}]}}]}"#;
    let cut = "provider_error: the stream ended without a `finish_reason`";
    for (events, expected) in [
        (vec![text, stop, usage, "[DONE]"], "+hi used(Some(7)/Some(3)) =hi end".to_owned()),
        (vec![text, stop], "+hi =hi end".to_owned()),
        (vec![call, stop, "[DONE]"], ". a:ls({}) end".to_owned()),
        (vec![text], format!("+hi {cut}")),
        (vec![text, "[DONE]"], format!("+hi {cut}")),
        (
            vec![r#"{"choices":[{"delta":{"reasoning":"hm","reasoning_details":[{}]}}]}"#, text, stop],
            "~hm +hi =~hm/1 =hi end".to_owned(),
        ),
        (
            vec![text, r#"{"choices":[{"delta":{"content":""},"finish_reason":"length"}]}"#],
            r#"+hi =hi Stopped { reason: Length, vendor: Some("length") }"#.to_owned(),
        ),
        (
            vec![r#"{"choices":[{"delta":{"refusal":"no"},"finish_reason":"stop"}]}"#],
            r#"+no =no Refused { vendor: Some("refusal"), message: "no" }"#.to_owned(),
        ),
        (
            vec![text, r#"{"error":{"code":429,"message":"slow"},"choices":[]}"#, "[DONE]"],
            "+hi rate_limited: slow (429)".to_owned(),
        ),
        (
            vec![
                text,
                r#"{"choices":[{"delta":{},"finish_reason":"error","error":{"code":502,"message":"oh"}}]}"#,
            ],
            "+hi provider_error: oh (502)".to_owned(),
        ),
    ] {
        assert_eq!(read(&events), expected, "{events:?}");
    }
}

#[test]
fn what_the_cache_had_and_got_is_counted() {
    let usage = json!({"choices": [], "usage": {
        "prompt_tokens": 1000,
        "completion_tokens": 30,
        "prompt_tokens_details": {"cached_tokens": 600, "cache_write_tokens": 300},
        "completion_tokens_details": {"reasoning_tokens": 20},
    }});
    let mut pieces = Vec::new();
    let event = SseEvent { name: String::new(), text: usage.to_string() };
    ChatReader::default().event(&event, &mut pieces).unwrap();
    let tokens = Tokens {
        input: Some(1000),
        output: Some(30),
        cache_read: Some(600),
        cache_write: Some(300),
        reasoning: Some(20),
    };
    assert_eq!(pieces, [Piece::Usage(tokens)]);
}
