use std::ffi::OsStr;

use serde_json::json;

use super::*;

const KEY: &str = "sk-ant-\"é-12345";

fn secrets() -> Secrets {
    Secrets::of([("A_KEY", OsStr::new(KEY))].into_iter())
}

fn said(value: &Value) -> Line {
    Line::Said { at_ms: 0, bytes: format!("{value}\n").into_bytes() }
}

fn delta(index: u64, kind: &str, text: &str) -> Value {
    json!({ "type": "stream_event", "parent_tool_use_id": null, "event": { "type": "content_block_delta",
        "index": index, "delta": { "type": format!("{kind}_delta"), name(kind): text } } })
}

/// What the text of such a piece is called.
fn name(kind: &str) -> &str {
    if kind == "input_json" { "partial_json" } else { kind }
}

fn block(event: &str, index: u64) -> Value {
    json!({ "type": "stream_event", "parent_tool_use_id": null,
        "event": { "type": format!("content_block_{event}"), "index": index, "content_block": { "type": "text", "text": "" } } })
}

/// The lines as they are recorded.
fn popped(pieces: &mut Pieces) -> Vec<Value> {
    let line = |line| match line {
        Line::Said { bytes, .. } => serde_json::from_slice(&bytes).unwrap(),
        Line::Whole(text) => text.into(),
    };
    std::iter::from_fn(|| pieces.pop()).map(line).collect()
}

fn recorded(lines: &[Value]) -> Vec<Value> {
    let (mut pieces, secrets) = (Pieces::default(), secrets());
    let mut recorded = Vec::new();
    for line in lines {
        pieces.push(said(line), &secrets);
        recorded.extend(popped(&mut pieces));
    }
    pieces.break_off(&secrets);
    recorded.extend(popped(&mut pieces));
    assert_eq!(pieces.length, 0);
    recorded
}

fn joined(lines: &[Value], kind: &str) -> String {
    lines.iter().filter_map(|line| line["event"]["delta"][name(kind)].as_str()).collect()
}

#[test]
fn a_secret_in_two_pieces_is_hidden_wherever_it_is_cut() {
    for kind in ["text", "thinking", "input_json", "yet_unknown"] {
        // Arguments are JSON, in which the key stands in another form.
        let key = if kind == "input_json" { json!(KEY).to_string() } else { format!("'{KEY}'") };
        let text = format!("s {key} sk-ant s");
        for (at, _) in text.char_indices() {
            let lines = [
                block("start", 0),
                delta(0, kind, &text[..at]),
                delta(0, kind, &text[at..]),
                block("stop", 0),
            ];
            let recorded = recorded(&lines);
            let (begin, end) = (key.chars().next().unwrap(), key.chars().last().unwrap());
            assert_eq!(
                joined(&recorded, kind),
                format!("s {begin}[A_KEY]{end} sk-ant s"),
                "{kind}, cut at {at}"
            );
            assert_eq!(recorded.len(), lines.len(), "a piece is never lost");
        }
    }
}

#[test]
fn a_secret_in_pieces_of_any_length_is_hidden() {
    let text = format!("{KEY}{KEY} and {KEY}");
    let chars: Vec<char> = text.chars().collect();
    for n in 1..chars.len() {
        let pieces: Vec<_> =
            chars.chunks(n).map(|chars| delta(0, "text", &chars.iter().collect::<String>())).collect();
        assert_eq!(joined(&recorded(&pieces), "text"), "[A_KEY][A_KEY] and [A_KEY]", "in pieces of {n}");
    }
}

#[test]
fn secrets_that_overlap_are_hidden_in_pieces_of_any_length() {
    let variables =
        [("A_KEY", "abcdefgh"), ("B_KEY", "efghijkl"), ("C_KEY", "abcabcabc"), ("A_URL", "x://me@h")];
    let secrets = Secrets::of(variables.map(|(name, value)| (name, OsStr::new(value))).into_iter());
    let text = "x abcdefghijkl y abcabcabcabcabca efgh x://me@h abcdefghij";
    let chars: Vec<char> = text.chars().collect();
    for (end, last) in [(block("stop", 0), "[A_KEY]ij"), (json!({ "type": "system" }), "[A_KEY]")] {
        for n in 1..=chars.len() {
            let mut pieces = Pieces::default();
            let deltas = chars.chunks(n).map(|chars| delta(0, "text", &chars.iter().collect::<String>()));
            for line in deltas.chain([end.clone()]) {
                pieces.push(said(&line), &secrets);
            }
            pieces.break_off(&secrets);
            let expected = format!("x [A_KEY] y [C_KEY]a efgh x://[A_URL]@h {last}");
            assert_eq!(joined(&popped(&mut pieces), "text"), expected, "in pieces of {n}");
        }
    }
}

#[test]
fn what_holds_no_secret_is_recorded_as_it_came() {
    let lines = [
        block("start", 0),
        delta(0, "text", "as"),
        json!({ "type": "system" }),
        delta(0, "text", "k-a sk-ant-"),
        json!({ "type": "assistant", "message": { "content": "ask-a sk-ant-" } }),
        block("stop", 0),
        block("start", 1),
        delta(1, "text", "\"é-12345"),
        json!({ "type": "result" }),
    ];
    assert_eq!(recorded(&lines), lines);
}

#[test]
fn nothing_waits_for_longer_than_it_must() {
    let (mut pieces, secrets) = (Pieces::default(), secrets());
    let mut check = |line: Value, n: usize| {
        pieces.push(said(&line), &secrets);
        assert_eq!(popped(&mut pieces).len(), n, "{line}");
    };
    check(delta(0, "text", "as"), 0);
    check(json!({ "type": "system" }), 0);
    check(delta(0, "text", "x"), 3);
    check(delta(0, "text", "sk-"), 0);
    check(block("stop", 0), 2);
    check(delta(0, "text", "sk-"), 0);
    check(block("start", 0), 2);
    check(delta(0, "text", "sk-"), 0);
    check(json!({ "type": "result" }), 2);
}

#[test]
fn pieces_of_other_blocks_come_in_between() {
    let (begin, end) = KEY.split_at(5);
    let of_call = |mut line: Value| {
        line["parent_tool_use_id"] = "call".into();
        line
    };
    let lines = [
        delta(0, "text", begin),
        delta(1, "text", "sk-"),
        of_call(delta(0, "text", "x")),
        delta(1, "text", "."),
        delta(0, "text", end),
    ];
    let recorded = recorded(&lines);
    let text = |n: usize| recorded[n]["event"]["delta"]["text"].as_str().unwrap();
    assert_eq!([0, 1, 2, 3, 4].map(text), ["[A_KEY]", "sk-", "x", ".", ""]);
}

#[test]
fn a_stream_that_breaks_off_hides_the_beginning_of_a_secret() {
    for (text, expected) in [("x sk-ant-", "x [A_KEY]"), ("x sk-", "x sk-"), ("x", "x")] {
        for at in 0..text.len() {
            let lines = [delta(0, "text", &text[..at]), delta(0, "text", &text[at..])];
            assert_eq!(joined(&recorded(&lines), "text"), expected, "cut at {at}");
        }
    }
}

#[test]
fn a_secret_that_pauses_for_too_long_is_left_out_with_the_rest_of_its_block() {
    let (mut pieces, secrets) = (Pieces::default(), secrets());
    let (begin, end) = KEY.split_at(5);
    let between = json!({ "type": "user", "text": "x".repeat(ROOM / 3) });
    pieces.push(said(&delta(0, "text", &format!("a {begin}"))), &secrets);
    let mut recorded = Vec::new();
    for _ in 0..3 {
        pieces.push(said(&between), &secrets);
        assert!(pieces.length <= ROOM + ROOM / 2);
        recorded.extend(popped(&mut pieces));
    }
    assert_eq!((recorded.len(), pieces.length), (4, 0), "nothing waits any more");
    for line in [delta(0, "text", end), delta(0, "text", "more"), block("stop", 0), delta(0, "text", "new")] {
        pieces.push(said(&line), &secrets);
        recorded.extend(popped(&mut pieces));
    }
    assert_eq!(joined(&recorded, "text"), "a new");
}
