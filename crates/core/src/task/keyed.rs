//! Commands under idempotency keys: what was begun or answered is found again, and what is new leaves a record.

use musher_protocol::{Ack, DecisionReply, EventId, WorkerDetail};
use tokio::sync::oneshot;

use super::{Reply, Task, answering::Remembered, now};
use crate::{
    batch::Sealed,
    body::without_body,
    decision::{resolved, resolves},
    error::Error,
    idempotency::{Answered, Keyed, Outcome},
    machine::{Answer, Command, Effect, Input},
    show::detail,
    store::{KeyRecord, StoreError, WorkerRow},
};

impl Task {
    pub(super) async fn command(
        &mut self,
        command: Command,
        keyed: Option<Keyed>,
        reply: oneshot::Sender<Result<Answered<Ack>, Error>>,
    ) {
        let before = match &keyed {
            Some(keyed) => self.outcome_before(keyed, &command).await,
            None => Ok(None),
        };
        let begun = match before {
            Err(error) => return drop(reply.send(Err(error))),
            Ok(Some(Outcome::Ack(ack))) => return drop(reply.send(Ok(Answered::again(ack)))),
            Ok(Some(Outcome::Worker(worker))) => {
                return drop(reply.send(Ok(Answered::again(ack_of(*worker)))));
            }
            Ok(Some(Outcome::Begun(event_id))) => Some(event_id),
            // What was decided is not open any more, and refused as that: whoever asked finds the answer itself.
            Ok(Some(Outcome::Decision(_) | Outcome::Bundle(_)) | None) => None,
        };
        let is_replayed = begun.is_some();
        let remembered = match &command {
            Command::RaiseLimits { .. } => Remembered::Worker,
            Command::Decide { approval_id, .. } => {
                // Without a key nothing is remembered, and what is not open is refused.
                let asked = keyed.as_ref().and_then(|_keyed| self.state.fold.approvals.get(approval_id));
                asked.map_or(Remembered::Ack, |asked| {
                    Remembered::Decision(Box::new(without_body(asked.clone())))
                })
            }
            Command::Send { .. } | Command::Interrupt(_) | Command::Stop(..) | Command::Cancel(_) => {
                Remembered::Ack
            }
        };
        let token = self.token(Reply::Ack { reply, keyed: keyed.clone(), is_replayed, remembered });
        match (command, begun) {
            // Its turn was ended by a recovery; a turn that has come since is none of its business.
            (Command::Interrupt(_), Some(event_id)) => {
                let done = Answer::Done { event_id: Some(event_id) };
                self.batch.extend(vec![Effect::Answer(token, Ok(done))]);
            }
            // An end that was begun is joined: it happens once.
            (command, _) => self.step(Input::Command(command, token)),
        }
        if let (Some(keyed), Some(event_id)) = (keyed, self.intent())
            && !self.batch.answers(token)
        {
            self.batch.remember(keyed.record(&Outcome::Begun(event_id), now()));
        }
    }

    /// What came of the request before. A request that waits for its answer is in flight, and one that can be remembered
    /// nowhere is refused, unless it ends something: that must be possible always, and leaves an event beside its key. A
    /// worker that has ended refuses everything by itself.
    async fn outcome_before(&mut self, keyed: &Keyed, command: &Command) -> Result<Option<Outcome>, Error> {
        let waits =
            |reply: &Reply| reply.remembers().is_some_and(|(waiting, _)| waiting.place == keyed.place);
        if self.replies.values().any(waits) {
            return Err(keyed.in_flight());
        }
        let before = keyed.look_up(&*self.parts.store, now()).await?;
        let has_ended = self.state.fold.status.is_terminal();
        if before.is_none() && !has_ended && !self.state.is_ended_by(command) {
            keyed.check_room(&*self.parts.store, self.parts.max_keys, now()).await?;
        }
        Ok(before)
    }

    /// The event by which the worker or its turn is being ended.
    fn intent(&self) -> Option<EventId> {
        let fold = &self.state.fold;
        let turn = || fold.turn.as_ref().and_then(|turn| turn.interrupt.clone());
        fold.end.as_ref().map(|end| end.request.clone()).or_else(turn)
    }

    /// What is answered under a key when the commit is durable is remembered in it.
    pub(super) fn note_answers(&self, sealed: &mut Sealed) {
        for effect in &sealed.effects {
            if let Effect::Answer(token, Ok(Answer::Done { event_id })) = effect
                && let Some((keyed, remembered)) = self.replies.get(token).and_then(Reply::remembers)
            {
                let outcome = match remembered {
                    Remembered::Ack => {
                        let last =
                            sealed.events.last().map(|event| &event.event_id).or(self.last_event_id.as_ref());
                        let event_id = event_id.as_ref().or(last).expect("a worker's log has its creation");
                        Outcome::Ack(Ack {
                            worker_ref: self.worker_ref.clone(),
                            status: self.state.fold.status,
                            event_id: event_id.clone(),
                            cursor: sealed.head.cursor(&self.worker_ref.worker_id),
                        })
                    }
                    Remembered::Decision(asked) => {
                        let mut events = sealed.drafts.iter().map(|draft| &draft.payload);
                        let decision = events
                            .find(|event| resolves(event, &asked.approval_id))
                            .expect("a decision is answered with the commit of its event");
                        let approval = resolved((**asked).clone(), decision);
                        Outcome::Decision(Box::new(DecisionReply { approval, duplicate: false }))
                    }
                    // Only the commit has the worker's row.
                    Remembered::Worker => continue,
                };
                sealed.keys.push(keyed.record(&outcome, now()));
            }
        }
    }

    /// The requests under keys that a commit answers with the worker as it leaves it.
    pub(super) fn asked_to_show(&self, sealed: &Sealed) -> impl Iterator<Item = &Keyed> {
        sealed.effects.iter().filter_map(|effect| match effect {
            Effect::Answer(token, Ok(Answer::Done { .. })) => {
                let remembers = self.replies.get(token).and_then(Reply::remembers);
                remembers.and_then(|(keyed, remembered)| match remembered {
                    Remembered::Worker => Some(keyed),
                    Remembered::Ack | Remembered::Decision(_) => None,
                })
            }
            Effect::Answer(..)
            | Effect::Record(_)
            | Effect::Start(_)
            | Effect::Tell(_)
            | Effect::Drop
            | Effect::Finish => None,
        })
    }

    /// That the request under this key was answered with the worker.
    pub(super) fn shown_under(&self, keyed: &Keyed, row: &WorkerRow) -> KeyRecord {
        keyed.record(&Outcome::Worker(Box::new(detail(row, self.worker_ref.clone()))), now())
    }

    /// Answers those that wait for these records that the store has no space for them. A later answer finds nobody.
    pub(super) fn refuse_keyed(&mut self, records: &[KeyRecord]) {
        let waits = |reply: &Reply| {
            reply.remembers().is_some_and(|(keyed, _)| records.iter().any(|record| keyed.is_of(record)))
        };
        for (_, reply) in self.replies.extract_if(|_, reply| waits(reply)) {
            match reply {
                // Whoever asked may have gone.
                Reply::Ack { reply, .. } => drop(reply.send(Err(StoreError::Full.into()))),
                Reply::Input(_) | Reply::Approval(_) | Reply::Recorded(_) => {
                    unreachable!("these have no keys")
                }
            }
        }
    }
}

/// The ack that a request which was answered with a worker got on the way.
fn ack_of(worker: WorkerDetail) -> Ack {
    let WorkerDetail { worker_ref, status, last_event_id, cursor, .. } = worker;
    Ack { worker_ref, status, event_id: last_event_id, cursor }
}
