//! Checks of what is said of all workers together.

use std::cmp::Ordering;

use musher_core::WorkerCounts;
use musher_protocol::{Order, WorkerId, WorkerStatus};

use super::{
    Place,
    pair::Pair,
    read::{Read, Reply},
    row::row,
};

/// Workers of three kinds, in turn: running, stopped, cancelled.
async fn create_some(pair: &mut Pair<'_>, n_workers: usize) -> Vec<WorkerId> {
    let statuses = [WorkerStatus::Running, WorkerStatus::Stopped, WorkerStatus::Cancelled];
    let mut workers = Vec::new();
    for status in statuses.into_iter().cycle().take(n_workers) {
        let worker = pair.new_worker();
        let first = pair.draft(&worker).row(row(&worker).status(status)).commit();
        assert_eq!(pair.append(first).await, Ok(()));
        workers.push(worker);
    }
    workers
}

/// Reads every page, and says whose rows they held.
async fn pages(pair: &Pair<'_>, status: Option<WorkerStatus>, order: Order, limit: usize) -> Vec<WorkerId> {
    let mut found: Vec<WorkerId> = Vec::new();
    loop {
        let reply = pair.read(Read::Workers { status, order, after: found.last().cloned(), limit }).await;
        let Ok(Reply::Workers(page)) = reply else { panic!("no page: {reply:?}") };
        if page.is_empty() {
            return found;
        }
        found.extend(page.into_iter().map(|row| row.worker_id));
    }
}

/// Rows come in the order of creation or against it, of one status or of all, whatever the size of the pages.
pub async fn workers_are_listed_in_the_order_of_creation(place: &dyn Place) {
    let mut pair = Pair::open(place).await;
    assert_eq!(pages(&pair, None, Order::Asc, 3).await, [], "an empty store");
    assert_eq!(pages(&pair, None, Order::Desc, 3).await, [], "an empty store");
    let workers = create_some(&mut pair, 8).await;
    // What is written later does not move a worker.
    let update = pair.draft(&workers[0]).row(row(&workers[0])).commit();
    assert_eq!(pair.append(update).await, Ok(()));
    let every_third = |from: usize| workers.iter().skip(from).step_by(3).cloned().collect::<Vec<_>>();
    let cases = [
        (None, workers.clone()),
        (Some(WorkerStatus::Running), every_third(0)),
        (Some(WorkerStatus::Stopped), every_third(1)),
        (Some(WorkerStatus::Cancelled), every_third(2)),
    ];
    for (status, expected) in cases {
        for limit in [1, 2, 3, 8, 9] {
            let forward = pages(&pair, status, Order::Asc, limit).await;
            assert_eq!(forward, expected, "{status:?} in pages of {limit}");
            let mut backward = pages(&pair, status, Order::Desc, limit).await;
            backward.reverse();
            assert_eq!(backward, expected, "{status:?} in pages of {limit}, from the end");
        }
    }
    for order in [Order::Asc, Order::Desc] {
        let none = pair.read(Read::Workers { status: None, order, after: None, limit: 0 }).await;
        assert_eq!(none, Ok(Reply::Workers(Vec::new())));
    }
}

/// A page begins behind its worker also when that has been deleted or has another status.
pub async fn a_page_goes_on_behind_what_has_changed(place: &dyn Place) {
    let mut pair = Pair::open(place).await;
    let workers = create_some(&mut pair, 6).await;
    assert!(pair.delete(&workers[1]).await);
    let update = pair.draft(&workers[3]).row(row(&workers[3]).status(WorkerStatus::Stopped)).commit();
    assert_eq!(pair.append(update).await, Ok(()));
    for after in [&workers[1], &workers[3]] {
        for status in [None, Some(WorkerStatus::Running), Some(WorkerStatus::Stopped)] {
            for (order, side) in [(Order::Asc, Ordering::Greater), (Order::Desc, Ordering::Less)] {
                let read = Read::Workers { status, order, after: Some(after.clone()), limit: 1 };
                let reply = pair.read(read).await;
                let Ok(Reply::Workers(page)) = reply else { panic!("no page: {reply:?}") };
                assert!(page.iter().all(|row| row.worker_id.cmp(after) == side), "behind {after}: {page:#?}");
            }
        }
    }
}

/// Workers are unsettled as their last row says, and listed in the order of creation.
pub async fn unsettled_workers_are_listed(place: &dyn Place) {
    let mut pair = Pair::open(place).await;
    let workers = create_some(&mut pair, 7).await;
    for (unsettled, places) in [(true, vec![0, 2, 3, 5]), (false, vec![2]), (true, vec![6])] {
        for place in places {
            let commit = pair.draft(&workers[place]).row(row(&workers[place]).unsettled(unsettled)).commit();
            assert_eq!(pair.append(commit).await, Ok(()));
        }
    }
    // Says nothing of it, and so changes nothing.
    let commit = pair.draft(&workers[0]).commit();
    assert_eq!(pair.append(commit).await, Ok(()));
    assert!(pair.delete(&workers[5]).await);
    let cases: [(Option<usize>, usize, &[usize]); 6] = [
        (None, 9, &[0, 3, 6]),
        (None, 2, &[0, 3]),
        (Some(0), 9, &[3, 6]),
        (Some(5), 9, &[6]),
        (Some(6), 9, &[]),
        (None, 0, &[]),
    ];
    for (after, limit, expected) in cases {
        let after = after.map(|place| workers[place].clone());
        let expected: Vec<_> = expected.iter().map(|place| workers[*place].clone()).collect();
        let reply = pair.read(Read::Unsettled { after: after.clone(), limit }).await;
        assert_eq!(reply, Ok(Reply::Unsettled(expected)), "behind {after:?}");
    }
}

/// The counts are those of the list after each change: create, another status, a refusal, a repeat, a delete.
pub async fn counts_are_what_the_list_says(place: &dyn Place) {
    let mut pair = Pair::open(place).await;
    let counts = |active, stopped, cancelled| Ok(Reply::Counts(WorkerCounts { active, stopped, cancelled }));
    assert_eq!(pair.read(Read::Counts).await, counts(0, 0, 0));
    let workers = create_some(&mut pair, 5).await;
    assert_eq!(pair.read(Read::Counts).await, counts(2, 2, 1));
    let stops = pair.draft(&workers[0]).row(row(&workers[0]).status(WorkerStatus::Stopped)).commit();
    let refused =
        pair.draft(&workers[3]).epoch(9).row(row(&workers[3]).status(WorkerStatus::Stopped)).commit();
    let cases = [
        (stops.clone(), counts(1, 3, 1)),
        (refused, counts(1, 3, 1)),
        (stops, counts(1, 3, 1)),
        (pair.draft(&workers[2]).commit(), counts(1, 3, 1)),
    ];
    for (commit, expected) in cases {
        drop(pair.append(commit).await);
        assert_eq!(pair.read(Read::Counts).await, expected);
    }
    for (worker, expected) in
        [(0, counts(1, 2, 1)), (0, counts(1, 2, 1)), (2, counts(1, 2, 0)), (3, counts(0, 2, 0))]
    {
        pair.delete(&workers[worker]).await;
        assert_eq!(pair.read(Read::Counts).await, expected, "without {worker}");
    }
}
