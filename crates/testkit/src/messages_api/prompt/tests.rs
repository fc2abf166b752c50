use serde_json::{Value, json};

use super::*;

#[test]
fn the_last_marker_counts() {
    let marker = |name, argument| Some(Marker { name, argument });
    for (text, expected) in [
        ("none", None),
        ("@@ @@", None),
        ("@@", None),
        ("@@a@@ and @@b:c@@", marker("b", "c")),
        ("mail me@@, or @@a@@", marker("a", "")),
        ("@@a:x:y@@ tail @@", marker("a", "x:y")),
        ("@@bash:one\ntwo@@", marker("bash", "one\ntwo")),
    ] {
        assert_eq!(Marker::last_in(text), expected, "{text:?}");
    }
}

#[test]
fn the_prompt_is_the_last_text_of_the_user() {
    let user = |texts: &[&str]| {
        let blocks: Vec<_> = texts.iter().map(|text| json!({"type": "text", "text": text})).collect();
        json!({"role": "user", "content": blocks})
    };
    let said = json!({"role": "assistant", "content": [{"type": "tool_use", "id": "a"}]});
    let result = json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a"}]});
    let note = "<system-reminder>@@hang@@</system-reminder>";
    let cases = [
        (json!([{"role": "user", "content": "a"}]), "a", 0),
        (json!([user(&["a", "b", note])]), "b", 0),
        (json!([user(&["a"]), said, user(&["b"])]), "b", 0),
        (json!([user(&["a"]), said, result]), "a", 1),
        (json!([user(&["a"]), said, result, user(&[note])]), "a", 1),
        (json!([user(&["a"]), said, result, said, result, {"role": "system", "content": "b"}]), "a", 2),
        (json!([user(&["a"]), said, user(&["Output token limit hit. Resume"])]), "a", 1),
        (json!([user(&["@@hang@@", "[Request interrupted by user]", "next"])]), "next", 0),
        (json!(null), "", 0),
    ];
    for (messages, prompt, step) in cases {
        let turn = Turn::of(&json!({"messages": messages}));
        assert_eq!((turn.prompt.as_str(), turn.step), (prompt, step), "{messages}");
    }
}

#[test]
fn results_are_what_tools_said_since_the_prompt() {
    let said = json!({"role": "assistant", "content": [{"type": "tool_use", "id": "a"}]});
    let results = |contents: Vec<Value>| {
        let results: Vec<_> = contents
            .into_iter()
            .map(|content| json!({"type": "tool_result", "tool_use_id": "a", "content": content}))
            .collect();
        json!({"role": "user", "content": results})
    };
    let part = |text: &str| json!({"type": "text", "text": text});
    let turn = Turn::of(&json!({"messages": [
        {"role": "user", "content": "first"},
        said,
        results(vec![json!("before")]),
        {"role": "user", "content": "go"},
        said,
        results(vec![json!("a"), json!([part("b"), part("c")])]),
        said,
        results(vec![json!("d")]),
        {"role": "user", "content": [part("<system-reminder>e</system-reminder>")]},
    ]}));
    let results = ["a", "bc", "d"].map(str::to_owned).into();
    assert_eq!(turn, Turn { prompt: "go".to_owned(), step: 2, results });
}
