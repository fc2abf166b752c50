//! A store beside its model: what is done is done to both, and both must answer alike.

use std::{collections::BTreeSet, sync::Arc};

use futures_util::future;
use musher_core::{Commit, Life, Most, NewLife, Prune, Start, Store};
use musher_protocol::{ApprovalId, Digest, InputId, Order, WorkerId, WorkerStatus};

use super::{
    Place,
    draft::{Draft, approval_of, checkpoint_at},
    model::Model,
    read::{Read, Reply},
    refusal::{Answer, answer},
    row::row,
};

/// More workers, events and entries than any check makes.
const PLENTY: usize = 1 << 20;

/// All events of a log.
pub(super) const ALL: Most = Most { events: PLENTY, bytes: 64 * PLENTY };

/// As many events as the runtime puts into one commit.
pub(super) const LONG_COMMIT: usize = 256;

/// A store and the model of it. After every write, everything that the store can be asked is compared.
#[derive(Debug)]
pub(super) struct Pair<'a> {
    place: &'a dyn Place,
    /// None only while it is closed to be opened again.
    store: Option<Arc<dyn Store>>,
    model: Model,
    n_drafts: u64,
    n_workers: u64,
    n_lives: u64,
    /// Inputs that some commit named, accepted or not.
    inputs: BTreeSet<InputId>,
    /// Bodies that some commit named, accepted or not.
    digests: BTreeSet<Digest>,
    /// Approvals that some commit was about, accepted or not.
    approvals: BTreeSet<ApprovalId>,
}

impl<'a> Pair<'a> {
    pub(super) async fn open(place: &'a dyn Place) -> Self {
        let mut pair = Self {
            place,
            store: None,
            model: Model::default(),
            n_drafts: 0,
            n_workers: 0,
            n_lives: 0,
            inputs: BTreeSet::new(),
            digests: BTreeSet::new(),
            approvals: BTreeSet::new(),
        };
        pair.reopen().await;
        pair
    }

    /// Closes the store, opens the same place again and begins another life, which the store answers to.
    pub(super) async fn reopen(&mut self) -> Life {
        // The place may be locked for as long as a store lives.
        self.store = None;
        let store = self.place.open().await;
        self.n_lives += 1;
        let begun = store.begin(new_life(self.n_lives)).await.expect("a life begins");
        self.store = Some(store);
        let first = new_life(1).runtime_id;
        let previous_owner = self.n_lives.checked_sub(1).filter(|n| *n > 0).map(|n| new_life(n).owner);
        assert_eq!(begun, Life { runtime_id: first, previous_owner });
        self.check().await;
        begun
    }

    pub(super) fn store(&self) -> &dyn Store {
        self.store.as_deref().expect("the store is open")
    }

    pub(super) fn model(&self) -> &Model {
        &self.model
    }

    /// A worker that nobody has created, younger than all before.
    pub(super) fn new_worker(&mut self) -> WorkerId {
        self.n_workers += 1;
        format!("wrk_{:032x}", self.n_workers).parse().expect("a worker id")
    }

    /// The next commit of a worker, as its writer would make it.
    pub(super) fn draft(&mut self, worker: &WorkerId) -> Draft {
        self.n_drafts += 1;
        let log = self.model.log(worker);
        let (epoch, head) = log.map_or((Commit::FIRST_EPOCH, 0), |log| (log.epoch, log.head().seq));
        Draft::new(worker, self.n_drafts, epoch, head)
    }

    /// The first commit of a worker.
    pub(super) fn first(&mut self, worker: &WorkerId) -> Draft {
        self.draft(worker).row(row(worker))
    }

    /// Creates a worker with one event.
    pub(super) async fn create(&mut self) -> WorkerId {
        let worker = self.new_worker();
        let first = self.first(&worker).commit();
        assert_eq!(self.append(first).await, Ok(()), "{worker} is created");
        worker
    }

    /// Creates a worker with so many events.
    pub(super) async fn create_with(&mut self, n_events: usize) -> WorkerId {
        let worker = self.new_worker();
        let first = self.first(&worker).events(n_events).commit();
        assert_eq!(self.append(first).await, Ok(()), "{worker} is created");
        worker
    }

    /// Creates a worker with a log that no store forgets in one go.
    pub(super) async fn create_long(&mut self) -> WorkerId {
        let worker = self.create_with(LONG_COMMIT).await;
        for _ in 1..8 {
            let commit = self.draft(&worker).events(LONG_COMMIT).commit();
            assert_eq!(self.append(commit).await, Ok(()));
        }
        worker
    }

    pub(super) async fn append(&mut self, commit: Commit) -> Answer<()> {
        let mut answers = self.append_together(vec![commit]).await;
        answers.pop().expect("an answer to each commit")
    }

    /// Appends commits of different workers at the same time.
    pub(super) async fn append_together(&mut self, commits: Vec<Commit>) -> Vec<Answer<()>> {
        let store = self.store();
        let appended = future::join_all(commits.iter().cloned().map(|commit| store.append(commit))).await;
        let answers: Vec<_> = appended.into_iter().map(answer).collect();
        for (commit, answer) in commits.iter().zip(&answers) {
            assert_eq!(*answer, self.note(commit), "the answer to {commit:#?}");
        }
        self.check().await;
        answers
    }

    /// Takes into the model what a store was given, and says what it had to answer.
    pub(super) fn note(&mut self, commit: &Commit) -> Answer<()> {
        self.inputs.extend(commit.accepted.iter().map(|accepted| accepted.input_id.clone()));
        self.digests.extend(commit.blobs.iter().map(|blob| blob.digest));
        self.approvals.extend(commit.events.iter().filter_map(approval_of));
        self.model.append(commit)
    }

    /// Takes into the model what a store answered to a claim.
    pub(super) fn note_claim(&mut self, worker: &WorkerId, epoch: Option<u64>) {
        self.model.claim(worker, epoch);
    }

    pub(super) async fn claim(&mut self, worker: &WorkerId) -> Option<u64> {
        let epoch = answer(self.store().claim(worker).await).expect("a claim is not refused");
        self.note_claim(worker, epoch);
        self.check().await;
        epoch
    }

    /// A prune of all events up to this number, with a checkpoint there.
    pub(super) fn prune_to(&self, worker: &WorkerId, seq: u64) -> Prune {
        let log = self.model.log(worker).expect("a worker to prune");
        let oldest = log.place(seq).expect("an event to prune");
        Prune { worker: worker.clone(), epoch: log.epoch, checkpoint: checkpoint_at(oldest.clone()), oldest }
    }

    pub(super) async fn prune(&mut self, prune: Prune) -> Answer<()> {
        let pruned = answer(self.store().prune(prune.clone()).await);
        assert_eq!(pruned, self.model.prune(&prune), "the answer to {prune:#?}");
        self.check().await;
        pruned
    }

    pub(super) async fn delete(&mut self, worker: &WorkerId) -> bool {
        let was_there = answer(self.store().delete(worker).await).expect("a delete is not refused");
        assert_eq!(was_there, self.model.delete(worker), "whether there was {worker} to delete");
        self.check().await;
        was_there
    }

    pub(super) async fn read(&self, read: Read) -> Answer<Reply> {
        let reply = read.of(self.store()).await;
        assert_eq!(reply, self.model.answer(&read), "the answer to {read:?}");
        reply
    }

    /// Compares everything: of every worker that ever was, and of one that never was.
    pub(super) async fn check(&self) {
        let statuses = [WorkerStatus::Running, WorkerStatus::Stopped, WorkerStatus::Cancelled];
        for status in [None].into_iter().chain(statuses.map(Some)) {
            for order in [Order::Asc, Order::Desc] {
                self.same(Read::Workers { status, order, after: None, limit: PLENTY }).await;
            }
        }
        self.same(Read::Unsettled { after: None, limit: PLENTY }).await;
        self.same(Read::Counts).await;
        let stranger = "wrk_stranger".parse().expect("a worker id");
        for worker in self.model.workers().chain([&stranger]) {
            self.check_worker(worker).await;
        }
    }

    async fn check_worker(&self, worker: &WorkerId) {
        let of = || worker.clone();
        self.same(Read::Worker(of())).await;
        self.same(Read::Extent(of())).await;
        self.same(Read::Checkpoint(of())).await;
        let oldest = self.model.log(worker).map_or(0, |log| log.oldest().seq);
        for after in BTreeSet::from([0, oldest, PLENTY as u64]) {
            self.same(Read::Events { worker: of(), after, most: ALL }).await;
        }
        for start in [Start::Behind(0), Start::BeforeEnd(2)] {
            self.same(Read::Transcript { worker: of(), start, limit: PLENTY }).await;
        }
        for input in &self.inputs {
            self.same(Read::AcceptedInput(of(), input.clone())).await;
        }
        for digest in &self.digests {
            self.same(Read::Blob(of(), *digest)).await;
        }
        for approval in &self.approvals {
            self.same(Read::Approval(of(), approval.clone())).await;
        }
        self.same(Read::Kept { worker: of(), after: None, most: ALL }).await;
    }

    async fn same(&self, read: Read) {
        // Compared by `read`; laws that want to see the answer use that.
        drop(self.read(read).await);
    }
}

/// The `n`th runtime that works on a place.
fn new_life(n: u64) -> NewLife {
    NewLife { runtime_id: format!("rt_{n}").parse().expect("a runtime id"), owner: format!("owner-{n}") }
}
