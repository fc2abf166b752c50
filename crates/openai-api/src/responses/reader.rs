//! The dialect Responses: what an answer means.

use jiff::Timestamp;
use musher_protocol::StopReason;
use musher_turn_loop::{Complaint, Ending, Failure, Output, Piece, Reader, SseEvent, Tokens};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    complaint,
    wire::{json, text},
};

/// Reads one answer. An item counts when it is done: what its deltas lacked, it has.
#[derive(Debug, Default)]
pub(super) struct ResponsesReader {
    /// Reasoning that waits for the item that it led to: the vendor takes it back only in front of that.
    reasoning: Option<(u64, Value)>,
    has_items: bool,
    refusal: Option<String>,
    is_over: bool,
}

impl Reader for ResponsesReader {
    fn event(&mut self, event: &SseEvent, pieces: &mut Vec<Piece>) -> Result<(), Failure> {
        // Some gateways end as the other dialect does.
        if event.text == "[DONE]" {
            return Ok(());
        }
        let value = json(event)?;
        let slot = value["output_index"].as_u64().unwrap_or(0);
        let delta = || text(&value, "delta").to_owned();
        match text(&value, "type") {
            "response.output_text.delta" | "response.refusal.delta" => {
                pieces.push(Piece::Text { slot, text: delta() });
            }
            "response.reasoning_summary_text.delta" | "response.reasoning_text.delta" => {
                pieces.push(Piece::Thinking { slot, text: delta() });
            }
            "response.reasoning_summary_part.added" => {
                let is_first = value["summary_index"].as_u64().unwrap_or(0) == 0;
                let text = if is_first { "" } else { "\n\n" }.to_owned();
                pieces.push(Piece::Thinking { slot, text });
            }
            "response.output_item.added"
            | "response.function_call_arguments.delta"
            | "response.custom_tool_call_input.delta" => pieces.push(Piece::Progress),
            "response.output_item.done" => self.item(slot, &value["item"], pieces),
            kind @ ("response.completed" | "response.incomplete" | "response.failed") => {
                self.end_of(kind, &value["response"], pieces)?;
            }
            "error" => return Err(failed(&value)),
            // A bare error, as some gateways send it.
            "" if !value["error"].is_null() => return Err(failed(&value)),
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self, _: &mut Vec<Piece>) -> Result<(), Failure> {
        if self.is_over {
            return Ok(());
        }
        Err(Failure::broken("the stream ended before `response.completed`"))
    }
}

impl ResponsesReader {
    fn item(&mut self, slot: u64, item: &Value, pieces: &mut Vec<Piece>) {
        self.has_items = true;
        self.release(pieces, true);
        let raw = vec![item.clone()];
        match text(item, "type") {
            "reasoning" => self.reasoning = Some((slot, item.clone())),
            "message" => {
                let mut words = String::new();
                for part in item["content"].as_array().into_iter().flatten() {
                    words.push_str(text(part, "text"));
                    let refusal = text(part, "refusal");
                    if !refusal.is_empty() {
                        words.push_str(refusal);
                        self.refusal = Some(refusal.to_owned());
                    }
                }
                pieces.push(Piece::Whole { slot, output: Output::Text(words), raw });
            }
            "function_call" => {
                let mut item = item.clone();
                // Some gateways give no id, and then refuse what comes back without one.
                if text(&item, "call_id").is_empty() {
                    item["call_id"] = Value::String(format!("call_{}", Uuid::new_v4().simple()));
                }
                let own = |field| text(&item, field).to_owned();
                let output =
                    Output::Call { id: own("call_id"), name: own("name"), arguments: own("arguments") };
                pieces.push(Piece::Whole { slot, output, raw: vec![item] });
            }
            // Nothing of the kind was asked for; whatever it is, it belongs to its place.
            _ => pieces.push(Piece::Whole { slot, output: Output::Opaque, raw }),
        }
    }

    /// Lets go of reasoning; with nothing behind it, it cannot be sent back.
    fn release(&mut self, pieces: &mut Vec<Piece>, leads_on: bool) {
        let Some((slot, item)) = self.reasoning.take() else { return };
        let parts = |field: &str| {
            let parts = item[field].as_array().into_iter().flatten();
            parts.map(|part| text(part, "text")).collect::<Vec<_>>()
        };
        let words = [parts("summary"), parts("content")].into_iter().find(|parts| !parts.is_empty());
        let output = Output::Thinking(words.unwrap_or_default().join("\n\n"));
        pieces.push(Piece::Whole { slot, output, raw: if leads_on { vec![item] } else { Vec::new() } });
    }

    fn end_of(&mut self, kind: &str, response: &Value, pieces: &mut Vec<Piece>) -> Result<(), Failure> {
        if let Some(tokens) = tokens(&response["usage"]) {
            pieces.push(Piece::Usage(tokens));
        }
        // Gateways put the whole answer here and leave the items out, or the other way round.
        if !self.has_items {
            for (slot, item) in (0..).zip(response["output"].as_array().into_iter().flatten()) {
                self.item(slot, item, pieces);
            }
        }
        let status = match (text(response, "status"), kind) {
            ("", "response.completed") => "completed",
            ("", "response.incomplete") => "incomplete",
            ("", _) => "failed",
            (status, _) => status,
        };
        let ending = match status {
            "completed" => self.refusal.take().map_or_else(
                || Ending::Stopped { reason: StopReason::EndTurn, vendor: None },
                |message| Ending::Refused { vendor: Some("refusal".to_owned()), message },
            ),
            "incomplete" => incomplete(text(&response["incomplete_details"], "reason")),
            _ => return Err(failed(response)),
        };
        self.release(pieces, false);
        self.is_over = true;
        pieces.push(Piece::End(ending));
        Ok(())
    }
}

fn incomplete(reason: &str) -> Ending {
    let vendor = Some(reason.to_owned()).filter(|reason| !reason.is_empty());
    match reason {
        "content_filter" => {
            let message = "the provider's filter ended the answer".to_owned();
            Ending::Refused { vendor, message }
        }
        "max_output_tokens" | "max_messages" => Ending::Stopped { reason: StopReason::Length, vendor },
        _ => Ending::Stopped { reason: StopReason::Other, vendor },
    }
}

fn failed(value: &Value) -> Failure {
    let nothing =
        || Complaint { message: "the provider failed without a reason".to_owned(), ..Complaint::default() };
    let complaint =
        complaint::of_value(value, Timestamp::now()).map_or_else(nothing, |(complaint, _)| complaint);
    Failure::of(&complaint)
}

fn tokens(usage: &Value) -> Option<Tokens> {
    usage.is_object().then(|| {
        let input = &usage["input_tokens_details"];
        Tokens {
            input: usage["input_tokens"].as_u64(),
            output: usage["output_tokens"].as_u64(),
            cache_read: input["cached_tokens"].as_u64(),
            cache_write: input["cache_write_tokens"].as_u64(),
            reasoning: usage["output_tokens_details"]["reasoning_tokens"].as_u64(),
        }
    })
}
