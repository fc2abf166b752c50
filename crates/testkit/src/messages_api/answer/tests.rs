use musher_scripted::model_api::Frame;

use super::*;

/// The frames of an answer, one word each.
fn show(answer: &Answer) -> Vec<String> {
    answer.stream("fake-model", Uuid::nil()).frames().iter().map(show_frame).collect()
}

fn show_frame(frame: &Frame) -> String {
    let bytes = match frame {
        Frame::Bytes(bytes) => bytes,
        Frame::Pause(time) => return format!("pause({time:?})"),
        Frame::Disconnect => return "disconnect".into(),
        Frame::Silence => return "silence".into(),
    };
    let text = str::from_utf8(bytes).expect("events are UTF-8");
    let (name, json) = text.split_once('\n').expect("an event has two lines");
    let name = name.strip_prefix("event: ").expect("first its name");
    let json = json.strip_prefix("data: ").and_then(|json| json.strip_suffix("\n\n"));
    let event: Value = serde_json::from_str(json.expect("then its body and a blank line")).expect("JSON");
    assert_eq!(event["type"], name);
    match name {
        "content_block_start" => format!("start({})", event["content_block"]["type"].as_str().unwrap()),
        "content_block_delta" => {
            let delta = event["delta"].as_object().unwrap();
            let (_kind, value) = delta.iter().find(|(key, _)| *key != "type").unwrap();
            format!("delta({})", value.as_str().unwrap())
        }
        "message_delta" => format!("message_delta({})", event["delta"]["stop_reason"].as_str().unwrap()),
        name => name.into(),
    }
}

fn words(ending: Ending) -> Answer {
    let text = Block::Text { text: "one two".into(), cut: Cut::Words };
    Answer { ending, ..Answer::of(vec![text]) }
}

#[test]
fn a_message_is_a_stream_of_events() {
    let blocks = vec![
        Block::Thinking("hm".into()),
        Block::Text { text: "h\u{e9}llo".into(), cut: Cut::Chars(3) },
        Block::ToolUse { name: "Bash".into(), input: json!({"command": "echo one two"}) },
    ];
    let answer = Answer { stop: StopReason::ToolUse, ..Answer::of(blocks) };
    assert_eq!(
        show(&answer),
        [
            "message_start",
            "start(thinking)",
            "delta(hm)",
            "delta(ZmFrZQ==)",
            "content_block_stop",
            "start(text)",
            "delta(h\u{e9}l)",
            "delta(lo)",
            "content_block_stop",
            "start(tool_use)",
            "delta({\"command\":\"echo one)",
            "delta( two\"})",
            "content_block_stop",
            "message_delta(tool_use)",
            "message_stop",
        ]
    );
}

#[test]
fn a_stream_ends_as_its_script_says() {
    let begun = ["message_start", "start(text)", "delta(one )"];
    for (ending, last) in [
        (Ending::Disconnect { after: 1 }, "disconnect"),
        (Ending::Error { after: 1 }, "error"),
        (Ending::Silence { after: 1 }, "silence"),
    ] {
        assert_eq!(show(&words(ending)), [&begun[..], &[last]].concat(), "{ending:?}");
    }
    let paced = Answer { pace: Duration::from_millis(5), ..words(Ending::Complete) };
    assert_eq!(
        show(&paced),
        [
            "message_start",
            "start(text)",
            "delta(one )",
            "pause(5ms)",
            "delta(two)",
            "pause(5ms)",
            "content_block_stop",
            "message_delta(end_turn)",
            "message_stop",
        ]
    );
}

#[test]
fn a_message_in_one_piece_has_the_same_blocks() {
    let blocks = vec![
        Block::Thinking("hm".into()),
        Block::Text { text: "hello".into(), cut: Cut::Words },
        Block::ToolUse { name: "Bash".into(), input: json!({"command": "ls"}) },
    ];
    let answer = Answer { stop: StopReason::ToolUse, ..Answer::of(blocks) };
    assert_eq!(
        answer.whole("fake-model", Uuid::nil()),
        json!({
            "id": "msg_00000000000000000000000000000000",
            "type": "message",
            "role": "assistant",
            "model": "fake-model",
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": "ZmFrZQ=="},
                {"type": "text", "text": "hello"},
                {
                    "type": "tool_use",
                    "id": "toolu_00000000000000000000000000000000_2",
                    "name": "Bash",
                    "input": {"command": "ls"},
                },
            ],
            "stop_reason": "tool_use",
            "stop_sequence": null,
            "usage": {
                "input_tokens": 100,
                "cache_creation_input_tokens": 7,
                "cache_read_input_tokens": 1000,
                "output_tokens": 20,
                "service_tier": "standard",
            },
        })
    );
}

#[test]
fn a_model_of_ones_own_thinks_speaks_and_then_calls() {
    let call = ("unused", "Read", r#"{"file_path":"/a"}"#);
    let reply = model_api::Reply {
        thought: Some("hm".to_owned()),
        words: "one two".to_owned(),
        pace: Duration::from_millis(5),
        ..model_api::Reply::calls(&[call])
    };
    let blocks = vec![
        Block::Thinking("hm".into()),
        Block::Text { text: "one two".into(), cut: Cut::Words },
        Block::ToolUse { name: "Read".into(), input: json!({"file_path": "/a"}) },
    ];
    let pace = Duration::from_millis(5);
    let expected = Answer { blocks, stop: StopReason::ToolUse, pace, ending: Ending::Complete };
    assert_eq!(Answer::spelling(&reply), expected);
    let words = Answer::of(vec![Block::Text { text: "done".into(), cut: Cut::Words }]);
    assert_eq!(Answer::spelling(&model_api::Reply::text("done")), words);
}
