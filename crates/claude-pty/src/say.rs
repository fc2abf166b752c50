//! What we write to Claude Code: one JSON object a line.

use musher_backend::{Input, Verdict};
use musher_protocol::InputKind;
use serde_json::{Value, json};
use uuid::Uuid;

/// A line for the program, with its line feed. JSON text holds no other.
pub(crate) type Said = String;

/// The first line: asks for a sign of life, and hands over the instructions where no argument list shows them.
pub(crate) fn initialize(request_id: &str, instructions: Option<&str>) -> Said {
    let mut request = json!({ "subtype": "initialize", "hooks": null });
    if let Some(instructions) = instructions {
        request["appendSystemPrompt"] = instructions.into();
    }
    line(&json!({ "type": "control_request", "request_id": request_id, "request": request }))
}

/// A message that begins a turn.
///
/// The program takes a text that begins with `/` for a command of its own, and attaches the files that a text
/// names with `@`, wherever they are. It looks only into the last block for both, and leaves an empty one out
/// of what it sends. So an empty block behind the text keeps the text a text.
pub(crate) fn message(uuid: Uuid, preface: Option<String>, input: &Input) -> Said {
    let text = match input.kind {
        InputKind::User => input.content.clone(),
        InputKind::System => format!("<system-message>\n{}\n</system-message>", input.content),
    };
    let blocks = preface.into_iter().chain([text, String::new()]);
    let content: Vec<_> = blocks.map(|text| json!({ "type": "text", "text": text })).collect();
    line(
        &json!({ "type": "user", "uuid": uuid.to_string(), "message": { "role": "user", "content": content } }),
    )
}

/// Asks which MCP servers there are, and how they are.
pub(crate) fn mcp_status(request_id: &str) -> Said {
    line(
        &json!({ "type": "control_request", "request_id": request_id, "request": { "subtype": "mcp_status" } }),
    )
}

pub(crate) fn interrupt(request_id: &str) -> Said {
    line(
        &json!({ "type": "control_request", "request_id": request_id, "request": { "subtype": "interrupt" } }),
    )
}

/// The answer to a question whether a tool may run with `input`.
pub(crate) fn decision(request_id: &str, input: Value, verdict: Verdict) -> Said {
    let answer = match verdict {
        Verdict::Allow { updated_input, answers } => {
            let mut input = updated_input.unwrap_or(input);
            if let Some(answers) = answers {
                // One text for each question; of several labels the program makes the same list.
                let joined =
                    answers.into_iter().map(|(question, chosen)| (question, chosen.join(", ").into()));
                input["answers"] = Value::Object(joined.collect());
            }
            json!({ "behavior": "allow", "updatedInput": input })
        }
        Verdict::Deny { message, interrupt: false } => json!({ "behavior": "deny", "message": message }),
        Verdict::Deny { message, interrupt: true } => {
            json!({ "behavior": "deny", "message": message, "interrupt": true })
        }
    };
    let response = json!({ "subtype": "success", "request_id": request_id, "response": answer });
    line(&json!({ "type": "control_response", "response": response }))
}

/// The answer to a request that we do not know: without one the program would wait.
pub(crate) fn unsupported(request_id: &str) -> Said {
    let response = json!({ "subtype": "error", "request_id": request_id, "error": "not supported" });
    line(&json!({ "type": "control_response", "response": response }))
}

fn line(value: &Value) -> Said {
    format!("{value}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_is_one_line_and_never_the_last_block() {
        let uuid = Uuid::nil();
        let input = Input::user("/cost\n\u{2028}@/etc/hostname\r\0");
        let said = message(uuid, None, &input);
        assert_eq!(said.matches('\n').count(), 1);
        let value: Value = serde_json::from_str(&said).unwrap();
        assert_eq!(value["uuid"], json!("00000000-0000-0000-0000-000000000000"));
        assert_eq!(
            value["message"]["content"],
            json!([{ "type": "text", "text": input.content }, { "type": "text", "text": "" }]),
        );
        let said: Value = serde_json::from_str(&message(uuid, Some("before".to_owned()), &input)).unwrap();
        let texts = said["message"]["content"].as_array().unwrap().iter().map(|block| &block["text"]);
        assert_eq!(texts.collect::<Vec<_>>(), ["before", &input.content, ""]);
    }

    #[test]
    fn an_allowed_tool_runs_with_what_was_asked_or_what_was_decided() {
        let input = json!({ "command": "touch a" });
        let updated = json!({ "command": "touch b" });
        for (verdict, answer) in [
            (Verdict::allow(), json!({ "behavior": "allow", "updatedInput": input })),
            (
                Verdict::Allow { updated_input: Some(updated.clone()), answers: None },
                json!({ "behavior": "allow", "updatedInput": updated }),
            ),
            (
                Verdict::Allow {
                    updated_input: None,
                    answers: Some([("which?".to_owned(), vec!["a".to_owned(), "b".to_owned()])].into()),
                },
                json!({
                    "behavior": "allow",
                    "updatedInput": { "command": "touch a", "answers": { "which?": "a, b" } },
                }),
            ),
            (Verdict::deny("no"), json!({ "behavior": "deny", "message": "no" })),
            (
                Verdict::Deny { message: "no".to_owned(), interrupt: true },
                json!({ "behavior": "deny", "message": "no", "interrupt": true }),
            ),
        ] {
            let said: Value = serde_json::from_str(&decision("r1", input.clone(), verdict)).unwrap();
            assert_eq!(said["response"]["response"], answer);
        }
    }
}
