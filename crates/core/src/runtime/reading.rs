//! What a runtime shows of its workers: always what is durable, up to a place that the answer names.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use musher_protocol::{Connection, Cursor, Digest, RunState, TranscriptPage, Until, WorkerDetail, WorkerId};

use super::Runtime;
use crate::{
    error::{Error, ReadError},
    frame::Frame,
    observe::{Observation, check_cursor, read},
    show,
    store::{Extent, Most, Start, WorkerRow},
};

/// What a page of a log holds at most: events may be large, and a page is put together in memory.
const PAGE_BYTES: usize = 8 << 20;

/// A page of a log.
#[derive(Clone, Debug)]
pub struct EventPage {
    /// The events, in order.
    pub frames: Vec<Frame>,
    /// The place to go on from, also behind events that were left out.
    pub next: Cursor,
    /// Whether there are events behind `next`.
    pub has_more: bool,
}

/// Where a page of a log begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// Behind this place; the log's beginning when there is none.
    Cursor(Option<Cursor>),
    /// So many events before the end.
    Tail(u64),
}

impl Runtime {
    /// A worker, whole, at the place of its cursor.
    ///
    /// # Errors
    ///
    /// When there is no such worker, or the store cannot be read.
    pub async fn worker_detail(&self, worker: &WorkerId) -> Result<WorkerDetail, Error> {
        let row = self.0.store.worker(worker).await?.ok_or_else(|| Error::WorkerNotFound(worker.clone()))?;
        Ok(show::detail(&self.as_it_is(row), self.worker_ref(worker)))
    }

    /// The labels of a worker, which it keeps for its life.
    ///
    /// # Errors
    ///
    /// When there is no such worker, or the store cannot be read.
    pub async fn worker_labels(&self, worker: &WorkerId) -> Result<BTreeMap<String, String>, Error> {
        let row = self.0.store.worker(worker).await?.ok_or_else(|| Error::WorkerNotFound(worker.clone()))?;
        Ok(row.spec.labels.clone())
    }

    /// A row says what its log did; of a log that is damaged nothing runs, whatever was the last that could be written.
    pub(super) fn as_it_is(&self, mut row: WorkerRow) -> WorkerRow {
        if !row.status().is_terminal() && self.0.damaged().contains(&row.worker_id) {
            let execution = &mut row.facts.execution;
            execution.connection = Connection::Unconnected;
            execution.run_state = RunState::Errored;
            (execution.turn_id, execution.until) = (None, None);
            row.facts.approvals.clear();
        }
        row
    }

    /// Waits until this holds, or until the time is up, and answers with the worker then.
    ///
    /// # Errors
    ///
    /// When there is no such worker, or the store cannot be read.
    pub async fn wait_worker(
        &self,
        worker: &WorkerId,
        until: Until,
        at_most: Duration,
    ) -> Result<WorkerDetail, Error> {
        let live = self.live(worker).await?;
        let mut progress = live.view.watch();
        let holds = progress.wait_for(|progress| {
            let terminal = live.view.status().is_terminal();
            progress.over
                || match until {
                    Until::Idle => terminal || live.view.is_idle(),
                    Until::Terminal => terminal,
                }
        });
        // The time being up is an answer as good as any: the detail says what holds.
        drop(tokio::time::timeout(at_most, holds).await);
        self.worker_detail(worker).await
    }

    /// A page of a worker's transcript; a negative `start` counts from the end.
    ///
    /// # Errors
    ///
    /// When there is no such worker, or the store cannot be read.
    pub async fn transcript_projection(
        &self,
        worker: &WorkerId,
        start: Start,
        limit: usize,
    ) -> Result<TranscriptPage, Error> {
        self.0.store.extent(worker).await?.ok_or_else(|| Error::WorkerNotFound(worker.clone()))?;
        let slice = self.0.store.transcript(worker, start, limit).await?;
        Ok(show::transcript(slice, self.worker_ref(worker), limit))
    }

    /// A large body that an event of the worker names, at most 16 MiB.
    ///
    /// # Errors
    ///
    /// When there is no such worker, none of its events names such a body, or the store cannot be read.
    pub async fn blob(&self, worker: &WorkerId, digest: Digest) -> Result<Bytes, Error> {
        let store = &*self.0.store;
        if let Some(bytes) = store.blob(worker, digest).await? {
            return Ok(bytes);
        }
        store.worker(worker).await?.ok_or_else(|| Error::WorkerNotFound(worker.clone()))?;
        Err(Error::BlobNotFound { worker: worker.clone(), digest })
    }

    /// A page of a worker's log.
    ///
    /// # Errors
    ///
    /// When there is no such worker, the cursor leads nowhere, or the store cannot be read.
    pub async fn read_worker_events(
        &self,
        worker: &WorkerId,
        from: From,
        types: Option<&[&str]>,
        limit: usize,
    ) -> Result<EventPage, ReadError> {
        let store = &*self.0.store;
        let extent = store.extent(worker).await?.ok_or_else(|| Error::WorkerNotFound(worker.clone()))?;
        let Extent { oldest, head } = extent;
        let (after, from) = match from {
            From::Cursor(None) => (oldest.seq, oldest.cursor(worker)),
            From::Cursor(Some(cursor)) => {
                check_cursor(store, worker, cursor).await?;
                (cursor.seq(), cursor)
            }
            From::Tail(0) => (head.seq, head.cursor(worker)),
            From::Tail(n) => (head.seq.saturating_sub(n).max(oldest.seq), oldest.cursor(worker)),
        };
        let mut frames = read(store, worker, after, Most { events: limit, bytes: PAGE_BYTES }).await?;
        let next = frames.last().map_or(from, Frame::cursor);
        let has_more = next.seq() < head.seq;
        if let Some(types) = types {
            frames.retain(|frame| types.contains(&frame.type_name()));
        }
        Ok(EventPage { frames, next, has_more })
    }

    /// Waits until a worker's log goes further than this place, or until the time is up.
    ///
    /// # Errors
    ///
    /// When there is no such worker.
    pub async fn wait_events(
        &self,
        worker: &WorkerId,
        after: Cursor,
        at_most: Duration,
    ) -> Result<(), Error> {
        let live = self.live(worker).await?;
        let mut progress = live.view.watch();
        let further = progress.wait_for(|progress| progress.over || progress.seq > after.seq());
        // The time being up, or the worker's end, is no fault: the page that follows says what there is.
        drop(tokio::time::timeout(at_most, further).await);
        Ok(())
    }

    /// Streams a worker's log: a snapshot first, then every event behind it. With a cursor the snapshot holds the
    /// status only and the events behind the cursor follow.
    ///
    /// # Errors
    ///
    /// When there is no such worker, or the cursor leads nowhere.
    pub async fn observe_worker(
        &self,
        worker: &WorkerId,
        cursor: Option<Cursor>,
    ) -> Result<Observation, ReadError> {
        let live = self.live(worker).await?;
        if let Some(cursor) = cursor {
            check_cursor(&*self.0.store, worker, cursor).await?;
        }
        Ok(Observation::new(self.0.store.clone(), live.view.clone(), worker.clone(), cursor))
    }
}
