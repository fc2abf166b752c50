//! A store in memory: for tests, embedding and throw-away servers.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Bound,
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use musher_protocol::{InputId, StoreKind, TranscriptEntry, WorkerId, WorkerStatus};

use crate::store::{
    AcceptedInput, Commit, Head, Most, Start, Store, StoreError, StoredEvent, TranscriptSlice, WorkerCounts,
    WorkerRow,
};

/// A [`Store`] whose logs are gone with the process. It grows with what its workers do, for ever.
#[derive(Debug, Default)]
pub struct MemoryStore {
    /// Protects the maps for the few lines of one read or one commit; nothing awaits under it.
    logs: Mutex<Logs>,
}

#[derive(Debug, Default)]
struct Logs {
    /// Ids sort by age, so the order of the map is the order of creation.
    workers: BTreeMap<WorkerId, Log>,
    counts: WorkerCounts,
}

#[derive(Debug)]
struct Log {
    row: WorkerRow,
    events: Vec<StoredEvent>,
    entries: Vec<TranscriptEntry>,
    accepted: HashMap<InputId, AcceptedInput>,
}

impl Log {
    fn head(&self) -> Head {
        self.events.last().map_or(Head::EMPTY, |event| Head { seq: event.seq, checksum: event.checksum })
    }
}

impl WorkerCounts {
    fn of(&mut self, status: WorkerStatus) -> &mut u64 {
        match status {
            WorkerStatus::Stopped => &mut self.stopped,
            WorkerStatus::Cancelled => &mut self.cancelled,
            WorkerStatus::Running | WorkerStatus::Unknown => &mut self.active,
        }
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

    async fn append(&self, commit: Commit) -> Result<(), StoreError> {
        let mut logs = self.logs();
        let logs = &mut *logs;
        let head = logs.workers.get(&commit.worker).map_or(0, |log| log.head().seq);
        if head != commit.expected_head {
            return Err(StoreError::Conflict { worker: commit.worker, head });
        }
        if let Some(row) = &commit.row {
            if let Some(log) = logs.workers.get(&commit.worker) {
                *logs.counts.of(log.row.status()) -= 1;
            }
            *logs.counts.of(row.status()) += 1;
        }
        let log = match (logs.workers.get_mut(&commit.worker), commit.row) {
            (Some(log), row) => {
                if let Some(row) = row {
                    log.row = row;
                }
                log
            }
            (None, Some(row)) => {
                let log = Log { row, events: Vec::new(), entries: Vec::new(), accepted: HashMap::new() };
                logs.workers.entry(commit.worker).or_insert(log)
            }
            (None, None) => return Err(StoreError::Conflict { worker: commit.worker, head }),
        };
        log.events.extend(commit.events);
        for entry in commit.entries {
            let place = usize::try_from(entry.sequence - 1).expect("a transcript fits into memory");
            match log.entries.get_mut(place) {
                Some(old) => *old = entry,
                None => log.entries.push(entry),
            }
        }
        log.accepted.extend(commit.accepted.into_iter().map(|input| (input.input_id.clone(), input)));
        Ok(())
    }

    async fn worker(&self, worker: &WorkerId) -> Result<Option<WorkerRow>, StoreError> {
        Ok(self.logs().workers.get(worker).map(|log| log.row.clone()))
    }

    async fn workers(
        &self,
        status: Option<WorkerStatus>,
        after: Option<&WorkerId>,
        limit: usize,
    ) -> Result<Vec<WorkerRow>, StoreError> {
        let behind = after.map_or(Bound::Unbounded, Bound::Excluded);
        let logs = self.logs();
        let rows = logs.workers.range::<WorkerId, _>((behind, Bound::Unbounded)).map(|(_, log)| &log.row);
        Ok(rows
            .filter(|row| status.is_none_or(|status| row.status() == status))
            .take(limit)
            .cloned()
            .collect())
    }

    async fn counts(&self) -> Result<WorkerCounts, StoreError> {
        Ok(self.logs().counts)
    }

    async fn head(&self, worker: &WorkerId) -> Result<Head, StoreError> {
        Ok(self.logs().workers.get(worker).map_or(Head::EMPTY, Log::head))
    }

    async fn events(
        &self,
        worker: &WorkerId,
        after: u64,
        most: Most,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        let logs = self.logs();
        let Some(log) = logs.workers.get(worker) else { return Ok(Vec::new()) };
        let passed = usize::try_from(after).unwrap_or(usize::MAX);
        let mut bytes = 0;
        let fits = |event: &&StoredEvent| {
            let is_first = bytes == 0;
            bytes += event.payload.len();
            is_first || bytes <= most.bytes
        };
        Ok(log.events.iter().skip(passed).take(most.events).take_while(fits).cloned().collect())
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
        let total = log.entries.len();
        let passed = match start {
            Start::Behind(n) => usize::try_from(n).unwrap_or(usize::MAX),
            Start::BeforeEnd(n) => total.saturating_sub(usize::try_from(n).unwrap_or(usize::MAX)),
        };
        let entries = log.entries.iter().skip(passed).take(limit).cloned().collect();
        Ok(TranscriptSlice { start: passed as u64, total: total as u64, entries, head: log.head() })
    }

    async fn accepted_input(
        &self,
        worker: &WorkerId,
        input: &InputId,
    ) -> Result<Option<AcceptedInput>, StoreError> {
        Ok(self.logs().workers.get(worker).and_then(|log| log.accepted.get(input).cloned()))
    }
}
