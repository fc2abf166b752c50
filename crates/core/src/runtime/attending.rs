//! What waits for a person, over all workers.

use std::time::Duration;

use musher_protocol::{AttentionReply, Digest};

use super::Runtime;
use crate::{
    attention::{AttentionFilter, Needs, Post},
    error::Error,
};

/// Rows that are read at once at the start.
const PAGE: usize = 256;

impl Runtime {
    /// What waits for a person, oldest first: the whole list up to the bounds that [`AttentionReply`] names. No worker
    /// is looked at for it.
    #[must_use]
    pub fn attention(&self, wanted: &AttentionFilter) -> AttentionReply {
        self.0.board.list(wanted)
    }

    /// Waits until the list is another one than the one that `seen` was the end of, or until the time is up, and answers
    /// with the list then.
    pub async fn wait_attention(
        &self,
        wanted: &AttentionFilter,
        seen: Digest,
        at_most: Duration,
    ) -> AttentionReply {
        let mut changes = self.0.board.watch();
        let differs = async {
            loop {
                changes.mark_unchanged();
                let list = self.attention(wanted);
                // The board lives as long as the runtime that is asked here.
                if list.next != seen || changes.changed().await.is_err() {
                    return list;
                }
            }
        };
        let waited = tokio::time::timeout(at_most, differs).await;
        waited.unwrap_or_else(|_the_time_is_up| self.attention(wanted))
    }

    /// Puts workers on the board that need a person and that nothing is under way of: those with something under way
    /// have been read before, and show what they need themselves.
    pub(crate) async fn remember_needs(&self) -> Result<(), Error> {
        let mut after = None;
        loop {
            let rows = self.0.store.workers(None, after.as_ref(), PAGE).await?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = Some(last.worker_id.clone());
            for row in rows {
                if row.unsettled() || self.0.workers().contains_key(&row.worker_id) {
                    continue;
                }
                let post = Post::of(&self.0.board, &row.spec);
                post.show(&row.worker_id, Needs::of_settled(&row.facts), std::iter::empty());
            }
        }
    }
}
