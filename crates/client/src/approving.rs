//! Deciding what workers ask, by a rule.

use std::{collections::HashSet, convert::Infallible, future::pending};

use musher_protocol::{
    Approval, ApprovalId, AttentionItem, AttentionKind, AttentionQuery, DecisionRequest, ErrorCode,
    EventsQuery, WorkerId, WorkerQuery,
};
use tokio::time::sleep;

use crate::{
    Client, Error,
    waiting::{BETWEEN_WAITS, ONE_WAIT},
};

/// What changes what one worker waits for: it asks, or has ended.
const TURNING_POINTS: &str = "approval_requested,worker_stopped,worker_cancelled";

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

impl Client {
    /// Decides what workers ask, by a rule, for as long as it is waited for: use it beside what ends first, in a `select!`.
    /// Needs the scopes `observe` and `approve`.
    ///
    /// The rule is asked once about each approval, tools, plans and questions alike, one after the other, and sees all of
    /// it. Where it answers with `None` the approval is left to somebody else. An approval that somebody else decided
    /// first, or that is not open any more, is passed over. When dropped early, what was not decided stays open.
    ///
    /// Of one worker every approval is seen, however much waits elsewhere. Of several, those are seen that the list of what
    /// waits for a person has, which is the oldest thousand: a rule that leaves as many to others sees no newer ones.
    ///
    /// # Errors
    ///
    /// When what waits cannot be read, the one worker is deleted, or a decision of the rule's is refused.
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
        match whose {
            Whose::All => self.decide_listed(Vec::new(), &mut rule).await,
            Whose::Label(label) => self.decide_listed(vec![label], &mut rule).await,
            Whose::Worker(worker) => self.decide_of(&worker, &mut rule).await,
        }
    }

    async fn decide_listed(
        &self,
        label: Vec<String>,
        rule: &mut impl AsyncFnMut(&Approval) -> Option<DecisionRequest>,
    ) -> Result<Infallible, Error> {
        let mut asked = HashSet::new();
        let mut query = AttentionQuery { label, ..AttentionQuery::default() };
        loop {
            let list = self.attention(&query).await?;
            let open: Vec<_> = list.attention.iter().filter_map(open_approval).collect();
            // What is closed is forgotten, so that this is as short as the list.
            asked.retain(|known: &ApprovalId| open.iter().any(|(_, approval)| *approval == known));
            for (worker, approval) in open {
                if asked.insert(approval.clone()) {
                    self.decide_listed_one(worker, approval, rule).await?;
                }
            }
            if query.after == Some(list.next) {
                sleep(BETWEEN_WAITS).await;
            }
            query.after = Some(list.next);
            query.wait = Some(ONE_WAIT.as_secs());
        }
    }

    async fn decide_listed_one(
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
        match approvals.iter().find(|approval| approval.approval_id == *id) {
            Some(approval) => self.decide_one(worker, approval, rule).await,
            None => Ok(()),
        }
    }

    /// Reads the worker alone, and its log for when to read it again.
    async fn decide_of(
        &self,
        worker: &WorkerId,
        rule: &mut impl AsyncFnMut(&Approval) -> Option<DecisionRequest>,
    ) -> Result<Infallible, Error> {
        let mut asked = HashSet::new();
        loop {
            let seen = self.worker(worker, &WorkerQuery::default()).await?;
            if seen.status.is_terminal() {
                // It asks nothing any more, and nothing else can end this.
                return pending().await;
            }
            let open = if seen.open_approvals > 0 { self.approvals(worker).await? } else { Vec::new() };
            asked.retain(|known: &ApprovalId| open.iter().any(|approval| approval.approval_id == *known));
            for approval in &open {
                if asked.insert(approval.approval_id.clone()) {
                    self.decide_one(worker, approval, rule).await?;
                }
            }
            // From where the worker was looked at, so that what it asked since is not waited for.
            let query = EventsQuery {
                after: Some(seen.cursor.to_string()),
                types: Some(TURNING_POINTS.to_owned()),
                limit: Some(1),
                wait: Some(ONE_WAIT.as_secs()),
                ..EventsQuery::default()
            };
            let is_news = match self.events(worker, &query).await {
                Ok(page) => !page.events.is_empty(),
                // The log went on without its old events while the rule thought.
                Err(error) if error.code() == Some(ErrorCode::CursorExpired) => false,
                Err(error) => return Err(error),
            };
            if !is_news {
                sleep(BETWEEN_WAITS).await;
            }
        }
    }

    async fn decide_one(
        &self,
        worker: &WorkerId,
        approval: &Approval,
        rule: &mut impl AsyncFnMut(&Approval) -> Option<DecisionRequest>,
    ) -> Result<(), Error> {
        let Some(decision) = rule(approval).await else { return Ok(()) };
        match self.decide(worker, &approval.approval_id, &decision).await {
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

fn open_approval(item: &AttentionItem) -> Option<(&WorkerId, &ApprovalId)> {
    let is_question = match item.kind {
        AttentionKind::Approval | AttentionKind::Question => true,
        AttentionKind::Login | AttentionKind::Parked | AttentionKind::Stuck | AttentionKind::Unknown => false,
    };
    let approval = item.approval.as_ref().filter(|_approval| is_question)?;
    Some((&item.worker_id, &approval.approval_id))
}
