//! Approvals: what is open, and how it is decided, once.

use musher_protocol::{Actor, Approval, ApprovalId, DecisionReply, DecisionRequest, Payload, WorkerId};

use super::{Runtime, check_actor};
use crate::{
    decision::{Ruling, resolved, resolves},
    error::Error,
    idempotency::{Answered, Claim, CommandOptions, Keyed, Outcome},
    load::read_payload,
    store::{Store, StoreError, WorkerRow},
    task::now,
};

/// What a log says of an approval.
struct History {
    asked: Approval,
    /// The event that resolved it.
    resolved: Option<Payload>,
}

impl Runtime {
    /// What a worker waits for to be decided, oldest first.
    ///
    /// # Errors
    ///
    /// When there is no such worker, or the store cannot be read.
    pub async fn approvals(&self, worker: &WorkerId) -> Result<Vec<Approval>, Error> {
        Ok(self.as_it_is(self.row(worker).await?).facts.approvals)
    }

    /// Decides an approval; returns when the decision is durable. The same decision again is answered as the first one
    /// was, whenever that was and whoever made it.
    ///
    /// `by` says who decides; the request's own `actor` is not looked at.
    ///
    /// # Errors
    ///
    /// When the decision makes no sense, or the approval was decided otherwise. A turn that is being ended and a full store
    /// take no allowance.
    pub async fn decide(
        &self,
        worker: &WorkerId,
        approval_id: &ApprovalId,
        request: DecisionRequest,
        by: Actor,
    ) -> Result<DecisionReply, Error> {
        Ok(self.decide_with(worker, approval_id, request, by.into()).await?.reply)
    }

    /// As [`Runtime::decide`], under a key where one is given: a repeat under it is no duplicate, and is answered as the
    /// first request was, also when the log has forgotten the approval since.
    ///
    /// # Errors
    ///
    /// As [`Runtime::decide`], or when the key is in use otherwise.
    pub async fn decide_with(
        &self,
        worker: &WorkerId,
        approval_id: &ApprovalId,
        request: DecisionRequest,
        options: CommandOptions,
    ) -> Result<Answered<DecisionReply>, Error> {
        check_actor(&options.by)?;
        let keyed = Keyed::of(&options, &["decide", worker.as_str(), approval_id.as_str()], &request);
        let ruling = Ruling::of(request)?;
        let row = self.as_it_is(self.row(worker).await?);
        if let Some(open) = row.facts.approvals.iter().find(|open| open.approval_id == *approval_id) {
            ruling.check(open)?;
            let command = ruling.command(approval_id.clone(), options.by);
            match self.ask(worker, command, keyed.clone()).await {
                Ok(answered) => {
                    let reply = match self.decided_under(keyed.as_ref()).await? {
                        Some(reply) => reply,
                        None => {
                            let approval = self.history(worker, approval_id).await?.shown();
                            DecisionReply { approval, duplicate: false }
                        }
                    };
                    return Ok(answered.map(|_ack| reply));
                }
                // Somebody, the deadline, or the end of the turn or the worker was faster.
                Err(Error::ApprovalNotFound { .. } | Error::NotRunning(_)) => {}
                Err(error) => return Err(error),
            }
        }
        // The worker's task has nothing to do with what was decided before.
        let _claim = keyed.as_ref().map(|keyed| Claim::take(&self.0, keyed)).transpose()?;
        if let Some(reply) = self.decided_under(keyed.as_ref()).await? {
            return Ok(Answered::again(reply));
        }
        let history = self.history(worker, approval_id).await?;
        let duplicate = history.resolved.as_ref().map(|resolved| ruling.is(resolved));
        let approval = history.shown();
        match duplicate {
            Some(true) => {
                let reply = DecisionReply { approval, duplicate: true };
                if let Some(keyed) = keyed
                    && self.has_room(&keyed).await?
                {
                    let outcome = Outcome::Decision(Box::new(reply.clone()));
                    match self.0.store.remember(vec![keyed.record(&outcome, now())]).await {
                        // A repeat finds the same in the worker's log.
                        Ok(()) | Err(StoreError::Full) => {}
                        Err(error) => return Err(error.into()),
                    }
                }
                Ok(Answered::first(reply))
            }
            Some(false) => Err(Error::ApprovalNotPending(Box::new(approval))),
            // What is open and was refused was an allowance that came while its turn was being ended.
            None => Err(Error::TurnEnding(Box::new(approval))),
        }
    }

    /// What was answered to a decision under this key.
    async fn decided_under(&self, keyed: Option<&Keyed>) -> Result<Option<DecisionReply>, Error> {
        let Some(keyed) = keyed else { return Ok(None) };
        match keyed.look_up(&*self.0.store, now()).await? {
            Some(Outcome::Decision(reply)) => Ok(Some(*reply)),
            Some(Outcome::Begun(_) | Outcome::Ack(_) | Outcome::Worker(_) | Outcome::Bundle(_)) | None => {
                Ok(None)
            }
        }
    }

    pub(super) async fn row(&self, worker: &WorkerId) -> Result<WorkerRow, Error> {
        self.0.store.worker(worker).await?.ok_or_else(|| Error::WorkerNotFound(worker.clone()))
    }

    /// What the log says of an approval.
    async fn history(&self, worker: &WorkerId, approval_id: &ApprovalId) -> Result<History, Error> {
        let found = find(&*self.0.store, worker, approval_id).await?;
        found.ok_or_else(|| Error::ApprovalNotFound {
            worker: worker.clone(),
            approval_id: approval_id.clone(),
        })
    }
}

impl History {
    /// The approval as it is now.
    fn shown(self) -> Approval {
        match self.resolved {
            Some(event) => resolved(self.asked, &event),
            None => self.asked,
        }
    }
}

/// Looks for an approval in a log. `None` where the log has none of that name, or no longer.
async fn find(
    store: &dyn Store,
    worker: &WorkerId,
    approval_id: &ApprovalId,
) -> Result<Option<History>, Error> {
    let (mut asked, mut resolved) = (None, None);
    for event in store.approval_events(worker, approval_id).await? {
        let payload = read_payload(worker, &event)?;
        if resolves(&payload, approval_id) {
            resolved = Some(payload);
        } else if let Payload::ApprovalRequested(approval) = payload
            && approval.approval_id == *approval_id
        {
            asked = Some(*approval);
        }
    }
    Ok(asked.map(|asked| History { asked, resolved }))
}
