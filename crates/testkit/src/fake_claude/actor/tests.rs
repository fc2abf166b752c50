use super::*;

const MESSAGE: &str = "33333333-3333-4333-8333-333333333333";

fn args() -> Vec<String> {
    let session = "--session-id=11111111-1111-4111-8111-111111111111";
    "-p --input-format stream-json --output-format stream-json --permission-prompt-tool stdio"
        .split(' ')
        .chain([session])
        .map(str::to_owned)
        .collect()
}

/// An actor that is ready, and has said so.
fn actor() -> Actor {
    let mut actor = Actor::new(&args()).unwrap();
    hear(
        &mut actor,
        json!({ "type": "control_request", "request_id": "i", "request": { "subtype": "initialize" } }),
    );
    assert_eq!(kinds(&mut actor), ["control_response"]);
    actor
}

#[track_caller]
fn hear(actor: &mut Actor, line: Value) {
    if let Err(Misfit(why)) = actor.hear(line.to_string().as_bytes()) {
        panic!("{why}");
    }
}

fn prompt(text: &str) -> Value {
    let content = json!([{ "type": "text", "text": text }, { "type": "text", "text": "" }]);
    json!({ "type": "user", "uuid": MESSAGE, "message": { "role": "user", "content": content } })
}

fn interrupt(id: &str) -> Value {
    json!({ "type": "control_request", "request_id": id, "request": { "subtype": "interrupt" } })
}

fn decision(request_id: &Value, answer: Value) -> Value {
    let response = json!({ "subtype": "success", "request_id": request_id, "response": answer });
    json!({ "type": "control_response", "response": response })
}

/// What it says until it waits.
fn said(actor: &mut Actor) -> Vec<Value> {
    let mut said = Vec::new();
    while let Some(act) = actor.next() {
        match act {
            Act::Say(line) => said.push(serde_json::from_str(&line).unwrap()),
            Act::Pause(_) => {}
            Act::Crash => said.push(json!({ "type": "crash" })),
            Act::Exit(code) => said.push(json!({ "type": format!("exit {code}") })),
            Act::LeaveChild => said.push(json!({ "type": "child" })),
        }
    }
    said
}

fn kinds(actor: &mut Actor) -> Vec<String> {
    said(actor).iter().map(kind).collect()
}

fn kind(line: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    match line["type"].as_str() {
        Some("stream_event") => text(&line["event"]["type"]),
        Some("result") => text(&line["terminal_reason"]),
        _ => text(&line["type"]),
    }
}

#[test]
fn a_turn_is_told_from_its_beginning_to_its_result() {
    let mut actor = actor();
    hear(&mut actor, prompt("hello"));
    let lines = said(&mut actor);
    let kinds: Vec<_> = lines.iter().map(kind).collect();
    assert_eq!(
        kinds,
        [
            "system",
            "message_start",
            "content_block_start",
            "content_block_delta",
            "assistant",
            "content_block_stop",
            "message_delta",
            "message_stop",
            "completed"
        ]
    );
    assert_eq!(lines[0]["user_message_uuids"], json!([MESSAGE]));
    assert_eq!(lines[4]["message"]["content"][0]["text"], "FAKE-OK: hello");
    assert!(actor.is_idle());
}

#[test]
fn a_tool_waits_for_leave_and_ends_as_it_was_decided() {
    let allow = json!({ "behavior": "allow", "updatedInput": { "command": "ls" } });
    let deny = json!({ "behavior": "deny", "message": "no" });
    let stop = json!({ "behavior": "deny", "message": "no", "interrupt": true });
    for (answer, content, end) in
        [(allow, "ran ls", "completed"), (deny, "no", "completed"), (stop, "no", "aborted_tools")]
    {
        let mut actor = actor();
        hear(&mut actor, prompt("@@bash:ls@@"));
        let asked = said(&mut actor).pop().unwrap();
        assert_eq!(asked["request"]["subtype"], "can_use_tool");
        assert!(!actor.is_idle());
        hear(&mut actor, decision(&asked["request_id"], answer));
        let lines = said(&mut actor);
        assert_eq!(lines[0]["message"]["content"][0]["content"], content);
        assert_eq!(lines.last().map(kind).as_deref(), Some(end));
        assert!(actor.is_idle());
    }
}

#[test]
fn an_interrupt_ends_the_turn_where_it_is() {
    let mut actor = actor();
    hear(&mut actor, prompt("@@slow:9,1@@"));
    while !matches!(actor.next(), Some(Act::Pause(_))) {}
    hear(&mut actor, interrupt("1"));
    let lines = said(&mut actor);
    assert_eq!(lines[0]["response"]["request_id"], "1");
    assert_eq!(lines[1]["message"]["content"][0]["text"], "word0 ");
    assert_eq!(lines.last().map(kind).as_deref(), Some("aborted_streaming"));

    let mut next = prompt("@@bash:ls@@");
    next["uuid"] = "44444444-4444-4444-8444-444444444444".into();
    hear(&mut actor, next);
    let asked = said(&mut actor).pop().unwrap();
    hear(&mut actor, interrupt("2"));
    assert_eq!(kinds(&mut actor), ["control_cancel_request", "control_response", "user", "aborted_tools"]);
    // An answer that was under way is late, and only once.
    let late = decision(&asked["request_id"], json!({ "behavior": "deny", "message": "no" }));
    hear(&mut actor, late.clone());
    assert!(actor.hear(late.to_string().as_bytes()).is_err());
    hear(&mut actor, interrupt("3"));
    assert_eq!(kinds(&mut actor), ["control_response"], "there is nothing to interrupt");
}

#[test]
fn prompts_make_it_fail_on_purpose() {
    for (text, expected) in [
        ("@@hang@@", vec!["system"]),
        ("@@crash@@", vec!["system", "message_start", "content_block_start", "content_block_delta", "crash"]),
        ("@@exit:3@@", vec!["system", "exit 3"]),
    ] {
        let mut actor = actor();
        hear(&mut actor, prompt(text));
        assert_eq!(kinds(&mut actor), expected, "{text}");
    }
    let mut actor = actor();
    hear(&mut actor, prompt("@@child@@"));
    assert_eq!(kinds(&mut actor)[1], "child");
}

#[test]
fn what_the_real_program_would_not_be_told_is_refused() {
    let mut early = Actor::new(&args()).unwrap();
    assert!(early.hear(prompt("hello").to_string().as_bytes()).is_err(), "nobody asked it to begin");
    let mut open = prompt("hello");
    open["message"]["content"] = json!([{ "type": "text", "text": "/cost" }]);
    let mut nameless = prompt("hello");
    nameless["uuid"] = "x".into();
    for line in [
        open,
        nameless,
        prompt(" "),
        prompt("@@nonsense@@"),
        interrupt(""),
        decision(&json!("r1"), json!({ "behavior": "allow" })),
        json!({ "type": "assistant" }),
    ] {
        assert!(actor().hear(line.to_string().as_bytes()).is_err(), "{line}");
    }
    let mut busy = actor();
    hear(&mut busy, prompt("@@hang@@"));
    assert!(busy.hear(prompt("more").to_string().as_bytes()).is_err(), "a turn is open");
    assert!(busy.hear(b"no json").is_err());
    assert!(Actor::new(&["-p".to_owned()]).is_err());
}
