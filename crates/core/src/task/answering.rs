//! How whoever asked the task for something gets an answer.

use musher_protocol::{Ack, Approval, ApprovalId, InputAck, WorkerRef, WorkerStatus};
use tokio::sync::oneshot;

use super::Task;
use crate::{
    error::Error,
    idempotency::{Answered, Keyed},
    machine::{Answer, Refusal, Token},
    redaction::UnclearMark,
    store::{AcceptedInput, StoreError},
};

/// What is remembered as the answer to a request under a key.
#[derive(Clone, Debug)]
pub(super) enum Remembered {
    Ack,
    /// The ack of the worker's end, which a repetition finds in the log as well.
    End,
    /// The worker as the request leaves it, which is what whoever asked is shown.
    Worker,
    /// The decided approval; this is what was asked.
    Decision(Box<Approval>),
}

/// Whom an answer goes to.
pub(super) enum Reply {
    Input(oneshot::Sender<Result<InputAck, Error>>),
    Ack {
        reply: oneshot::Sender<Result<Answered<Ack>, Error>>,
        keyed: Option<Keyed>,
        is_replayed: bool,
        remembered: Remembered,
    },
    Approval(oneshot::Sender<ApprovalId>),
    Recorded(oneshot::Sender<()>),
}

impl Reply {
    /// The request, where it has a key, and what is to be remembered of it.
    pub(super) fn remembers(&self) -> Option<(&Keyed, &Remembered)> {
        match self {
            Self::Ack { keyed, remembered, .. } => keyed.as_ref().map(|keyed| (keyed, remembered)),
            Self::Input(_) | Self::Approval(_) | Self::Recorded(_) => None,
        }
    }
}

impl Task {
    pub(super) fn token(&mut self, reply: Reply) -> Token {
        self.next_token += 1;
        let token = Token(self.next_token);
        self.replies.insert(token, reply);
        token
    }

    /// Answers whoever waits. A receiver that has gone is no fault: what was asked for is done all the same.
    pub(super) async fn answer(
        &mut self,
        token: Token,
        answer: Result<Answer, Refusal>,
        accepted: &[AcceptedInput],
    ) {
        let Some(reply) = self.replies.remove(&token) else { return };
        match (reply, answer) {
            (Reply::Input(reply), Ok(Answer::Input { input_id, duplicate })) => {
                let here = accepted.iter().find(|accepted| accepted.input_id == input_id).cloned();
                let accepted = match here {
                    Some(accepted) => Ok(Some(accepted)),
                    None => self.parts.store.accepted_input(&self.worker_ref.worker_id, &input_id).await,
                };
                let answer = accepted.map_err(Error::from).map(|accepted| {
                    let accepted = accepted.expect("an input is answered when its acceptance is durable");
                    input_ack(&self.worker_ref, accepted, duplicate)
                });
                drop(reply.send(answer));
            }
            (Reply::Input(reply), Err(refusal)) => drop(reply.send(Err(self.error(refusal)))),
            (Reply::Ack { reply, keyed: _, is_replayed, remembered: _ }, Ok(Answer::Done { event_id })) => {
                let event_id = event_id
                    .or(self.last_event_id.clone())
                    .expect("a worker's log has its creation at least");
                let cursor = self.head.cursor(&self.worker_ref.worker_id);
                let status = self.parts.shared.status();
                let ack = Ack { worker_ref: self.worker_ref.clone(), status, event_id, cursor };
                drop(reply.send(Ok(Answered { reply: ack, is_replayed })));
            }
            (Reply::Ack { reply, .. }, Err(refusal)) => drop(reply.send(Err(self.error(refusal)))),
            (Reply::Approval(reply), Ok(Answer::Approval(approval_id))) => drop(reply.send(approval_id)),
            (Reply::Recorded(reply), Ok(Answer::Recorded)) => drop(reply.send(())),
            (Reply::Input(_) | Reply::Ack { .. } | Reply::Approval(_) | Reply::Recorded(_), answer) => {
                unreachable!("the machine answers what was asked, not {answer:?}")
            }
        }
    }

    fn error(&self, refusal: Refusal) -> Error {
        let worker = self.worker_ref.worker_id.clone();
        match refusal {
            Refusal::NotRunning => Error::NotRunning(worker),
            Refusal::Draining => Error::Draining,
            Refusal::Busy => Error::Busy(worker),
            Refusal::QueueFull { limit } => Error::QueueFull { worker, limit },
            Refusal::QueueTooLarge { limit } => Error::QueueTooLarge { worker, limit },
            Refusal::OtherContent(input_id) => Error::InputIdReused(input_id),
            Refusal::LimitReached(which) => Error::LimitReached { worker, which },
            Refusal::LowersLimit { place, present } => Error::InvalidRequest {
                field: place,
                message: match present {
                    Some(present) => format!("this limit is {present} now, and is only raised"),
                    None => {
                        "the worker has no such limit, and none is set on a worker that is there".to_owned()
                    }
                },
            },
            Refusal::StoreFull => StoreError::Full.into(),
            // Whether it ever was is in the log, for whoever asked to look there.
            Refusal::ApprovalNotPending(approval_id) => Error::ApprovalNotFound { worker, approval_id },
            Refusal::UnclearMark(UnclearMark { place, mark, is_ambiguous }) => Error::InvalidRequest {
                field: place,
                message: if is_ambiguous {
                    format!("`{mark}` stands for more than one text in what is asked; leave it out, or deny")
                } else {
                    format!("`{mark}` stands for nothing in what is asked; write what is meant")
                },
            },
            Refusal::Survivors(survivors) => Error::ProcessesSurvived { worker, survivors },
        }
    }
}

/// The ack of an input, the same however often and however late it is asked for.
pub(crate) fn input_ack(worker_ref: &WorkerRef, accepted: AcceptedInput, duplicate: bool) -> InputAck {
    InputAck {
        worker_ref: worker_ref.clone(),
        // At the ack's cursor: only a running worker accepts anything.
        status: WorkerStatus::Running,
        transcript_sequence: accepted.transcript_sequence,
        event_id: accepted.event_id,
        input_id: accepted.input_id,
        duplicate,
        cursor: accepted.cursor,
    }
}
