use serde_json::{Value, json};

use super::*;

fn reply() -> Reply {
    Reply { thought: Some("hm, well".to_owned()), ..Reply::calls(&[("a", "look", r#"{"path":"x"}"#)]) }
}

/// What is sent, as text.
fn sent(answer: &Answer) -> String {
    let text = |frame: &Frame| match frame {
        Frame::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Frame::Pause(time) => format!("pause {time:?}\n\n"),
        Frame::Disconnect => "cut".to_owned(),
        Frame::Silence => "silence".to_owned(),
    };
    answer.frames().iter().map(text).collect()
}

/// The events of a stream, with the names that they have beside their text.
fn events(answer: &Answer) -> Vec<(Option<String>, Value)> {
    let text = sent(answer).replace("\r\n", "\n");
    let event = |block: &str| {
        let (name, text) = match block.strip_prefix("event: ") {
            Some(rest) => rest.split_once('\n').map(|(name, text)| (Some(name.to_owned()), text))?,
            None => (None, block),
        };
        let text = text.strip_prefix("data: ").filter(|text| *text != "[DONE]")?;
        Some((name, serde_json::from_str(text).expect("an event is JSON")))
    };
    text.split_terminator("\n\n").filter_map(event).collect()
}

#[test]
fn responses_are_numbered_named_and_whole() {
    let reply = Reply { words: "I look.".to_owned(), ..reply() };
    let events = events(&responses::answer(&reply));
    let word = |(number, (name, event)): (usize, &(Option<String>, Value))| {
        let kind = event["type"].as_str().expect("a type");
        assert_eq!((name.as_deref(), &event["sequence_number"]), (Some(kind), &json!(number)));
        let kind = kind.strip_prefix("response.").expect("the protocol's own");
        let delta = event["delta"].as_str().map_or_else(String::new, |delta| format!("({delta})"));
        let slot = event["output_index"].as_u64().map_or_else(String::new, |slot| format!("{slot} "));
        format!("{slot}{kind}{delta}")
    };
    let words: Vec<_> = events.iter().enumerate().map(word).collect();
    let expected = [
        "created",
        "in_progress",
        "0 output_item.added",
        "0 reasoning_summary_part.added",
        "0 reasoning_summary_text.delta(hm, )",
        "0 reasoning_summary_text.delta(well)",
        "0 reasoning_summary_text.done",
        "0 reasoning_summary_part.done",
        "0 output_item.done",
        "1 output_item.added",
        "1 content_part.added",
        "1 output_text.delta(I )",
        "1 output_text.delta(look.)",
        "1 output_text.done",
        "1 content_part.done",
        "1 output_item.done",
        "2 output_item.added",
        r#"2 function_call_arguments.delta({"path":"x"})"#,
        "2 function_call_arguments.done",
        "2 output_item.done",
        "completed",
    ];
    assert_eq!(words, expected);
    let items = json!([
        responses::reasoning("hm, well"),
        responses::message("I look."),
        responses::call("a", "look", r#"{"path":"x"}"#),
    ]);
    let (_, last) = events.last().expect("the end");
    assert_eq!((&last["response"]["output"], &last["response"]["model"]), (&items, &json!("scripted")));
    let usage = json!({
        "input_tokens": 10,
        "input_tokens_details": {"cached_tokens": 4},
        "output_tokens": 5,
        "output_tokens_details": {"reasoning_tokens": 2},
        "total_tokens": 15,
    });
    assert_eq!(last["response"]["usage"], usage);
    let begun: Vec<_> = events[..2].iter().map(|(_, event)| event["response"]["status"].clone()).collect();
    assert_eq!(begun, ["in_progress", "in_progress"]);
    assert_eq!(events[9].1["item"]["content"], json!([]), "nothing of it has been said");
}

#[test]
fn chat_has_a_chunk_for_each_piece_and_says_when_it_is_done() {
    let answer = chat::answer(&reply());
    assert!(sent(&answer).ends_with("\n\ndata: [DONE]\n\n"));
    let chunks: Vec<_> = events(&answer).into_iter().map(|(_, chunk)| chunk).collect();
    assert!(chunks.iter().all(|chunk| chunk["model"] == "scripted"), "{chunks:?}");
    let choices: Vec<_> = chunks.iter().map(|chunk| chunk["choices"][0].clone()).collect();
    let choice = |delta, reason| json!({"index": 0, "delta": delta, "finish_reason": reason});
    let piece = |delta| choice(delta, Value::Null);
    let function = json!({"name": "look", "arguments": r#"{"path":"x"}"#});
    let expected = [
        piece(json!({"role": "assistant", "content": ""})),
        piece(json!({"reasoning_content": "hm, "})),
        piece(json!({"reasoning_content": "well"})),
        piece(json!({"tool_calls": [{"index": 0, "id": "a", "type": "function", "function": function}]})),
        choice(json!({}), json!("tool_calls")),
        json!(null),
    ];
    assert_eq!(choices, expected);
    assert_eq!(chunks[5]["usage"]["completion_tokens"], 5);
}

#[test]
fn gemini_signs_the_first_call_and_counts_thoughts_apart() {
    let reply = Reply { calls: [reply().calls, reply().calls].concat(), ..reply() };
    let answer = generate::answer(&reply);
    assert!(sent(&answer).ends_with("\r\n\r\n"));
    let chunks: Vec<_> = events(&answer).into_iter().map(|(_, chunk)| chunk).collect();
    let parts: Vec<_> =
        chunks.iter().map(|chunk| chunk["candidates"][0]["content"]["parts"].clone()).collect();
    let call = json!({"name": "look", "args": {"path": "x"}});
    let expected = [
        json!([{"text": "hm, ", "thought": true}]),
        json!([{"text": "well", "thought": true}]),
        json!([
            {"functionCall": call, "thoughtSignature": "only its maker reads this"},
            {"functionCall": call},
        ]),
        json!(null),
    ];
    assert_eq!(parts, expected);
    let usage = json!({
        "promptTokenCount": 10,
        "cachedContentTokenCount": 4,
        "candidatesTokenCount": 3,
        "thoughtsTokenCount": 2,
        "totalTokenCount": 15,
    });
    assert_eq!((&chunks[3]["usageMetadata"], &chunks[3]["modelVersion"]), (&usage, &json!("scripted")));
}

#[test]
fn what_is_unknown_is_not_said_and_a_pace_is_kept() {
    let unknown = musher_protocol::Usage::default();
    assert_eq!(responses::completed(&unknown)["response"]["usage"], json!(null));
    assert_eq!(chat::usage(&unknown)["usage"], json!(null));
    assert_eq!(generate::finish("STOP", &unknown)["usageMetadata"], json!(null));
    let paced = Reply { pace: Duration::from_millis(5), ..Reply::text("one two") };
    for answer in [responses::answer(&paced), chat::answer(&paced), generate::answer(&paced)] {
        assert_eq!(sent(&answer).matches("pause 5ms").count(), 2);
    }
}

#[test]
fn a_beginning_ends_with_its_last_piece() {
    let reply = Reply::text("one two");
    for (answer, last) in [
        (responses::begun(&reply), "response.output_text.delta"),
        (chat::begun(&reply), r#""content":"two""#),
        (generate::begun(&reply), r#""text":"two""#),
    ] {
        let (_, event) = events(&answer).pop().expect("a piece");
        assert!(event.to_string().contains(last), "{event}");
    }
}

/// A request with this body.
fn request(body: Value) -> Received {
    Received { method: "POST".to_owned(), path: "/".to_owned(), headers: Vec::new(), body }
}

#[test]
fn a_turn_is_what_the_user_said_last_and_what_tools_said_since() {
    let responses = |input| responses::turn(&request(json!({"input": input})));
    let chat = |messages| chat::turn(&request(json!({"messages": messages})));
    let generate = |contents| generate::turn(&request(json!({"contents": contents})));
    let output = |text| json!({"type": "function_call_output", "call_id": "a", "output": text});
    let result = |text| json!({"role": "tool", "tool_call_id": "a", "content": text});
    let part = |response| json!({"functionResponse": {"name": "look", "response": response}});
    let responded = |parts: &[Value]| json!({"role": "user", "parts": parts});
    let said = |text: &str| json!({"role": "user", "content": text});
    let told = |text: &str| json!({"role": "user", "parts": [{"text": "before"}, {"text": text}]});
    let call = responses::call("a", "look", "{}");
    let structured = json!([{"text": "c"}]);
    for turn in [
        responses(json!([
            said("first"),
            output(json!("before")),
            said("go"),
            call,
            output(json!("a")),
            output(json!("b")),
            output(structured.clone())
        ])),
        chat(json!([
            said("first"),
            result(json!("before")),
            said("go"),
            {"role": "assistant", "content": null},
            result(json!("a")),
            result(json!("b")),
            result(structured.clone())
        ])),
        generate(json!([
            told("first"),
            responded(&[part(json!({"output": "before"}))]),
            told("go"),
            {"role": "model", "parts": []},
            responded(&[part(json!({"output": "a"})), part(json!({"error": "b"}))]),
            responded(&[part(structured)])
        ])),
    ] {
        let results = ["a", "b", r#"[{"text":"c"}]"#].map(str::to_owned).into();
        assert_eq!(turn, Turn { prompt: "go".to_owned(), results });
    }
    for turn in
        [responses(json!([])), chat(json!("no list")), generate(json!([responded(&[part(json!({}))])]))]
    {
        assert_eq!(turn.prompt, "");
    }
}

/// What is wrong with a request of this body.
fn violations(
    of: impl Fn(&Received, &str) -> Vec<Violation>,
    path: &str,
    (name, value): (&str, &str),
    body: Value,
) -> String {
    let headers = vec![(name.to_owned(), value.to_owned())];
    let received = Received { path: path.to_owned(), headers, ..request(body) };
    of(&received, "key").iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

const BEARER: (&str, &str) = ("authorization", "Bearer key");
const GOOG: (&str, &str) = ("x-goog-api-key", "key");
const GEMINI: &str = "/v1beta/models/m:streamGenerateContent?alt=sse";

#[test]
fn what_any_request_needs_is_checked() {
    let input = || json!({"input": "hi", "stream": true});
    let messages = || json!({"messages": [{}], "stream": true});
    for (found, expected) in [
        (violations(responses::violations, "/v1/responses", BEARER, input()), ""),
        (violations(chat::violations, "/v1/chat/completions", BEARER, messages()), ""),
        (violations(generate::violations, GEMINI, GOOG, json!({"contents": [{}]})), ""),
        (violations(responses::violations, "/v1/x", BEARER, input()), "no route POST /v1/x"),
        (violations(responses::violations, "/v1/responses", GOOG, input()), "no such key"),
        (
            violations(responses::violations, "/v1/responses", BEARER, json!(null)),
            "no stream is asked for; no input",
        ),
        (violations(chat::violations, "/v1/chat/completions", BEARER, input()), "no messages"),
        (
            violations(generate::violations, "/v1beta/models/m:generateContent", BEARER, input()),
            "no route POST /v1beta/models/m:generateContent; no such key; no contents",
        ),
    ] {
        assert_eq!(found, expected);
    }
}

#[test]
fn calls_and_results_belong_together() {
    let call = responses::call("a", "look", "{}");
    let output = json!({"type": "function_call_output", "call_id": "a", "output": "ran"});
    let reasoning = responses::reasoning("");
    for (input, expected) in [
        (json!([reasoning, call, output]), ""),
        (json!([call]), "no result of call a"),
        (json!([output]), "no call for result a"),
        (json!([call, output, output]), "no call for result a"),
        (json!([reasoning, output]), "reasoning \"rs_1\" leads nowhere; no call for result a"),
    ] {
        let body = json!({"input": input, "stream": true});
        assert_eq!(violations(responses::violations, "/v1/responses", BEARER, body), expected);
    }
    let call = json!({"role": "assistant", "tool_calls": [{"id": "a"}, {"id": "b"}]});
    let result = |id: &str| json!({"role": "tool", "tool_call_id": id});
    let said = json!({"role": "user", "content": "go"});
    for (messages, expected) in [
        (json!([call, result("b"), result("a"), said]), ""),
        (json!([call, result("b"), said, result("a")]), "no result of call a; no call for result a"),
    ] {
        let body = json!({"messages": messages, "stream": true});
        assert_eq!(violations(chat::violations, "/v1/chat/completions", BEARER, body), expected);
    }
    let call = json!({"role": "model", "parts": [{"functionCall": {}}, {"text": "x"}, {"functionCall": {}}]});
    let result = |n: usize| json!({"role": "user", "parts": vec![json!({"functionResponse": {}}); n]});
    for (contents, expected) in [
        (json!([call, result(2)]), ""),
        (json!([call, result(1)]), "calls and results differ in number before content 1"),
        (json!([result(2)]), "calls and results differ in number before content 0"),
        (json!([call]), "calls and results differ in number before content 1"),
    ] {
        assert_eq!(violations(generate::violations, GEMINI, GOOG, json!({"contents": contents})), expected);
    }
}
