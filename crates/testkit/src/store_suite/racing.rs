//! Checks of calls that are under way at the same time.

use std::{
    cell::Cell,
    collections::BTreeSet,
    future::{Future as _, poll_fn},
    pin::pin,
    task::Poll,
};

use futures_util::future;
use musher_core::{Commit, Start, WorkerCounts};
use musher_protocol::{Order, WorkerId, WorkerStatus};
use tokio::task::yield_now;

use super::{
    Place,
    pair::{ALL, Pair},
    refusal::{Answer, Refusal, answer},
    row::row,
};

/// Of commits that wait together, one that is refused leaves the others as they are.
pub async fn a_refused_commit_leaves_its_mates_alone(place: &dyn Place) {
    let mut pair = Pair::open(place).await;
    let mut commits = Vec::new();
    for n in 0..24 {
        let worker = if n % 4 == 3 { pair.new_worker() } else { pair.create().await };
        let draft = pair.draft(&worker).events(2).entries([1]);
        commits.push(match n % 4 {
            0 => draft.row(row(&worker).status(WorkerStatus::Stopped)).commit(),
            1 => draft.expected_head(7).commit(),
            2 => draft.epoch(7).commit(),
            _ => draft.commit(),
        });
    }
    let answers = pair.append_together(commits).await;
    let is_written: Vec<_> = answers.iter().map(Result::is_ok).collect();
    let expected: Vec<_> = (0..24).map(|n| n % 4 == 0).collect();
    assert_eq!(is_written, expected);
}

/// Of commits that expect the same head, one is written.
pub async fn one_of_racing_commits_is_written(place: &dyn Place) {
    let mut pair = Pair::open(place).await;
    let worker = pair.create().await;
    let commits: Vec<_> = (0..8).map(|_| pair.draft(&worker).events(2).commit()).collect();
    let store = pair.store();
    let answers = future::join_all(commits.iter().cloned().map(|commit| store.append(commit))).await;
    let answers: Vec<Answer<()>> = answers.into_iter().map(answer).collect();
    let (written, refused): (Vec<_>, Vec<_>) =
        commits.iter().zip(answers).partition(|(_, answer)| answer.is_ok());
    let [(written, _)] = written.as_slice() else { panic!("{} of eight were written", written.len()) };
    for (commit, answer) in refused {
        let refusal = Refusal::Conflict { worker: worker.clone(), head: 3 };
        assert_eq!(answer, Err(refusal), "batch {}", commit.batch_id);
    }
    assert_eq!(pair.note(written), Ok(()));
    pair.check().await;
}

/// Claims of the same worker that race are given an epoch each.
pub async fn racing_claims_differ(place: &dyn Place) {
    let mut pair = Pair::open(place).await;
    let worker = pair.create().await;
    let store = pair.store();
    let claims = future::join_all((0..8).map(|_| store.claim(&worker))).await;
    let epochs: BTreeSet<_> = claims.into_iter().map(|epoch| epoch.expect("a claim is answered")).collect();
    assert_eq!(epochs.len(), 8, "{epochs:?}");
    assert!(epochs.iter().all(|epoch| epoch.is_some_and(|epoch| epoch > Commit::FIRST_EPOCH)), "{epochs:?}");
}

/// Every answer that is given while commits are written has all of a commit or nothing of it, and no answer is older
/// than one before.
pub async fn a_reader_sees_whole_commits(place: &dyn Place) {
    const COMMITS: u64 = 40;
    let mut pair = Pair::open(place).await;
    let worker = pair.new_worker();
    let first = pair.first(&worker).events(3).entries([1]).keep("a", "1").keep("b", "1").commit();
    assert_eq!(pair.append(first).await, Ok(()));
    let commits = (2..=COMMITS).map(|n| {
        let draft = pair.draft(&worker).expected_head(3 * (n - 1)).events(3);
        let draft = draft.keep("a", n.to_string()).keep("b", n.to_string());
        draft.entries([n]).row(row(&worker)).commit()
    });
    let commits: Vec<_> = commits.collect();
    let is_over = Cell::new(false);
    let store = pair.store();
    let write = async {
        for commit in commits {
            store.append(commit).await.expect("nobody else writes");
            yield_now().await;
        }
        is_over.set(true);
    };
    let read = async {
        let mut seen = 0;
        while !is_over.get() {
            let row = store.worker(&worker).await.expect("a row").expect("the worker is there");
            let extent = store.extent(&worker).await.expect("an extent").expect("the worker is there");
            let events = store.events(&worker, 0, ALL).await.expect("a log");
            let slice = store.transcript(&worker, Start::BeforeEnd(1), 1).await.expect("a transcript");
            let kept = store.kept(&worker, None, ALL).await.expect("what is kept");
            let kept = kept.into_iter().map(|kept| String::from_utf8(kept.bytes.into()).expect("a number"));
            let kept: Vec<u64> = kept.map(|number| number.parse().expect("a number")).collect();
            let [a, b] = kept[..] else { panic!("a part of what a commit keeps: {kept:?}") };
            assert_eq!(a, b, "a part of what a commit keeps");
            let of_log = [row.head.seq, extent.head.seq, events.len() as u64];
            let heads = [of_log.as_slice(), &[slice.head.seq, 3 * slice.total, 3 * a]].concat();
            assert!(heads.iter().all(|seq| seq % 3 == 0), "a part of a commit: {heads:?}");
            assert_eq!(slice.head.seq, 3 * slice.total, "the head that the slice belongs to");
            assert!(seen <= row.head.seq && heads.is_sorted(), "older than {seen}: {heads:?}");
            seen = 3 * a;
            yield_now().await;
        }
    };
    future::join(write, read).await;
}

/// Whatever is deleted while others write to it is gone, and what it was goes from the counts.
pub async fn a_delete_wins_over_commits(place: &dyn Place) {
    let mut pair = Pair::open(place).await;
    let workers: Vec<WorkerId> = [pair.create().await, pair.create().await, pair.create().await].into();
    let stops = workers
        .iter()
        .map(|worker| pair.draft(worker).row(row(worker).status(WorkerStatus::Stopped)).commit());
    let stops: Vec<_> = stops.collect();
    let store = pair.store();
    let appends = future::join_all(stops.into_iter().map(|stop| store.append(stop)));
    let deletes = future::join_all(workers.iter().map(|worker| store.delete(worker)));
    let (appended, deleted) = future::join(appends, deletes).await;
    for (worker, appended) in workers.iter().zip(appended) {
        let appended = answer(appended);
        assert!(appended.is_ok() || appended == Err(Refusal::NoWorker(worker.clone())), "{appended:?}");
    }
    assert!(deleted.into_iter().all(|deleted| answer(deleted) == Ok(true)), "each is there to be deleted");
    assert_eq!(store.counts().await.expect("counts"), WorkerCounts::default());
    for worker in &workers {
        assert!(store.extent(worker).await.expect("an extent").is_none(), "{worker} is there");
    }
}

/// Every worker that is there when somebody begins to page through the list is found once, whoever is created
/// meanwhile.
pub async fn paging_is_complete_while_workers_are_created(place: &dyn Place) {
    let mut pair = Pair::open(place).await;
    let mut there = Vec::new();
    for _ in 0..9 {
        there.push(pair.create().await);
    }
    let more: Vec<_> = (0..24).map(|_| pair.new_worker()).collect();
    let more: Vec<_> = more.iter().map(|worker| pair.first(worker).commit()).collect();
    let (one_by_one, together) = more.split_at(12);
    let store = pair.store();
    let create = async {
        for commit in one_by_one {
            store.append(commit.clone()).await.expect("a worker is created");
            yield_now().await;
        }
        let created = future::join_all(together.iter().cloned().map(|commit| store.append(commit))).await;
        assert!(created.iter().all(Result::is_ok), "{created:?}");
    };
    let list = async {
        let mut found: Vec<WorkerId> = Vec::new();
        loop {
            let page = store.workers(None, Order::Asc, found.last(), 2).await.expect("a page");
            let Some(last) = page.last() else { return found };
            assert_ne!(Some(&last.worker_id), found.last(), "a page goes on");
            found.extend(page.into_iter().map(|row| row.worker_id));
            assert!(found.len() <= 9 + 24, "more than there are: {found:?}");
            yield_now().await;
        }
    };
    let ((), found) = future::join(create, list).await;
    let distinct: BTreeSet<_> = found.iter().collect();
    assert_eq!(distinct.len(), found.len(), "found once: {found:?}");
    assert_eq!(found.get(..there.len()), Some(there.as_slice()));
}

/// An append that nobody waits for any more is whole or not there.
pub async fn a_dropped_append_is_whole_or_not_there(place: &dyn Place) {
    let mut pair = Pair::open(place).await;
    let worker = pair.create().await;
    for n_polls in 0..6_u8 {
        let draft = pair.draft(&worker).events(3).entries([1]).blob("a body").checkpoint();
        let draft = draft.keep("a", vec![n_polls]).keep("b", vec![n_polls]);
        let commit = draft.row(row(&worker).unsettled(n_polls % 2 == 0)).commit();
        {
            let mut append = pin!(pair.store().append(commit.clone()));
            for _ in 0..n_polls {
                if poll_fn(|cx| Poll::Ready(append.as_mut().poll(cx).is_ready())).await {
                    break;
                }
                yield_now().await;
            }
        }
        // Behind this nothing of an earlier holder is written.
        let epoch = answer(pair.store().claim(&worker).await).expect("a claim is not refused");
        let extent = pair.store().extent(&worker).await.expect("an extent");
        if extent.is_some_and(|extent| extent.head == commit.head()) {
            assert_eq!(pair.note(&commit), Ok(()));
        }
        pair.note_claim(&worker, epoch);
        pair.check().await;
    }
}
