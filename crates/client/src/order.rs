//! What a stream may say next.

use musher_protocol::{Cursor, Envelope, Payload, WorkerId};

/// The place that a reader has got to, and what may come behind it.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    worker: WorkerId,
    /// `None` before the snapshot that says where the stream begins.
    place: Option<Cursor>,
}

/// What came is not what comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Disorder {
    /// Another event, earlier or later.
    Other { expected: u64, came: u64 },
    /// An event of another worker, one whose cursor stands elsewhere, or a snapshot in the place of an event.
    Foreign,
}

impl Order {
    pub(crate) fn new(worker: WorkerId, place: Option<Cursor>) -> Self {
        Self { worker, place }
    }

    pub(crate) fn place(&self) -> Option<Cursor> {
        self.place
    }

    /// Takes the next event, or says why it is not that.
    pub(crate) fn take(&mut self, envelope: &Envelope) -> Result<(), Disorder> {
        let is_snapshot = matches!(envelope.payload, Payload::Snapshot(_));
        let is_ours = envelope.worker_id == self.worker
            && envelope.cursor.is_of(&self.worker)
            && envelope.cursor.seq() == envelope.seq;
        match self.place {
            _ if !is_ours => return Err(Disorder::Foreign),
            None if is_snapshot => {}
            Some(place) if !is_snapshot => {
                let expected = place.seq() + 1;
                if envelope.seq != expected {
                    return Err(Disorder::Other { expected, came: envelope.seq });
                }
            }
            None | Some(_) => return Err(Disorder::Foreign),
        }
        self.place = Some(envelope.cursor);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn worker(id: &str) -> WorkerId {
        id.parse().unwrap()
    }

    fn envelope(of: &str, seq: u64, payload: serde_json::Value) -> Envelope {
        let cursor = Cursor::new(&worker(of), seq, 7);
        serde_json::from_value(
            json!({"cursor": cursor, "seq": seq, "event_id": format!("evt_{seq}"), "worker_id": of,
            "at": "2026-11-20T10:00:00Z", "payload": payload}),
        )
        .unwrap()
    }

    fn text(seq: u64) -> Envelope {
        envelope("wrk_1", seq, json!({"type": "text_delta", "turn_id": "trn_1", "block": 0, "text": "x"}))
    }

    fn snapshot(seq: u64) -> Envelope {
        let cursor = Cursor::new(&worker("wrk_1"), seq, 7);
        let execution =
            json!({"connection": "connected", "run_state": "idle", "since_at": "2026-11-20T10:00:00Z"});
        envelope(
            "wrk_1",
            seq,
            json!({"type": "snapshot", "head": cursor, "status": "running", "execution": execution,
                "entries": [], "total_entries": 0, "in_flight": [], "approvals": []}),
        )
    }

    fn taken(place: Option<u64>, envelopes: &[Envelope]) -> (Option<u64>, Vec<Result<(), Disorder>>) {
        let place = place.map(|seq| Cursor::new(&worker("wrk_1"), seq, 7));
        let mut order = Order::new(worker("wrk_1"), place);
        let results = envelopes.iter().map(|envelope| order.take(envelope)).collect();
        (order.place().map(Cursor::seq), results)
    }

    #[test]
    fn each_event_comes_once_and_in_order() {
        let other = |expected, came| Err(Disorder::Other { expected, came });
        let foreign = || Err(Disorder::Foreign);
        for (place, envelopes, expected) in [
            (None, vec![snapshot(4), text(5), text(6)], (Some(6), vec![Ok(()), Ok(()), Ok(())])),
            (Some(0), vec![text(1), text(2)], (Some(2), vec![Ok(()), Ok(())])),
            (Some(4), vec![text(6)], (Some(4), vec![other(5, 6)])),
            (Some(4), vec![text(5), text(5)], (Some(5), vec![Ok(()), other(6, 5)])),
            (Some(4), vec![text(1)], (Some(4), vec![other(5, 1)])),
            (None, vec![text(1)], (None, vec![foreign()])),
            (Some(4), vec![snapshot(4)], (Some(4), vec![foreign()])),
            (Some(4), vec![envelope("wrk_2", 5, json!({"type": "new"}))], (Some(4), vec![foreign()])),
            (Some(4), vec![envelope("wrk_1", 5, json!({"type": "new"}))], (Some(5), vec![Ok(())])),
            (Some(4), vec![Envelope { seq: 5, ..text(6) }], (Some(4), vec![foreign()])),
        ] {
            assert_eq!(taken(place, &envelopes), expected, "{place:?} {envelopes:?}");
        }
    }
}
