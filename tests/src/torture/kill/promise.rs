//! What a server answered, and whether the log keeps it.

use super::{
    finding::{Finding, Kind},
    reading::Reading,
};

/// What an answer about one worker means for its log, for ever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Promise {
    /// An input was accepted by this event, at this place.
    Accepted { input_id: String, event_id: String, seq: u64 },
    /// An input was refused, and nobody had sent it before.
    Refused { input_id: String },
    /// An interrupt was answered with this event.
    Acknowledged { event_id: String },
    /// A stop was answered with this event, and the worker was at its end.
    Stopped { event_id: String },
}

impl Promise {
    /// Compares with the whole log.
    pub(super) fn check(&self, worker: &str, log: &Reading) -> Option<Finding> {
        let find = |kind, seq, what| Some(Finding::new(kind, worker, seq, what));
        match self {
            Self::Accepted { input_id, event_id, seq } => match log.accepted(input_id) {
                Some(accepted) if accepted == event_id && log.place(event_id) == Some(*seq) => None,
                Some(accepted) => {
                    let what =
                        format!("the input {input_id} was accepted by {event_id}, in the log by {accepted}");
                    find(Kind::Changed, Some(*seq), what)
                }
                None => {
                    find(Kind::Lost, Some(*seq), format!("input_accepted {event_id} of the input {input_id}"))
                }
            },
            Self::Refused { input_id } => {
                let accepted = log.accepted(input_id)?;
                let place = log.place(accepted);
                find(Kind::Untrue, place, format!("the input {input_id} was refused, the log accepts it"))
            }
            Self::Acknowledged { event_id } => match log.place(event_id) {
                Some(_) => None,
                None => find(Kind::Lost, None, format!("the event {event_id} of an ack")),
            },
            Self::Stopped { event_id } => match (log.place(event_id), log.is_over()) {
                (Some(_), true) => None,
                (None, _) => find(Kind::Lost, None, format!("the event {event_id} of a stop's ack")),
                (Some(_), false) => find(Kind::Lost, None, "the end of a worker that was stopped".to_owned()),
            },
        }
    }
}
