//! Entries of the transcript, as events make them.

use musher_protocol::{BlobRef, Role, ToolCallId, TranscriptEntry};

use super::{Decided, Fold};

impl Fold {
    pub(super) fn entry(
        &mut self,
        event: Decided<'_>,
        role: Role,
        content: String,
        blob: Option<BlobRef>,
    ) -> TranscriptEntry {
        self.transcript_len += 1;
        TranscriptEntry {
            sequence: self.transcript_len,
            worker_ref: self.worker_ref.clone(),
            role,
            content,
            blob,
            event_id: event.event_id.clone(),
            at: event.at,
            turn_id: self.turn.as_ref().map(|turn| turn.id.clone()),
            partial: false,
            tool_call_id: None,
            name: None,
            input: None,
            input_blob: None,
            result: None,
            result_blob: None,
            is_error: None,
        }
    }

    /// The entry of a call that is whole; it is kept until the result is there.
    pub(super) fn called(
        &mut self,
        id: &ToolCallId,
        name: &str,
        mut entry: TranscriptEntry,
    ) -> TranscriptEntry {
        entry.tool_call_id = Some(id.clone());
        entry.name = Some(name.to_owned());
        let turn = self.running();
        turn.last_tool = Some(name.to_owned());
        let call = turn.call(id, name);
        name.clone_into(&mut call.name);
        call.entry = Some(entry.clone());
        entry
    }

    /// The entry of a call whose result is there; none when the call was never whole.
    pub(super) fn returned(&mut self, id: &ToolCallId) -> Option<TranscriptEntry> {
        let turn = self.turn.as_mut()?;
        let place = turn.calls.iter().position(|call| call.id == *id)?;
        turn.round_is_over = true;
        let entry = turn.calls.remove(place).entry;
        // With the last result the model is asked again.
        turn.uses |= turn.calls.is_empty();
        entry
    }
}
