//! Commands under idempotency keys: what was begun or answered is found again, and what is new leaves a record.

use musher_protocol::{Ack, EventId};
use tokio::sync::oneshot;

use super::{Reply, Task, now};
use crate::{
    batch::Sealed,
    error::Error,
    idempotency::{Answered, Keyed, Outcome},
    machine::{Answer, Command, Effect, Input},
};

impl Task {
    pub(super) async fn command(
        &mut self,
        command: Command,
        keyed: Option<Keyed>,
        reply: oneshot::Sender<Result<Answered<Ack>, Error>>,
    ) {
        let before = match &keyed {
            Some(keyed) => self.outcome_before(keyed).await,
            None => Ok(None),
        };
        let begun = match before {
            Err(error) => return drop(reply.send(Err(error))),
            Ok(Some(Outcome::Ack(ack))) => return drop(reply.send(Ok(Answered::again(ack)))),
            Ok(Some(Outcome::Begun(event_id))) => Some(event_id),
            Ok(Some(Outcome::SameDecision | Outcome::Worker(_) | Outcome::Bundle(_)) | None) => None,
        };
        let is_replayed = begun.is_some();
        let token = self.token(Reply::Ack { reply, keyed: keyed.clone(), is_replayed });
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

    /// What came of the request before. A request that waits for its answer is in flight.
    async fn outcome_before(&mut self, keyed: &Keyed) -> Result<Option<Outcome>, Error> {
        let waits = |reply: &Reply| reply.keyed().is_some_and(|waiting| waiting.place == keyed.place);
        if self.replies.values().any(waits) {
            return Err(keyed.in_flight());
        }
        keyed.look_up(&*self.parts.store, now()).await
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
                && let Some(keyed) = self.replies.get(token).and_then(Reply::keyed)
            {
                let last = sealed.events.last().map(|event| &event.event_id).or(self.last_event_id.as_ref());
                let ack = Ack {
                    worker_ref: self.worker_ref.clone(),
                    status: self.state.fold.status,
                    event_id: event_id.as_ref().or(last).expect("a worker's log has its creation").clone(),
                    cursor: sealed.head.cursor(&self.worker_ref.worker_id),
                };
                sealed.keys.push(keyed.record(&Outcome::Ack(ack), now()));
            }
        }
    }
}
