//! Workers, many at a time, and those of them that somebody looks for.

use jiff::Timestamp;
use musher_protocol::{Order, RunState, TurnOutcome, WorkerId, WorkerStatus, WorkerSummary};

use super::Runtime;
use crate::{error::Error, show, store::WorkerRow};

/// Rows that are read at once where most of them may not be wanted.
const PAGE: usize = 256;
/// Rows that one call looks at: some tenths of a second. Few workers among very many are found in several pages, so that
/// no call holds up others for long.
const MAX_SEEN: usize = 16 << 10;

/// Which workers somebody wants to see: those for which all of this holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkerFilter {
    /// Those of this status.
    pub status: Option<WorkerStatus>,
    /// Those in this state.
    pub run_state: Option<RunState>,
    /// Those whose last turn ended like this.
    pub outcome: Option<TurnOutcome>,
    /// Those with all of these labels and values.
    pub labels: Vec<(String, String)>,
    /// Those that changed later than this.
    pub updated_after: Option<Timestamp>,
}

/// A page of workers.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkerPage {
    /// The workers, in order.
    pub workers: Vec<WorkerSummary>,
    /// The place to go on from, when there may be more: also behind workers that were left out.
    pub next: Option<WorkerId>,
}

impl WorkerFilter {
    /// Whether a store leaves out all that is not wanted.
    fn is_of_status_only(&self) -> bool {
        let Self { status: _, run_state, outcome, labels, updated_after } = self;
        run_state.is_none() && outcome.is_none() && labels.is_empty() && updated_after.is_none()
    }

    fn takes(&self, row: &WorkerRow) -> bool {
        let Self { status, run_state, outcome, labels, updated_after } = self;
        let (facts, has) = (&row.facts, &row.spec.labels);
        status.is_none_or(|status| facts.status == status)
            && run_state.is_none_or(|run_state| facts.execution.run_state == run_state)
            && outcome.is_none_or(|wanted| facts.outcome.as_ref().is_some_and(|last| last.outcome == wanted))
            && labels.iter().all(|(key, value)| has.get(key) == Some(value))
            && updated_after.is_none_or(|after| row.updated_at > after)
    }
}

impl Runtime {
    /// Workers in this order of creation, behind `after`. A page may have fewer than `limit` while there are more: a call
    /// looks at some thousand workers at most.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub async fn list_workers(
        &self,
        wanted: &WorkerFilter,
        order: Order,
        after: Option<&WorkerId>,
        limit: usize,
    ) -> Result<WorkerPage, Error> {
        // One more than asked for tells whether there is a next page.
        let page = if wanted.is_of_status_only() { limit + 1 } else { PAGE };
        let mut workers: Vec<WorkerSummary> = Vec::new();
        let (mut seen, mut after) = (0, after.cloned());
        loop {
            let rows = self.0.store.workers(wanted.status, order, after.as_ref(), page).await?;
            let is_last = rows.len() < page;
            for row in rows {
                seen += 1;
                after = Some(row.worker_id.clone());
                let row = self.as_it_is(row);
                if !wanted.takes(&row) {
                    continue;
                }
                if workers.len() == limit {
                    let next = workers.last().map(|last| last.worker_id.clone());
                    return Ok(WorkerPage { workers, next });
                }
                workers.push(show::summary(&row, self.worker_ref(&row.worker_id)));
            }
            if is_last {
                return Ok(WorkerPage { workers, next: None });
            }
            if seen >= MAX_SEEN {
                return Ok(WorkerPage { workers, next: after });
            }
            // A store in memory answers without a pause, and others must not wait for all of it.
            tokio::task::yield_now().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, sync::Arc};

    use musher_protocol::{Actor, CreateWorker, EventId, Intent, Payload};
    use musher_scripted::Scripted;
    use uuid::Uuid;

    use super::*;
    use crate::{
        MemoryStore, Profile,
        frame::seal,
        store::{Commit, Head, Store},
    };

    /// A worker with the row of another, as if it had been created like that one.
    fn copy(row: &WorkerRow) -> Commit {
        let worker = WorkerId::mint();
        let message = String::new();
        let payload = Payload::Diagnostic { code: "a.copy".to_owned(), message };
        let event = seal(1, EventId::mint(), row.created_at, &payload);
        let head = Head { seq: 1, checksum: event.checksum };
        let row = WorkerRow { worker_id: worker.clone(), head, ..row.clone() };
        Commit {
            worker,
            epoch: Commit::FIRST_EPOCH,
            expected_head: 0,
            batch_id: Uuid::new_v4(),
            events: vec![event],
            entries: Vec::new(),
            accepted: Vec::new(),
            blobs: Vec::new(),
            kept: Vec::new(),
            keys: Vec::new(),
            row: Some(row),
            checkpoint: None,
        }
    }

    #[tokio::test]
    async fn few_among_very_many_are_found_in_several_pages() {
        let store = Arc::new(MemoryStore::new());
        let runtime = Runtime::builder_on(store.clone()).backend("scripted", Scripted);
        let runtime = runtime.profile("echo", Profile::of("scripted")).start().await.unwrap();
        let create = async |team: &str| {
            let labels = BTreeMap::from([("team".to_owned(), team.to_owned())]);
            let request = CreateWorker { labels, ..CreateWorker::new(Intent::Assistant { purpose: None }) };
            runtime.create_worker(request, Actor::rule("test")).await.unwrap().worker_id
        };
        let many = create("many").await;
        let row = store.worker(&many).await.unwrap().unwrap();
        for _ in 0..MAX_SEEN {
            store.append(copy(&row)).await.unwrap();
        }
        let few = create("few").await;

        let labels = vec![("team".to_owned(), "few".to_owned())];
        let wanted = WorkerFilter { labels, ..WorkerFilter::default() };
        let first = runtime.list_workers(&wanted, Order::Asc, None, 10).await.unwrap();
        assert_eq!(first.workers, []);
        let second = runtime.list_workers(&wanted, Order::Asc, first.next.as_ref(), 10).await.unwrap();
        let found: Vec<_> = second.workers.iter().map(|worker| &worker.worker_id).collect();
        assert_eq!((found, second.next), (vec![&few], None));
    }
}
