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
    machine::{Answer, Command, Effect, Input, KeyRoom},
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
        let (before, keyed) = match keyed {
            Some(keyed) => match self.outcome_before(keyed, &command).await {
                Ok(known) => known,
                Err(error) => return drop(reply.send(Err(error))),
            },
            None => (None, None),
        };
        let begun = match before {
            Some(Outcome::Ack(ack)) => return drop(reply.send(Ok(Answered::again(ack)))),
            Some(Outcome::Worker(worker)) => {
                return drop(reply.send(Ok(Answered::again(ack_of(*worker)))));
            }
            Some(Outcome::Begun(event_id)) => Some(event_id),
            // What was decided is not open any more, and refused as that: whoever asked finds the answer itself.
            Some(Outcome::Decision(_) | Outcome::Bundle(_)) | None => None,
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
            Command::Stop(..) | Command::Cancel(_) => Remembered::End,
            Command::Send { .. } | Command::Interrupt(_) => Remembered::Ack,
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

    /// What came of the request before, and its key where that is kept. A request that waits for its answer is in flight; one
    /// that is the first under its key is refused where there has to be room for the key and is none.
    async fn outcome_before(
        &mut self,
        keyed: Keyed,
        command: &Command,
    ) -> Result<(Option<Outcome>, Option<Keyed>), Error> {
        let waits =
            |reply: &Reply| reply.remembers().is_some_and(|(waiting, _)| waiting.place == keyed.place);
        if self.replies.values().any(waits) {
            return Err(keyed.in_flight());
        }
        let (store, most, now) = (&*self.parts.store, self.parts.max_keys, now());
        let before = keyed.look_up(store, now).await?;
        let is_kept = before.is_some()
            || match self.state.key_room(command) {
                KeyRoom::OnTop => true,
                KeyRoom::IfAny => keyed.has_room(store, most, now).await?,
                KeyRoom::Required => keyed.check_room(store, most, now).await.map(|()| true)?,
            };
        Ok((before, is_kept.then_some(keyed)))
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
                    Remembered::Ack | Remembered::End => {
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
                    Remembered::Ack | Remembered::End | Remembered::Decision(_) => None,
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

    /// Answers those that wait for these records that the store has no space for them. A later answer finds nobody. Whoever
    /// waits for the worker's end goes on to wait, without a key.
    pub(super) fn refuse_keyed(&mut self, records: &[KeyRecord]) {
        let is_one = |keyed: &Keyed| records.iter().any(|record| keyed.is_of(record));
        let mut refused = Vec::new();
        for (token, reply) in &mut self.replies {
            match reply {
                Reply::Ack { keyed: keyed @ Some(_), remembered, .. }
                    if keyed.as_ref().is_some_and(is_one) =>
                {
                    match remembered {
                        Remembered::End => *keyed = None,
                        Remembered::Ack | Remembered::Worker | Remembered::Decision(_) => {
                            refused.push(*token)
                        }
                    }
                }
                Reply::Ack { .. } | Reply::Input(_) | Reply::Approval(_) | Reply::Recorded(_) => {}
            }
        }
        for token in refused {
            if let Some(Reply::Ack { reply, .. }) = self.replies.remove(&token) {
                // Whoever asked may have gone.
                drop(reply.send(Err(StoreError::Full.into())));
            }
        }
    }
}

/// The ack that a request which was answered with a worker got on the way.
fn ack_of(worker: WorkerDetail) -> Ack {
    let WorkerDetail { worker_ref, status, last_event_id, cursor, .. } = worker;
    Ack { worker_ref, status, event_id: last_event_id, cursor }
}
