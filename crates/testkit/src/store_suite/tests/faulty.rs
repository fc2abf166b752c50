//! Stores that break one rule each.

mod asking;
mod bundling;
mod keeping;
mod remembering;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use musher_core::{
    AcceptedInput, Blob, BundlePut, Checkpoint, Commit, Extent, Head, Health, Kept, KeyRecord, Life,
    MemoryStore, Most, NewLife, OwnedKeys, Prune, Start, Store, StoreError, StoredBundle, StoredEvent,
    TranscriptSlice, WorkerCounts, WorkerRow,
};
use musher_protocol::{
    ApprovalId, ConfigBundleId, ConfigBundleRef, ConfigBundleSummary, Digest, IdempotencyKey, InputId, Order,
    RuntimeId, StoreKind, WorkerId, WorkerStatus,
};
use tokio::{sync::watch, task::yield_now};
use uuid::Uuid;

use super::{
    fault::Fault,
    journal::{Act, Journal},
};
use crate::store_suite::draft::checkpoint_at;

/// A right store, and what it takes to break a rule of it.
#[derive(Debug)]
pub(super) struct Faulty {
    store: MemoryStore,
    fault: Fault,
    journal: Arc<Journal>,
    /// Protects counts for a few lines; nothing awaits under it.
    seen: Mutex<Seen>,
    health: watch::Sender<Health>,
}

/// What a fault has to remember.
#[derive(Debug, Default)]
struct Seen {
    /// Appends under way, and whether one of them was refused.
    n_mates: usize,
    mate_was_refused: bool,
    /// Batches that were refused.
    refused: BTreeSet<Uuid>,
    /// Whether anything was pruned, or deleted.
    has_pruned: bool,
    deleted: BTreeSet<WorkerId>,
    /// Of commits, whoever's.
    accepted: Vec<AcceptedInput>,
    blobs: Vec<Blob>,
    /// Events, with the worker whose they are.
    about: Vec<(WorkerId, StoredEvent)>,
    kept: Vec<(WorkerId, Kept)>,
    /// Names of what is kept by a commit under way, but for its first.
    late: Vec<String>,
    /// Whose keys were written, once for each time.
    owners: Vec<String>,
    /// How many bytes of each were written.
    weights: BTreeMap<String, u64>,
    /// Rows as they were created.
    created: WorkerCounts,
}

impl Faulty {
    /// A store that has in it what the journal says.
    pub(super) fn new(store: MemoryStore, fault: Fault, journal: Arc<Journal>) -> Self {
        let health = if fault == Fault::HealthIsFull { Health::Full } else { Health::Good };
        Self { store, fault, journal, seen: Mutex::default(), health: watch::Sender::new(health) }
    }

    fn is(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn write(&self, commit: Commit) -> Result<(), StoreError> {
        let written = self.store.append(commit.clone()).await;
        if written.is_ok() {
            self.journal.note(Act::Append(Box::new(commit)));
        }
        written
    }

    /// Makes of a commit what a fault makes of it before it is written.
    async fn spoil(&self, commit: &mut Commit) -> Result<(), StoreError> {
        let worker = &commit.worker;
        let is_first = self.store.extent(worker).await?.is_none();
        let is_long = commit.events.len() > 255;
        let is_large = commit.events.iter().any(|event| event.payload.len() > 1 << 20);
        if self.is(Fault::AppendForgetsBatches) {
            commit.batch_id = Uuid::new_v4();
        } else if self.is(Fault::AppendLosesLastEvents) && commit.events.len() > 1 {
            commit.events.pop();
        } else if self.is(Fault::AppendReordersEvents) {
            commit.events.reverse();
        } else if self.is(Fault::AppendKeepsOldRows) && !is_first {
            commit.row = None;
        } else if self.is(Fault::AppendKeepsOldCheckpoints) && self.store.checkpoint(worker).await?.is_some()
        {
            commit.checkpoint = None;
        } else if self.is(Fault::AppendLosesBlobs) {
            commit.blobs.clear();
        } else if self.is(Fault::AppendNormalizesPayloads) {
            for event in &mut commit.events {
                let value: serde_json::Value = serde_json::from_slice(&event.payload).expect("JSON");
                event.payload = value.to_string().into();
            }
        } else if self.is(Fault::AppendAddsEntries) {
            let total = self.store.transcript(worker, Start::Behind(0), 0).await?.total;
            for (entry, sequence) in commit.entries.iter_mut().zip(total + 1..) {
                entry.sequence = sequence;
            }
        } else if (self.is(Fault::AppendRefusesLongCommits) && is_long)
            || (self.is(Fault::AppendRefusesLargeCommits) && is_large)
        {
            return Err(StoreError::Full);
        }
        Ok(())
    }

    /// Goes on where a right store refuses.
    async fn persist(&self, mut commit: Commit, refusal: StoreError) -> Result<(), StoreError> {
        if let StoreError::Fenced { epoch, .. } = &refusal
            && self.is(Fault::AppendIgnoresEpochs)
        {
            commit.epoch = *epoch;
        } else if let StoreError::Conflict { head, .. } = &refusal
            && self.is(Fault::AppendIgnoresHeads)
        {
            commit.expected_head = *head;
            for (event, seq) in commit.events.iter_mut().zip(head + 1..) {
                event.seq = seq;
            }
        } else if self.is(Fault::AppendCreatesOfAnyEpoch) && matches!(refusal, StoreError::NoWorker(_)) {
            commit.epoch = Commit::FIRST_EPOCH;
        } else if self.is(Fault::AppendHidesRefusals)
            || (self.is(Fault::DeletesFreeIds) && self.seen().deleted.contains(&commit.worker))
        {
            return Ok(());
        } else {
            return Err(refusal);
        }
        self.write(commit).await
    }

    /// Writes a commit in two parts.
    async fn tear(&self, commit: Commit) -> Result<(), StoreError> {
        let (first, rest) = commit.events.split_at(1);
        let head = Commit { events: first.to_vec(), batch_id: Uuid::new_v4(), ..commit.clone() };
        let tail =
            Commit { events: rest.to_vec(), expected_head: commit.expected_head + 1, ..commit.clone() };
        self.write(head).await?;
        yield_now().await;
        self.write(tail).await
    }
}

#[async_trait]
impl Store for Faulty {
    fn kind(&self) -> StoreKind {
        self.store.kind()
    }

    fn health(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }

    async fn begin(&self, life: NewLife) -> Result<Life, StoreError> {
        self.journal.note(Act::Begin(life.clone()));
        let new_id = life.runtime_id.clone();
        let mut begun = self.store.begin(life).await?;
        if self.is(Fault::BeginTakesTheNewId) {
            begun.runtime_id = new_id;
        } else if self.is(Fault::BeginTakesAnId) {
            begun.runtime_id = RuntimeId::mint();
        } else if self.is(Fault::BeginForgetsOwners) {
            begun.previous_owner = None;
        }
        Ok(begun)
    }

    async fn claim(&self, worker: &WorkerId) -> Result<Option<u64>, StoreError> {
        let was_claimed = || self.journal.has(|act| matches!(act, Act::Claim(claimed) if claimed == worker));
        let epoch = if self.is(Fault::ClaimsAreGivenTwice) && was_claimed() {
            Some(Commit::FIRST_EPOCH + 1)
        } else if self.is(Fault::ClaimsLeaveWritersAlone) {
            self.store.extent(worker).await?.map(|_there| Commit::FIRST_EPOCH + 1)
        } else if self.is(Fault::ClaimsForStrangers) {
            self.store.claim(worker).await?.or(Some(Commit::FIRST_EPOCH))
        } else {
            self.store.claim(worker).await?
        };
        self.journal.note(Act::Claim(worker.clone()));
        Ok(epoch)
    }

    async fn append(&self, mut commit: Commit) -> Result<(), StoreError> {
        self.spoil(&mut commit).await?;
        if self.is(Fault::AppendTearsCommits) && commit.events.len() > 1 {
            return self.tear(commit).await;
        }
        self.spoil_kept(&mut commit).await?;
        self.spoil_keys(&mut commit.keys).await?;
        let batch = commit.batch_id;
        if self.is(Fault::AppendTakesRepeatedRefusals) && self.seen().refused.contains(&batch) {
            return Ok(());
        }
        if self.is(Fault::AppendKnowsOldBatches)
            && self.journal.has(|act| matches!(act, Act::Append(commit) if commit.batch_id == batch))
        {
            return Ok(());
        }
        if self.is(Fault::AppendFailsMates) {
            self.seen().n_mates += 1;
            yield_now().await;
            if self.seen().mate_was_refused {
                self.seen().n_mates -= 1;
                return Err(StoreError::NoWorker(commit.worker));
            }
        }
        let is_first = self.store.extent(&commit.worker).await?.is_none();
        let written = self.write(commit.clone()).await;
        self.note_kept(&commit, written.is_ok()).await;
        if self.is(Fault::AppendFailsMates) {
            let mut seen = self.seen();
            seen.n_mates -= 1;
            seen.mate_was_refused = seen.n_mates > 0 && written.is_err();
        }
        if let Err(refusal) = written {
            if self.is(Fault::KeysOfTheRefused) {
                self.store.remember(commit.keys.clone()).await?;
            }
            self.seen().refused.insert(batch);
            return self.persist(commit, refusal).await;
        }
        let mut seen = self.seen();
        seen.accepted.extend(commit.accepted);
        seen.blobs.extend(commit.blobs);
        seen.about.extend(commit.events.into_iter().map(|event| (commit.worker.clone(), event)));
        if let Some(row) = commit.row.filter(|_row| is_first) {
            *seen.created.of(row.status()) += 1;
        }
        Ok(())
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
        let from = after.filter(|_after| !self.is(Fault::ListsIgnoreAfter) || limit <= 3);
        let of = status.filter(|_status| !self.is(Fault::ListsIgnoreStatus));
        let most = if self.is(Fault::ListsAreOneShort) { limit.saturating_sub(1).max(1) } else { limit };
        let kept = if self.is(Fault::ListsIgnoreOrder) { Order::Asc } else { order };
        let mut rows = self.store.workers(of, kept, from, most).await?;
        if self.is(Fault::ListsAreReversed) {
            rows.reverse();
        } else if self.is(Fault::ListsPassOverTheSecond) && after.is_some() && rows.len() > 1 {
            rows.remove(1);
        } else if self.is(Fault::ListsEndAtTheDead)
            && after.is_some_and(|after| self.seen().deleted.contains(after))
        {
            rows.clear();
        }
        Ok(rows)
    }

    async fn unsettled(&self, after: Option<&WorkerId>, limit: usize) -> Result<Vec<WorkerId>, StoreError> {
        let after = after.filter(|_after| !self.is(Fault::UnsettledIgnoreAfter));
        if self.is(Fault::UnsettledAreAll) {
            let rows = self.store.workers(None, Order::Asc, after, limit).await?;
            return Ok(rows.into_iter().map(|row| row.worker_id).collect());
        }
        self.store.unsettled(after, limit).await
    }

    async fn remember(&self, keys: Vec<KeyRecord>) -> Result<(), StoreError> {
        self.write_keys(keys).await
    }

    async fn remembered(&self, scope: &str, key: &IdempotencyKey) -> Result<Option<KeyRecord>, StoreError> {
        self.read_key(scope, key).await
    }

    async fn keys_of(&self, owner: &str) -> Result<OwnedKeys, StoreError> {
        self.count_keys(owner).await
    }

    async fn forget_keys(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
        self.drop_keys(before, limit).await
    }

    async fn counts(&self) -> Result<WorkerCounts, StoreError> {
        let mut counts = self.store.counts().await?;
        if self.is(Fault::CountsKeepTheDead) {
            counts.active += self.seen().deleted.len() as u64;
        } else if self.is(Fault::CountsStayAtCreation) {
            counts = self.seen().created;
        }
        Ok(counts)
    }

    async fn extent(&self, worker: &WorkerId) -> Result<Option<Extent>, StoreError> {
        let mut extent = self.store.extent(worker).await?;
        if let Some(extent) = &mut extent {
            if self.is(Fault::ExtentsForgetOldest) {
                extent.oldest = Head::EMPTY;
            } else if self.is(Fault::ExtentsForgetChecksums) {
                extent.oldest.checksum = 0;
            }
        }
        Ok(extent)
    }

    async fn events(
        &self,
        worker: &WorkerId,
        after: u64,
        most: Most,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        let bytes = if self.is(Fault::EventsOverrunBytes) { usize::MAX } else { most.bytes };
        let events = if self.is(Fault::EventsOverrunCounts) { usize::MAX } else { most.events };
        let read = self.store.events(worker, after, Most { events, bytes }).await;
        let mut events = match read {
            Err(StoreError::Pruned { oldest, .. }) if self.is(Fault::EventsComeFromTheOldest) => {
                self.store.events(worker, oldest.seq, most).await?
            }
            read => read?,
        };
        if self.is(Fault::EventsPagesHaveGaps) && after > 0 && events.len() > 1 {
            events.remove(0);
        } else if self.is(Fault::EventsStarveAtLargeOnes) {
            events.retain(|event| event.payload.len() <= most.bytes);
        } else if self.is(Fault::EventsForgetTypes) {
            events.iter_mut().for_each(|event| event.type_name = "diagnostic");
        }
        Ok(events)
    }

    async fn approval_events(
        &self,
        worker: &WorkerId,
        approval: &ApprovalId,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        self.read_approval(worker, approval).await
    }

    async fn transcript(
        &self,
        worker: &WorkerId,
        start: Start,
        limit: usize,
    ) -> Result<TranscriptSlice, StoreError> {
        let from = if self.is(Fault::SlicesBeginAtTheBeginning) && matches!(start, Start::BeforeEnd(_)) {
            Start::Behind(0)
        } else {
            start
        };
        let mut slice = self.store.transcript(worker, from, limit).await?;
        if self.is(Fault::SlicesForgetHeads) {
            slice.head = Head::EMPTY;
        } else if let Start::Behind(n) = start
            && self.is(Fault::SlicesPassOverMoreThanThereIs)
        {
            slice.start = n;
        }
        Ok(slice)
    }

    async fn accepted_input(
        &self,
        worker: &WorkerId,
        input: &InputId,
    ) -> Result<Option<AcceptedInput>, StoreError> {
        if self.is(Fault::InputsGoWithEvents) && self.seen().has_pruned {
            return Ok(None);
        }
        let in_lower_case = |input: &InputId| input.as_str().to_lowercase();
        let is_it = |accepted: &&AcceptedInput| {
            if self.is(Fault::InputsIgnoreCase) {
                let is_alike = in_lower_case(&accepted.input_id) == in_lower_case(input);
                is_alike && accepted.cursor.is_of(worker)
            } else {
                accepted.input_id == *input
            }
        };
        if self.is(Fault::InputsAreEverybodys) || self.is(Fault::InputsIgnoreCase) {
            return Ok(self.seen().accepted.iter().find(is_it).cloned());
        }
        self.store.accepted_input(worker, input).await
    }

    async fn checkpoint(&self, worker: &WorkerId) -> Result<Option<Checkpoint>, StoreError> {
        let newest = self.store.checkpoint(worker).await?;
        let extent = self.store.extent(worker).await?;
        let pruned = extent.map(|extent| extent.oldest).filter(|oldest| oldest.seq > 0);
        Ok(match pruned {
            Some(oldest) if self.is(Fault::CheckpointsGoBackByPrunes) => Some(checkpoint_at(oldest)),
            Some(_) | None => newest,
        })
    }

    async fn blob(&self, worker: &WorkerId, digest: Digest) -> Result<Option<Bytes>, StoreError> {
        if self.is(Fault::BlobsAreEverybodys) {
            let seen = self.seen();
            return Ok(seen.blobs.iter().find(|blob| blob.digest == digest).map(|blob| blob.bytes.clone()));
        }
        if (self.is(Fault::BlobsGoWithAnyWorker) && !self.seen().deleted.is_empty())
            || (self.is(Fault::BlobsGoWithEvents) && self.seen().has_pruned)
        {
            return Ok(None);
        }
        self.store.blob(worker, digest).await
    }

    async fn kept(
        &self,
        worker: &WorkerId,
        after: Option<&str>,
        most: Most,
    ) -> Result<Vec<Kept>, StoreError> {
        self.read_kept(worker, after, most).await
    }

    async fn prune(&self, mut prune: Prune) -> Result<(), StoreError> {
        let oldest = self.store.extent(&prune.worker).await?.map_or(0, |extent| extent.oldest.seq);
        if self.is(Fault::PrunesTakeOneMore) {
            prune.oldest.seq += 1;
        } else if self.is(Fault::PrunesForgetChecksums) {
            prune.oldest.checksum = 0;
        } else if self.is(Fault::PrunesGarbleCheckpoints) {
            prune.checkpoint.body = Bytes::new();
        } else if self.is(Fault::PrunesRefuseOlderPlaces) && prune.oldest.seq < oldest {
            return Err(StoreError::Conflict { worker: prune.worker, head: oldest });
        }
        let pruned = match self.store.prune(prune.clone()).await {
            Err(StoreError::Fenced { epoch, .. }) if self.is(Fault::PrunesAreUnfenced) => {
                prune.epoch = epoch;
                self.store.prune(prune.clone()).await
            }
            Err(StoreError::NoWorker(_)) if self.is(Fault::PrunesTakeStrangers) => Ok(()),
            pruned => pruned,
        };
        if pruned.is_ok() {
            self.seen().has_pruned = true;
            self.journal.note(Act::Prune(prune));
        }
        pruned
    }

    async fn delete(&self, worker: &WorkerId) -> Result<bool, StoreError> {
        let was_there = self.store.delete(worker).await?;
        if was_there {
            self.seen().deleted.insert(worker.clone());
            self.forget_kept(worker);
            self.journal.note(Act::Delete(worker.clone()));
        }
        Ok(was_there || self.is(Fault::DeletesAlwaysSayYes))
    }

    async fn put_bundle(
        &self,
        bundle: StoredBundle,
        most: usize,
        key: Option<KeyRecord>,
    ) -> Result<BundlePut, StoreError> {
        self.put_a_bundle(bundle, most, key).await
    }

    async fn bundle(&self, reference: &ConfigBundleRef) -> Result<Option<StoredBundle>, StoreError> {
        self.read_a_bundle(reference).await
    }

    async fn has_bundle(&self, id: &ConfigBundleId) -> Result<bool, StoreError> {
        self.has_a_bundle(id).await
    }

    async fn bundles(&self) -> Result<Vec<ConfigBundleSummary>, StoreError> {
        self.list_bundles().await
    }

    async fn delete_bundle(&self, reference: &ConfigBundleRef) -> Result<bool, StoreError> {
        self.delete_a_bundle(reference).await
    }
}
