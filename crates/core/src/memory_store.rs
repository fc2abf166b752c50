//! A store in memory: for tests, embedding and throw-away servers.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    io,
    ops::Bound,
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use musher_protocol::{
    ApprovalId, ConfigBundleId, ConfigBundleRef, ConfigBundleSummary, Digest, IdempotencyKey, InputId, Order,
    StoreKind, TranscriptEntry, WorkerId, WorkerStatus,
};
use serde::Deserialize;
use tokio::sync::watch;
use uuid::Uuid;

use crate::store::{
    AcceptedInput, BundlePut, Checkpoint, Commit, Extent, Head, Health, Kept, KeyRecord, Life, Most, NewLife,
    OwnedKeys, Prune, Start, Store, StoreError, StoredBundle, StoredEvent, TranscriptSlice, WorkerCounts,
    WorkerRow,
};

/// A [`Store`] whose logs are gone with the process. It grows with what its workers do, for ever.
#[derive(Debug)]
pub struct MemoryStore {
    /// Protects the maps for the few lines of one read or one commit; nothing awaits under it.
    logs: Mutex<Logs>,
    health: watch::Sender<Health>,
}

/// Scope and key.
type KeyPlace = (String, IdempotencyKey);

#[derive(Debug, Default)]
struct Logs {
    /// Ids sort by age, so the order of the map is the order of creation.
    workers: BTreeMap<WorkerId, Log>,
    /// Ids are never reused.
    deleted: BTreeSet<WorkerId>,
    counts: WorkerCounts,
    keys: BTreeMap<KeyPlace, KeyRecord>,
    /// The same by owner.
    owned_keys: BTreeMap<String, KeysOfOne>,
    /// By their ids and revisions, whose order is that of their bytes.
    bundles: BTreeMap<(ConfigBundleId, ConfigBundleId), StoredBundle>,
    life: Option<NewLife>,
}

#[derive(Debug)]
struct Log {
    row: WorkerRow,
    epoch: u64,
    last_batch: Uuid,
    /// The place before the first of `events`.
    oldest: Head,
    events: Vec<StoredEvent>,
    /// The numbers of the events about each approval.
    approvals: HashMap<String, Vec<u64>>,
    /// By their sequence, which has no gaps.
    entries: BTreeMap<u64, TranscriptEntry>,
    accepted: HashMap<InputId, AcceptedInput>,
    blobs: HashMap<Digest, Bytes>,
    /// By their names, whose order is that of their bytes.
    kept: BTreeMap<String, Bytes>,
    checkpoint: Option<Checkpoint>,
}

#[derive(Debug, Default)]
struct KeysOfOne {
    by_age: BTreeSet<(Timestamp, KeyPlace)>,
    bytes: u64,
}

impl Logs {
    fn remember(&mut self, keys: Vec<KeyRecord>) {
        for record in keys {
            let place = (record.scope.clone(), record.key.clone());
            self.forget_key(&place);
            let owned = self.owned_keys.entry(record.owner.clone()).or_default();
            owned.by_age.insert((record.at, place.clone()));
            owned.bytes += record.bytes();
            self.keys.insert(place, record);
        }
    }

    fn forget_key(&mut self, place: &KeyPlace) {
        let Some(record) = self.keys.remove(place) else { return };
        if let Some(owned) = self.owned_keys.get_mut(&record.owner) {
            owned.by_age.remove(&(record.at, place.clone()));
            owned.bytes -= record.bytes();
            if owned.by_age.is_empty() {
                self.owned_keys.remove(&record.owner);
            }
        }
    }
}

impl Log {
    fn new(row: WorkerRow) -> Self {
        Self {
            row,
            epoch: Commit::FIRST_EPOCH,
            last_batch: Uuid::nil(),
            oldest: Head::EMPTY,
            events: Vec::new(),
            approvals: HashMap::new(),
            entries: BTreeMap::new(),
            accepted: HashMap::new(),
            blobs: HashMap::new(),
            kept: BTreeMap::new(),
            checkpoint: None,
        }
    }

    fn head(&self) -> Head {
        let last = self.events.last();
        last.map_or_else(|| self.oldest.clone(), |event| Head { seq: event.seq, checksum: event.checksum })
    }

    fn check_epoch(&self, worker: &WorkerId, epoch: u64) -> Result<(), StoreError> {
        if epoch == self.epoch {
            Ok(())
        } else {
            Err(StoreError::Fenced { worker: worker.clone(), epoch: self.epoch })
        }
    }

    fn write(&mut self, commit: Commit) {
        self.last_batch = commit.batch_id;
        for event in &commit.events {
            if let Some(approval) = approval_of(event) {
                self.approvals.entry(approval).or_default().push(event.seq);
            }
        }
        self.events.extend(commit.events);
        self.entries.extend(commit.entries.into_iter().map(|entry| (entry.sequence, entry)));
        self.accepted.extend(commit.accepted.into_iter().map(|input| (input.input_id.clone(), input)));
        self.blobs.extend(commit.blobs.into_iter().map(|blob| (blob.digest, blob.bytes)));
        self.kept.extend(commit.kept.into_iter().map(|kept| (kept.name, kept.bytes)));
        self.checkpoint = commit.checkpoint.or(self.checkpoint.take());
    }

    fn prune(&mut self, oldest: Head, checkpoint: Checkpoint) {
        self.events.retain(|event| event.seq > oldest.seq);
        self.approvals.retain(|_, events| {
            events.retain(|seq| *seq > oldest.seq);
            !events.is_empty()
        });
        self.oldest = oldest;
        // A checkpoint of a later commit stays the newest.
        if self.checkpoint.as_ref().is_none_or(|newest| newest.head.seq <= checkpoint.head.seq) {
            self.checkpoint = Some(checkpoint);
        }
    }
}

/// The approval that an event asks for or resolves.
fn approval_of(event: &StoredEvent) -> Option<String> {
    #[derive(Deserialize)]
    struct About {
        approval_id: String,
    }
    let is_about_one = matches!(event.type_name, "approval_requested" | "approval_resolved");
    // A payload of another form is about none.
    let about = is_about_one.then(|| serde_json::from_slice::<About>(&event.payload).ok());
    about.flatten().map(|about| about.approval_id)
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self { logs: Mutex::default(), health: watch::Sender::new(Health::Good) }
    }
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn logs(&self) -> MutexGuard<'_, Logs> {
        // A commit changes nothing before its checks have passed, so a poisoned lock holds whole commits.
        self.logs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Store for MemoryStore {
    fn kind(&self) -> StoreKind {
        StoreKind::Memory
    }

    fn health(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }

    async fn begin(&self, life: NewLife) -> Result<Life, StoreError> {
        let mut logs = self.logs();
        let previous = logs.life.take();
        let runtime_id = previous.as_ref().map_or(&life.runtime_id, |previous| &previous.runtime_id).clone();
        logs.life = Some(NewLife { runtime_id: runtime_id.clone(), owner: life.owner });
        Ok(Life { runtime_id, previous_owner: previous.map(|previous| previous.owner) })
    }

    async fn claim(&self, worker: &WorkerId) -> Result<Option<u64>, StoreError> {
        let mut logs = self.logs();
        let Some(log) = logs.workers.get_mut(worker) else { return Ok(None) };
        log.epoch += 1;
        Ok(Some(log.epoch))
    }

    async fn append(&self, mut commit: Commit) -> Result<(), StoreError> {
        if !commit.kept.iter().all(|kept| Kept::is_name(&kept.name)) {
            let source = io::Error::new(io::ErrorKind::InvalidInput, "a kept record has a name that is none");
            return Err(StoreError::Io { attempt: "write a commit", source });
        }
        let mut logs = self.logs();
        let logs = &mut *logs;
        let worker = commit.worker.clone();
        let row = commit.row.take();
        let keys = std::mem::take(&mut commit.keys);
        let creates = commit.expected_head == 0 && commit.epoch == Commit::FIRST_EPOCH;
        match logs.workers.get_mut(&worker) {
            Some(log) => {
                log.check_epoch(&worker, commit.epoch)?;
                if commit.batch_id == log.last_batch {
                    return Ok(());
                }
                let head = log.head().seq;
                if head != commit.expected_head {
                    return Err(StoreError::Conflict { worker, head });
                }
                if let Some(row) = row {
                    *logs.counts.of(log.row.status()) -= 1;
                    *logs.counts.of(row.status()) += 1;
                    log.row = row;
                }
                log.write(commit);
            }
            None => match row {
                Some(row) if creates && !logs.deleted.contains(&worker) => {
                    *logs.counts.of(row.status()) += 1;
                    logs.workers.entry(worker).or_insert(Log::new(row)).write(commit);
                }
                Some(_) | None => return Err(StoreError::NoWorker(worker)),
            },
        }
        logs.remember(keys);
        Ok(())
    }

    async fn worker(&self, worker: &WorkerId) -> Result<Option<WorkerRow>, StoreError> {
        Ok(self.logs().workers.get(worker).map(|log| log.row.clone()))
    }

    async fn workers(
        &self,
        status: Option<WorkerStatus>,
        order: Order,
        after: Option<&WorkerId>,
        limit: usize,
    ) -> Result<Vec<WorkerRow>, StoreError> {
        let behind = after.map_or(Bound::Unbounded, Bound::Excluded);
        let logs = self.logs();
        let wanted = |row: &&WorkerRow| status.is_none_or(|status| row.status() == status);
        Ok(match order {
            Order::Asc => {
                let rows = logs.workers.range::<WorkerId, _>((behind, Bound::Unbounded));
                rows.map(|(_, log)| &log.row).filter(wanted).take(limit).cloned().collect()
            }
            Order::Desc => {
                let rows = logs.workers.range::<WorkerId, _>((Bound::Unbounded, behind)).rev();
                rows.map(|(_, log)| &log.row).filter(wanted).take(limit).cloned().collect()
            }
        })
    }

    async fn unsettled(&self, after: Option<&WorkerId>, limit: usize) -> Result<Vec<WorkerId>, StoreError> {
        let behind = after.map_or(Bound::Unbounded, Bound::Excluded);
        let logs = self.logs();
        let logs = logs.workers.range::<WorkerId, _>((behind, Bound::Unbounded));
        let unsettled = logs.filter(|(_, log)| log.row.unsettled());
        Ok(unsettled.take(limit).map(|(worker, _)| worker.clone()).collect())
    }

    async fn counts(&self) -> Result<WorkerCounts, StoreError> {
        Ok(self.logs().counts)
    }

    async fn extent(&self, worker: &WorkerId) -> Result<Option<Extent>, StoreError> {
        let logs = self.logs();
        let log = logs.workers.get(worker);
        Ok(log.map(|log| Extent { oldest: log.oldest.clone(), head: log.head() }))
    }

    async fn events(
        &self,
        worker: &WorkerId,
        after: u64,
        most: Most,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        let logs = self.logs();
        let Some(log) = logs.workers.get(worker) else { return Ok(Vec::new()) };
        let Some(passed) = after.checked_sub(log.oldest.seq) else {
            return Err(StoreError::Pruned { worker: worker.clone(), oldest: log.oldest.clone() });
        };
        let passed = usize::try_from(passed).unwrap_or(usize::MAX);
        let mut bytes = 0;
        let fits = |(place, event): &(usize, &StoredEvent)| {
            bytes += event.payload.len();
            *place == 0 || (*place < most.events && bytes <= most.bytes)
        };
        let events = log.events.iter().skip(passed).enumerate();
        Ok(events.take_while(fits).map(|(_, event)| event.clone()).collect())
    }

    async fn approval_events(
        &self,
        worker: &WorkerId,
        approval: &ApprovalId,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        let logs = self.logs();
        let Some(log) = logs.workers.get(worker) else { return Ok(Vec::new()) };
        let about = log.approvals.get(approval.as_str()).into_iter().flatten().take(2);
        let place = |seq: &u64| usize::try_from(seq - log.oldest.seq - 1).ok();
        Ok(about.filter_map(place).filter_map(|place| log.events.get(place)).cloned().collect())
    }

    async fn transcript(
        &self,
        worker: &WorkerId,
        start: Start,
        limit: usize,
    ) -> Result<TranscriptSlice, StoreError> {
        let logs = self.logs();
        let Some(log) = logs.workers.get(worker) else {
            return Ok(TranscriptSlice { start: 0, total: 0, entries: Vec::new(), head: Head::EMPTY });
        };
        let total = log.entries.len() as u64;
        let start = match start {
            Start::Behind(n) => n.min(total),
            Start::BeforeEnd(n) => total.saturating_sub(n),
        };
        let entries = log.entries.range(start + 1..).take(limit).map(|(_, entry)| entry.clone()).collect();
        Ok(TranscriptSlice { start, total, entries, head: log.head() })
    }

    async fn accepted_input(
        &self,
        worker: &WorkerId,
        input: &InputId,
    ) -> Result<Option<AcceptedInput>, StoreError> {
        Ok(self.logs().workers.get(worker).and_then(|log| log.accepted.get(input).cloned()))
    }

    async fn checkpoint(&self, worker: &WorkerId) -> Result<Option<Checkpoint>, StoreError> {
        Ok(self.logs().workers.get(worker).and_then(|log| log.checkpoint.clone()))
    }

    async fn blob(&self, worker: &WorkerId, digest: Digest) -> Result<Option<Bytes>, StoreError> {
        Ok(self.logs().workers.get(worker).and_then(|log| log.blobs.get(&digest).cloned()))
    }

    async fn kept(
        &self,
        worker: &WorkerId,
        after: Option<&str>,
        most: Most,
    ) -> Result<Vec<Kept>, StoreError> {
        let logs = self.logs();
        let Some(log) = logs.workers.get(worker) else { return Ok(Vec::new()) };
        let behind = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut bytes: usize = 0;
        let fits = |(place, (_, kept)): &(usize, (&String, &Bytes))| {
            bytes += kept.len();
            *place == 0 || (*place < most.events && bytes <= most.bytes)
        };
        let kept = log.kept.range::<str, _>((behind, Bound::Unbounded)).enumerate().take_while(fits);
        Ok(kept.map(|(_, (name, bytes))| Kept { name: name.clone(), bytes: bytes.clone() }).collect())
    }

    async fn remember(&self, keys: Vec<KeyRecord>) -> Result<(), StoreError> {
        self.logs().remember(keys);
        Ok(())
    }

    async fn remembered(&self, scope: &str, key: &IdempotencyKey) -> Result<Option<KeyRecord>, StoreError> {
        Ok(self.logs().keys.get(&(scope.to_owned(), key.clone())).cloned())
    }

    async fn keys_of(&self, owner: &str) -> Result<OwnedKeys, StoreError> {
        let logs = self.logs();
        let Some(KeysOfOne { by_age, bytes }) = logs.owned_keys.get(owner) else {
            return Ok(OwnedKeys::default());
        };
        let oldest = by_age.first().map(|(at, _)| *at);
        Ok(OwnedKeys { count: by_age.len() as u64, bytes: *bytes, oldest })
    }

    async fn forget_keys(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
        let mut logs = self.logs();
        let owners = logs.owned_keys.values();
        let old = owners.flat_map(|owned| owned.by_age.iter().take_while(|(at, _)| *at < before));
        let old: Vec<_> = old.map(|(_, place)| place.clone()).take(limit).collect();
        old.iter().for_each(|place| logs.forget_key(place));
        Ok(old.len())
    }

    async fn prune(&self, prune: Prune) -> Result<(), StoreError> {
        let mut logs = self.logs();
        let Some(log) = logs.workers.get_mut(&prune.worker) else {
            return Err(StoreError::NoWorker(prune.worker));
        };
        log.check_epoch(&prune.worker, prune.epoch)?;
        if prune.oldest.seq > log.oldest.seq {
            log.prune(prune.oldest, prune.checkpoint);
        }
        Ok(())
    }

    async fn delete(&self, worker: &WorkerId) -> Result<bool, StoreError> {
        let mut logs = self.logs();
        let logs = &mut *logs;
        let Some(log) = logs.workers.remove(worker) else { return Ok(false) };
        *logs.counts.of(log.row.status()) -= 1;
        logs.deleted.insert(worker.clone());
        Ok(true)
    }

    async fn put_bundle(
        &self,
        bundle: StoredBundle,
        most: usize,
        key: Option<KeyRecord>,
    ) -> Result<BundlePut, StoreError> {
        let mut logs = self.logs();
        let ConfigBundleSummary { id, revision, digest, .. } = &bundle.summary;
        let place = (id.clone(), revision.clone());
        let put = match logs.bundles.get(&place).map(|found| found.summary.digest) {
            Some(found) if found == *digest => BundlePut::WasThere,
            Some(found) => return Ok(BundlePut::OtherContent(found)),
            None if logs.bundles.len() >= most => return Ok(BundlePut::TooMany),
            None => {
                logs.bundles.insert(place, bundle);
                BundlePut::Stored
            }
        };
        logs.remember(key.into_iter().collect());
        Ok(put)
    }

    async fn bundle(&self, reference: &ConfigBundleRef) -> Result<Option<StoredBundle>, StoreError> {
        Ok(self.logs().bundles.values().find(|bundle| is_meant(reference, &bundle.summary)).cloned())
    }

    async fn has_bundle(&self, id: &ConfigBundleId) -> Result<bool, StoreError> {
        Ok(self.logs().bundles.keys().any(|(bundle, _)| bundle == id))
    }

    async fn bundles(&self) -> Result<Vec<ConfigBundleSummary>, StoreError> {
        Ok(self.logs().bundles.values().map(|bundle| bundle.summary.clone()).collect())
    }

    async fn delete_bundle(&self, reference: &ConfigBundleRef) -> Result<bool, StoreError> {
        let mut logs = self.logs();
        let before = logs.bundles.len();
        logs.bundles.retain(|_, bundle| !is_meant(reference, &bundle.summary));
        Ok(logs.bundles.len() < before)
    }
}

fn is_meant(reference: &ConfigBundleRef, summary: &ConfigBundleSummary) -> bool {
    (&summary.id, summary.digest) == (&reference.id, reference.digest)
}
