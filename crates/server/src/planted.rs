//! Bugs on purpose, in builds for the torture harness only: a harness that does not find them finds nothing.

use std::{
    env::{self, VarError},
    sync::Arc,
};

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
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
};

/// Names the bug.
const VARIABLE: &str = "MUSHER_PLANT";
/// As deep as a store's own queue would be.
const WAITING: usize = 1024;

/// A bug by the name that the harness knows it by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bug {
    /// A command is answered before it is durable.
    AckBeforeSync,
    /// An event is shown before it is durable.
    PublishBeforeSync,
}

/// The variable names no bug.
#[derive(Debug, thiserror::Error)]
#[error("{VARIABLE} is `{0}`; there are `ack_before_sync` and `publish_before_sync`")]
pub(crate) struct NoBug(String);

/// A store with a bug around it.
#[derive(Debug)]
struct Planted {
    store: Arc<dyn Store>,
    bug: Bug,
    /// Commits in their order: one that is answered early must not be overtaken.
    commits: mpsc::Sender<(Commit, oneshot::Sender<Result<(), StoreError>>)>,
    /// The one task that writes them.
    _writes: JoinSet<()>,
}

/// The store with the bug that the environment names; the store itself where it names none.
pub(crate) fn around(store: Arc<dyn Store>) -> Result<Arc<dyn Store>, NoBug> {
    let bug = match env::var(VARIABLE).as_deref() {
        Err(VarError::NotPresent) => return Ok(store),
        Ok("ack_before_sync") => Bug::AckBeforeSync,
        Ok("publish_before_sync") => Bug::PublishBeforeSync,
        Ok(other) => return Err(NoBug(other.to_owned())),
        Err(error) => return Err(NoBug(error.to_string())),
    };
    let (commits, mut waiting) = mpsc::channel::<(Commit, oneshot::Sender<_>)>(WAITING);
    let mut writes = JoinSet::new();
    let inner = store.clone();
    writes.spawn(async move {
        while let Some((commit, reply)) = waiting.recv().await {
            // Who was answered early does not wait for this.
            let _early = reply.send(inner.append(commit).await);
        }
    });
    Ok(Arc::new(Planted { store, bug, commits, _writes: writes }))
}

impl Planted {
    fn is_early(&self, commit: &Commit) -> bool {
        // What creates a worker is read back at once.
        let creates = commit.expected_head == 0;
        match self.bug {
            Bug::AckBeforeSync => !creates && !commit.accepted.is_empty(),
            Bug::PublishBeforeSync => !creates && commit.accepted.is_empty(),
        }
    }
}

#[async_trait]
impl Store for Planted {
    fn kind(&self) -> StoreKind {
        self.store.kind()
    }

    fn health(&self) -> watch::Receiver<Health> {
        self.store.health()
    }

    async fn append(&self, commit: Commit) -> Result<(), StoreError> {
        let early = self.is_early(&commit);
        let (reply, written) = oneshot::channel();
        self.commits.send((commit, reply)).await.map_err(|_ended| StoreError::Failed)?;
        if early { Ok(()) } else { written.await.unwrap_or(Err(StoreError::Failed)) }
    }

    async fn begin(&self, life: NewLife) -> Result<Life, StoreError> {
        self.store.begin(life).await
    }

    async fn claim(&self, worker: &WorkerId) -> Result<Option<u64>, StoreError> {
        self.store.claim(worker).await
    }

    async fn worker(&self, worker: &WorkerId) -> Result<Option<WorkerRow>, StoreError> {
        self.store.worker(worker).await
    }

    async fn workers(
        &self,
        status: Option<WorkerStatus>,
        order: Order,
        after: Option<&WorkerId>,
        limit: usize,
    ) -> Result<Vec<WorkerRow>, StoreError> {
        self.store.workers(status, order, after, limit).await
    }

    async fn unsettled(&self, after: Option<&WorkerId>, limit: usize) -> Result<Vec<WorkerId>, StoreError> {
        self.store.unsettled(after, limit).await
    }

    async fn remember(&self, keys: Vec<KeyRecord>) -> Result<(), StoreError> {
        self.store.remember(keys).await
    }

    async fn remembered(&self, scope: &str, key: &IdempotencyKey) -> Result<Option<KeyRecord>, StoreError> {
        self.store.remembered(scope, key).await
    }

    async fn keys_of(&self, owner: &str) -> Result<OwnedKeys, StoreError> {
        self.store.keys_of(owner).await
    }

    async fn forget_keys(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
        self.store.forget_keys(before, limit).await
    }

    async fn counts(&self) -> Result<WorkerCounts, StoreError> {
        self.store.counts().await
    }

    async fn bytes(&self) -> Result<Option<u64>, StoreError> {
        self.store.bytes().await
    }

    async fn extent(&self, worker: &WorkerId) -> Result<Option<Extent>, StoreError> {
        self.store.extent(worker).await
    }

    async fn events(
        &self,
        worker: &WorkerId,
        after: u64,
        most: Most,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        self.store.events(worker, after, most).await
    }

    async fn approval_events(
        &self,
        worker: &WorkerId,
        approval: &ApprovalId,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        self.store.approval_events(worker, approval).await
    }

    async fn transcript(
        &self,
        worker: &WorkerId,
        start: Start,
        limit: usize,
    ) -> Result<TranscriptSlice, StoreError> {
        self.store.transcript(worker, start, limit).await
    }

    async fn accepted_input(
        &self,
        worker: &WorkerId,
        input: &InputId,
    ) -> Result<Option<AcceptedInput>, StoreError> {
        self.store.accepted_input(worker, input).await
    }

    async fn checkpoint(&self, worker: &WorkerId) -> Result<Option<Checkpoint>, StoreError> {
        self.store.checkpoint(worker).await
    }

    async fn blob(&self, worker: &WorkerId, digest: Digest) -> Result<Option<Bytes>, StoreError> {
        self.store.blob(worker, digest).await
    }

    async fn kept(
        &self,
        worker: &WorkerId,
        after: Option<&str>,
        most: Most,
    ) -> Result<Vec<Kept>, StoreError> {
        self.store.kept(worker, after, most).await
    }

    async fn prune(&self, prune: Prune) -> Result<(), StoreError> {
        self.store.prune(prune).await
    }

    async fn delete(&self, worker: &WorkerId) -> Result<bool, StoreError> {
        self.store.delete(worker).await
    }

    async fn put_bundle(
        &self,
        bundle: StoredBundle,
        most: usize,
        key: Option<KeyRecord>,
    ) -> Result<BundlePut, StoreError> {
        self.store.put_bundle(bundle, most, key).await
    }

    async fn bundle(&self, reference: &ConfigBundleRef) -> Result<Option<StoredBundle>, StoreError> {
        self.store.bundle(reference).await
    }

    async fn bundles(&self) -> Result<Vec<ConfigBundleSummary>, StoreError> {
        self.store.bundles().await
    }

    async fn has_bundle(&self, id: &ConfigBundleId) -> Result<bool, StoreError> {
        self.store.has_bundle(id).await
    }

    async fn delete_bundle(&self, reference: &ConfigBundleRef) -> Result<bool, StoreError> {
        self.store.delete_bundle(reference).await
    }
}
