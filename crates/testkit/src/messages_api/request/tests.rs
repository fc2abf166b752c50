use serde_json::json;

use super::*;

fn received(method: &str, path: &str, headers: &[(&str, &str)], body: Value) -> Received {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Received { method: method.into(), path: path.into(), headers: headers.collect(), body }
}

/// Checks a request whose messages are these, and which has no other fault.
fn check_only(messages: Value, expected: Result<Route, Violation>) {
    let body = json!({"model": "m", "max_tokens": 1, "stream": true, "messages": messages});
    let headers = [("x-api-key", "key"), ("anthropic-version", "2023-06-01")];
    let request = received("POST", "/v1/messages?beta=true", &headers, body);
    assert_eq!(check(&request, "key"), expected, "{messages}");
}

const STREAM: Route = Route::Messages { reply: Reply::Stream };

#[test]
fn a_conversation_is_taken() {
    check_only(json!([{"role": "user", "content": "hi"}]), Ok(STREAM));
    check_only(
        json!([
            {"role": "user", "content": [{"type": "text", "text": "hi"}]},
            {"role": "system", "content": []},
            {"role": "assistant", "content": [
                {"type": "text", "text": "on it"},
                {"type": "tool_use", "id": "a", "name": "Bash", "input": {}},
                {"type": "tool_use", "id": "b", "name": "Bash", "input": {}},
            ]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "b", "content": "2"}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": "1"}]},
            {"role": "system", "content": "a note"},
        ]),
        Ok(STREAM),
    );
}

#[test]
fn messages_that_the_vendor_refuses_are_violations() {
    let call = json!({"role": "assistant", "content": [{"type": "tool_use", "id": "a"}]});
    let answer = json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a"}]});
    let said = json!({"role": "assistant", "content": "well"});
    let cases = [
        (json!([]), Violation::Field("messages")),
        (json!("hi"), Violation::Field("messages")),
        (json!([{"role": "tool", "content": "x"}]), Violation::Role { message: 0, role: "tool".into() }),
        (json!([{"content": "x"}]), Violation::Role { message: 0, role: String::new() }),
        (json!([{"role": "user"}]), Violation::Content { message: 0 }),
        (json!([{"role": "user", "content": ["x"]}]), Violation::Content { message: 0 }),
        (json!([{"role": "user", "content": ""}]), Violation::EmptyText { message: 0 }),
        (
            json!([{"role": "user", "content": [{"type": "text", "text": "x"}, {"type": "text", "text": ""}]}]),
            Violation::EmptyText { message: 0 },
        ),
        (json!([answer]), Violation::OrphanToolResult { message: 0, tool_use_id: "a".into() }),
        (
            json!([call, answer, said, answer]),
            Violation::OrphanToolResult { message: 3, tool_use_id: "a".into() },
        ),
        (json!([call]), Violation::UnansweredToolUse { tool_use_id: "a".into() }),
        (json!([call, said]), Violation::UnansweredToolUse { tool_use_id: "a".into() }),
        (
            json!([call, {"role": "user", "content": "go on"}]),
            Violation::UnansweredToolUse { tool_use_id: "a".into() },
        ),
    ];
    for (messages, violation) in cases {
        check_only(messages, Err(violation));
    }
}

#[test]
fn everything_but_the_messages_is_checked_too() {
    let messages = json!([{"role": "user", "content": "hi"}]);
    let good = json!({"model": "m", "max_tokens": 1, "messages": messages});
    let both = [("x-api-key", "key"), ("anthropic-version", "2023-06-01")];
    let with = |name: &str, value: Value| {
        let mut body = good.clone();
        body[name] = value;
        body
    };
    let route = |method: &str, path: &str| Violation::Route { method: method.into(), path: path.into() };
    let post = "POST";
    let cases = [
        (post, "/v1/messages", &both[..], good.clone(), Ok(Route::Messages { reply: Reply::Whole })),
        (
            post,
            "/v1/messages",
            &both,
            with("stream", json!(false)),
            Ok(Route::Messages { reply: Reply::Whole }),
        ),
        (post, "/v1/messages", &both, with("stream", json!(true)), Ok(STREAM)),
        (post, "/v1/messages/count_tokens", &both, with("max_tokens", json!(null)), Ok(Route::CountTokens)),
        (post, "/v1/messages", &both, with("stream", json!("yes")), Err(Violation::Field("stream"))),
        (post, "/v1/messages", &both, with("model", json!("")), Err(Violation::Field("model"))),
        (post, "/v1/messages", &both, with("max_tokens", json!(0)), Err(Violation::Field("max_tokens"))),
        (post, "/v1/messages", &both, Value::Null, Err(Violation::Json)),
        (post, "/v1/messages", &both[1..], good.clone(), Err(Violation::ApiKey)),
        (post, "/v1/messages", &[("x-api-key", "kez"), both[1]], good.clone(), Err(Violation::ApiKey)),
        (post, "/v1/messages", &both[..1], good.clone(), Err(Violation::Version)),
        (post, "/v1/complete", &both, good.clone(), Err(route("POST", "/v1/complete"))),
        ("GET", "/v1/messages", &both, good.clone(), Err(route("GET", "/v1/messages"))),
    ];
    for (method, path, headers, body, expected) in cases {
        let request = received(method, path, headers, body);
        assert_eq!(check(&request, "key"), expected, "{request:?}");
    }
}
