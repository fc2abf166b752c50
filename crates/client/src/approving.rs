//! Deciding what workers ask, by a rule.

use std::{collections::HashSet, convert::Infallible};

use musher_protocol::{
    Approval, ApprovalId, AttentionItem, AttentionKind, AttentionQuery, DecisionRequest, ErrorCode, WorkerId,
};

use tokio::time::sleep;

use crate::{
    Client, Error,
    waiting::{BETWEEN_WAITS, ONE_WAIT},
};

/// Whose approvals are decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whose {
    /// Those of all workers that the token sees.
    All,
    /// Those of workers with this label, written `key=value`.
    Label(String),
    /// Those of one worker.
    Worker(WorkerId),
}

impl Whose {
    fn includes(&self, worker: &WorkerId) -> bool {
        match self {
            Self::All | Self::Label(_) => true,
            Self::Worker(only) => only == worker,
        }
    }

    fn label(&self) -> Option<String> {
        match self {
            Self::Label(label) => Some(label.clone()),
            Self::All | Self::Worker(_) => None,
        }
    }
}

impl Client {
    /// Decides what workers ask, by a rule, for as long as it is waited for: use it beside what ends first, in a `select!`.
    /// Needs the scopes `observe` and `approve`.
    ///
    /// The rule is asked once about each approval, tools, plans and questions alike, one after the other, and sees all of
    /// it. Where it answers with `None` the approval is left to somebody else. An approval that somebody else decided
    /// first, or that is not open any more, is passed over. When dropped early, what was not decided stays open.
    ///
    /// # Errors
    ///
    /// When the list cannot be read, or a decision of the rule's is refused.
    ///
    /// ```no_run
    /// use std::time::Duration;
    ///
    /// use musher_client::Whose;
    /// use musher_protocol::{Approval, DecisionRequest, Permission, Until, WorkerId};
    ///
    /// # async fn example(client: musher_client::Client, worker: WorkerId) -> Result<(), Box<dyn std::error::Error>> {
    /// let rule = async |asked: &Approval| {
    ///     (asked.tool == "read_file").then(|| DecisionRequest::new(Permission::Allow))
    /// };
    /// tokio::select! {
    ///     failed = client.decide_by(Whose::Worker(worker.clone()), rule) => { failed?; }
    ///     idle = client.wait_for(&worker, Until::Idle, Duration::from_secs(600)) => { idle?; }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn decide_by(
        &self,
        whose: Whose,
        mut rule: impl AsyncFnMut(&Approval) -> Option<DecisionRequest>,
    ) -> Result<Infallible, Error> {
        let mut asked = HashSet::new();
        let mut query = AttentionQuery { label: whose.label(), ..AttentionQuery::default() };
        loop {
            let list = self.attention(&query).await?;
            let open: Vec<_> = list.attention.iter().filter_map(|item| open_approval(item, &whose)).collect();
            // What is closed is forgotten, so that this is as short as the list.
            asked.retain(|known: &ApprovalId| open.iter().any(|(_, approval)| *approval == known));
            for (worker, approval) in open {
                if asked.insert(approval.clone()) {
                    self.decide_one(worker, approval, &mut rule).await?;
                }
            }
            if query.after == Some(list.next) {
                sleep(BETWEEN_WAITS).await;
            }
            query.after = Some(list.next);
            query.wait = Some(ONE_WAIT.as_secs());
        }
    }

    async fn decide_one(
        &self,
        worker: &WorkerId,
        id: &ApprovalId,
        rule: &mut impl AsyncFnMut(&Approval) -> Option<DecisionRequest>,
    ) -> Result<(), Error> {
        // The list leaves out what is large; the worker's own has all of it.
        let approvals = match self.approvals(worker).await {
            Err(error) if error.code() == Some(ErrorCode::WorkerNotFound) => return Ok(()),
            approvals => approvals?,
        };
        let Some(approval) = approvals.iter().find(|approval| approval.approval_id == *id) else {
            return Ok(());
        };
        let Some(decision) = rule(approval).await else { return Ok(()) };
        match self.decide(worker, id, &decision).await {
            Ok(_decided) => Ok(()),
            Err(error) => match error.code() {
                // It was faster, or is being ended, or has gone with its worker.
                Some(
                    ErrorCode::ApprovalNotPending
                    | ErrorCode::ApprovalNotFound
                    | ErrorCode::WorkerExecutionRejected
                    | ErrorCode::WorkerNotFound,
                ) => Ok(()),
                _ => Err(error),
            },
        }
    }
}

fn open_approval<'a>(item: &'a AttentionItem, whose: &Whose) -> Option<(&'a WorkerId, &'a ApprovalId)> {
    let is_question = match item.kind {
        AttentionKind::Approval | AttentionKind::Question => true,
        AttentionKind::Login | AttentionKind::Parked | AttentionKind::Stuck | AttentionKind::Unknown => false,
    };
    let approval =
        item.approval.as_ref().filter(|_approval| is_question && whose.includes(&item.worker_id))?;
    Some((&item.worker_id, &approval.approval_id))
}
