//! What really came from Claude Code, and what becomes of it.
//!
//! A capture is the stdout of one run, byte for byte; see `tests/captures`.

use std::{collections::BTreeMap, fmt::Write, fs, path::PathBuf};

use musher_protocol::{Block, Usage};
use serde_json::{Value, json};

use super::*;
use crate::framing::Lines;

/// Runs a capture through framing and conversation, cut into chunks of this size, as the session would.
fn replay(name: &str, chunk: usize) -> Vec<Output> {
    let bytes = fs::read(directory().join(name)).unwrap();
    let opening = Opening { is_resumed: name.contains("resume"), has_background: true, ..Opening::default() };
    let conversation = Conversation::new(opening);
    let mut stage = Stage {
        conversation,
        outputs: Vec::new(),
        has_inputs: name.contains("in_") || name.contains("session_"),
    };
    // Only our own runs begin with the request that makes a session ready, and a session that is refused never
    // gets there.
    let begins = String::from_utf8_lossy(&bytes).contains(r#""subtype":"init""#);
    if begins && !name.contains("session_") {
        stage.line(&initialized());
    }
    stage.input(Uuid::nil());
    let mut lines = Lines::default();
    for chunk in bytes.chunks(chunk) {
        lines.push(chunk);
        while let Some(line) = lines.next().unwrap() {
            stage.line(line);
        }
    }
    if let Some(line) = lines.rest() {
        stage.line(line);
    }
    stage.outputs.extend(stage.conversation.over());
    stage.outputs
}

/// Says to the conversation what was said to the program when the capture was made.
struct Stage {
    conversation: Conversation,
    outputs: Vec<Output>,
    /// Every turn of the capture answers an input; otherwise only the first one does.
    has_inputs: bool,
}

impl Stage {
    fn line(&mut self, line: &[u8]) {
        let value: Value = serde_json::from_slice(line).unwrap_or_default();
        if value["response"]["request_id"].as_str().is_some_and(|id| id.starts_with("interrupt-")) {
            self.outputs.extend(self.conversation.interrupt());
        }
        if value["subtype"] == "init" {
            let uuid = value["user_message_uuids"][0].as_str().map(|uuid| uuid.parse().unwrap());
            if self.has_inputs && !self.conversation.has_open_turn() {
                self.input(uuid.unwrap_or_default());
            } else if let (Some(uuid), Some(turn)) = (uuid, &mut self.conversation.turn)
                && let Some(asked) = &mut turn.asked
            {
                asked.uuid = uuid;
            }
        }
        let line = without_capability(line, &value);
        self.outputs.extend(self.conversation.line(&line));
    }

    fn input(&mut self, uuid: Uuid) {
        let input = Input { input_id: "inp_1".parse().unwrap(), ..Input::user("…") };
        self.outputs.extend(self.conversation.input(&input, uuid));
    }
}

/// Captures of messages without an id name none, though the program can.
fn without_capability(line: &[u8], value: &Value) -> Vec<u8> {
    let mut value = value.clone();
    if value["subtype"] == "init" && value["user_message_uuids"].is_null() && !value["capabilities"].is_null()
    {
        value["capabilities"] = json!([]);
        return value.to_string().into_bytes();
    }
    line.to_vec()
}

fn initialized() -> Vec<u8> {
    let response = json!({ "subtype": "success", "request_id": INITIALIZE, "response": {} });
    json!({ "type": "control_response", "response": response }).to_string().into_bytes()
}

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/captures")
}

fn names() -> Vec<String> {
    let entries = fs::read_dir(directory()).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| name.ends_with(".jsonl") || name.ends_with(".raw")).collect();
    names.sort();
    names
}

/// Results in a capture that are lines of their own.
fn n_results(name: &str) -> usize {
    let bytes = fs::read(directory().join(name)).unwrap();
    let is_result =
        |line: &&[u8]| serde_json::from_slice::<Value>(line).is_ok_and(|value| value["type"] == "result");
    bytes.split(|byte| *byte == b'\n').filter(is_result).count()
}

#[test]
fn what_becomes_of_the_captures() {
    let mut groups: BTreeMap<String, String> = BTreeMap::new();
    for name in names() {
        let group = name.split(['_', '.']).next().unwrap().to_owned();
        let text = groups.entry(group).or_default();
        writeln!(text, "{name}").unwrap();
        for line in shortened(replay(&name, usize::MAX).iter().map(brief)) {
            writeln!(text, "  {line}").unwrap();
        }
    }
    insta::with_settings!({
        snapshot_path => "../../tests/captures/outputs",
        prepend_module_to_snapshot => false,
        omit_expression => true,
    }, {
        for (group, text) in groups {
            insta::assert_snapshot!(group, text);
        }
    });
}

#[test]
fn every_result_ends_one_attempt() {
    for name in names() {
        let outputs = replay(&name, usize::MAX);
        let is_end = |output: &&Output| {
            matches!(
                output,
                Output::Event(Event::TurnEnded(_) | Event::WokenEnded(_) | Event::RateLimited { .. })
                    | Output::Refused(_)
            )
        };
        assert_eq!(outputs.iter().filter(is_end).count(), n_results(&name), "{name}");
    }
}

#[test]
fn every_field_of_the_captures_is_known() {
    for name in names() {
        let outputs = replay(&name, usize::MAX);
        let is_strange = |output: &&Output| matches!(output, Output::Event(Event::Diagnostic { code, .. }) if code == "claude.unknown_field");
        assert_eq!(outputs.iter().find(is_strange), None, "{name}");
    }
}

#[test]
fn what_is_told_of_usage_is_what_the_results_say() {
    let mut n_compared = 0;
    for name in names() {
        let bytes = fs::read(directory().join(&name)).unwrap();
        let results: Vec<Value> = bytes
            .split(|byte| *byte == b'\n')
            .filter_map(|line| serde_json::from_slice(line).ok())
            .filter(|value: &Value| value["type"] == "result")
            .collect();
        let models = results.iter().flat_map(|result| result["model_usage_since_last_result"].as_object());
        let counts: Vec<&Value> = models.flat_map(|models| models.values()).collect();
        let count = |field: &str| counts.iter().filter_map(|count| count[field].as_u64()).sum::<u64>();
        let mut sum = Usage::zero();
        for output in replay(&name, usize::MAX) {
            if let Output::Event(Event::Usage(usage)) = output {
                sum.add(&usage);
            }
        }
        // Old versions count otherwise, and one that was killed says nothing at its end.
        if counts.is_empty() || sum.total_cost_usd.is_none() {
            continue;
        }
        n_compared += 1;
        let input = count("inputTokens") + count("cacheReadInputTokens") + count("cacheCreationInputTokens");
        let told = (sum.input_tokens, sum.output_tokens, sum.reasoning_tokens);
        assert_eq!(told, (Some(input), Some(count("outputTokens")), Some(count("thinkingTokens"))), "{name}");
        let cost: f64 = counts.iter().filter_map(|count| count["costUSD"].as_f64()).sum();
        assert!((sum.total_cost_usd.unwrap() - cost).abs() < 1e-9, "{name}");
    }
    assert!(n_compared > 50, "{n_compared} were compared");
}

#[test]
fn the_pieces_are_the_whole_and_every_result_has_its_call() {
    for name in names() {
        let mut pieces: BTreeMap<Block, String> = BTreeMap::new();
        let mut finished = Vec::new();
        let mut calls = Vec::new();
        for output in replay(&name, usize::MAX) {
            let Output::Event(event) = output else { continue };
            if let Event::TextDelta { block, text } | Event::ThinkingDelta { block, text } = event {
                assert!(!finished.contains(&block), "{name}: block {block} goes on after its end");
                *pieces.entry(block).or_default() += &text;
            } else if let Event::TextDone { block, text } | Event::ThinkingDone { block, text } = event {
                assert!(!finished.contains(&block), "{name}: block {block} ends twice");
                finished.push(block);
                assert!(pieces.remove(&block).is_none_or(|pieces| pieces == text), "{name}: block {block}");
            } else if let Event::ToolCallDone { tool_call_id, .. } = event {
                assert!(!calls.contains(&tool_call_id), "{name}: {tool_call_id} is called twice");
                calls.push(tool_call_id);
            } else if let Event::ToolResult { tool_call_id, .. } = event {
                let at = calls.iter().position(|call| *call == tool_call_id);
                calls.remove(at.unwrap_or_else(|| panic!("{name}: {tool_call_id} was never called")));
            }
        }
    }
}

#[test]
fn it_does_not_matter_where_the_bytes_are_cut() {
    for name in ["v329_session_interrupts.jsonl", "v197_session_oauth.jsonl", "pty_utf8.raw", "utf8.jsonl"] {
        let whole = replay(name, usize::MAX);
        for chunk in [1, 2, 3, 7, 4096] {
            assert_eq!(replay(name, chunk), whole, "{name} in chunks of {chunk}");
        }
    }
}

#[test]
fn a_stream_that_ends_anywhere_is_no_harm() {
    for name in ["v329_session_tools.jsonl", "v197_session_tools.jsonl"] {
        let bytes = fs::read(directory().join(name)).unwrap();
        let mut conversation = Conversation::new(Opening::default());
        conversation.input(&Input::user("…"), Uuid::nil());
        for line in bytes.split(|byte| *byte == b'\n') {
            for cut in [line.len() / 3, line.len() / 2] {
                conversation.line(&line[..cut]);
            }
        }
    }
}

/// Pieces of one block in a row become one line.
fn shortened(lines: impl Iterator<Item = String>) -> Vec<String> {
    let mut short: Vec<(String, usize)> = Vec::new();
    for line in lines {
        match short.last_mut() {
            Some((last, n)) if *last == line && line.ends_with(" +") => *n += 1,
            _ => short.push((line, 1)),
        }
    }
    short
        .into_iter()
        .map(|(line, n)| if line.ends_with(" +") { format!("{line}{n}") } else { line })
        .collect()
}

fn brief(output: &Output) -> String {
    match output {
        Output::Event(event) => brief_event(event),
        Output::Ask { request_id: _, request } => {
            let ApprovalRequest { tool_call_id: _, kind, tool, input, questions, suggestions } = request;
            let (n_questions, n_suggestions) = (questions.len(), suggestions.len());
            let input = cut(&input.to_string());
            format!("ASK {kind:?} {tool} {input} questions={n_questions} suggestions={n_suggestions}")
        }
        Output::Withdraw { .. } => "WITHDRAW".to_owned(),
        Output::Say(said) => {
            let said: Value = serde_json::from_str(said).unwrap();
            let subtype = said["request"]["subtype"].as_str().unwrap_or_default();
            format!("SAY {} {subtype}", said["type"].as_str().unwrap()).trim_end().to_owned()
        }
        Output::Refused(refusal) => format!("REFUSED {refusal:?}"),
    }
}

fn brief_event(event: &Event) -> String {
    match event {
        Event::Environment(environment) => {
            let SessionEnvironment { cli_version, model, permission_mode, tools, mcp_servers, .. } =
                environment;
            let text = |text: &Option<String>| text.clone().unwrap_or_default();
            format!(
                "environment {} {} {} tools={} mcp={:?}",
                text(cli_version),
                text(model),
                text(permission_mode),
                tools.len(),
                mcp_servers
                    .iter()
                    .map(|server| format!("{}={}", server.name, server.state))
                    .collect::<Vec<_>>(),
            )
        }
        Event::Usage(Usage {
            input_tokens,
            output_tokens,
            cache_creation_input_tokens,
            cache_read_input_tokens,
            reasoning_tokens,
            total_cost_usd,
            cost_follows,
            ..
        }) => {
            let number = |n: &Option<u64>| n.map_or("?".to_owned(), |n| n.to_string());
            let unknown = if *cost_follows { "follows" } else { "$?" };
            let cost = total_cost_usd.map_or(unknown.to_owned(), |cost| format!("${cost:.6}"));
            format!(
                "usage in={} (created {}, read {}) out={} (thought {}) {cost}",
                number(input_tokens),
                number(cache_creation_input_tokens),
                number(cache_read_input_tokens),
                number(output_tokens),
                number(reasoning_tokens),
            )
        }
        Event::TextDelta { block, text: _ } => format!("text {block} +"),
        Event::TextDone { block, text } => format!("text {block} = {}", cut(text)),
        Event::ThinkingDelta { block, text: _ } => format!("thinking {block} +"),
        Event::ThinkingDone { block, text } => format!("thinking {block} = {}", cut(text)),
        Event::ToolCallStarted { tool_call_id: _, name } => format!("call {name}"),
        Event::ToolCallDelta { .. } => "call +".to_owned(),
        Event::ToolCallDone { tool_call_id: _, name, input } => {
            format!("call {name} = {}", cut(&input.to_string()))
        }
        Event::ToolResult { tool_call_id: _, output } => {
            format!("result {}{}", if output.is_error { "ERROR " } else { "" }, cut(&output.content))
        }
        Event::Diagnostic { code, message } => format!("diagnostic {code}: {}", cut(message)),
        Event::InputTaken { .. } => "input taken".to_owned(),
        Event::TurnStarted => "TURN STARTED".to_owned(),
        Event::TurnEnded(end) => format!("TURN ENDED {}", cut(&format!("{end:?}"))),
        Event::WokenEnded(end) => format!("WOKEN ENDED {}", cut(&format!("{end:?}"))),
        Event::RateLimited { scope, reset_at } => format!("RATE LIMITED {scope} {reset_at:?}"),
        Event::Background { tasks } => format!("background {tasks}"),
        Event::Retrying { .. } | Event::Alive => format!("{event:?}"),
    }
}

/// One line, and not a long one.
fn cut(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let start: String = chars.iter().take(100).collect();
    let rest = chars.len().saturating_sub(100);
    format!("{:?}{}", start, if rest == 0 { String::new() } else { format!("…{rest}") })
}
