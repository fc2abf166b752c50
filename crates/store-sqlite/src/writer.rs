//! The thread that writes: everything that waits becomes durable at once.

mod append;
mod batch;
mod begin;
mod bundle;
mod claim;
mod delete;
mod desk;
mod keys;
mod merge;
mod prune;
mod sweep;

use std::{
    error::Error,
    io,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, TryRecvError},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use musher_core::{Health, StoreError};
use rusqlite::Connection;
use tokio::sync::watch;

pub(crate) use self::{
    append::{Append, nanoseconds},
    begin::Begin,
    bundle::{DeleteBundle, PutBundle},
    claim::Claim,
    delete::Delete,
    desk::Desk,
    keys::{ForgetKeys, Remember},
    merge::merge_all,
    prune::Prune,
};
use self::{desk::Ledger, merge::Merge, sweep::Sweep};
use crate::{
    counters::Tally,
    failure::{is_damage, is_full},
    home::Home,
    queue::Job,
    reserve::Reserve,
};

/// The most of one batch. A sync costs about as much as writing so many events; with more, those that came first
/// would wait for longer than a batch saves.
const BATCH_EVENTS: usize = 8192;
const BATCH_BYTES: usize = 8 << 20;
/// From so many writes in two batches on, a batch waits for those that are likely to come.
const MANY: usize = 8;
/// How often it gives the processor away for them, at most.
const YIELDS: usize = 4;
/// Between two looks whether there is space again: often enough for a person who has just made some.
const LOOK_FOR_SPACE: Duration = Duration::from_secs(1);
/// Batches between two slices of what was deleted, when writes never cease.
const BATCHES_A_SLICE: u32 = 16;

/// What the thread works with.
#[derive(Debug)]
pub(crate) struct Writer {
    /// Closed before the directory is given back.
    connection: Connection,
    merge: Merge,
    ledger: Ledger,
    sweep: Sweep,
    reserve: Reserve,
    health: watch::Sender<Health>,
    tally: Arc<Tally>,
    /// Writes in the batch before the last one, and in the last one.
    last: (usize, usize),
    /// When it was last looked whether there is space again.
    looked: Instant,
    home: Arc<Home>,
}

/// The store has failed, and has said so: the thread has to end its work.
#[derive(Clone)]
struct Fatal {
    attempt: &'static str,
    error: Arc<dyn Error + Send + Sync>,
}

impl Fatal {
    fn answer(&self) -> StoreError {
        StoreError::Io { attempt: self.attempt, source: io::Error::other(Arc::clone(&self.error)) }
    }
}

impl Writer {
    pub(crate) fn new(
        home: Arc<Home>,
        mut connection: Connection,
        checkpointer: Connection,
        reserve: Reserve,
        health: watch::Sender<Health>,
        tally: Arc<Tally>,
    ) -> rusqlite::Result<Self> {
        let merge = Merge::new(&mut connection, checkpointer)?;
        let (ledger, sweep) = (Ledger::default(), Sweep::default());
        Ok(Self {
            connection,
            merge,
            ledger,
            sweep,
            reserve,
            health,
            tally,
            last: (0, 0),
            looked: Instant::now(),
            home,
        })
    }

    /// Begins to write what comes through the queue, until its other end is gone and all is written.
    pub(crate) fn start(self, jobs: Receiver<Box<dyn Job>>) -> io::Result<JoinHandle<()>> {
        thread::Builder::new().name("store-writer".to_owned()).spawn(move || {
            let alarm = Alarm(self.health.clone());
            let home = Arc::clone(&self.home);
            self.run(&jobs);
            // Whatever is still asked for is answered, and only then the directory may be somebody else's.
            while let Ok(job) = jobs.recv() {
                job.fail(StoreError::Failed);
            }
            drop(home);
            drop(alarm);
        })
    }

    fn run(mut self, jobs: &Receiver<Box<dyn Job>>) {
        let mut batches: u32 = 0;
        loop {
            let next = self.next(jobs);
            let done = match next {
                Next::Batch(batch) => {
                    batches = batches.wrapping_add(1);
                    let written = self.write(batch);
                    let slice_is_due = batches.is_multiple_of(BATCHES_A_SLICE);
                    written
                        .and_then(|()| self.look_for_space())
                        .and_then(|()| if slice_is_due { self.sweep() } else { Ok(()) })
                        .and_then(|()| if self.merge.is_urgent() { self.merge() } else { Ok(()) })
                }
                Next::Idle => self.chores(),
                Next::Closed => return,
            };
            if done.is_err() {
                return;
            }
        }
    }

    fn next(&mut self, jobs: &Receiver<Box<dyn Job>>) -> Next {
        let has_chores = !self.is_full() && (self.sweep.is_due() || self.merge.is_due());
        let first = if has_chores {
            match jobs.try_recv() {
                Ok(job) => job,
                Err(TryRecvError::Empty) => return Next::Idle,
                Err(TryRecvError::Disconnected) => return Next::Closed,
            }
        } else if self.is_full() {
            match jobs.recv_timeout(LOOK_FOR_SPACE) {
                Ok(job) => job,
                Err(RecvTimeoutError::Timeout) => return Next::Idle,
                Err(RecvTimeoutError::Disconnected) => return Next::Closed,
            }
        } else {
            match jobs.recv() {
                Ok(job) => job,
                Err(_closed) => return Next::Closed,
            }
        };
        Next::Batch(self.gather(first, jobs))
    }

    /// Takes what waits, up to the most of one batch.
    ///
    /// Those whose writes were in the last batches are likely to come again at once, but they need a processor for
    /// it. Where there are many, they get this one for a moment: a batch of all costs as little as one of a few.
    fn gather(&mut self, first: Box<dyn Job>, jobs: &Receiver<Box<dyn Job>>) -> Vec<Box<dyn Job>> {
        let likely = self.last.0 + self.last.1;
        let (mut bytes, mut events) = (first.weight(), first.n_events());
        let mut batch = vec![first];
        let mut yields = if likely < MANY { 0 } else { YIELDS };
        while bytes < BATCH_BYTES && events < BATCH_EVENTS {
            match jobs.try_recv() {
                Ok(job) => {
                    bytes += job.weight();
                    events += job.n_events();
                    batch.push(job);
                }
                Err(_empty) if yields > 0 && batch.len() < likely => {
                    yields -= 1;
                    thread::yield_now();
                }
                Err(_empty) => break,
            }
        }
        self.last = (self.last.1, batch.len());
        batch
    }

    /// What is done while nothing waits: one piece of it.
    fn chores(&mut self) -> Result<(), Fatal> {
        self.look_for_space()?;
        if self.merge.is_due() { self.merge() } else { self.sweep() }
    }

    fn is_full(&self) -> bool {
        matches!(*self.health.borrow(), Health::Full)
    }

    fn merge(&mut self) -> Result<(), Fatal> {
        match self.merge.run() {
            Ok(()) => {
                self.tally.checkpoint();
                Ok(())
            }
            Err(error) if is_full(&error) => self.give_up_reserve(),
            Err(error) => Err(self.fail("merge the log into the database", error)),
        }
    }

    fn sweep(&mut self) -> Result<(), Fatal> {
        // While the disk is full, what is left of it is for endings.
        if !self.sweep.is_due() || self.is_full() {
            return Ok(());
        }
        match self.sweep.slice(&self.connection) {
            Ok(()) => {
                self.tally.slice();
                Ok(())
            }
            Err(error) if is_full(&error) => {
                self.roll_back()?;
                self.give_up_reserve()
            }
            Err(error) if is_damage(&error) => {
                tracing::error!(%error, "rows of a deleted worker are in damaged pages; they stay");
                self.sweep.leave();
                self.roll_back()
            }
            Err(error) => Err(self.fail("remove deleted rows", error)),
        }
    }

    /// The disk is full: from here on the reserve is what there is to write to.
    fn give_up_reserve(&self) -> Result<(), Fatal> {
        if !self.is_full() {
            tracing::error!(
                "the disk is full; the reserve is given up so that what is under way can be ended"
            );
            self.health.send_replace(Health::Full);
        }
        match self.reserve.release() {
            Ok(()) => Ok(()),
            // Without its space, the next write finds the disk full once more, and says so.
            Err(error) if error.kind() == io::ErrorKind::StorageFull => Ok(()),
            Err(error) => Err(self.fail("give up the reserve", error)),
        }
    }

    /// When the disk was full, tries now and then to take the reserve again.
    fn look_for_space(&mut self) -> Result<(), Fatal> {
        if !self.is_full() || self.looked.elapsed() < LOOK_FOR_SPACE {
            return Ok(());
        }
        self.looked = Instant::now();
        match self.reserve.build().and_then(|()| self.home.fill_shared_index()) {
            Ok(()) => {
                tracing::info!("there is space again");
                self.health.send_replace(Health::Good);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                tracing::debug!(%error, "there is no space for the reserve yet");
                Ok(())
            }
            Err(error) => Err(self.fail("set the reserve aside", error)),
        }
    }

    /// Says that the store has failed. Nothing that failed is tried again: after a sync that failed, a second one
    /// may return without having written anything.
    fn fail(&self, attempt: &'static str, error: impl Error + Send + Sync + 'static) -> Fatal {
        tracing::error!(%error, attempt, "the store has failed and takes nothing more");
        let fatal = Fatal { attempt, error: Arc::new(error) };
        self.health.send_replace(Health::Failed(Arc::new(fatal.answer())));
        fatal
    }
}

enum Next {
    Batch(Vec<Box<dyn Job>>),
    /// Nothing waits.
    Idle,
    /// Nothing will come any more.
    Closed,
}

/// Says that the store has failed when its thread ends by a panic.
struct Alarm(watch::Sender<Health>);

impl Drop for Alarm {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.send_replace(Health::Failed(Arc::new(StoreError::Failed)));
        }
    }
}
