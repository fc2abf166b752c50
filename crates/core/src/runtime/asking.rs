//! What clients ask of a worker. Its task decides; what it was asked for goes on when the caller goes away.

use std::time::Duration;

use musher_protocol::{
    Ack, Actor, EventId, InputAck, InputId, InputRequest, WorkerDetail, WorkerId, WorkerLimits,
};
use tokio::sync::oneshot;

use super::{Live, Runtime, check_actor};
use crate::{
    create::{check_line, check_positive, new_input},
    error::Error,
    fold::End,
    idempotency::{Answered, Claim, CommandOptions, Keyed, Outcome, route},
    machine::{Command, Request},
    store::{StoreError, WorkerRow},
    task::{Asked, input_ack, now},
};

impl Runtime {
    /// Says something to a worker. The same id twice runs once and gives the first ack again.
    ///
    /// # Errors
    ///
    /// When the worker takes no inputs, or not this one now.
    pub async fn send_input(
        &self,
        worker: &WorkerId,
        request: InputRequest,
        by: Actor,
    ) -> Result<InputAck, Error> {
        check_actor(&by)?;
        let input_id = request.input_id.unwrap_or_else(InputId::mint);
        let input = new_input(input_id.clone(), request.kind, request.content, request.delivery, by)?;
        let live = self.live(worker).await?;
        let digest = input.digest;
        let (reply, answer) = oneshot::channel();
        let sent = live.asked.send(Asked::Send(input, reply)).await;
        if sent.is_ok()
            && let Ok(answer) = answer.await
        {
            return answer;
        }
        // The task has gone. What it had accepted before stays accepted.
        match self.0.store.accepted_input(worker, &input_id).await? {
            Some(accepted) if accepted.digest == digest => {
                Ok(input_ack(&self.worker_ref(worker), accepted, true))
            }
            Some(_) => Err(Error::InputIdReused(input_id)),
            None => Err(self.gone(worker, &live)),
        }
    }

    /// Ends the open turn and keeps the session; returns when the turn is over. Nothing happens without a turn.
    ///
    /// # Errors
    ///
    /// When the worker is terminal.
    pub async fn interrupt_worker(
        &self,
        worker: &WorkerId,
        reason: Option<String>,
        by: Actor,
    ) -> Result<Ack, Error> {
        Ok(self.interrupt_worker_with(worker, reason, by.into()).await?.reply)
    }

    /// As [`Runtime::interrupt_worker`], under a key where one is given.
    ///
    /// # Errors
    ///
    /// When the worker is terminal, or the key is in use otherwise.
    pub async fn interrupt_worker_with(
        &self,
        worker: &WorkerId,
        reason: Option<String>,
        options: CommandOptions,
    ) -> Result<Answered<Ack>, Error> {
        let keyed = Keyed::of(&options, &route("interrupt", worker), &reason);
        let command = Command::Interrupt(request(reason, options.by)?);
        match (self.ask(worker, command, keyed.clone()).await, keyed) {
            // Under its key, what the worker did before its end is answered for.
            (Err(error @ Error::NotRunning(_)), Some(keyed)) => {
                match keyed.look_up(&*self.0.store, now()).await? {
                    Some(Outcome::Ack(ack)) => Ok(Answered::again(ack)),
                    Some(Outcome::Begun(event_id)) => {
                        let row = self.row(worker).await?;
                        self.answer_once(&keyed, self.ack(&row, event_id), true).await
                    }
                    Some(Outcome::Decision(_) | Outcome::Worker(_) | Outcome::Bundle(_)) | None => Err(error),
                }
            }
            (answer, _) => answer,
        }
    }

    /// Ends a worker gracefully, with its profile's grace unless another is named; returns when no process of it is left.
    /// Repeats answer with the first outcome.
    ///
    /// # Errors
    ///
    /// When processes could not be ended; the worker is stopped all the same, and its last event names them.
    pub async fn stop_worker(
        &self,
        worker: &WorkerId,
        grace: Option<Duration>,
        reason: Option<String>,
        by: Actor,
    ) -> Result<Ack, Error> {
        Ok(self.stop_worker_with(worker, grace, reason, by.into()).await?.reply)
    }

    /// As [`Runtime::stop_worker`], under a key where one is given.
    ///
    /// # Errors
    ///
    /// As [`Runtime::stop_worker`], or when the key is in use otherwise.
    pub async fn stop_worker_with(
        &self,
        worker: &WorkerId,
        grace: Option<Duration>,
        reason: Option<String>,
        options: CommandOptions,
    ) -> Result<Answered<Ack>, Error> {
        let keyed = Keyed::of(&options, &route("stop", worker), &(&reason, grace));
        let request = request(reason, options.by)?;
        self.end(worker, Command::Stop(request, grace), keyed).await
    }

    /// Ends a worker at once; returns when no process of it is left. Repeats answer with the first outcome.
    ///
    /// # Errors
    ///
    /// When processes could not be ended; the worker is cancelled all the same, and its last event names them.
    pub async fn cancel_worker(
        &self,
        worker: &WorkerId,
        reason: Option<String>,
        by: Actor,
    ) -> Result<Ack, Error> {
        Ok(self.cancel_worker_with(worker, reason, by.into()).await?.reply)
    }

    /// As [`Runtime::cancel_worker`], under a key where one is given.
    ///
    /// # Errors
    ///
    /// As [`Runtime::cancel_worker`], or when the key is in use otherwise.
    pub async fn cancel_worker_with(
        &self,
        worker: &WorkerId,
        reason: Option<String>,
        options: CommandOptions,
    ) -> Result<Answered<Ack>, Error> {
        let keyed = Keyed::of(&options, &route("cancel", worker), &reason);
        let request = request(reason, options.by)?;
        self.end(worker, Command::Cancel(request), keyed).await
    }

    /// Raises limits of a worker, which goes on where one of them had held it: what waits begins, and later inputs are
    /// taken. Each is at least what it is now; a limit that the worker does not have cannot be set.
    ///
    /// # Errors
    ///
    /// When nothing is named or a limit would be lowered, or the worker has ended.
    pub async fn raise_limits(
        &self,
        worker: &WorkerId,
        limits: WorkerLimits,
        by: Actor,
    ) -> Result<WorkerDetail, Error> {
        Ok(self.raise_limits_with(worker, limits, by.into()).await?.reply)
    }

    /// As [`Runtime::raise_limits`], under a key where one is given: the answer, also to a repeat, shows the worker as the
    /// raise left it.
    ///
    /// # Errors
    ///
    /// As [`Runtime::raise_limits`], or when the key is in use otherwise.
    pub async fn raise_limits_with(
        &self,
        worker: &WorkerId,
        limits: WorkerLimits,
        options: CommandOptions,
    ) -> Result<Answered<WorkerDetail>, Error> {
        let keyed = Keyed::of(&options, &route("limits", worker), &limits);
        let by = options.by;
        check_actor(&by)?;
        check_positive(&limits)?;
        if limits == WorkerLimits::default() {
            let message = "no limit is named that could be raised".to_owned();
            return Err(Error::InvalidRequest { field: "/limits", message });
        }
        let asked = self.ask(worker, Command::RaiseLimits { limits, by }, keyed.clone()).await;
        let shown = match &keyed {
            Some(keyed) if matches!(asked, Ok(_) | Err(Error::NotRunning(_))) => {
                keyed.look_up(&*self.0.store, now()).await?
            }
            Some(_) | None => None,
        };
        match (asked, shown) {
            (Ok(Answered { is_replayed, .. }), Some(Outcome::Worker(worker))) => {
                Ok(Answered { reply: *worker, is_replayed })
            }
            // Under its key, what was raised before the worker's end is answered for.
            (Err(_not_running), Some(Outcome::Worker(worker))) => Ok(Answered::again(*worker)),
            (Ok(Answered { is_replayed, .. }), _) => {
                Ok(Answered { reply: self.worker_detail(worker).await?, is_replayed })
            }
            (Err(error), _) => Err(error),
        }
    }

    pub(super) async fn ask(
        &self,
        worker: &WorkerId,
        command: Command,
        keyed: Option<Keyed>,
    ) -> Result<Answered<Ack>, Error> {
        let live = self.live(worker).await?;
        let (reply, answer) = oneshot::channel();
        if live.asked.send(Asked::Command(command, keyed, reply)).await.is_ok()
            && let Ok(answer) = answer.await
        {
            return answer;
        }
        Err(self.gone(worker, &live))
    }

    /// As [`Runtime::ask`], but a worker that has ended answers with its first outcome.
    async fn end(
        &self,
        worker: &WorkerId,
        command: Command,
        keyed: Option<Keyed>,
    ) -> Result<Answered<Ack>, Error> {
        match self.ask(worker, command, keyed.clone()).await {
            Err(Error::NotRunning(_)) => {}
            answer => return answer,
        }
        // No task is there to know what is in flight.
        let _claim = keyed.as_ref().map(|keyed| Claim::take(&self.0, keyed)).transpose()?;
        let before = match &keyed {
            Some(keyed) => keyed.look_up(&*self.0.store, now()).await?,
            None => None,
        };
        let is_replayed = before.is_some();
        if let Some(Outcome::Ack(ack)) = before {
            return Ok(Answered::again(ack));
        }
        let row = self.row(worker).await?;
        let End { request, survivors, .. } =
            row.facts.end.clone().expect("a terminal worker was ended by a request");
        if !survivors.is_empty() {
            return Err(Error::ProcessesSurvived { worker: worker.clone(), survivors });
        }
        let ack = self.ack(&row, request);
        match keyed {
            Some(keyed) if is_replayed || self.has_room(&keyed).await? => {
                self.answer_once(&keyed, ack, is_replayed).await
            }
            Some(_) | None => Ok(Answered::first(ack)),
        }
    }

    /// Whether the first answer under a key can be remembered. Where it cannot, it is given all the same when it is in the
    /// worker's log: a repeat finds it there, and nothing to do.
    pub(super) async fn has_room(&self, keyed: &Keyed) -> Result<bool, Error> {
        keyed.has_room(&*self.0.store, self.0.max_keys, now()).await
    }

    /// Remembers the answer of a worker that has ended, where there is space for it, and gives it.
    async fn answer_once(&self, keyed: &Keyed, ack: Ack, is_replayed: bool) -> Result<Answered<Ack>, Error> {
        match self.0.store.remember(vec![keyed.record(&Outcome::Ack(ack.clone()), now())]).await {
            // A repeat finds the same in the worker's log.
            Ok(()) | Err(StoreError::Full) => Ok(Answered { reply: ack, is_replayed }),
            Err(error) => Err(error.into()),
        }
    }

    fn ack(&self, row: &WorkerRow, event_id: EventId) -> Ack {
        Ack {
            worker_ref: self.worker_ref(&row.worker_id),
            status: row.facts.status,
            event_id,
            cursor: row.head.cursor(&row.worker_id),
        }
    }

    /// Why a worker's task is not there.
    fn gone(&self, worker: &WorkerId, live: &Live) -> Error {
        if live.view.status().is_terminal() {
            Error::NotRunning(worker.clone())
        } else {
            self.check_running().err().unwrap_or(Error::WorkerFailed(worker.clone()))
        }
    }
}

fn request(reason: Option<String>, by: Actor) -> Result<Request, Error> {
    if let Some(reason) = &reason {
        check_line("/reason", reason)?;
    }
    check_actor(&by)?;
    Ok(Request { reason, by })
}
