use std::error::Error as _;

use serde_json::json;

use super::*;

/// The place and the words of a refusal.
fn refusal(script: &Value) -> (String, String) {
    let error = Script::parse(script).expect_err("a bad script");
    (error.pointer.clone(), error.source().expect("what is wrong").to_string())
}

#[test]
fn a_refusal_names_the_place() {
    let steps = |steps: Value| json!({"turns": [{"match": "a", "steps": [{"text": "fine"}, steps]}]});
    let cases = [
        (json!("say"), "", "expected \"echo\" or an object"),
        (json!([]), "", "expected \"echo\" or an object"),
        (json!({"turn": []}), "/turn", "no such field here"),
        (json!({"a/b~c": 1}), "/a~1b~0c", "no such field here"),
        (json!({"turns": {}}), "/turns", "expected a list"),
        (json!({"turns": [1]}), "/turns/0", "expected an object"),
        (json!({"turns": [{"steps": []}]}), "/turns/0", "field `match` is missing"),
        (json!({"turns": [{"match": "a"}]}), "/turns/0", "field `steps` is missing"),
        (
            json!({"turns": [{"match": "(", "steps": []}]}),
            "/turns/0/match",
            "not a usable regular expression",
        ),
        (
            json!({"turns": [{"match": r"(\w{99}){99}", "steps": []}]}),
            "/turns/0/match",
            "not a usable regular expression",
        ),
        (json!({"otherwise": "fail"}), "/otherwise", "expected \"echo\" or an object"),
        (json!({"otherwise": {"steps": [], "match": "a"}}), "/otherwise/match", "no such field here"),
        (
            steps(json!({"say": "x"})),
            "/turns/0/steps/1",
            "expected a step: one of text, thinking, tool_call, approval, usage, sleep_ms, rate_limit, fail, hang, crash",
        ),
        (steps(json!({"text": "x", "hang": true})), "/turns/0/steps/1/hang", "no such field here"),
        (steps(json!({"thinking": 1})), "/turns/0/steps/1/thinking", "expected a text"),
        (steps(json!({"hang": false})), "/turns/0/steps/1/hang", "expected true"),
        (steps(json!({"sleep_ms": 3_600_001})), "/turns/0/steps/1/sleep_ms", "more than 3600000"),
        (steps(json!({"sleep_ms": -1})), "/turns/0/steps/1/sleep_ms", "expected a whole number"),
        (
            steps(json!({"text": "x", "word_delay_ms": "5"})),
            "/turns/0/steps/1/word_delay_ms",
            "expected a whole number",
        ),
        (
            steps(json!({"tool_call": {"name": "ls", "input": {}}})),
            "/turns/0/steps/1/tool_call",
            "field `result` is missing",
        ),
        (
            steps(json!({"tool_call": {"name": "ls", "input": {}, "result": "", "is_error": 1}})),
            "/turns/0/steps/1/tool_call/is_error",
            "expected true or false",
        ),
        (
            steps(
                json!({"approval": {"tool": "ask", "input": {}, "questions": [{"question": "?", "options": [{}]}]}}),
            ),
            "/turns/0/steps/1/approval/questions/0/options/0",
            "field `label` is missing",
        ),
        (
            steps(json!({"approval": vec![json!({"tool": "ls", "input": {}}); 33]})),
            "/turns/0/steps/1/approval",
            "more than 32",
        ),
        (steps(json!({"usage": {"tokens": 1}})), "/turns/0/steps/1/usage/tokens", "no such field here"),
        (
            steps(json!({"usage": {"cost_source": "guessed"}})),
            "/turns/0/steps/1/usage/cost_source",
            "expected reported or estimated",
        ),
        (
            steps(json!({"rate_limit": {"reset_after_secs": 2_678_401}})),
            "/turns/0/steps/1/rate_limit/reset_after_secs",
            "more than 2678400",
        ),
        (steps(json!({"fail": {"code": "x"}})), "/turns/0/steps/1/fail", "field `message` is missing"),
    ];
    for (script, pointer, problem) in cases {
        assert_eq!(refusal(&script), (pointer.to_owned(), problem.to_owned()), "{script}");
    }
}

#[test]
fn options_are_refused_at_their_own_place() {
    let options = |value: Value| value.as_object().cloned().expect("an object");
    let cases = [
        (json!({"script": {"turns": 1}}), "/script/turns"),
        (json!({"word_delay_ms": 3_600_001}), "/word_delay_ms"),
        (json!({"word_delay": 1}), "/word_delay"),
    ];
    for (value, pointer) in cases {
        let error = Script::from_options(&options(value)).expect_err("bad options");
        assert_eq!(error.pointer, pointer);
    }
}

#[test]
fn a_script_names_its_tools_once() {
    let script = json!({
        "turns": [{"match": "a", "steps": [
            {"tool_call": {"name": "shell", "input": {}, "result": ""}},
            {"approval": [{"tool": "write_file", "input": {}}, {"tool": "shell", "input": {}}]},
        ]}],
        "otherwise": {"steps": [{"tool_call": {"name": "search", "input": {}, "result": ""}}]},
    });
    let script = Script::parse(&script).expect("a good script");
    assert_eq!(script.tools().into_iter().collect::<Vec<_>>(), ["search", "shell", "write_file"]);
}
