//! The protocol `streamGenerateContent`: what an answer means.

use musher_protocol::StopReason;
use musher_turn_loop::{Ending, Failure, FailureKind, Output, Piece, Reader, SseEvent, Tokens};
use serde_json::{Value, json};

use super::tooling::Names;
use crate::complaint;

/// Reads one answer. It ends with its stream, if the vendor has given a reason for its end by then.
#[derive(Debug)]
pub(super) struct GenerateReader {
    names: Names,
    next_slot: u64,
    /// A text or a thought that may go on.
    open: Option<Open>,
    ending: Option<Ending>,
    is_over: bool,
}

#[derive(Debug)]
struct Open {
    slot: u64,
    is_thought: bool,
    text: String,
}

impl GenerateReader {
    pub(super) fn new(names: Names) -> Self {
        Self { names, next_slot: 0, open: None, ending: None, is_over: false }
    }
}

impl Reader for GenerateReader {
    fn event(&mut self, event: &SseEvent, pieces: &mut Vec<Piece>) -> Result<(), Failure> {
        let chunk: Value = serde_json::from_str(&event.text).map_err(|error| {
            Failure::broken(format!("the provider sent an event that is no JSON: {error}"))
        })?;
        if let Some(complaint) = complaint::of_value(&chunk) {
            return Err(Failure::of(&complaint));
        }
        if let Some(tokens) = tokens(&chunk["usageMetadata"]) {
            pieces.push(Piece::Usage(tokens));
        }
        if let Some(reason) = chunk["promptFeedback"]["blockReason"].as_str() {
            let message = "the provider's filter refused the request".to_owned();
            self.ending = Some(Ending::Refused { vendor: Some(reason.to_owned()), message });
        }
        let candidate = &chunk["candidates"][0];
        for part in candidate["content"]["parts"].as_array().into_iter().flatten() {
            self.part(part, pieces);
        }
        if let Some(reason) = candidate["finishReason"].as_str() {
            let message = candidate["finishMessage"].as_str().unwrap_or_default();
            self.ending = Some(ending(reason, message)?);
        }
        Ok(())
    }

    fn end(&mut self, pieces: &mut Vec<Piece>) -> Result<(), Failure> {
        if self.is_over {
            return Ok(());
        }
        let Some(ending) = self.ending.take() else {
            return Err(Failure::broken("the stream ended without a `finishReason`"));
        };
        self.close(pieces);
        self.is_over = true;
        pieces.push(Piece::End(ending));
        Ok(())
    }
}

impl GenerateReader {
    fn part(&mut self, part: &Value, pieces: &mut Vec<Piece>) {
        let call = &part["functionCall"];
        if call.is_object() {
            self.close(pieces);
            let args = if call["args"].is_null() { json!({}) } else { call["args"].clone() };
            let text = |field: &str| call[field].as_str().unwrap_or_default();
            let output = Output::Call {
                id: text("id").to_owned(),
                name: self.names.own(text("name")).to_owned(),
                arguments: args.to_string(),
            };
            pieces.push(Piece::Whole { slot: self.slot(), output, raw: vec![part.clone()] });
            return;
        }
        let Some(text) = part["text"].as_str() else {
            self.close(pieces);
            pieces.push(Piece::Whole { slot: self.slot(), output: Output::Opaque, raw: vec![part.clone()] });
            return;
        };
        let is_thought = part["thought"] == true;
        let is_plain = part
            .as_object()
            .is_some_and(|fields| fields.keys().all(|field| matches!(field.as_str(), "text" | "thought")));
        if self.open.as_ref().is_some_and(|open| open.is_thought != is_thought || !is_plain) {
            self.close(pieces);
        }
        if text.is_empty() && is_plain {
            return;
        }
        // A part with a signature, or with anything that is not known here, is a part of its own.
        if !is_plain {
            let slot = self.slot();
            let output =
                if is_thought { Output::Thinking(text.to_owned()) } else { Output::Text(text.to_owned()) };
            pieces.push(Piece::Whole { slot, output, raw: vec![part.clone()] });
            return;
        }
        let slot = match &mut self.open {
            Some(open) => {
                open.text.push_str(text);
                open.slot
            }
            None => {
                let slot = self.slot();
                self.open = Some(Open { slot, is_thought, text: text.to_owned() });
                slot
            }
        };
        let text = text.to_owned();
        pieces.push(if is_thought { Piece::Thinking { slot, text } } else { Piece::Text { slot, text } });
    }

    /// Ends what may go on. A thought without a signature is for people alone.
    fn close(&mut self, pieces: &mut Vec<Piece>) {
        let Some(Open { slot, is_thought, text }) = self.open.take() else { return };
        let (output, raw) = if is_thought {
            (Output::Thinking(text), Vec::new())
        } else {
            let raw = vec![json!({"text": text})];
            (Output::Text(text), raw)
        };
        pieces.push(Piece::Whole { slot, output, raw });
    }

    fn slot(&mut self) -> u64 {
        self.next_slot += 1;
        self.next_slot - 1
    }
}

fn ending(reason: &str, message: &str) -> Result<Ending, Failure> {
    let stopped = |stop_reason| {
        let vendor = (reason != "STOP").then(|| reason.to_owned());
        Ok(Ending::Stopped { reason: stop_reason, vendor })
    };
    match reason {
        "STOP" => stopped(StopReason::EndTurn),
        "MAX_TOKENS" => stopped(StopReason::Length),
        "SAFETY"
        | "RECITATION"
        | "LANGUAGE"
        | "BLOCKLIST"
        | "PROHIBITED_CONTENT"
        | "SPII"
        | "IMAGE_SAFETY"
        | "IMAGE_PROHIBITED_CONTENT"
        | "IMAGE_RECITATION"
        | "MODEL_ARMOR"
        | "ESCALATION" => {
            let message = if message.is_empty() { "the provider's filter ended the answer" } else { message };
            Ok(Ending::Refused { vendor: Some(reason.to_owned()), message: message.to_owned() })
        }
        "MALFORMED_FUNCTION_CALL" | "MALFORMED_RESPONSE" | "UNEXPECTED_TOOL_CALL" | "TOO_MANY_TOOL_CALLS" => {
            Err(Failure::broken(format!("the model's answer was none: {reason} {message}").trim_end()))
        }
        "MISSING_THOUGHT_SIGNATURE" => Err(Failure {
            kind: FailureKind::OpaqueRejected,
            code: "history_rejected".to_owned(),
            message: format!("{reason} {message}").trim_end().to_owned(),
        }),
        _ => stopped(StopReason::Other),
    }
}

/// The vendor counts thoughts apart from the answer; for us they are a part of it.
fn tokens(usage: &Value) -> Option<Tokens> {
    usage.is_object().then(|| {
        let count = |field: &str| usage[field].as_u64();
        let reasoning = count("thoughtsTokenCount");
        let answer = count("candidatesTokenCount");
        let output = if answer.is_none() && reasoning.is_none() {
            None
        } else {
            Some(answer.unwrap_or(0) + reasoning.unwrap_or(0))
        };
        let input =
            count("promptTokenCount").map(|prompt| prompt + count("toolUsePromptTokenCount").unwrap_or(0));
        Tokens { input, output, cache_read: count("cachedContentTokenCount"), cache_write: None, reasoning }
    })
}
