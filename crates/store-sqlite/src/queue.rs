//! The way of writes to the thread that writes.

use std::sync::{
    Arc,
    mpsc::{Receiver, SyncSender, sync_channel},
};

use musher_core::StoreError;
use musher_protocol::WorkerId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::{failure::Fault, writer::Desk};

/// What may wait to be written, in bytes. With it a slow disk has a second of work; writers behind it wait, and through
/// them whoever feeds them. A quarter of the reserve, for all of it is written from that when the disk is full.
const SPACE: u32 = 16 << 20;
/// What a write takes of the space at least: its rows, its answer and its place in the channel.
const LEAST: u32 = 8 << 10;
/// So many writes fit into the space, so the channel has always room for one that has its share.
const WAITING: usize = (SPACE / LEAST) as usize;

/// One write, decided when its turn comes and answered when it is durable.
pub(crate) trait Write: Send + 'static {
    /// What the caller gets.
    type Answer: Send + 'static;

    /// About how many bytes it writes.
    fn weight(&self) -> usize;

    /// How many events it writes.
    fn n_events(&self) -> usize {
        0
    }

    /// Whose it is, when it is of one worker.
    fn worker(&self) -> Option<&WorkerId>;

    /// Checks it against what is stored and what was applied before it, then writes its rows. It may be applied
    /// again after a rollback.
    ///
    /// # Errors
    ///
    /// A refusal must come before anything is written: the rest of the transaction goes on.
    fn apply(&self, desk: &mut Desk<'_>) -> Result<Self::Answer, Fault>;
}

/// A write that waits, whatever kind it is.
pub(crate) trait Job: Send {
    fn weight(&self) -> usize;
    fn n_events(&self) -> usize;
    fn worker(&self) -> Option<&WorkerId>;
    /// Whether the last [`Job::apply`] did not refuse it.
    fn is_taken(&self) -> bool;
    /// Applies the write and keeps its answer or its refusal.
    ///
    /// # Errors
    ///
    /// When SQLite failed: the whole transaction ends.
    fn apply(&mut self, desk: &mut Desk<'_>) -> rusqlite::Result<()>;
    /// Gives the caller what the last [`Job::apply`] kept.
    fn answer(self: Box<Self>);
    /// Gives the caller this error.
    fn fail(self: Box<Self>, error: StoreError);
}

/// The callers' end.
#[derive(Debug)]
pub(crate) struct Queue {
    space: Arc<Semaphore>,
    jobs: SyncSender<Box<dyn Job>>,
}

impl Queue {
    pub(crate) fn new() -> (Self, Receiver<Box<dyn Job>>) {
        let (jobs, receiver) = sync_channel(WAITING);
        (Self { space: Arc::new(Semaphore::new(SPACE as usize)), jobs }, receiver)
    }

    /// Has a write done, and returns when it is durable. A caller that goes away before leaves it to be done, or it
    /// was not begun.
    pub(crate) async fn put<W: Write>(&self, write: W) -> Result<W::Answer, StoreError> {
        // A write that is larger than the space has it for itself.
        let share = u32::try_from(write.weight()).map_or(SPACE, |weight| weight.clamp(LEAST, SPACE));
        let space = Arc::clone(&self.space).acquire_many_owned(share).await;
        let space = space.map_err(|_closed| StoreError::Failed)?;
        let (reply, answer) = oneshot::channel();
        let job = Waiting { write, verdict: None, reply, _space: space };
        // The thread outlives the store's handle unless it panicked.
        self.jobs.try_send(Box::new(job)).map_err(|_no_thread| StoreError::Failed)?;
        answer.await.unwrap_or(Err(StoreError::Failed))
    }
}

struct Waiting<W: Write> {
    write: W,
    verdict: Option<Result<W::Answer, StoreError>>,
    reply: oneshot::Sender<Result<W::Answer, StoreError>>,
    _space: OwnedSemaphorePermit,
}

impl<W: Write> Job for Waiting<W> {
    fn weight(&self) -> usize {
        self.write.weight()
    }

    fn n_events(&self) -> usize {
        self.write.n_events()
    }

    fn worker(&self) -> Option<&WorkerId> {
        self.write.worker()
    }

    fn is_taken(&self) -> bool {
        matches!(self.verdict, Some(Ok(_)))
    }

    fn apply(&mut self, desk: &mut Desk<'_>) -> rusqlite::Result<()> {
        self.verdict = match self.write.apply(desk) {
            Ok(answer) => Some(Ok(answer)),
            Err(Fault::Refused(error)) => Some(Err(error)),
            Err(Fault::Sqlite(error)) => return Err(error),
        };
        Ok(())
    }

    fn answer(self: Box<Self>) {
        let Self { verdict, reply, .. } = *self;
        // A caller that is gone has nothing to be told.
        let _ = reply.send(verdict.unwrap_or(Err(StoreError::Failed)));
    }

    fn fail(self: Box<Self>, error: StoreError) {
        // As above.
        let _ = self.reply.send(Err(error));
    }
}
