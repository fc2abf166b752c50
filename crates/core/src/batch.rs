//! What waits for the next commit, and what waits for it to be durable.

use std::sync::Arc;

use musher_protocol::{Cursor, InputId, Payload, WorkerId};

use crate::{
    fold::Fold,
    frame::seal,
    machine::{Draft, Effect},
    profile::WorkerSpec,
    store::{AcceptedInput, Commit, Head, StoredEvent, WorkerRow},
};

/// Coalesced deltas stay below this, so that only whole texts are large.
const MAX_DELTA: usize = 60 << 10;
/// A backend is not heard while so many events wait: the store is behind, and that must slow the agent.
const MAX_WAITING: usize = 256;

/// Events that wait for the next commit, and effects that wait for it to be durable.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    drafts: Vec<Draft>,
    /// Performed once the batch is durable.
    effects: Vec<Effect>,
}

/// A commit under way.
#[derive(Debug)]
pub(crate) struct Sealed {
    pub(crate) drafts: Vec<Draft>,
    pub(crate) events: Vec<StoredEvent>,
    pub(crate) accepted: Vec<AcceptedInput>,
    pub(crate) effects: Vec<Effect>,
    pub(crate) head: Head,
}

impl Batch {
    /// Takes effects in their order: events to be written, the rest to be performed after them.
    pub(crate) fn extend(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Record(draft) => self.record(*draft),
                effect @ (Effect::Start { .. }
                | Effect::Tell(_)
                | Effect::Drop
                | Effect::Answer(..)
                | Effect::Finish) => {
                    self.effects.push(effect);
                }
            }
        }
    }

    /// Adjacent deltas of the same text become one event: idle logs add no latency, busy ones get larger events.
    fn record(&mut self, draft: Draft) {
        let merged = self.drafts.last_mut().is_some_and(|last| merge(&mut last.payload, &draft.payload));
        if !merged {
            self.drafts.push(draft);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.drafts.is_empty() && self.effects.is_empty()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.drafts.len() >= MAX_WAITING
    }

    /// The digest of an input that the batch accepts.
    pub(crate) fn accepts(&self, input: &InputId) -> Option<[u8; 32]> {
        let accepts = self.drafts.iter().filter_map(|draft| draft.accepts.as_ref());
        accepts.into_iter().find(|accepts| accepts.input_id == *input).map(|accepts| accepts.digest)
    }

    /// Gives the events their places behind `head`.
    pub(crate) fn seal(self, worker: &WorkerId, head: &Head) -> Sealed {
        let mut sealed = Sealed {
            events: Vec::with_capacity(self.drafts.len()),
            drafts: Vec::new(),
            accepted: Vec::new(),
            effects: self.effects,
            head: head.clone(),
        };
        for draft in &self.drafts {
            let event = seal(sealed.head.seq + 1, draft.event_id.clone(), draft.at, &draft.payload);
            sealed.head = Head { seq: event.seq, checksum: event.checksum };
            sealed.accepted.extend(draft.accepts.as_ref().map(|accepts| AcceptedInput {
                input_id: accepts.input_id.clone(),
                digest: accepts.digest,
                event_id: event.event_id.clone(),
                transcript_sequence: accepts.transcript_sequence,
                cursor: Cursor::new(worker, event.seq, event.checksum),
            }));
            sealed.events.push(event);
        }
        sealed.drafts = self.drafts;
        sealed
    }
}

impl Sealed {
    /// The commit, with the worker's row where something that it shows has changed.
    pub(crate) fn commit(
        &self,
        worker: &WorkerId,
        expected_head: u64,
        fold: &Fold,
        spec: &Arc<WorkerSpec>,
        created_at: jiff::Timestamp,
    ) -> Commit {
        let last = self.events.last().expect("a commit has events");
        let shows = self.drafts.iter().any(|draft| !is_delta(&draft.payload));
        let row = shows.then(|| WorkerRow {
            worker_id: worker.clone(),
            spec: spec.clone(),
            facts: fold.facts(),
            head: self.head.clone(),
            last_event_id: last.event_id.clone(),
            created_at,
            updated_at: last.at,
        });
        Commit {
            worker: worker.clone(),
            expected_head,
            events: self.events.clone(),
            entries: self.drafts.iter().flat_map(|draft| draft.entries.iter().cloned()).collect(),
            accepted: self.accepted.clone(),
            row,
        }
    }
}

fn is_delta(payload: &Payload) -> bool {
    matches!(
        payload,
        Payload::TextDelta { .. } | Payload::ThinkingDelta { .. } | Payload::ToolCallDelta { .. }
    )
}

fn merge(last: &mut Payload, next: &Payload) -> bool {
    let (more, text) = match (last, next) {
        (Payload::TextDelta { block, text, .. }, Payload::TextDelta { block: same, text: more, .. })
        | (
            Payload::ThinkingDelta { block, text, .. },
            Payload::ThinkingDelta { block: same, text: more, .. },
        ) if block == same => (more, text),
        (
            Payload::ToolCallDelta { tool_call_id, arguments },
            Payload::ToolCallDelta { tool_call_id: same, arguments: more },
        ) if tool_call_id == same => (more, arguments),
        _ => return false,
    };
    let fits = text.len() + more.len() <= MAX_DELTA;
    if fits {
        text.push_str(more);
    }
    fits
}

#[cfg(test)]
mod tests {
    use musher_protocol::{Block, EventId};

    use super::*;

    fn delta(block: Block, text: &str) -> Effect {
        let payload = Payload::TextDelta { turn_id: "trn_1".parse().unwrap(), block, text: text.to_owned() };
        let event_id = EventId::mint();
        Effect::Record(Box::new(Draft {
            event_id,
            at: jiff::Timestamp::UNIX_EPOCH,
            payload,
            entries: Vec::new(),
            accepts: None,
        }))
    }

    fn texts(batch: &Batch) -> Vec<(Block, String)> {
        let text = |draft: &Draft| {
            let Payload::TextDelta { block, text, .. } = &draft.payload else { return None };
            Some((*block, text.clone()))
        };
        batch.drafts.iter().filter_map(text).collect()
    }

    #[test]
    fn adjacent_deltas_of_one_text_become_one_event() {
        let mut batch = Batch::default();
        batch.extend(vec![delta(0, "a "), delta(0, "b "), delta(1, "c"), delta(0, "d")]);
        let expected = [(0, "a b "), (1, "c"), (0, "d")];
        assert_eq!(texts(&batch), expected.map(|(block, text)| (block, text.to_owned())));
    }

    #[test]
    fn a_large_delta_begins_a_new_event() {
        let mut batch = Batch::default();
        let half = "x".repeat(MAX_DELTA / 2 + 1);
        batch.extend(vec![delta(0, &half), delta(0, &half)]);
        assert_eq!(texts(&batch).len(), 2);
    }
}
