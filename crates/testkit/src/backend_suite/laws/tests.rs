use musher_backend::{ToolOutput, TurnEnd};
use serde_json::json;

use super::*;

fn id<T: std::str::FromStr>(text: &str) -> T {
    text.parse().unwrap_or_else(|_| panic!("`{text}` is an id"))
}

/// Reads `taken`, `delta0=on `, `done0=on it`, `thought1=hm`, `thought_done1=hm`, `discard0`, `start_a`, `args_a={}`,
/// `whole_a`, `result_a`, `end`.
fn events(line: &str) -> Vec<Event> {
    line.split_terminator("; ").map(event).collect()
}

fn event(word: &str) -> Event {
    let (name, text) = word.split_once('=').unwrap_or((word, ""));
    let text = text.to_owned();
    let (name, which) = name.split_at(name.len() - name.chars().rev().take(1).count());
    let block = || which.parse().expect("a block");
    match name {
        "take" => Event::InputTaken { input_id: id(&format!("inp_{which}")) },
        "delta" => Event::TextDelta { block: block(), text },
        "done" => Event::TextDone { block: block(), text },
        "thought" => Event::ThinkingDelta { block: block(), text },
        "thought_done" => Event::ThinkingDone { block: block(), text },
        "discard" => Event::Retrying {
            attempt: 2,
            max_attempts: 3,
            delay_ms: 0,
            reason: "overloaded".to_owned(),
            discarded_blocks: vec![block()],
        },
        "start_" => Event::ToolCallStarted { tool_call_id: id(which), name: "ls".to_owned() },
        "args_" => Event::ToolCallDelta { tool_call_id: id(which), arguments: text },
        "whole_" => Event::ToolCallDone {
            tool_call_id: id(which),
            name: "ls".to_owned(),
            input: json!({"path": "."}),
        },
        "result_" => Event::ToolResult { tool_call_id: id(which), output: ToolOutput::ok(text) },
        "en" => Event::TurnEnded(TurnEnd::completed()),
        _ => panic!("`{word}` is no event"),
    }
}

fn check(law: fn(&[Event]) -> Result<(), Breach>, cases: &[(&str, Result<(), Breach>)]) {
    for (line, expected) in cases {
        assert_eq!(law(&events(line)), *expected, "{line}");
    }
}

#[test]
fn the_proof_comes_once_and_first() {
    let law = |events: &[Event]| taken_first(&id("inp_1"), events);
    check(
        law,
        &[
            ("take1; delta0=a; done0=a; end", Ok(())),
            ("end", Err(Breach::InputTaken(0))),
            ("take2; end", Err(Breach::InputTaken(0))),
            ("take1; delta0=a; take1; end", Err(Breach::InputTaken(2))),
            ("start_a; take1; end", Err(Breach::ContentBeforeInputTaken)),
        ],
    );
}

#[test]
fn a_turn_has_one_end() {
    check(
        ended_once,
        &[
            ("take1; end", Ok(())),
            ("take1", Err(Breach::Ended(0))),
            ("end; end", Err(Breach::Ended(2))),
            ("end; delta0=a", Err(Breach::Ended(1))),
        ],
    );
}

#[test]
fn deltas_are_the_whole() {
    check(
        deltas_add_up,
        &[
            ("delta0=on ; delta0=it; done0=on it", Ok(())),
            ("done0=without deltas", Ok(())),
            ("delta0=on ; thought1=hm; delta0=it; thought_done1=hm; done0=on it", Ok(())),
            ("delta0=on ; done0=on it", Err(Breach::DeltasDiffer(0))),
            ("thought3=h; thought_done3=hm", Err(Breach::DeltasDiffer(3))),
            ("delta0=on ", Err(Breach::Unfinished(0))),
            ("delta0=on ; discard0; delta1=on; done1=on", Ok(())),
            (r#"start_a; args_a={"path"; args_a=:"."}; whole_a"#, Ok(())),
            (r#"start_a; args_a={"path"; whole_a"#, Err(Breach::ArgumentsDiffer(id("a")))),
        ],
    );
}

#[test]
fn a_number_stands_for_one_text() {
    check(
        blocks_unique,
        &[
            ("delta0=a; done0=a; done1=b; thought2=c; thought_done2=c", Ok(())),
            ("done0=a; done0=b", Err(Breach::BlockReused(0))),
            ("delta0=a; thought0=b", Err(Breach::BlockReused(0))),
            ("delta0=a; done0=a; delta0=b", Err(Breach::BlockReused(0))),
            ("delta0=a; discard0; delta0=b", Err(Breach::BlockReused(0))),
        ],
    );
}

#[test]
fn a_call_has_its_result_after_it_is_whole() {
    check(
        calls_answered,
        &[
            ("start_a; args_a={}; whole_a; result_a", Ok(())),
            ("start_a; start_b; whole_b; whole_a; result_a; result_b", Ok(())),
            ("whole_a; result_a", Err(Breach::CallDisorder(id("a")))),
            ("start_a; result_a; whole_a", Err(Breach::CallDisorder(id("a")))),
            ("start_a; whole_a; result_a; result_a", Err(Breach::CallDisorder(id("a")))),
            ("start_a; whole_a", Err(Breach::NoResult(id("a")))),
        ],
    );
}
