//! One step of a random history.

use musher_core::{Commit, Most, Start};
use musher_protocol::{InputId, Order, WorkerId, WorkerStatus};
use proptest::{
    collection::vec,
    prelude::*,
    sample::{Index, select},
};

use super::{
    super::{
        draft::{Draft, checkpoint_at},
        model::Log,
        pair::Pair,
        read::Read,
        row::row,
    },
    Openings,
};

/// Something that is done to a store. What it means is known when it is performed: a [`Which`] names a worker among
/// those that there are then.
#[derive(Clone, Debug)]
pub(in crate::store_suite) enum Operation {
    Create { content: Content, flaw: Flaw },
    Append { worker: Which, content: Content, flaw: Flaw },
    Repeat { worker: Which, nth_last: usize },
    Claim(Which),
    Prune { worker: Which, oldest: Index, checkpoint: Index, is_fenced: bool },
    Delete(Which),
    Reopen,
    Events { worker: Which, after: u64, most: Most },
    Transcript { worker: Which, start: Start, limit: usize },
    Workers { status: Option<WorkerStatus>, order: Order, after: Option<Which>, limit: usize },
    Unsettled { after: Option<Which>, limit: usize },
    Kept { worker: Which, after: Option<u8>, most: Most },
}

/// One of the workers that ever were, deleted ones too.
#[derive(Clone, Debug)]
pub(in crate::store_suite) struct Which(Index);

/// What is wrong with a commit.
#[derive(Clone, Copy, Debug)]
pub(in crate::store_suite) enum Flaw {
    None,
    ExpectedHead(u64),
    Epoch(u64),
}

/// What a commit brings.
#[derive(Clone, Debug)]
pub(in crate::store_suite) struct Content {
    n_events: usize,
    entries: EntryChange,
    input: Option<u8>,
    body: Option<u8>,
    /// Names; one that comes twice is kept twice.
    kept: Vec<u8>,
    row: Option<(WorkerStatus, bool)>,
    has_checkpoint: bool,
}

/// Which transcript entries a commit brings.
#[derive(Clone, Debug)]
pub(in crate::store_suite) struct EntryChange {
    replaced: Vec<Index>,
    n_new: u64,
}

/// Histories of about forty operations.
pub(super) fn operations(openings: Openings) -> impl Strategy<Value = Vec<Operation>> {
    let operation = prop_oneof![
        5 => (content(), flaw()).prop_map(|(content, flaw)| Operation::Create { content, flaw }),
        20 => (which(), content(), flaw())
            .prop_map(|(worker, content, flaw)| Operation::Append { worker, content, flaw }),
        4 => (which(), 0..3_usize).prop_map(|(worker, nth_last)| Operation::Repeat { worker, nth_last }),
        4 => which().prop_map(Operation::Claim),
        5 => (which(), any::<Index>(), any::<Index>(), prop::bool::weighted(0.1)).prop_map(
            |(worker, oldest, checkpoint, is_fenced)| Operation::Prune { worker, oldest, checkpoint, is_fenced }
        ),
        1 => which().prop_map(Operation::Delete),
        4 => (which(), 0..12_u64, most())
            .prop_map(|(worker, after, most)| Operation::Events { worker, after, most }),
        3 => (which(), start(), 0..6_usize)
            .prop_map(|(worker, start, limit)| Operation::Transcript { worker, start, limit }),
        6 => (prop::option::of(status()), order(), prop::option::of(which()), 0..4_usize)
            .prop_map(|(status, order, after, limit)| Operation::Workers { status, order, after, limit }),
        2 => (prop::option::of(which()), 0..4_usize)
            .prop_map(|(after, limit)| Operation::Unsettled { after, limit }),
        3 => (which(), prop::option::of(0..5_u8), kept_most())
            .prop_map(|(worker, after, most)| Operation::Kept { worker, after, most }),
    ];
    let operation = match openings {
        Openings::Once => operation.boxed(),
        Openings::Reopened => prop_oneof![20 => operation, 1 => Just(Operation::Reopen)].boxed(),
    };
    vec(operation, 30..50)
}

fn which() -> impl Strategy<Value = Which> {
    any::<Index>().prop_map(Which)
}

fn order() -> impl Strategy<Value = Order> {
    prop_oneof![Just(Order::Asc), Just(Order::Desc)]
}

fn status() -> impl Strategy<Value = WorkerStatus> {
    select(vec![WorkerStatus::Running, WorkerStatus::Stopped, WorkerStatus::Cancelled])
}

fn most() -> impl Strategy<Value = Most> {
    (0..6_usize, 0..200_usize).prop_map(|(events, bytes)| Most { events, bytes })
}

fn kept_most() -> impl Strategy<Value = Most> {
    (0..5_usize, 0..100_usize).prop_map(|(events, bytes)| Most { events, bytes })
}

fn start() -> impl Strategy<Value = Start> {
    prop_oneof![(0..8_u64).prop_map(Start::Behind), (0..8_u64).prop_map(Start::BeforeEnd)]
}

fn flaw() -> impl Strategy<Value = Flaw> {
    prop_oneof![
        8 => Just(Flaw::None),
        1 => (0..8_u64).prop_map(Flaw::ExpectedHead),
        1 => (0..4_u64).prop_map(Flaw::Epoch),
    ]
}

fn content() -> impl Strategy<Value = Content> {
    let entries = (vec(any::<Index>(), 0..3), 0..3_u64);
    let entries = entries.prop_map(|(replaced, n_new)| EntryChange { replaced, n_new });
    let row = prop::option::of((status(), any::<bool>()));
    let few = || prop::option::weighted(0.3, 0..4_u8);
    let kept = prop_oneof![2 => Just(Vec::new()), 1 => vec(0..4_u8, 1..4)];
    (1..4_usize, entries, few(), few(), kept, row, prop::bool::weighted(0.2)).prop_map(
        |(n_events, entries, input, body, kept, row, has_checkpoint)| Content {
            n_events,
            entries,
            input,
            body,
            kept,
            row,
            has_checkpoint,
        },
    )
}

impl Operation {
    /// Does it to a store and its model, which compare the answers. What needs a worker passes when there is none.
    pub(super) async fn perform(self, pair: &mut Pair<'_>) {
        match self {
            Self::Create { content, flaw } => {
                let worker = pair.new_worker();
                let draft = pair.first(&worker);
                let commit = content.write(flaw.spoil(draft), &worker, pair);
                drop(pair.append(commit).await);
            }
            Self::Append { worker, content, flaw } => {
                let Some(worker) = worker.of(pair) else { return };
                let draft = pair.draft(&worker);
                let commit = content.write(flaw.spoil(draft), &worker, pair);
                drop(pair.append(commit).await);
            }
            Self::Repeat { worker, nth_last } => {
                let Some(worker) = worker.of(pair) else { return };
                let commits = pair.model().log(&worker).map_or(&[][..], |log| &log.commits);
                let Some(commit) = commits.iter().rev().nth(nth_last).cloned() else { return };
                drop(pair.append(commit).await);
            }
            Self::Claim(worker) => {
                let Some(worker) = worker.of(pair) else { return };
                pair.claim(&worker).await;
            }
            Self::Prune { worker, oldest, checkpoint, is_fenced } => {
                let Some(worker) = worker.of(pair) else { return };
                prune(pair, &worker, oldest, checkpoint, is_fenced).await;
            }
            Self::Delete(worker) => {
                let Some(worker) = worker.of(pair) else { return };
                pair.delete(&worker).await;
            }
            Self::Reopen => drop(pair.reopen().await),
            Self::Events { worker, after, most } => {
                let Some(worker) = worker.of(pair) else { return };
                drop(pair.read(Read::Events { worker, after, most }).await);
            }
            Self::Transcript { worker, start, limit } => {
                let Some(worker) = worker.of(pair) else { return };
                drop(pair.read(Read::Transcript { worker, start, limit }).await);
            }
            Self::Workers { status, order, after, limit } => {
                let after = after.and_then(|after| after.of(pair));
                drop(pair.read(Read::Workers { status, order, after, limit }).await);
            }
            Self::Unsettled { after, limit } => {
                let after = after.and_then(|after| after.of(pair));
                drop(pair.read(Read::Unsettled { after, limit }).await);
            }
            Self::Kept { worker, after, most } => {
                let Some(worker) = worker.of(pair) else { return };
                drop(pair.read(Read::Kept { worker, after: after.map(kept_name), most }).await);
            }
        }
    }
}

/// Prunes to one of the log's places, with a checkpoint there or behind it.
async fn prune(pair: &mut Pair<'_>, worker: &WorkerId, oldest: Index, checkpoint: Index, is_fenced: bool) {
    let Some(log) = pair.model().log(worker) else { return };
    let head = log.head().seq;
    let place = |index: Index, from: u64| from + index.index((head - from + 1) as usize) as u64;
    let oldest = place(oldest, 1);
    if oldest == log.oldest().seq {
        return;
    }
    let checkpoint = log.place(place(checkpoint, oldest)).expect("a place of the log");
    let mut prune = pair.prune_to(worker, oldest);
    prune.checkpoint = checkpoint_at(checkpoint);
    if is_fenced {
        prune.epoch += 1;
    }
    drop(pair.prune(prune).await);
}

impl Which {
    fn of(&self, pair: &Pair<'_>) -> Option<WorkerId> {
        let workers: Vec<_> = pair.model().workers().collect();
        (!workers.is_empty()).then(|| (*self.0.get(&workers)).clone())
    }
}

impl Flaw {
    fn spoil(self, draft: Draft) -> Draft {
        match self {
            Self::None => draft,
            Self::ExpectedHead(expected_head) => draft.expected_head(expected_head),
            Self::Epoch(epoch) => draft.epoch(epoch),
        }
    }
}

impl Content {
    fn write(self, draft: Draft, worker: &WorkerId, pair: &Pair<'_>) -> Commit {
        let Self { n_events, entries, input, body, kept, row: shown, has_checkpoint } = self;
        let mut draft = draft
            .events(n_events)
            .entries(entries.sequences(pair.model().log(worker).map_or(0, Log::n_entries)));
        if let Some(n) = input {
            let input: InputId = format!("inp_{n}").parse().expect("an input id");
            if pair.model().log(worker).is_none_or(|log| log.accepted(&input).is_none()) {
                draft = draft.accepts(&input);
            }
        }
        if let Some(n) = body {
            draft = draft.blob(format!("body {n}"));
        }
        draft = kept.into_iter().fold(draft, |draft, n| draft.keep_new(&kept_name(n)));
        if let Some((status, unsettled)) = shown {
            draft = draft.row(row(worker).status(status).unsettled(unsettled));
        }
        if has_checkpoint {
            draft = draft.checkpoint();
        }
        draft.commit()
    }
}

fn kept_name(n: u8) -> String {
    format!("item/{n}")
}

impl EntryChange {
    /// Sequences of entries that there are, and of the next ones: a transcript has no gaps.
    fn sequences(&self, n_entries: u64) -> impl Iterator<Item = u64> {
        let replaced = self.replaced.iter().filter(|_| n_entries > 0);
        let replaced = replaced.map(|index| index.index(n_entries as usize) as u64 + 1);
        let replaced: std::collections::BTreeSet<_> = replaced.collect();
        replaced.into_iter().chain(n_entries + 1..=n_entries + self.n_new)
    }
}
