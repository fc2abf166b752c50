//! Large bodies: a log holds their beginning in line, and the whole beside it.

use musher_protocol::{Approval, BlobRef, Payload, TranscriptEntry};
use serde_json::Value;

use crate::{fold::prefix, store::Blob};

/// A longer body is kept beside the log. Most of what models and tools say is shorter, and a reader of the log wants it
/// with its event; what is longer would make pages and snapshots heavy for everybody.
const MAX_IN_LINE: usize = 64 << 10;
/// How much of a large body the log holds: enough to see what it is.
const PREVIEW: usize = 4 << 10;
/// The largest body, as backends and stores handle it in memory. What is longer is cut.
const MAX_BODY: usize = 16 << 20;

/// The large bodies of one commit, each once however often it is named.
#[derive(Debug, Default)]
pub(crate) struct Bodies {
    blobs: Vec<Blob>,
    /// The length of a body that was longer than a body may be.
    too_long: Option<usize>,
}

/// A body was longer than a body may be: it was cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    /// How long it was.
    pub(crate) bytes: usize,
}

impl Bodies {
    /// Takes the large bodies out of an event and out of the entries that it makes: from here on they hold previews.
    pub(crate) fn take(&mut self, payload: &mut Payload, entries: &mut [TranscriptEntry]) -> Option<Cut> {
        self.take_from_event(payload);
        for entry in entries {
            self.text(&mut entry.content, &mut entry.blob);
            if let Some(input) = &mut entry.input {
                self.json(input, &mut entry.input_blob);
            }
            if let Some(result) = &mut entry.result {
                self.text(result, &mut entry.result_blob);
            }
        }
        self.too_long.take().map(|bytes| Cut { bytes })
    }

    /// Takes all that a tool said, where its event holds what its model was told. Before [`Bodies::take`], which then
    /// leaves the name of it there.
    pub(crate) fn take_whole(&mut self, whole: String, payload: &mut Payload) {
        if let Payload::ToolResult { blob, .. } = payload {
            *blob = Some(self.body(whole));
        }
    }

    pub(crate) fn into_blobs(self) -> Vec<Blob> {
        self.blobs
    }

    fn take_from_event(&mut self, payload: &mut Payload) {
        match payload {
            Payload::InputAccepted { content, blob, .. }
            | Payload::UserMessage { content, blob, .. }
            | Payload::SystemItem { content, blob, .. } => self.text(content, blob),
            Payload::TextDone { text, blob, .. } | Payload::ThinkingDone { text, blob, .. } => {
                self.text(text, blob)
            }
            Payload::ToolCallDone { input, blob, .. } => self.json(input, blob),
            Payload::ToolResult { content, blob, diff, diff_blob, .. } => {
                let mut told = None;
                self.text(content, &mut told);
                *blob = blob.or(told);
                if let Some(diff) = diff {
                    self.text(diff, diff_blob);
                }
            }
            Payload::ApprovalRequested(approval) => self.json(&mut approval.input, &mut approval.blob),
            Payload::ApprovalResolved { updated_input: Some(input), blob, .. } => self.json(input, blob),
            Payload::TurnFinished(finished) => {
                if let Some(text) = &mut finished.text_so_far {
                    self.text(text, &mut finished.blob);
                }
            }
            // Deltas are cut where they are collected; the rest is short.
            Payload::TextDelta { .. }
            | Payload::ThinkingDelta { .. }
            | Payload::ToolCallDelta { .. }
            | Payload::Snapshot(_)
            | Payload::WorkerCreated(_)
            | Payload::InputDelivered { .. }
            | Payload::InputTaken { .. }
            | Payload::InputDropped { .. }
            | Payload::InterruptRequested(_)
            | Payload::StopRequested(_)
            | Payload::CancelRequested(_)
            | Payload::SessionStarted(_)
            | Payload::SessionEnvironment(_)
            | Payload::SessionEnded(_)
            | Payload::TurnStarted { .. }
            | Payload::ToolCallStarted { .. }
            | Payload::ApprovalResolved { updated_input: None, .. }
            | Payload::Usage { .. }
            | Payload::RateLimited { .. }
            | Payload::Retrying(_)
            | Payload::LimitReached { .. }
            | Payload::LimitsRaised { .. }
            | Payload::Status { .. }
            | Payload::Diagnostic { .. }
            | Payload::Error { .. }
            | Payload::WorkerStopped(_)
            | Payload::WorkerCancelled(_)
            | Payload::Unknown => {}
        }
    }

    fn text(&mut self, text: &mut String, blob: &mut Option<BlobRef>) {
        if text.len() <= MAX_IN_LINE {
            return;
        }
        let preview = prefix(text, PREVIEW).to_owned();
        let whole = std::mem::replace(text, preview);
        *blob = Some(self.body(whole));
    }

    /// A value has no beginning, but its text has.
    fn json(&mut self, value: &mut Value, blob: &mut Option<BlobRef>) {
        let mut text = serde_json::to_string(value).expect("a value is JSON");
        if text.len() > MAX_IN_LINE {
            self.text(&mut text, blob);
            *value = Value::String(text);
        }
    }

    fn body(&mut self, mut whole: String) -> BlobRef {
        if whole.len() > MAX_BODY {
            self.too_long = self.too_long.max(Some(whole.len()));
            whole.truncate(prefix(&whole, MAX_BODY).len());
        }
        self.keep(whole)
    }

    fn keep(&mut self, body: String) -> BlobRef {
        let bytes = body.len() as u64;
        // An event and its entry hold the same text; comparing is far cheaper than another digest.
        let place = self.blobs.iter().position(|blob| blob.bytes == body.as_bytes()).unwrap_or_else(|| {
            self.blobs.push(Blob::of(body.into()));
            self.blobs.len() - 1
        });
        BlobRef { digest: self.blobs[place].digest, bytes }
    }
}

/// An approval as rows hold it: a body that is large was kept with the event that asked.
pub(crate) fn without_body(mut approval: Approval) -> Approval {
    Bodies::default().json(&mut approval.input, &mut approval.blob);
    approval
}

/// A value as events hold it.
pub(crate) fn in_line(mut value: Value) -> (Value, Option<BlobRef>) {
    let mut blob = None;
    Bodies::default().json(&mut value, &mut blob);
    (value, blob)
}

#[cfg(test)]
mod tests;
