//! The dialect Chat Completions: what an answer means.

use jiff::Timestamp;
use musher_protocol::StopReason;
use musher_turn_loop::{Ending, Failure, Output, Piece, Reader, SseEvent, Tokens};
use serde_json::{Value, json as json_value};

use super::merge::{Call, Calls};
use crate::{
    complaint,
    wire::{json, text},
};

/// An answer has one thought, one text and then its calls.
const THINKING: u64 = 0;
const TEXT: u64 = 1;
const CALLS: u64 = 2;

/// Reads one answer. Nothing of it is whole before the server has named a reason for its end; what comes behind that
/// is usage.
#[derive(Debug, Default)]
pub(super) struct ChatReader {
    words: String,
    thoughts: String,
    /// What a router wants back as it was.
    details: Vec<Value>,
    refusal: String,
    calls: Calls,
    finish_reason: Option<String>,
    is_over: bool,
}

impl Reader for ChatReader {
    fn event(&mut self, event: &SseEvent, pieces: &mut Vec<Piece>) -> Result<(), Failure> {
        if event.text.trim() == "[DONE]" {
            return self.end(pieces);
        }
        let chunk = json(event)?;
        if event.name == "error" || !chunk["error"].is_null() || chunk["object"] == "error" {
            return Err(failed(&chunk));
        }
        if let Some(tokens) = tokens(&chunk["usage"]) {
            pieces.push(Piece::Usage(tokens));
        }
        let choice = &chunk["choices"][0];
        let delta = if choice["delta"].is_object() { &choice["delta"] } else { &choice["message"] };
        self.delta(delta, pieces);
        match choice["finish_reason"].as_str() {
            Some("error") => return Err(failed(choice)),
            Some(reason) if !reason.is_empty() => self.finish_reason = Some(reason.to_owned()),
            Some(_) | None => {}
        }
        Ok(())
    }

    fn end(&mut self, pieces: &mut Vec<Piece>) -> Result<(), Failure> {
        if self.is_over {
            return Ok(());
        }
        let Some(reason) = self.finish_reason.take() else {
            return Err(Failure::broken("the stream ended without a `finish_reason`"));
        };
        self.is_over = true;
        if !self.thoughts.is_empty() || !self.details.is_empty() {
            let details = std::mem::take(&mut self.details);
            let raw = if details.is_empty() {
                Vec::new()
            } else {
                vec![json_value!({"reasoning_details": details})]
            };
            let output = Output::Thinking(std::mem::take(&mut self.thoughts));
            pieces.push(Piece::Whole { slot: THINKING, output, raw });
        }
        if !self.words.is_empty() {
            let output = Output::Text(std::mem::take(&mut self.words));
            pieces.push(Piece::Whole { slot: TEXT, output, raw: Vec::new() });
        }
        for (slot, call) in (CALLS..).zip(std::mem::take(&mut self.calls).finish()) {
            let Call { id, name, arguments, raw } = call;
            let output = Output::Call { id, name, arguments };
            pieces.push(Piece::Whole { slot, output, raw: vec![raw] });
        }
        pieces.push(Piece::End(self.ending(reason)));
        Ok(())
    }
}

impl ChatReader {
    fn delta(&mut self, delta: &Value, pieces: &mut Vec<Piece>) {
        // The same thought under two names, of which a server uses one.
        let thought = ["reasoning_content", "reasoning"].map(|field| text(delta, field));
        let thought = thought.into_iter().find(|thought| !thought.is_empty()).unwrap_or_default();
        if !thought.is_empty() {
            self.thoughts.push_str(thought);
            pieces.push(Piece::Thinking { slot: THINKING, text: thought.to_owned() });
        }
        self.details.extend(delta["reasoning_details"].as_array().into_iter().flatten().cloned());
        let refusal = text(delta, "refusal");
        self.refusal.push_str(refusal);
        for words in [text(delta, "content"), refusal] {
            if !words.is_empty() {
                self.words.push_str(words);
                pieces.push(Piece::Text { slot: TEXT, text: words.to_owned() });
            }
        }
        for call in delta["tool_calls"].as_array().into_iter().flatten() {
            self.calls.take(call);
            pieces.push(Piece::Progress);
        }
    }

    /// Servers say `stop` where they mean `tool_calls`, so that says nothing; whether there are calls does.
    fn ending(&mut self, reason: String) -> Ending {
        if !self.refusal.is_empty() {
            return Ending::Refused {
                vendor: Some("refusal".to_owned()),
                message: std::mem::take(&mut self.refusal),
            };
        }
        let stopped = |stop_reason, vendor| Ending::Stopped { reason: stop_reason, vendor };
        match reason.as_str() {
            "stop" | "tool_calls" | "function_call" | "eos" => stopped(StopReason::EndTurn, None),
            "length" | "max_tokens" => stopped(StopReason::Length, Some(reason)),
            "content_filter" => {
                let message = "the provider's filter ended the answer".to_owned();
                Ending::Refused { vendor: Some(reason), message }
            }
            _ => stopped(StopReason::Other, Some(reason)),
        }
    }
}

fn failed(value: &Value) -> Failure {
    complaint::of_value(value, Timestamp::now()).map_or_else(
        || Failure::broken("the provider ended the answer with an error"),
        |(complaint, _)| Failure::of(&complaint),
    )
}

fn tokens(usage: &Value) -> Option<Tokens> {
    usage.is_object().then(|| {
        let input = &usage["prompt_tokens_details"];
        Tokens {
            input: usage["prompt_tokens"].as_u64(),
            output: usage["completion_tokens"].as_u64(),
            cache_read: input["cached_tokens"].as_u64(),
            cache_write: input["cache_write_tokens"].as_u64(),
            reasoning: usage["completion_tokens_details"]["reasoning_tokens"].as_u64(),
        }
    })
}
