//! What clients ask of a worker. Its task decides; what it was asked for goes on when the caller goes away.

use std::time::Duration;

use musher_protocol::{Ack, Actor, InputAck, InputId, InputRequest, WorkerId};
use tokio::sync::oneshot;

use super::{Live, Runtime, check_actor};
use crate::{
    create::{check_line, new_input},
    error::Error,
    fold::End,
    machine::{Command, Request},
    task::{Asked, input_ack},
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
        let live = self.live(worker).await?;
        let input_id = request.input_id.unwrap_or_else(InputId::mint);
        let input = new_input(input_id.clone(), request.kind, request.content, request.delivery, by)?;
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
                Ok(input_ack(&self.worker_ref(worker), live.view.status(), accepted, true))
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
        let request = request(reason, by)?;
        self.ask(worker, Command::Interrupt(request)).await
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
        let request = request(reason, by)?;
        self.end(worker, Command::Stop(request, grace)).await
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
        let request = request(reason, by)?;
        self.end(worker, Command::Cancel(request)).await
    }

    pub(super) async fn ask(&self, worker: &WorkerId, command: Command) -> Result<Ack, Error> {
        let live = self.live(worker).await?;
        let (reply, answer) = oneshot::channel();
        if live.asked.send(Asked::Command(command, reply)).await.is_ok()
            && let Ok(answer) = answer.await
        {
            return answer;
        }
        Err(self.gone(worker, &live))
    }

    /// As [`Runtime::ask`], but a worker that has ended answers with its first outcome.
    async fn end(&self, worker: &WorkerId, command: Command) -> Result<Ack, Error> {
        match self.ask(worker, command).await {
            Err(Error::NotRunning(_)) => {
                let row = self.0.store.worker(worker).await?;
                let row = row.ok_or_else(|| Error::WorkerNotFound(worker.clone()))?;
                let End { request, survivors, .. } =
                    row.facts.end.expect("a terminal worker was ended by a request");
                if !survivors.is_empty() {
                    return Err(Error::ProcessesSurvived { worker: worker.clone(), survivors });
                }
                let cursor = row.head.cursor(worker);
                Ok(Ack {
                    worker_ref: self.worker_ref(worker),
                    status: row.facts.status,
                    event_id: request,
                    cursor,
                })
            }
            answer => answer,
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
