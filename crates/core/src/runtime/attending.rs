//! What waits for a person, over all workers, and how many of them there are of which kind.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use musher_protocol::{AttentionReply, Digest, Order};

use super::{Phase, Runtime, Shared};
use crate::{
    attention::{AttentionFilter, Needs, Post},
    error::Error,
    figures::worker_state,
    store::StoreError,
};

/// Rows that are read at once, beside whatever else the store is asked at the start.
const PAGE: usize = 256;

impl Runtime {
    /// What waits for a person, oldest first: the whole list up to the bounds that [`AttentionReply`] names. No worker
    /// is looked at for it. Soon after the start it waits until what an earlier life left has been read.
    ///
    /// # Errors
    ///
    /// When that could not be read, or the runtime ends before it was.
    pub async fn attention(&self, wanted: &AttentionFilter) -> Result<AttentionReply, Error> {
        tokio::select! {
            biased;
            whole = self.0.board.is_whole() => whole.map_err(Error::Store)?,
            () = self.draining() => return Err(self.check_running().err().unwrap_or(Error::Draining)),
        }
        Ok(self.0.board.list(wanted))
    }

    /// Waits until the list is another one than the one that `seen` was the end of, or until the time is up, and answers
    /// with the list then.
    ///
    /// # Errors
    ///
    /// As [`Runtime::attention`].
    pub async fn wait_attention(
        &self,
        wanted: &AttentionFilter,
        seen: Digest,
        at_most: Duration,
    ) -> Result<AttentionReply, Error> {
        let mut changes = self.0.board.watch();
        let differs = async {
            loop {
                changes.mark_unchanged();
                let list = self.attention(wanted).await?;
                // The board lives as long as the runtime that is asked here.
                if list.next != seen || changes.changed().await.is_err() {
                    return Ok(list);
                }
            }
        };
        match tokio::time::timeout(at_most, differs).await {
            Ok(list) => list,
            Err(_the_time_is_up) => self.attention(wanted).await,
        }
    }

    /// Begins to put workers on the board that need a person and that nothing is under way of. Those with something
    /// under way have been read before, and show what they need themselves.
    pub(crate) fn recall_needs(&self) -> Result<(), Error> {
        let shared = Arc::downgrade(&self.0);
        let mut phase = self.0.phase.subscribe();
        self.0.spawn(async move {
            let result = tokio::select! {
                () = async { drop(phase.wait_for(|phase| *phase != Phase::Running).await) } => return,
                result = recall(&shared) => result,
            };
            if let Err(error) = &result {
                tracing::error!(error = &**error as &dyn std::error::Error, "read what waits for a person");
            }
            if let Some(shared) = shared.upgrade() {
                shared.figures.census.found_all();
                shared.board.recalled(result);
            }
        })
    }
}

/// Reads all rows once, in pages.
async fn recall(shared: &Weak<Shared>) -> Result<(), Arc<StoreError>> {
    let mut after = None;
    while let Some(shared) = shared.upgrade() {
        let rows = shared.store.workers(None, Order::Asc, after.as_ref(), PAGE).await?;
        let Some(last) = rows.last() else { break };
        after = Some(last.worker_id.clone());
        for row in &rows {
            let (facts, backend) = (&row.facts, row.spec.profile.backend.as_str().into());
            let state = worker_state(facts.status, &facts.execution);
            shared.figures.census.found(&row.worker_id, &backend, state);
        }
        for row in rows.iter().filter(|row| !row.unsettled()) {
            Post::of(&shared.board, &row.spec).recall(&row.worker_id, Needs::of_settled(&row.facts));
        }
        // A store in memory answers without a pause, and requests must not wait for all of it.
        tokio::task::yield_now().await;
    }
    Ok(())
}
