//! What waits for the next commit, and what waits for it to be durable.

use std::sync::Arc;

use musher_protocol::{Cursor, EventId, InputId, OnIdle, Payload, WorkerId};
use uuid::Uuid;

use crate::{
    body::{Bodies, Cut, without_body},
    fold::Fold,
    frame::seal,
    machine::{Draft, Effect, Token},
    profile::WorkerSpec,
    store::{AcceptedInput, Blob, Checkpoint, Commit, Head, KeyRecord, StoredEvent, WorkerRow},
};

/// Coalesced deltas stay below this, so that only whole texts are large.
const MAX_DELTA: usize = 60 << 10;
/// A backend is not heard while so many events wait: the store is behind, and that must slow the agent.
const MAX_WAITING: usize = 256;
/// Nor while the large ones among them have so many bytes together: two of the largest.
const MAX_WAITING_BYTES: usize = 32 << 20;

/// Events that wait for the next commit, and effects that wait for it to be durable.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    drafts: Vec<Draft>,
    /// Performed once the batch is durable.
    effects: Vec<Effect>,
    /// What is to be remembered of requests under keys that the events begin.
    keys: Vec<KeyRecord>,
}

/// Whose commit it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Writer<'a> {
    pub(crate) worker: &'a WorkerId,
    pub(crate) epoch: u64,
    pub(crate) expected_head: u64,
    /// The fold behind the last event of the commit.
    pub(crate) fold: &'a Fold,
    pub(crate) spec: &'a Arc<WorkerSpec>,
    pub(crate) created_at: jiff::Timestamp,
    pub(crate) age: CheckpointAge,
}

/// How long ago the newest checkpoint of a worker was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CheckpointAge {
    Young,
    /// A new one is wanted when the worker is quiet, for then it is small.
    Due,
    /// A new one is wanted whatever it holds.
    Overdue,
}

impl CheckpointAge {
    /// So many events are quickly folded again; more often a checkpoint would cost more than it saves.
    const DUE: u64 = 512;
    /// A worker that is never quiet must be readable too.
    const OVERDUE: u64 = 16 * Self::DUE;

    pub(crate) fn of(uncovered: u64) -> Self {
        match uncovered {
            Self::OVERDUE.. => Self::Overdue,
            Self::DUE.. => Self::Due,
            _ => Self::Young,
        }
    }
}

/// A commit under way.
#[derive(Debug)]
pub(crate) struct Sealed {
    /// What the events were made of: with previews in the place of large bodies, as readers of the log see them.
    pub(crate) drafts: Vec<Draft>,
    pub(crate) events: Vec<StoredEvent>,
    pub(crate) blobs: Vec<Blob>,
    pub(crate) accepted: Vec<AcceptedInput>,
    pub(crate) effects: Vec<Effect>,
    pub(crate) keys: Vec<KeyRecord>,
    pub(crate) head: Head,
}

impl Batch {
    /// Takes effects in their order: events to be written, the rest to be performed after them.
    pub(crate) fn extend(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Record(draft) => self.record(*draft),
                effect @ (Effect::Start(_)
                | Effect::Tell(_)
                | Effect::Drop
                | Effect::Answer(..)
                | Effect::Finish) => {
                    self.effects.push(effect);
                }
            }
        }
    }

    /// Takes an event. A delta that is too long for one becomes several, each with an id of its own.
    fn record(&mut self, mut draft: Draft) {
        let Some(whole) = delta(&mut draft.payload).filter(|text| text.len() > MAX_DELTA).map(std::mem::take)
        else {
            return self.append(draft);
        };
        let mut rest = whole.as_str();
        while !rest.is_empty() {
            let (piece, behind) = rest.split_at(rest.floor_char_boundary(MAX_DELTA));
            let mut part = Draft { event_id: EventId::mint(), ..draft.clone() };
            delta(&mut part.payload).expect("it is a delta").push_str(piece);
            self.append(part);
            rest = behind;
        }
    }

    /// Adjacent deltas of the same text become one event: idle logs add no latency, busy ones get larger events.
    fn append(&mut self, draft: Draft) {
        let merged = self.drafts.last_mut().is_some_and(|last| merge(&mut last.payload, &draft.payload));
        if !merged {
            self.drafts.push(draft);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.drafts.is_empty() && self.effects.is_empty() && self.keys.is_empty()
    }

    pub(crate) fn is_full(&self) -> bool {
        let bytes = || self.drafts.iter().map(large).sum::<usize>();
        self.drafts.len() >= MAX_WAITING || bytes() >= MAX_WAITING_BYTES
    }

    /// Takes what is to be remembered of a key, with the events that wait.
    pub(crate) fn remember(&mut self, record: KeyRecord) {
        self.keys.push(record);
    }

    /// Whether whoever has this token is answered with the batch.
    pub(crate) fn answers(&self, token: Token) -> bool {
        self.effects.iter().any(|effect| matches!(effect, Effect::Answer(answered, _) if *answered == token))
    }

    /// The digest of an input that the batch accepts.
    pub(crate) fn accepts(&self, input: &InputId) -> Option<[u8; 32]> {
        let accepts = self.drafts.iter().filter_map(|draft| draft.accepts.as_ref());
        accepts.into_iter().find(|accepts| accepts.input_id == *input).map(|accepts| accepts.digest)
    }

    /// Gives the events their places behind `head`, and takes large bodies out of them.
    pub(crate) fn seal(self, worker: &WorkerId, head: &Head) -> Sealed {
        let mut sealed = Sealed {
            events: Vec::with_capacity(self.drafts.len()),
            drafts: Vec::with_capacity(self.drafts.len()),
            blobs: Vec::new(),
            accepted: Vec::new(),
            effects: self.effects,
            keys: self.keys,
            head: head.clone(),
        };
        let mut bodies = Bodies::default();
        for mut draft in self.drafts {
            if let Some(whole) = draft.whole.take() {
                bodies.take_whole(whole, &mut draft.payload);
            }
            let cut = bodies.take(&mut draft.payload, &mut draft.entries);
            let at = draft.at;
            sealed.push(worker, draft);
            if let Some(cut) = cut {
                sealed.push(worker, told(cut, at));
            }
        }
        sealed.blobs = bodies.into_blobs();
        sealed
    }
}

impl Sealed {
    fn push(&mut self, worker: &WorkerId, draft: Draft) {
        let event = seal(self.head.seq + 1, draft.event_id.clone(), draft.at, &draft.payload);
        self.head = Head { seq: event.seq, checksum: event.checksum };
        self.accepted.extend(draft.accepts.as_ref().map(|accepts| AcceptedInput {
            input_id: accepts.input_id.clone(),
            digest: accepts.digest,
            event_id: event.event_id.clone(),
            transcript_sequence: accepts.transcript_sequence,
            cursor: Cursor::new(worker, event.seq, event.checksum),
        }));
        self.events.push(event);
        self.drafts.push(draft);
    }

    /// Whether the worker's row shows something of the events.
    pub(crate) fn changes_row(&self) -> bool {
        self.drafts.iter().any(|draft| !is_delta(&draft.payload))
    }

    /// The commit, with the worker's row where something that it shows has changed.
    pub(crate) fn commit(&self, of: Writer<'_>) -> Commit {
        let Writer { worker, epoch, expected_head, fold, spec, created_at, age } = of;
        let last = self.events.last().expect("a commit has events");
        let row = self.changes_row().then(|| {
            let mut facts = fold.facts();
            // It is to stop by itself; a runtime that ended before it could leaves that to the next one.
            facts.unsettled |=
                spec.on_idle == OnIdle::Stop && fold.outcome.is_some() && !fold.status.is_terminal();
            facts.approvals = facts.approvals.into_iter().map(without_body).collect();
            WorkerRow {
                worker_id: worker.clone(),
                spec: spec.clone(),
                facts,
                head: self.head.clone(),
                last_event_id: last.event_id.clone(),
                created_at,
                updated_at: last.at,
            }
        });
        let due = match age {
            CheckpointAge::Young => false,
            CheckpointAge::Due => fold.is_quiet(),
            CheckpointAge::Overdue => true,
        };
        let checkpoint = (due || fold.status.is_terminal()).then(|| Checkpoint {
            head: self.head.clone(),
            body: serde_json::to_vec(fold).expect("a fold is JSON").into(),
        });
        Commit {
            worker: worker.clone(),
            epoch,
            expected_head,
            batch_id: Uuid::now_v7(),
            events: self.events.clone(),
            entries: self.drafts.iter().flat_map(|draft| draft.entries.iter().cloned()).collect(),
            accepted: self.accepted.clone(),
            blobs: self.blobs.clone(),
            kept: self.drafts.iter().flat_map(|draft| draft.kept.iter().cloned()).collect(),
            keys: self.keys.clone(),
            row,
            checkpoint,
        }
    }
}

pub(crate) fn is_delta(payload: &Payload) -> bool {
    matches!(
        payload,
        Payload::TextDelta { .. } | Payload::ThinkingDelta { .. } | Payload::ToolCallDelta { .. }
    )
}

/// The size of what a backend may make large without bound but its own.
fn large(draft: &Draft) -> usize {
    let kept = draft.kept.iter().map(|kept| kept.bytes.len()).sum::<usize>();
    if let Payload::ToolResult { content, diff, .. } = &draft.payload {
        let [whole, diff] = [&draft.whole, diff].map(|text| text.as_ref().map_or(0, String::len));
        content.len() + whole + diff + kept
    } else if let Payload::TextDone { text, .. } | Payload::ThinkingDone { text, .. } = &draft.payload {
        text.len() + kept
    } else {
        kept
    }
}

/// What is new in a delta.
fn delta(payload: &mut Payload) -> Option<&mut String> {
    if let Payload::TextDelta { text, .. }
    | Payload::ThinkingDelta { text, .. }
    | Payload::ToolCallDelta { arguments: text, .. } = payload
    {
        Some(text)
    } else {
        None
    }
}

/// The event that says of the one before it that it does not hold all there was.
fn told(cut: Cut, at: jiff::Timestamp) -> Draft {
    let message = format!("a body of {} bytes was longer than a body may be and was cut", cut.bytes);
    Draft {
        event_id: EventId::mint(),
        at,
        payload: Payload::Diagnostic { code: "body.cut".to_owned(), message },
        entries: Vec::new(),
        accepts: None,
        kept: Vec::new(),
        whole: None,
    }
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
    use musher_protocol::Block;

    use super::*;

    fn delta(block: Block, text: &str) -> Effect {
        draft(Payload::TextDelta { turn_id: "trn_1".parse().unwrap(), block, text: text.to_owned() })
    }

    fn draft(payload: Payload) -> Effect {
        let event_id = EventId::mint();
        Effect::Record(Box::new(Draft {
            event_id,
            at: jiff::Timestamp::UNIX_EPOCH,
            payload,
            entries: Vec::new(),
            accepts: None,
            kept: Vec::new(),
            whole: None,
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

    #[test]
    fn a_delta_that_is_too_long_for_one_event_becomes_several() {
        // Two bytes each behind one: a character lies across the bound.
        let whole = format!("x{}", "é".repeat(MAX_DELTA));
        let mut batch = Batch::default();
        batch.extend(vec![delta(0, "before"), delta(0, &whole), delta(0, "behind")]);
        let texts = texts(&batch);
        let lengths: Vec<_> = texts.iter().map(|(_, text)| text.len()).collect();
        assert_eq!(lengths, ["before".len(), MAX_DELTA - 1, MAX_DELTA, "é".len() + "behind".len()]);
        assert_eq!(
            texts.iter().map(|(_, text)| text.as_str()).collect::<String>(),
            format!("before{whole}behind")
        );
        let ids: std::collections::HashSet<_> = batch.drafts.iter().map(|draft| &draft.event_id).collect();
        assert_eq!(ids.len(), texts.len());
    }

    #[test]
    fn a_batch_is_full_when_its_large_bodies_are_too_much_together() {
        let result = |content: usize, diff: usize, whole: usize| {
            let [content, diff, whole] = [content, diff, whole].map(|bytes| "x".repeat(bytes));
            let mut effect = draft(Payload::ToolResult {
                tool_call_id: "c".parse().unwrap(),
                content,
                blob: None,
                is_error: false,
                diff: Some(diff),
                diff_blob: None,
            });
            if let Effect::Record(draft) = &mut effect {
                draft.whole = Some(whole);
            }
            effect
        };
        let most = MAX_WAITING_BYTES;
        for (effect, expected) in [
            (result(most / 4, most / 4, most / 2), true),
            (result(most, 0, 0), true),
            (result(0, most, 0), true),
            (result(0, 0, most), true),
            (result(most / 4, most / 4, most / 2 - 1), false),
        ] {
            let mut batch = Batch::default();
            batch.extend(vec![effect]);
            assert_eq!(batch.is_full(), expected);
        }
    }

    #[test]
    fn a_body_that_was_cut_is_told_behind_its_event() {
        let payload = Payload::TextDone {
            turn_id: "trn_1".parse().unwrap(),
            block: 0,
            text: "x".repeat((16 << 20) + 1),
            blob: None,
        };
        let mut batch = Batch::default();
        batch.extend(vec![draft(payload), delta(1, "next")]);
        let sealed = batch.seal(&"wrk_1".parse().unwrap(), &Head::EMPTY);
        let types: Vec<_> = sealed.events.iter().map(|event| (event.seq, event.type_name)).collect();
        assert_eq!(types, [(1, "text_done"), (2, "diagnostic"), (3, "text_delta")]);
        let message = "a body of 16777217 bytes was longer than a body may be and was cut".to_owned();
        assert_eq!(sealed.drafts[1].payload, Payload::Diagnostic { code: "body.cut".to_owned(), message });
        let [blob] = &sealed.blobs[..] else { panic!("one body") };
        assert_eq!(blob.bytes.len(), 16 << 20);
    }
}
