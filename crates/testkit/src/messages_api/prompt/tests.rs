use serde_json::json;

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
        assert_eq!(turn, Turn { prompt: prompt.into(), step }, "{messages}");
    }
}
