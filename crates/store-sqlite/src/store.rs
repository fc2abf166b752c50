//! The store itself: what the runtime holds.

use std::{io, path::Path, sync::Arc, thread::JoinHandle};

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use musher_core::{
    AcceptedInput, BundlePut, Checkpoint, Commit, Extent, Health, Kept, KeyRecord, Life, Most, NewLife,
    OwnedKeys, Prune, Start, Store, StoreError, StoredBundle, StoredEvent, TranscriptSlice, WorkerCounts,
    WorkerRow,
};
use musher_protocol::{
    ApprovalId, ConfigBundleId, ConfigBundleRef, ConfigBundleSummary, Digest, IdempotencyKey, InputId, Order,
    StoreKind, WorkerId, WorkerStatus,
};
use tokio::sync::watch;

use crate::{
    Counters, OpenError, SqliteOptions, connection,
    counters::Tally,
    failure::{damaged, is_full},
    home::Home,
    migration::migrate,
    queue::Queue,
    read,
    readers::Readers,
    reserve::Reserve,
    verify, wal,
    writer::{
        self, Append, Begin, Claim, Delete, DeleteBundle, ForgetKeys, PutBundle, Remember, Writer, merge_all,
    },
};

/// A [`Store`] in one directory of this machine.
///
/// Its calls need a tokio runtime. Dropping it waits until what was handed to it is written, and until reads that run are
/// over, and gives the directory back.
#[derive(Debug)]
pub struct SqliteStore {
    /// Given up on drop, so that the thread ends.
    queue: Option<Queue>,
    thread: Option<JoinHandle<()>>,
    readers: Readers,
    health: watch::Receiver<Health>,
    tally: Arc<Tally>,
    /// Whether a worker that is not found is not there.
    finds_all: bool,
}

impl SqliteStore {
    /// Opens the store in this directory, which is made (for its owner alone) where it is not there.
    ///
    /// Blocks while files are read and synced: for moments, or for as long as it takes to look through and to merge
    /// what a crash left in the write-ahead log.
    ///
    /// # Errors
    ///
    /// When another process has the directory, when what is in it is damaged or of a later version, or when it cannot
    /// be written.
    pub fn open(dir: &Path, options: SqliteOptions) -> Result<Self, OpenError> {
        let home = Arc::new(Home::take(dir)?);
        let path = home.database();
        let failed = |attempt, path: &Path| {
            let path = path.to_owned();
            move |source| OpenError::Io { attempt, path, source }
        };
        let refused = |attempt| {
            let path = path.clone();
            move |source| OpenError::sqlite(attempt, &path, source)
        };
        if let Some(damage) = wal::look(&home.wal()).map_err(failed("read", &home.wal()))? {
            return Err(OpenError::DamagedWal { path: home.wal(), damage });
        }

        let reserve = Reserve::of(&home, options.reserve_bytes);
        home.make_database().map_err(failed("create", &path))?;
        let mut connection = connection::writer(&path).map_err(refused("open"))?;
        let checkpointer = connection::checkpointer(&path).map_err(refused("open"))?;
        migrate(&mut connection, &path)?;
        match merge_all(&checkpointer, &path) {
            Err(OpenError::Sqlite { source, .. }) if is_full(&source) => {
                reserve.release().map_err(failed("give up", &home.reserve()))?;
                merge_all(&checkpointer, &path)?;
            }
            merged => merged?,
        }
        let finds_all =
            verify::finds_all_workers(&connection).map_err(refused("look through the workers of"))?;
        if !finds_all {
            tracing::error!(
                "the index of workers is damaged: whoever it does not find is answered as damaged"
            );
        }
        home.fill_shared_index().map_err(failed("allocate", &home.shared_index_path()))?;
        let health = match reserve.build() {
            Ok(()) => Health::Good,
            Err(error) if error.kind() == io::ErrorKind::StorageFull => Health::Full,
            Err(error) => return Err(failed("allocate", &home.reserve())(error)),
        };
        home.sync().map_err(failed("sync", dir))?;

        let tally = Arc::new(Tally::default());
        let sender = watch::Sender::new(health);
        let health = sender.subscribe();
        let readers = Readers::new(&home, options.readers, health.clone());
        let writer = Writer::new(home, connection, checkpointer, reserve, sender, Arc::clone(&tally));
        let (queue, jobs) = Queue::new();
        let thread = writer
            .map_err(refused("open"))?
            .start(jobs)
            .map_err(failed("start the thread that writes", dir))?;
        Ok(Self { queue: Some(queue), thread: Some(thread), readers, health, tally, finds_all })
    }

    /// What the store has done since it was opened.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.tally.read()
    }

    /// With a damaged index, that a worker was not found says nothing.
    fn found<T>(&self, worker: &WorkerId, found: Option<T>) -> Result<Option<T>, StoreError> {
        if found.is_none() && !self.finds_all {
            return Err(damaged(worker, "the index that would find the row"));
        }
        Ok(found)
    }

    async fn put<W: crate::queue::Write>(&self, write: W) -> Result<W::Answer, StoreError> {
        match &self.queue {
            Some(queue) => queue.put(write).await,
            None => Err(StoreError::Failed),
        }
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(thread) = self.thread.take() {
            // Its panic has been said by the store's health.
            let _ = thread.join();
        }
        self.readers.close();
    }
}

#[async_trait]
impl Store for SqliteStore {
    fn kind(&self) -> StoreKind {
        StoreKind::Sqlite
    }

    fn health(&self) -> watch::Receiver<Health> {
        self.health.clone()
    }

    async fn begin(&self, life: NewLife) -> Result<Life, StoreError> {
        self.put(Begin(life)).await
    }

    async fn claim(&self, worker: &WorkerId) -> Result<Option<u64>, StoreError> {
        let epoch = self.put(Claim(worker.clone())).await?;
        self.found(worker, epoch)
    }

    async fn append(&self, commit: Commit) -> Result<(), StoreError> {
        self.put(Append::new(commit)?).await
    }

    async fn worker(&self, worker: &WorkerId) -> Result<Option<WorkerRow>, StoreError> {
        let id = worker.clone();
        let row = self
            .readers
            .read("read a worker", Some(worker), move |connection| read::row(connection, &id))
            .await?;
        self.found(worker, row)
    }

    async fn workers(
        &self,
        status: Option<WorkerStatus>,
        order: Order,
        after: Option<&WorkerId>,
        limit: usize,
    ) -> Result<Vec<WorkerRow>, StoreError> {
        let after = after.cloned();
        let list = move |connection: &_| read::workers(connection, status, order, after.as_ref(), limit);
        self.readers.read("list workers", None, list).await
    }

    async fn unsettled(&self, after: Option<&WorkerId>, limit: usize) -> Result<Vec<WorkerId>, StoreError> {
        let after = after.cloned();
        let list = move |connection: &_| read::unsettled(connection, after.as_ref(), limit);
        self.readers.read("list unsettled workers", None, list).await
    }

    async fn counts(&self) -> Result<WorkerCounts, StoreError> {
        self.readers.read("count workers", None, read::counts).await
    }

    async fn bytes(&self) -> Result<Option<u64>, StoreError> {
        self.readers.read("measure the database", None, read::bytes).await.map(Some)
    }

    async fn extent(&self, worker: &WorkerId) -> Result<Option<Extent>, StoreError> {
        let id = worker.clone();
        let extent = self
            .readers
            .read("read a log's bounds", Some(worker), move |connection| read::extent(connection, &id))
            .await?;
        self.found(worker, extent)
    }

    async fn events(
        &self,
        worker: &WorkerId,
        after: u64,
        most: Most,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        let id = worker.clone();
        let events = move |connection: &_| read::events(connection, &id, after, most);
        self.readers.read("read events", Some(worker), events).await
    }

    async fn approval_events(
        &self,
        worker: &WorkerId,
        approval: &ApprovalId,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        let (id, approval) = (worker.clone(), approval.clone());
        let events = move |connection: &_| read::approval_events(connection, &id, &approval);
        self.readers.read("look for an approval", Some(worker), events).await
    }

    async fn transcript(
        &self,
        worker: &WorkerId,
        start: Start,
        limit: usize,
    ) -> Result<TranscriptSlice, StoreError> {
        let id = worker.clone();
        let slice = move |connection: &_| read::transcript(connection, &id, start, limit);
        self.readers.read("read a transcript", Some(worker), slice).await
    }

    async fn accepted_input(
        &self,
        worker: &WorkerId,
        input: &InputId,
    ) -> Result<Option<AcceptedInput>, StoreError> {
        let (id, input) = (worker.clone(), input.clone());
        let accepted = move |connection: &_| read::accepted_input(connection, &id, &input);
        self.readers.read("read an accepted input", Some(worker), accepted).await
    }

    async fn checkpoint(&self, worker: &WorkerId) -> Result<Option<Checkpoint>, StoreError> {
        let id = worker.clone();
        let checkpoint = move |connection: &_| read::checkpoint(connection, &id);
        self.readers.read("read a checkpoint", Some(worker), checkpoint).await
    }

    async fn blob(&self, worker: &WorkerId, digest: Digest) -> Result<Option<Bytes>, StoreError> {
        let id = worker.clone();
        let blob = move |connection: &_| read::blob(connection, &id, digest);
        self.readers.read("read a blob", Some(worker), blob).await
    }

    async fn kept(
        &self,
        worker: &WorkerId,
        after: Option<&str>,
        most: Most,
    ) -> Result<Vec<Kept>, StoreError> {
        let (id, after) = (worker.clone(), after.map(str::to_owned));
        let kept = move |connection: &_| read::kept(connection, &id, after.as_deref(), most);
        self.readers.read("read what is kept", Some(worker), kept).await
    }

    async fn remember(&self, keys: Vec<KeyRecord>) -> Result<(), StoreError> {
        self.put(Remember::new(keys)?).await
    }

    async fn remembered(&self, scope: &str, key: &IdempotencyKey) -> Result<Option<KeyRecord>, StoreError> {
        let (scope, key) = (scope.to_owned(), key.clone());
        let remembered = move |connection: &_| read::remembered(connection, &scope, &key);
        self.readers.read(read::READ_A_KEY, None, remembered).await
    }

    async fn keys_of(&self, owner: &str) -> Result<OwnedKeys, StoreError> {
        let owner = owner.to_owned();
        let keys = move |connection: &_| read::keys_of(connection, &owner);
        self.readers.read("count keys", None, keys).await
    }

    async fn forget_keys(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
        let before = writer::nanoseconds(before)?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.put(ForgetKeys { before, limit }).await
    }

    async fn prune(&self, prune: Prune) -> Result<(), StoreError> {
        self.put(writer::Prune(prune)).await
    }

    async fn delete(&self, worker: &WorkerId) -> Result<bool, StoreError> {
        let was_there = self.put(Delete(worker.clone())).await?;
        Ok(self.found(worker, was_there.then_some(()))?.is_some())
    }

    async fn put_bundle(
        &self,
        bundle: StoredBundle,
        most: usize,
        key: Option<KeyRecord>,
    ) -> Result<BundlePut, StoreError> {
        let keys = Remember::new(key.into_iter().collect())?;
        self.put(PutBundle { bundle, most, keys }).await
    }

    async fn bundle(&self, reference: &ConfigBundleRef) -> Result<Option<StoredBundle>, StoreError> {
        let reference = reference.clone();
        let bundle = move |connection: &_| read::bundle(connection, &reference);
        self.readers.read("read a config bundle", None, bundle).await
    }

    async fn has_bundle(&self, id: &ConfigBundleId) -> Result<bool, StoreError> {
        let id = id.clone();
        let has = move |connection: &_| read::has_bundle(connection, &id);
        self.readers.read("look for a config bundle", None, has).await
    }

    async fn bundles(&self) -> Result<Vec<ConfigBundleSummary>, StoreError> {
        self.readers.read("list config bundles", None, read::bundles).await
    }

    async fn delete_bundle(&self, reference: &ConfigBundleRef) -> Result<bool, StoreError> {
        self.put(DeleteBundle(reference.clone())).await
    }
}
