use std::time::Duration;

use musher_protocol::{Capability, StopReason, Usage};
use musher_scripted::model_api::responses::{completed, delta, done, incomplete, message};
use musher_turn_loop::{Ending, FailureKind, Output, Piece, Raw, SseEvent};
use secrecy::ExposeSecret as _;

use super::*;

fn model() -> Responses {
    let key = musher_turn_loop::ApiKey::new("OPENAI_API_KEY", "sk-secret".to_owned().into());
    Responses::new(
        Arc::new(Endpoint::new("http://localhost/v1", Some(key))),
        "m".to_owned(),
        Tuning::default(),
    )
}

fn raw(scope: &Scope, items: &[Value]) -> Option<Raw> {
    Some(Raw { scope: scope.clone(), items: items.to_vec() })
}

fn spec() -> ToolSpec {
    ToolSpec {
        name: "ls".to_owned(),
        description: "lists".to_owned(),
        input_schema: json!({"type": "object"}),
        capability: Capability::Read,
        is_read_only: true,
        limit: Duration::ZERO,
    }
}

#[test]
fn own_items_go_back_verbatim_and_others_in_words() {
    let scope = model().scope;
    let other = Scope { model: "other".to_owned(), ..scope.clone() };
    let reasoning = json!({"type": "reasoning", "id": "rs", "summary": [], "encrypted_content": "x"});
    let bare = json!({"type": "reasoning", "id": "rs2", "summary": []});
    let said =
        json!({"type": "message", "id": "msg", "role": "assistant", "phase": "commentary", "content": []});
    let made = json!({"type": "function_call", "id": "fc", "call_id": "v1", "name": "ls", "arguments": "{}"});
    let id = |id: &str| id.parse().unwrap();
    let call =
        |own: &str, raw| Item::Call { id: id(own), name: "ls".to_owned(), arguments: "{}".to_owned(), raw };
    let result = |own: &str| Item::Result {
        id: id(own),
        name: "ls".to_owned(),
        content: "a".to_owned(),
        is_error: false,
    };
    let items = [
        Item::System { text: "s".to_owned() },
        Item::Text { text: "t".to_owned(), raw: raw(&scope, &[reasoning.clone(), said.clone()]) },
        Item::Text { text: "o".to_owned(), raw: raw(&other, &[json!({"type": "opaque"})]) },
        Item::Thinking { raw: raw(&scope, &[bare]).unwrap() },
        call("c1", raw(&scope, &[reasoning.clone(), made.clone()])),
        result("c1"),
        call("c2", None),
        result("c2"),
    ];
    let expected = json!([
        {"type": "message", "role": "developer", "content": "s"},
        reasoning,
        said,
        {"type": "message", "role": "assistant", "content": "o"},
        reasoning,
        made,
        {"type": "function_call_output", "call_id": "v1", "output": "a"},
        {"type": "function_call", "call_id": "c2", "name": "ls", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c2", "output": "a"},
    ]);
    assert_eq!(Value::Array(input(&items, &scope)), expected);
}

#[test]
fn a_request_leaves_nothing_with_the_vendor() {
    let tools = [spec()];
    let prompt = Prompt {
        instructions: Some("be brief"),
        items: &[Item::User { text: "hi".to_owned() }],
        tools: &tools,
        may_call: true,
        cache_key: "wrk_1",
    };
    let call = model().call(&prompt);
    let headers: Vec<_> = call.headers.iter().map(|(name, value)| (*name, value.expose_secret())).collect();
    assert_eq!(
        (call.url.as_str(), headers),
        ("http://localhost/v1/responses", vec![("authorization", "Bearer sk-secret")])
    );
    let expected = json!({
        "model": "m",
        "instructions": "be brief",
        "input": [{"type": "message", "role": "user", "content": "hi"}],
        "tools": [{
            "type": "function",
            "name": "ls",
            "description": "lists",
            "parameters": {"type": "object"},
            "strict": false,
        }],
        "tool_choice": "auto",
        "store": false,
        "include": ["reasoning.encrypted_content"],
        "stream": true,
        "stream_options": {"include_obfuscation": false},
        "prompt_cache_key": "wrk_1",
    });
    assert_eq!(call.body, expected);
}

/// The pieces of a stream as one line, and its failure where it has one.
fn read(events: &[Value]) -> String {
    let mut reader = ResponsesReader::default();
    let mut pieces = Vec::new();
    let mut failed = None;
    for value in events {
        let event = SseEvent { name: String::new(), text: value.to_string() };
        if let Err(failure) = reader.event(&event, &mut pieces) {
            failed = Some(failure);
            break;
        }
    }
    let failed = failed.or_else(|| reader.end(&mut pieces).err());
    let mut line: Vec<_> = pieces.iter().map(word).collect();
    line.extend(failed.map(|failure| match failure.kind {
        FailureKind::Broken => "broken".to_owned(),
        FailureKind::Transient { .. }
        | FailureKind::RateLimited { .. }
        | FailureKind::Overflow
        | FailureKind::OpaqueRejected
        | FailureKind::Adapted
        | FailureKind::Refused
        | FailureKind::Final => format!("{}: {}", failure.code, failure.message),
    }));
    line.join(" ")
}

fn word(piece: &Piece) -> String {
    match piece {
        Piece::Text { slot, text } => format!("{slot}+{text}"),
        Piece::Thinking { slot, text } => format!("{slot}~{text}"),
        Piece::Progress => ".".to_owned(),
        Piece::Whole { slot, output, raw } => {
            let output = match output {
                Output::Text(text) => text.clone(),
                Output::Thinking(text) => format!("~{text}"),
                Output::Call { id, name, arguments } => format!("{id}:{name}({arguments})"),
                Output::Opaque => "opaque".to_owned(),
            };
            format!("{slot}={output}/{}", raw.len())
        }
        Piece::Usage(tokens) => format!("used({:?}/{:?})", tokens.input, tokens.output),
        Piece::End(Ending::Stopped { reason: StopReason::EndTurn, vendor: None }) => "end".to_owned(),
        Piece::End(ending) => format!("{ending:?}"),
    }
}

#[test]
fn items_count_when_they_are_done() {
    let reasoning =
        json!({"type": "reasoning", "encrypted_content": "x", "summary": [{"text": "a"}, {"text": "b"}]});
    let call = json!({"type": "function_call", "call_id": "c", "name": "ls", "arguments": "{}"});
    let events = [
        json!({"type": "response.created", "response": {}}),
        json!({"type": "response.output_item.added", "output_index": 0, "item": {"type": "reasoning"}}),
        json!({"type": "response.reasoning_summary_text.delta", "output_index": 0, "delta": "a"}),
        json!({"type": "response.reasoning_summary_part.added", "output_index": 0, "summary_index": 1}),
        json!({"type": "response.reasoning_summary_text.delta", "output_index": 0, "delta": "b"}),
        done(0, reasoning),
        delta(1, "hi"),
        done(1, message("hi")),
        json!({"type": "response.function_call_arguments.delta", "output_index": 2, "delta": "{}"}),
        done(2, call),
        json!({"type": "response.completed", "response": {"usage": {"input_tokens": 7, "output_tokens": 3}}}),
    ];
    let expected = ". 0~a 0~\n\n 0~b 1+hi 0=~a\n\nb/1 1=hi/1 . 2=c:ls({})/1 used(Some(7)/Some(3)) end";
    assert_eq!(read(&events), expected);
}

#[test]
fn reasoning_that_leads_nowhere_is_not_kept() {
    let reasoning = json!({"type": "reasoning", "encrypted_content": "x", "summary": [{"text": "a"}]});
    assert_eq!(
        read(&[done(0, message("m")), done(1, reasoning), completed(&Usage::default())]),
        "0=m/1 1=~a/0 end"
    );
}

#[test]
fn gateways_may_put_everything_into_the_last_event() {
    let last = json!({"type": "response.completed", "response": {"output": [message("m")]}});
    assert_eq!(read(&[last]), "0=m/1 end");
}

#[test]
fn an_answer_ends_by_its_status_whatever_the_event() {
    let ended = |kind: &str, response: Value| json!({"type": kind, "response": response});
    let refusal = json!({"type": "message", "content": [{"type": "refusal", "refusal": "no"}]});
    for (events, expected) in [
        (vec![], "broken"),
        (vec![done(0, message("m"))], "0=m/1 broken"),
        (
            vec![incomplete("max_output_tokens")],
            r#"Stopped { reason: Length, vendor: Some("max_output_tokens") }"#,
        ),
        (
            vec![ended(
                "response.completed",
                json!({"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}),
            )],
            r#"Refused { vendor: Some("content_filter"), message: "the provider's filter ended the answer" }"#,
        ),
        (vec![incomplete("steered")], r#"Stopped { reason: Other, vendor: Some("steered") }"#),
        (
            vec![done(0, refusal), completed(&Usage::default())],
            r#"0=no/1 Refused { vendor: Some("refusal"), message: "no" }"#,
        ),
        (
            vec![ended("response.failed", json!({"error": {"code": "server_error", "message": "oh"}}))],
            "provider_error: oh (server_error)",
        ),
        (
            vec![json!({"type": "error", "code": "context_length_exceeded", "message": "long"})],
            "context_overflow: long (context_length_exceeded)",
        ),
        (
            vec![json!({"type": "error", "error": {"type": "insufficient_quota", "message": "spent"}})],
            "quota_exhausted: spent (insufficient_quota)",
        ),
        (vec![json!({"error": {"message": "busy", "code": 503}})], "overloaded: busy (503)"),
    ] {
        assert_eq!(read(&events), expected, "{events:?}");
    }
}
