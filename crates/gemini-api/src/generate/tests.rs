use musher_protocol::{StopReason, Usage};
use musher_scripted::model_api::generate::{self, parts};
use musher_turn_loop::{Ending, Output, Piece, Raw, SseEvent};

use super::*;

fn scope(model: &str) -> Scope {
    Scope { provider: "gemini".to_owned(), base_url: "http://localhost".to_owned(), model: model.to_owned() }
}

fn call(id: &str, raw: Option<Raw>) -> Item {
    Item::Call { id: id.parse().unwrap(), name: "ls".to_owned(), arguments: "{}".to_owned(), raw }
}

fn result(id: &str, is_error: bool) -> Item {
    Item::Result { id: id.parse().unwrap(), name: "ls".to_owned(), content: "a".to_owned(), is_error }
}

#[test]
fn signed_parts_go_back_unmerged_and_ids_only_where_the_vendor_gave_them() {
    let scope = scope("gemini-3-pro");
    let own = |parts: &[Value]| Some(Raw { scope: scope.clone(), items: parts.to_vec() });
    let signed = json!({"functionCall": {"name": "ls", "args": {}}, "thoughtSignature": "s1"});
    let with_id = json!({"functionCall": {"id": "v", "name": "ls", "args": {}}});
    let text = [json!({"text": "a"}), json!({"text": "", "thoughtSignature": "s2"})];
    let items = [
        Item::User { text: "u".to_owned() },
        Item::System { text: "s".to_owned() },
        call("c1", own(std::slice::from_ref(&signed))),
        call("c2", own(std::slice::from_ref(&with_id))),
        result("c1", false),
        result("c2", true),
        Item::User { text: "more".to_owned() },
        Item::Text { text: "a".to_owned(), raw: own(&text) },
    ];
    let expected = json!([
        {"role": "user", "parts": [{"text": "u"}, {"text": "<system-message>\ns\n</system-message>"}]},
        {"role": "model", "parts": [signed, with_id]},
        {"role": "user", "parts": [
            {"functionResponse": {"name": "ls", "response": {"output": "a"}}},
            {"functionResponse": {"id": "v", "name": "ls", "response": {"error": "a"}}},
        ]},
        {"role": "user", "parts": [{"text": "more"}]},
        {"role": "model", "parts": text},
    ]);
    assert_eq!(Value::Array(contents(&items, &scope, &Names::default())), expected);
}

#[test]
fn calls_of_others_are_marked_as_such() {
    let items = [call("c1", None), call("c2", None), result("c1", false), result("c2", false)];
    let marks = |model: &str| {
        let contents = contents(&items, &scope(model), &Names::default());
        let parts = contents[0]["parts"].as_array().cloned().unwrap_or_default();
        parts
            .iter()
            .map(|part| part["thoughtSignature"].as_str() == Some(FOREIGN_SIGNATURE))
            .collect::<Vec<_>>()
    };
    assert_eq!(marks("gemini-3-pro"), [true, false]);
    assert_eq!(marks("gemini-2.5-pro"), [false, false]);
}

fn read(chunks: &[Value]) -> String {
    let mut reader = GenerateReader::new(Names::default());
    let mut pieces = Vec::new();
    let mut failed = None;
    for chunk in chunks {
        let event = SseEvent { name: String::new(), text: chunk.to_string() };
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
            format!("{slot}={output}{}", Value::Array(raw.clone()))
        }
        Piece::Usage(tokens) => format!("used({:?}/{:?})", tokens.input, tokens.output),
        Piece::End(Ending::Stopped { reason: StopReason::EndTurn, vendor: None }) => "end".to_owned(),
        Piece::End(ending) => format!("{ending:?}"),
    }
}

fn finish(reason: &str) -> Value {
    generate::finish(reason, &Usage::default())
}

#[test]
fn plain_texts_merge_and_signed_parts_do_not() {
    let chunks = [
        parts(&json!([{"text": "hm", "thought": true}])),
        parts(&json!([{"text": "a"}])),
        parts(&json!([{"text": "b"}])),
        parts(&json!([{"text": "", "thoughtSignature": "s"}])),
        parts(&json!([{"functionCall": {"name": "ls"}, "thoughtSignature": "t"}])),
        parts(&json!([{"newThing": 1}])),
        finish("STOP"),
    ];
    let expected = [
        "0~hm",
        "0=~hm[]",
        "1+a",
        "1+b",
        r#"1=ab[{"text":"ab"}]"#,
        r#"2=[{"text":"","thoughtSignature":"s"}]"#,
        r#"3=:ls({})[{"functionCall":{"name":"ls"},"thoughtSignature":"t"}]"#,
        r#"4=opaque[{"newThing":1}]"#,
        "end",
    ];
    assert_eq!(read(&chunks), expected.join(" "));
}

#[test]
fn an_answer_ends_by_the_vendors_reason() {
    let blocked =
        json!({"promptFeedback": {"blockReason": "NEW_REASON"}, "usageMetadata": {"promptTokenCount": 4}});
    for (chunks, expected) in [
        (vec![], "provider_error: the stream ended without a `finishReason`"),
        (vec![finish("MAX_TOKENS")], r#"Stopped { reason: Length, vendor: Some("MAX_TOKENS") }"#),
        (vec![finish("SOMETHING_NEW")], r#"Stopped { reason: Other, vendor: Some("SOMETHING_NEW") }"#),
        (
            vec![finish("SAFETY")],
            r#"Refused { vendor: Some("SAFETY"), message: "the provider's filter ended the answer" }"#,
        ),
        (
            vec![blocked],
            r#"used(Some(4)/None) Refused { vendor: Some("NEW_REASON"), message: "the provider's filter refused the request" }"#,
        ),
        (
            vec![finish("MALFORMED_FUNCTION_CALL")],
            "provider_error: the model's answer was none: MALFORMED_FUNCTION_CALL",
        ),
        (vec![finish("MISSING_THOUGHT_SIGNATURE")], "history_rejected: MISSING_THOUGHT_SIGNATURE"),
    ] {
        assert_eq!(read(&chunks), expected, "{chunks:?}");
    }
}

#[test]
fn thoughts_count_as_output_and_the_last_count_holds() {
    let usage = |answer: u64| json!({"usageMetadata": {"promptTokenCount": 10, "candidatesTokenCount": answer, "thoughtsTokenCount": 5}});
    assert_eq!(
        read(&[usage(1), usage(3), finish("STOP")]),
        "used(Some(10)/Some(6)) used(Some(10)/Some(8)) end"
    );
}
