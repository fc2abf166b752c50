//! A store that can be made to fail, and to take its time.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use musher_core::{
    AcceptedInput, BundlePut, Checkpoint, Commit, Extent, Health, Kept, KeyRecord, Life, MemoryStore, Most,
    NewLife, OwnedKeys, Prune, Start, Store, StoreError, StoredBundle, StoredEvent, TranscriptSlice,
    WorkerCounts, WorkerRow,
};
use musher_protocol::{
    ApprovalId, ConfigBundleId, ConfigBundleRef, ConfigBundleSummary, Digest, IdempotencyKey, InputId, Order,
    StoreKind, WorkerId, WorkerStatus,
};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};

use crate::world::within;

/// A store that works until it is told not to.
#[derive(Debug)]
pub(crate) struct Fragile {
    inner: MemoryStore,
    faults: Faults,
}

/// What is wrong with a store.
#[derive(Clone, Debug)]
pub(crate) struct Faults {
    broken: Arc<AtomicBool>,
    damaged: Arc<AtomicBool>,
    exhausted: Arc<AtomicBool>,
    health: watch::Sender<Health>,
    /// How many events were read of logs.
    n_read: Arc<AtomicUsize>,
    /// Whoever has it holds every append, key and bundle up, once it is durable and before it is acknowledged.
    pass: Arc<Semaphore>,
    held: Arc<Notify>,
}

impl Faults {
    /// From now on nothing works, as whoever asks is told.
    pub(crate) fn fail(&self) {
        self.broken.store(true, Ordering::SeqCst);
        self.health.send_replace(Health::Failed(Arc::new(StoreError::Failed)));
    }

    /// How many events were read of logs until now.
    pub(crate) fn n_read(&self) -> usize {
        self.n_read.load(Ordering::SeqCst)
    }

    /// From now on what is stored of a worker is damaged, whichever it is.
    pub(crate) fn damage(&self) {
        self.damaged.store(true, Ordering::SeqCst);
    }

    /// From now on there is no space for anything new.
    pub(crate) fn fill(&self) {
        self.health.send_replace(Health::Full);
    }

    /// There is space again.
    pub(crate) fn relieve(&self) {
        self.exhausted.store(false, Ordering::SeqCst);
        self.health.send_replace(Health::Good);
    }

    /// From now on there is no space for keys alone, and nobody knows it yet.
    pub(crate) fn exhaust(&self) {
        self.exhausted.store(true, Ordering::SeqCst);
    }

    /// From now on, for as long as the answer lives, no append is acknowledged.
    pub(crate) async fn hold(&self) -> OwnedSemaphorePermit {
        within(self.pass.clone().acquire_owned()).await.expect("never closed")
    }

    /// Waits until an append is held up.
    pub(crate) async fn is_held(&self) {
        within(self.held.notified()).await;
    }
}

impl Fragile {
    pub(crate) fn new() -> (Self, Faults) {
        let faults = Faults {
            broken: Arc::default(),
            damaged: Arc::default(),
            exhausted: Arc::default(),
            health: watch::Sender::new(Health::Good),
            n_read: Arc::default(),
            pass: Arc::new(Semaphore::new(1)),
            held: Arc::default(),
        };
        (Self { inner: MemoryStore::new(), faults: faults.clone() }, faults)
    }

    /// Waits while acknowledgments are held up.
    async fn pass(&self) {
        if self.faults.pass.available_permits() == 0 {
            self.faults.held.notify_one();
        }
        drop(self.faults.pass.acquire().await);
    }

    fn check_worker(&self, worker: &WorkerId) -> Result<(), StoreError> {
        self.check()?;
        if self.faults.damaged.load(Ordering::SeqCst) {
            return Err(StoreError::Corrupt { worker: worker.clone(), what: "event 7".to_owned() });
        }
        Ok(())
    }

    fn check(&self) -> Result<(), StoreError> {
        if self.faults.broken.load(Ordering::SeqCst) {
            let source = io::Error::other("INSERT INTO events failed in /var/lib/musher");
            return Err(StoreError::Io { attempt: "write /var/lib/musher/log", source });
        }
        Ok(())
    }
}

#[async_trait]
impl Store for Fragile {
    fn kind(&self) -> StoreKind {
        StoreKind::Memory
    }

    async fn append(&self, commit: Commit) -> Result<(), StoreError> {
        self.check()?;
        self.inner.append(commit).await?;
        self.pass().await;
        Ok(())
    }

    async fn worker(&self, worker: &WorkerId) -> Result<Option<WorkerRow>, StoreError> {
        self.check_worker(worker)?;
        self.inner.worker(worker).await
    }

    async fn workers(
        &self,
        status: Option<WorkerStatus>,
        order: Order,
        after: Option<&WorkerId>,
        limit: usize,
    ) -> Result<Vec<WorkerRow>, StoreError> {
        self.check()?;
        self.inner.workers(status, order, after, limit).await
    }

    async fn remember(&self, keys: Vec<KeyRecord>) -> Result<(), StoreError> {
        self.check()?;
        if self.faults.exhausted.load(Ordering::SeqCst) {
            return Err(StoreError::Full);
        }
        self.inner.remember(keys).await?;
        self.pass().await;
        Ok(())
    }

    async fn remembered(&self, scope: &str, key: &IdempotencyKey) -> Result<Option<KeyRecord>, StoreError> {
        self.check()?;
        self.inner.remembered(scope, key).await
    }

    async fn keys_of(&self, owner: &str) -> Result<OwnedKeys, StoreError> {
        self.check()?;
        self.inner.keys_of(owner).await
    }

    async fn forget_keys(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
        self.check()?;
        self.inner.forget_keys(before, limit).await
    }

    async fn counts(&self) -> Result<WorkerCounts, StoreError> {
        self.check()?;
        self.inner.counts().await
    }

    fn health(&self) -> watch::Receiver<Health> {
        self.faults.health.subscribe()
    }

    async fn begin(&self, life: NewLife) -> Result<Life, StoreError> {
        self.check()?;
        self.inner.begin(life).await
    }

    async fn claim(&self, worker: &WorkerId) -> Result<Option<u64>, StoreError> {
        self.check()?;
        self.inner.claim(worker).await
    }

    async fn unsettled(&self, after: Option<&WorkerId>, limit: usize) -> Result<Vec<WorkerId>, StoreError> {
        self.check()?;
        self.inner.unsettled(after, limit).await
    }

    async fn extent(&self, worker: &WorkerId) -> Result<Option<Extent>, StoreError> {
        self.check_worker(worker)?;
        self.inner.extent(worker).await
    }

    async fn checkpoint(&self, worker: &WorkerId) -> Result<Option<Checkpoint>, StoreError> {
        self.check()?;
        self.inner.checkpoint(worker).await
    }

    async fn blob(&self, worker: &WorkerId, digest: Digest) -> Result<Option<Bytes>, StoreError> {
        self.check_worker(worker)?;
        self.inner.blob(worker, digest).await
    }

    async fn kept(
        &self,
        worker: &WorkerId,
        after: Option<&str>,
        most: Most,
    ) -> Result<Vec<Kept>, StoreError> {
        self.check_worker(worker)?;
        self.inner.kept(worker, after, most).await
    }

    async fn prune(&self, prune: Prune) -> Result<(), StoreError> {
        self.check()?;
        self.inner.prune(prune).await
    }

    async fn delete(&self, worker: &WorkerId) -> Result<bool, StoreError> {
        self.check()?;
        self.inner.delete(worker).await
    }

    async fn put_bundle(
        &self,
        bundle: StoredBundle,
        most: usize,
        key: Option<KeyRecord>,
    ) -> Result<BundlePut, StoreError> {
        self.check()?;
        let put = self.inner.put_bundle(bundle, most, key).await?;
        self.pass().await;
        Ok(put)
    }

    async fn bundle(&self, reference: &ConfigBundleRef) -> Result<Option<StoredBundle>, StoreError> {
        self.check()?;
        self.inner.bundle(reference).await
    }

    async fn bundles(&self) -> Result<Vec<ConfigBundleSummary>, StoreError> {
        self.check()?;
        self.inner.bundles().await
    }

    async fn has_bundle(&self, id: &ConfigBundleId) -> Result<bool, StoreError> {
        self.check()?;
        self.inner.has_bundle(id).await
    }

    async fn delete_bundle(&self, reference: &ConfigBundleRef) -> Result<bool, StoreError> {
        self.check()?;
        self.inner.delete_bundle(reference).await
    }

    async fn events(
        &self,
        worker: &WorkerId,
        after: u64,
        most: Most,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        self.check_worker(worker)?;
        let events = self.inner.events(worker, after, most).await?;
        self.faults.n_read.fetch_add(events.len(), Ordering::SeqCst);
        Ok(events)
    }

    async fn approval_events(
        &self,
        worker: &WorkerId,
        approval: &ApprovalId,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        self.check_worker(worker)?;
        self.inner.approval_events(worker, approval).await
    }

    async fn transcript(
        &self,
        worker: &WorkerId,
        start: Start,
        limit: usize,
    ) -> Result<TranscriptSlice, StoreError> {
        self.check_worker(worker)?;
        self.inner.transcript(worker, start, limit).await
    }

    async fn accepted_input(
        &self,
        worker: &WorkerId,
        input: &InputId,
    ) -> Result<Option<AcceptedInput>, StoreError> {
        self.check()?;
        self.inner.accepted_input(worker, input).await
    }
}
