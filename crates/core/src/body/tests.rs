use jiff::Timestamp;
use musher_protocol::{
    Actor, ApprovalKind, ApprovalState, Delivery, InputKind, Role, TurnFinished, TurnOutcome, Usage,
    WorkerRef,
};
use serde_json::json;

use super::*;

fn id<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

fn approval(input: Value) -> Approval {
    Approval {
        approval_id: id("apr_1"),
        worker_id: id("wrk_1"),
        turn_id: id("t"),
        tool_call_id: None,
        kind: ApprovalKind::Tool,
        tool: "write".into(),
        input,
        blob: None,
        redacted: false,
        questions: Vec::new(),
        suggestions: Vec::new(),
        state: ApprovalState::Pending,
        requested_at: Timestamp::UNIX_EPOCH,
        deadline_at: Timestamp::UNIX_EPOCH,
        decision: None,
        message: None,
        by: None,
    }
}

fn finished(text_so_far: Option<String>) -> Payload {
    Payload::TurnFinished(Box::new(TurnFinished {
        turn_id: id("t"),
        outcome: TurnOutcome::Interrupted,
        stop_reason: None,
        vendor_stop_reason: None,
        limit: None,
        error: None,
        usage: Usage::zero(),
        text_so_far,
        blob: None,
        last_tool: None,
        tool_may_have_run: false,
    }))
}

fn result(content: String, diff: Option<String>) -> Payload {
    Payload::ToolResult { tool_call_id: id("c"), content, blob: None, is_error: false, diff, diff_blob: None }
}

fn said(content: String) -> Payload {
    Payload::UserMessage { input_id: id("i"), content, blob: None }
}

fn entry(content: &str, input: Option<Value>, result: Option<&str>) -> TranscriptEntry {
    TranscriptEntry {
        sequence: 1,
        worker_ref: WorkerRef { runtime_id: id("rt_1"), worker_id: id("wrk_1") },
        role: Role::Tool,
        content: content.to_owned(),
        blob: None,
        event_id: id("evt_1"),
        at: Timestamp::UNIX_EPOCH,
        turn_id: None,
        partial: false,
        tool_call_id: None,
        name: None,
        input,
        input_blob: None,
        result: result.map(str::to_owned),
        result_blob: None,
        is_error: None,
    }
}

/// What `blob` fields and their previews come to, as the wire shows them.
fn shown(value: &impl serde::Serialize, field: &str, blob: &str) -> (Value, Value) {
    let value = serde_json::to_value(value).unwrap();
    (value[field].clone(), value[blob].clone())
}

fn named(body: &str) -> Value {
    json!({ "digest": Blob::digest_of(body.as_bytes()).to_string(), "bytes": body.len() })
}

#[test]
fn every_field_that_may_be_large_holds_a_preview_and_the_name_of_the_whole() {
    let large = "x".repeat(MAX_IN_LINE + 1);
    let text = || large.clone();
    let (turn_id, block, blob) = (|| id("t"), 0, None);
    let cases = [
        (
            Payload::InputAccepted {
                input_id: id("i"),
                kind: InputKind::User,
                content: text(),
                blob,
                delivery: Delivery::Queue,
                by: Actor::rule("test"),
            },
            ("content", "blob"),
        ),
        (said(text()), ("content", "blob")),
        (Payload::SystemItem { content: text(), blob, input_id: None }, ("content", "blob")),
        (Payload::TextDone { turn_id: turn_id(), block, text: text(), blob }, ("text", "blob")),
        (Payload::ThinkingDone { turn_id: turn_id(), block, text: text(), blob }, ("text", "blob")),
        (result(text(), None), ("content", "blob")),
        (result(String::new(), Some(text())), ("diff", "diff_blob")),
        (finished(Some(text())), ("text_so_far", "blob")),
    ];
    for (mut payload, (field, blob)) in cases {
        let mut bodies = Bodies::default();
        assert_eq!(bodies.take(&mut payload, &mut []), None);
        let expected = (json!(large[..PREVIEW]), named(&large));
        assert_eq!(shown(&payload, field, blob), expected, "{}", payload.type_name());
        assert_eq!(bodies.into_blobs(), [Blob::of(large.clone().into())], "{}", payload.type_name());
    }
}

#[test]
fn all_that_a_tool_said_is_a_body_of_its_events_and_not_of_its_entrys() {
    let (short, long) = ("told".to_owned(), "t".repeat(MAX_IN_LINE + 1));
    let too_long = format!("x{}", "é".repeat(MAX_BODY / 2));
    for (told, whole, kept, cut) in [
        (&short, "all of it", "all of it", None),
        (&long, "all of it", "all of it", None),
        (&short, too_long.as_str(), &too_long[..MAX_BODY - 1], Some(Cut { bytes: MAX_BODY + 1 })),
    ] {
        let mut payload = result(told.clone(), None);
        let mut entries = [entry("", None, Some(told))];
        let mut bodies = Bodies::default();
        bodies.take_whole(whole.to_owned(), &mut payload);
        assert_eq!(bodies.take(&mut payload, &mut entries), cut);
        let beginning = json!(prefix(told, if told.len() > MAX_IN_LINE { PREVIEW } else { MAX_IN_LINE }));
        assert_eq!(shown(&payload, "content", "blob"), (beginning.clone(), named(kept)));
        let own = if told.len() > MAX_IN_LINE { named(told) } else { Value::Null };
        assert_eq!(shown(&entries[0], "result", "result_blob"), (beginning, own));
    }
}

#[test]
fn a_large_input_of_a_tool_becomes_the_beginning_of_its_json_text() {
    let input = json!({ "content": "y".repeat(MAX_IN_LINE) });
    let text = input.to_string();
    let call = Payload::ToolCallDone {
        tool_call_id: id("c"),
        name: "write".into(),
        input: input.clone(),
        blob: None,
    };
    let decided = Payload::ApprovalResolved {
        approval_id: id("apr_1"),
        decision: musher_protocol::Decision::Allow,
        message: None,
        updated_input: Some(input.clone()),
        blob: None,
        answers: None,
        interrupt: false,
        remember: None,
        by: Actor::rule("test"),
    };
    let asked = Payload::ApprovalRequested(Box::new(approval(input.clone())));
    for (mut payload, field) in [(call, "input"), (asked, "input"), (decided, "updated_input")] {
        let mut bodies = Bodies::default();
        assert_eq!(bodies.take(&mut payload, &mut []), None);
        assert_eq!(shown(&payload, field, "blob"), (json!(text[..PREVIEW]), named(&text)));
        assert_eq!(bodies.into_blobs(), [Blob::of(text.clone().into())]);
    }
    let row = without_body(approval(input));
    assert_eq!(shown(&row, "input", "blob"), (json!(text[..PREVIEW]), named(&text)));
}

#[test]
fn an_entry_holds_previews_of_each_of_its_bodies() {
    let large = |letter: &str| letter.repeat(MAX_IN_LINE + 1);
    let (content, input, result) = (large("c"), json!(large("i")), large("r"));
    let mut entries =
        [entry(&content, Some(input.clone()), Some(&result)), entry("short", Some(json!({})), None)];
    let short = entries[1].clone();
    let mut bodies = Bodies::default();
    assert_eq!(bodies.take(&mut said(String::new()), &mut entries), None);
    let [entry, other] = entries;
    assert_eq!(shown(&entry, "content", "blob"), (json!(content[..PREVIEW]), named(&content)));
    assert_eq!(
        shown(&entry, "input", "input_blob"),
        (json!(input.to_string()[..PREVIEW]), named(&input.to_string()))
    );
    assert_eq!(shown(&entry, "result", "result_blob"), (json!(result[..PREVIEW]), named(&result)));
    assert_eq!(other, short);
    assert_eq!(bodies.into_blobs().len(), 3);
}

#[test]
fn bodies_of_up_to_64_kib_stay_where_they_are() {
    let text = "x".repeat(MAX_IN_LINE);
    // The quotes of its JSON text count too.
    let input = json!("x".repeat(MAX_IN_LINE - 2));
    let call = Payload::ToolCallDone { tool_call_id: id("c"), name: "write".into(), input, blob: None };
    for payload in [
        said(text.clone()),
        result(text.clone(), Some(text.clone())),
        finished(Some(text)),
        finished(None),
        call,
    ] {
        let (mut taken, mut bodies) = (payload.clone(), Bodies::default());
        assert_eq!(bodies.take(&mut taken, &mut []), None);
        assert_eq!((taken, bodies.into_blobs()), (payload, Vec::new()));
    }
}

#[test]
fn a_preview_ends_between_two_characters() {
    for (character, length) in [("x", 4096), ("é", 4096), ("€", 4095), ("🦀", 4096)] {
        let whole = character.repeat(MAX_IN_LINE + 1);
        let mut payload = said(whole.clone());
        Bodies::default().take(&mut payload, &mut []);
        assert_eq!(shown(&payload, "content", "blob"), (json!(whole[..length]), named(&whole)));
    }
}

#[test]
fn a_body_that_several_events_of_a_commit_name_is_kept_once() {
    let large = "x".repeat(MAX_IN_LINE + 1);
    let mut bodies = Bodies::default();
    for _ in 0..2 {
        bodies.take(&mut said(large.clone()), &mut [entry(&large, None, None)]);
    }
    assert_eq!(bodies.into_blobs(), [Blob::of(large.into())]);
}

#[test]
fn what_holds_a_preview_already_keeps_the_name_of_its_whole() {
    let blob = BlobRef { digest: musher_protocol::Digest([7; 32]), bytes: 100_000 };
    let preview =
        TranscriptEntry { input_blob: Some(blob), ..entry("", Some(json!("x".repeat(PREVIEW))), None) };
    let mut entries = [preview.clone()];
    let mut bodies = Bodies::default();
    bodies.take(&mut said(String::new()), &mut entries);
    assert_eq!((entries, bodies.into_blobs()), ([preview], Vec::new()));
}

#[test]
fn a_body_over_16_mib_is_cut_and_that_is_told_once() {
    // The bound falls into the second byte of a character.
    let whole = format!("x{}", "é".repeat(MAX_BODY / 2));
    let mut payload = said(whole.clone());
    let mut bodies = Bodies::default();
    let mut entries = [entry(&whole, None, None)];
    assert_eq!(bodies.take(&mut payload, &mut entries), Some(Cut { bytes: MAX_BODY + 1 }));
    assert_eq!(bodies.take(&mut said("short".into()), &mut []), None);
    let [blob] = &bodies.into_blobs()[..] else { panic!("one body") };
    assert_eq!(blob.bytes, whole.as_bytes()[..MAX_BODY - 1]);
    assert_eq!(Bodies::default().take(&mut said("x".repeat(MAX_BODY)), &mut []), None);
}
