//! What a store should answer: a list of what was done, and every answer looked up in it.

use std::collections::BTreeMap;

use musher_core::{
    AcceptedInput, Checkpoint, Commit, Extent, Head, Kept, Most, Prune, Start, StoredEvent, TranscriptSlice,
    WorkerCounts, WorkerRow,
};
use musher_protocol::{ApprovalId, InputId, Order, TranscriptEntry, WorkerId, WorkerStatus};

use super::{
    draft::{approval_of, place_behind},
    read::{Read, Reply},
    refusal::{Answer, Refusal},
};

/// A store without any art. It forgets nothing; what a prune or a delete hides is passed over.
#[derive(Debug, Default)]
pub(super) struct Model {
    /// In the order of creation.
    logs: Vec<Log>,
}

/// What was done to a worker.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) worker: WorkerId,
    pub(super) epoch: u64,
    pub(super) commits: Vec<Commit>,
    pub(super) prunes: Vec<Prune>,
    is_deleted: bool,
}

impl Model {
    /// The log of a worker that is there.
    pub(super) fn log(&self, worker: &WorkerId) -> Option<&Log> {
        self.logs.iter().find(|log| log.worker == *worker && !log.is_deleted)
    }

    /// Every worker that ever was, in the order of creation.
    pub(super) fn workers(&self) -> impl Iterator<Item = &WorkerId> {
        self.logs.iter().map(|log| &log.worker)
    }

    pub(super) fn append(&mut self, commit: &Commit) -> Answer<()> {
        let worker = commit.worker.clone();
        if let Some(log) = self.logs.iter_mut().find(|log| log.worker == worker) {
            log.check(commit.epoch)?;
            let head = log.head().seq;
            if log.commits.last().is_some_and(|last| last.batch_id == commit.batch_id) {
                return Ok(());
            }
            if head != commit.expected_head {
                return Err(Refusal::Conflict { worker, head });
            }
            log.commits.push(commit.clone());
            return Ok(());
        }
        if (commit.expected_head, commit.epoch, commit.row.is_some()) != (0, Commit::FIRST_EPOCH, true) {
            return Err(Refusal::NoWorker(worker));
        }
        let commits = vec![commit.clone()];
        let log = Log { worker, epoch: Commit::FIRST_EPOCH, commits, prunes: Vec::new(), is_deleted: false };
        self.logs.push(log);
        Ok(())
    }

    /// Notes the epoch that a store gave.
    pub(super) fn claim(&mut self, worker: &WorkerId, given: Option<u64>) {
        let log = self.logs.iter_mut().find(|log| log.worker == *worker && !log.is_deleted);
        match (log, given) {
            (Some(log), Some(epoch)) => {
                assert!(epoch > log.epoch, "{worker} was at epoch {}: {epoch} is not higher", log.epoch);
                log.epoch = epoch;
            }
            (None, None) => {}
            (log, given) => panic!("the claim of {worker} is answered with {given:?}: {log:#?}"),
        }
    }

    pub(super) fn prune(&mut self, prune: &Prune) -> Answer<()> {
        let log = self.logs.iter_mut().find(|log| log.worker == prune.worker);
        let log = log.ok_or_else(|| Refusal::NoWorker(prune.worker.clone()))?;
        log.check(prune.epoch)?;
        if prune.oldest.seq > log.oldest().seq {
            log.prunes.push(prune.clone());
        }
        Ok(())
    }

    pub(super) fn delete(&mut self, worker: &WorkerId) -> bool {
        let log = self.logs.iter_mut().find(|log| log.worker == *worker && !log.is_deleted);
        log.is_some_and(|log| {
            log.is_deleted = true;
            true
        })
    }

    pub(super) fn answer(&self, read: &Read) -> Answer<Reply> {
        Ok(match read {
            Read::Worker(worker) => Reply::Worker(self.log(worker).map(|log| Box::new(log.row().clone()))),
            Read::Workers { status, order, after, limit } => {
                let wanted = |row: &&WorkerRow| status.is_none_or(|status| row.status() == status);
                let mut rows: Vec<_> = match (order, after) {
                    (Order::Asc, after) => self.behind(after.as_ref()).map(Log::row).filter(wanted).collect(),
                    (Order::Desc, None) => self.behind(None).map(Log::row).filter(wanted).collect(),
                    (Order::Desc, Some(after)) => {
                        let before = self.behind(None).take_while(|log| log.worker < *after);
                        before.map(Log::row).filter(wanted).collect()
                    }
                };
                if *order == Order::Desc {
                    rows.reverse();
                }
                Reply::Workers(rows.into_iter().take(*limit).cloned().collect())
            }
            Read::Unsettled { after, limit } => {
                let logs = self.behind(after.as_ref()).filter(|log| log.row().unsettled());
                Reply::Unsettled(logs.take(*limit).map(|log| log.worker.clone()).collect())
            }
            Read::Counts => {
                let of = |status| self.behind(None).filter(|log| log.row().status() == status).count() as u64;
                Reply::Counts(WorkerCounts {
                    active: of(WorkerStatus::Running),
                    stopped: of(WorkerStatus::Stopped),
                    cancelled: of(WorkerStatus::Cancelled),
                })
            }
            Read::Extent(worker) => {
                let extent = |log: &Log| Extent { oldest: log.oldest(), head: log.head() };
                Reply::Extent(self.log(worker).map(extent))
            }
            Read::Events { worker, after, most } => match self.log(worker) {
                Some(log) => Reply::Events(log.page(*after, *most)?),
                None => Reply::Events(Vec::new()),
            },
            Read::Approval(worker, approval) => {
                Reply::Events(self.log(worker).map_or(Vec::new(), |log| log.about(approval)))
            }
            Read::Transcript { worker, start, limit } => Reply::Transcript(match self.log(worker) {
                Some(log) => log.slice(*start, *limit),
                None => TranscriptSlice { start: 0, total: 0, entries: Vec::new(), head: Head::EMPTY },
            }),
            Read::AcceptedInput(worker, input) => {
                Reply::AcceptedInput(self.log(worker).and_then(|log| log.accepted(input).cloned()))
            }
            Read::Checkpoint(worker) => {
                Reply::Checkpoint(self.log(worker).and_then(|log| log.checkpoint().cloned()))
            }
            Read::Blob(worker, digest) => {
                let blobs = self.log(worker).into_iter().flat_map(|log| &log.commits);
                let mut blobs = blobs.flat_map(|commit| &commit.blobs);
                Reply::Blob(blobs.find(|blob| blob.digest == *digest).map(|blob| blob.bytes.clone()))
            }
            Read::Kept { worker, after, most } => {
                Reply::Kept(self.log(worker).map_or(Vec::new(), |log| log.kept(after.as_deref(), *most)))
            }
        })
    }

    /// Workers that are there and were created after this one, which may be gone.
    fn behind(&self, after: Option<&WorkerId>) -> impl Iterator<Item = &Log> {
        let place_of = |worker: &WorkerId| self.logs.iter().position(|log| log.worker == *worker);
        let passed = after.map_or(0, |after| place_of(after).expect("a worker that was once there") + 1);
        self.logs.iter().skip(passed).filter(|log| !log.is_deleted)
    }
}

impl Log {
    /// The place behind the newest event.
    pub(super) fn head(&self) -> Head {
        self.commits.last().expect("a worker begins with a commit").head()
    }

    /// The place before the oldest event that is not pruned.
    pub(super) fn oldest(&self) -> Head {
        self.prunes.last().map_or(Head::EMPTY, |prune| prune.oldest.clone())
    }

    /// The place behind the event with this number, which may be pruned.
    pub(super) fn place(&self, seq: u64) -> Option<Head> {
        self.events().find(|event| event.seq == seq).map(place_behind)
    }

    /// How many entries the transcript has.
    pub(super) fn n_entries(&self) -> u64 {
        self.entries().len() as u64
    }

    pub(super) fn accepted(&self, input: &InputId) -> Option<&AcceptedInput> {
        let mut accepted = self.commits.iter().flat_map(|commit| &commit.accepted);
        accepted.find(|accepted| accepted.input_id == *input)
    }

    fn entries(&self) -> BTreeMap<u64, &TranscriptEntry> {
        let written = self.commits.iter().flat_map(|commit| &commit.entries);
        written.map(|entry| (entry.sequence, entry)).collect()
    }

    fn check(&self, epoch: u64) -> Answer<()> {
        if self.is_deleted {
            Err(Refusal::NoWorker(self.worker.clone()))
        } else if epoch == self.epoch {
            Ok(())
        } else {
            Err(Refusal::Fenced { worker: self.worker.clone(), epoch: self.epoch })
        }
    }

    fn events(&self) -> impl Iterator<Item = &StoredEvent> {
        self.commits.iter().flat_map(|commit| &commit.events)
    }

    fn row(&self) -> &WorkerRow {
        let mut newest_first = self.commits.iter().rev();
        newest_first.find_map(|commit| commit.row.as_ref()).expect("a worker begins with a row")
    }

    fn checkpoint(&self) -> Option<&Checkpoint> {
        let of_commits = self.commits.iter().filter_map(|commit| commit.checkpoint.as_ref());
        let of_prunes = self.prunes.iter().map(|prune| &prune.checkpoint);
        of_commits.chain(of_prunes).max_by_key(|checkpoint| checkpoint.head.seq)
    }

    fn page(&self, after: u64, most: Most) -> Answer<Vec<StoredEvent>> {
        let oldest = self.oldest();
        if after < oldest.seq {
            return Err(Refusal::Pruned { worker: self.worker.clone(), oldest });
        }
        let mut page: Vec<StoredEvent> = Vec::new();
        let mut bytes = 0;
        for event in self.events().filter(|event| event.seq > after) {
            bytes += event.payload.len();
            let is_allowed = page.len() < most.events && bytes <= most.bytes;
            if !page.is_empty() && !is_allowed {
                break;
            }
            page.push(event.clone());
        }
        Ok(page)
    }

    fn about(&self, approval: &ApprovalId) -> Vec<StoredEvent> {
        let oldest = self.oldest().seq;
        let events = self.events().filter(|event| event.seq > oldest);
        events.filter(|event| approval_of(event).as_ref() == Some(approval)).take(2).cloned().collect()
    }

    fn kept(&self, after: Option<&str>, most: Most) -> Vec<Kept> {
        let written = self.commits.iter().flat_map(|commit| &commit.kept);
        let newest: BTreeMap<&[u8], &Kept> = written.map(|kept| (kept.name.as_bytes(), kept)).collect();
        let behind = newest.values().filter(|kept| after.is_none_or(|after| *kept.name > *after));
        let mut page: Vec<Kept> = Vec::new();
        let mut bytes = 0;
        for kept in behind {
            bytes += kept.bytes.len();
            let is_allowed = page.len() < most.events && bytes <= most.bytes;
            if !page.is_empty() && !is_allowed {
                break;
            }
            page.push((*kept).clone());
        }
        page
    }

    fn slice(&self, start: Start, limit: usize) -> TranscriptSlice {
        let entries = self.entries();
        let total = entries.len() as u64;
        let start = match start {
            Start::Behind(n) => n.min(total),
            Start::BeforeEnd(n) => total.saturating_sub(n),
        };
        let behind = entries.into_iter().filter(|(sequence, _)| *sequence > start);
        let entries = behind.take(limit).map(|(_, entry)| entry.clone()).collect();
        TranscriptSlice { start, total, entries, head: self.head() }
    }
}
