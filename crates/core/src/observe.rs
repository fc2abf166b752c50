//! Observation: reading a log from a place, and then live, by pull.
//!
//! There is one path: a reader takes frames behind its own place, from the worker's ring when it is close, from
//! the store when it is behind, and sleeps on the head when there is nothing. Nobody is dropped for being slow,
//! and nobody's pace touches another.

use std::sync::Arc;

use musher_protocol::{Cursor, WorkerId};
use tokio::sync::watch;

use crate::{
    error::{CursorProblem, Error, ReadError},
    frame::Frame,
    store::{Most, Store, StoreError},
    view::{Progress, Shared},
    wall::{Wall, stands},
};

/// What a reader takes at once: enough to fill a socket's buffer in one write, little enough for 1000 readers.
const READ: Most = Most { events: 256, bytes: 64 << 10 };

/// A worker's log from a place on: first a snapshot, then every event behind it, for as long as there are any.
///
/// Events come in order, without gaps, each once, and only when they are durable.
#[derive(Debug)]
pub struct Observation {
    worker: WorkerId,
    store: Arc<dyn Store>,
    source: Source,
    progress: watch::Receiver<Progress>,
    snapshot: Option<Snapshot>,
    at: u64,
}

/// What is asked besides the store.
#[derive(Debug)]
enum Source {
    /// What the worker shows.
    Live(Arc<Shared>),
    /// Nobody: it shows nothing new any more, and what it holds in memory is not held for who reads its log.
    Over { is_complete: bool },
}

/// The snapshot that is to come first. It is made when it is asked for: many that wait take no memory.
#[derive(Clone, Copy, Debug)]
enum Snapshot {
    Whole,
    Status(Cursor),
}

impl Observation {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        shared: Arc<Shared>,
        worker: WorkerId,
        resume: Option<Cursor>,
    ) -> Self {
        // Subscribed before the snapshot is taken: nothing can fall between the two.
        let progress = shared.watch();
        let at = resume.map_or_else(|| progress.borrow().seq, |cursor| cursor.seq());
        let snapshot = resume.map_or(Snapshot::Whole, Snapshot::Status);
        Self { worker, store, source: Source::Live(shared), progress, snapshot: Some(snapshot), at }
    }

    /// The same without its snapshot: events only, from the cursor on, or from now on.
    #[must_use]
    pub fn without_snapshot(self) -> Self {
        Self { snapshot: None, ..self }
    }

    /// Waits until [`Observation::next`] has an answer without waiting for the worker. Cancel safe.
    pub async fn ready(&mut self) {
        let at = self.at;
        if self.snapshot.is_none() {
            // Without a sender nothing more will come, which is an answer.
            drop(self.progress.wait_for(|progress| progress.over || progress.seq > at).await);
        }
    }

    /// Waits for the next frames, one at least; `None` after the last event of the log.
    ///
    /// Cancel safe: what a dropped call would have answered the next one answers.
    ///
    /// # Errors
    ///
    /// When the store cannot be read; the observation may be asked again. [`CursorProblem::Pruned`] when the reader was
    /// so far behind that what comes next is gone.
    pub async fn next(&mut self) -> Result<Option<Vec<Frame>>, ReadError> {
        if let Some(snapshot) = self.snapshot.take()
            && let Source::Live(shared) = &self.source
        {
            let snapshot = match snapshot {
                Snapshot::Whole => shared.snapshot(),
                Snapshot::Status(cursor) => shared.status_snapshot(cursor),
            };
            self.at = snapshot.seq();
            return Ok(Some(vec![snapshot]));
        }
        loop {
            let Progress { seq, over } = *self.progress.borrow_and_update();
            let near = match &self.source {
                Source::Live(shared) => shared.behind(self.at, READ.bytes),
                Source::Over { .. } => None,
            };
            let frames = match near {
                Some(frames) => frames,
                None => read(&*self.store, &self.worker, self.at, READ).await?,
            };
            if over {
                self.source = Source::Over { is_complete: self.is_complete() };
            }
            if let Some(last) = frames.last() {
                self.at = last.seq();
                return Ok(Some(frames));
            }
            if self.at < seq {
                // What was durable is not there any more: somebody deleted the worker.
                return Err(Error::WorkerNotFound(self.worker.clone()).into());
            }
            if over || self.progress.changed().await.is_err() {
                return Ok(None);
            }
        }
    }

    /// Whether nothing will ever come: the log has its last event, and the place is behind it.
    #[must_use]
    pub fn is_at_end(&self) -> bool {
        // In this order: a log that is complete grows no further.
        self.snapshot.is_none() && self.is_complete() && self.at >= self.progress.borrow().seq
    }

    /// Whether the log has its last event. When not, an observation that is over was cut by the runtime's end.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        match &self.source {
            Source::Live(shared) => shared.status().is_terminal(),
            Source::Over { is_complete } => *is_complete,
        }
    }
}

/// Frames from the store.
pub(crate) async fn read(
    store: &dyn Store,
    worker: &WorkerId,
    after: u64,
    most: Most,
) -> Result<Vec<Frame>, ReadError> {
    let events = match store.events(worker, after, most).await {
        Err(StoreError::Pruned { worker, oldest }) => {
            return Err(CursorProblem::Pruned { oldest: oldest.cursor(&worker) }.into());
        }
        read => read?,
    };
    Ok(events.iter().map(|event| Frame::of(worker, event)).collect())
}

/// Checks that a cursor leads to a place of this log.
pub(crate) async fn check_cursor(
    store: &dyn Store,
    worker: &WorkerId,
    cursor: Cursor,
) -> Result<(), ReadError> {
    if !cursor.is_of(worker) && stands(Wall::Cursor) {
        return Err(CursorProblem::Foreign.into());
    }
    let extent = store.extent(worker).await?.ok_or_else(|| Error::WorkerNotFound(worker.clone()))?;
    let oldest = extent.oldest.cursor(worker);
    if cursor.seq() > extent.head.seq {
        return Err(CursorProblem::Future.into());
    }
    let checksum = match cursor.seq().checked_sub(1) {
        None => 0,
        Some(_) if cursor.seq() == extent.oldest.seq => extent.oldest.checksum,
        Some(_) if cursor.seq() == extent.head.seq => extent.head.checksum,
        Some(before) => match store.events(worker, before, Most { events: 1, bytes: 0 }).await {
            Ok(events) => events.first().map_or(0, |event| event.checksum),
            Err(StoreError::Pruned { .. }) => return Err(CursorProblem::Pruned { oldest }.into()),
            Err(error) => return Err(error.into()),
        },
    };
    if cursor.seq() < extent.oldest.seq {
        Err(CursorProblem::Pruned { oldest }.into())
    } else if checksum != cursor.checksum() && stands(Wall::Cursor) {
        Err(CursorProblem::HistoryChanged { oldest }.into())
    } else {
        Ok(())
    }
}
