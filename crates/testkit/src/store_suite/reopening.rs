//! Checks of what is there when a place is opened again: only for stores that are durable.

use musher_protocol::{InputId, WorkerStatus};

use super::{Place, pair::Pair, refusal::Refusal, row::row};

/// The runtime keeps the id of its first life, and each life is told of the one before.
pub async fn a_life_knows_the_one_before(place: &dyn Place) {
    let mut pair = Pair::open(place).await;
    for n in 1..4 {
        let life = pair.reopen().await;
        assert_eq!(life.runtime_id.as_str(), "rt_1");
        assert_eq!(life.previous_owner, Some(format!("owner-{n}")));
    }
}

/// Everything that was committed is there as it was.
pub async fn what_was_committed_is_there_again(place: &dyn Place) {
    let mut pair = Pair::open(place).await;
    let input: InputId = "inp_1".parse().expect("an input id");
    for status in [WorkerStatus::Running, WorkerStatus::Stopped, WorkerStatus::Cancelled] {
        let worker = pair.new_worker();
        let first = pair.first(&worker).events(5).entries([1, 2]).accepts(&input).blob("a body").commit();
        assert_eq!(pair.append(first).await, Ok(()));
        let row = row(&worker).status(status).unsettled(status == WorkerStatus::Running);
        let second = pair.draft(&worker).events(2).entries([2, 3]).row(row).checkpoint().commit();
        assert_eq!(pair.append(second).await, Ok(()));
        pair.reopen().await;
        let third = pair.draft(&worker).entries([3, 4]).commit();
        assert_eq!(pair.append(third).await, Ok(()), "the writer goes on");
    }
    pair.reopen().await;
}

/// The last commit is known when it comes again, and so is its writer's epoch.
pub async fn a_repeated_commit_is_known_again(place: &dyn Place) {
    let mut pair = Pair::open(place).await;
    let worker = pair.create().await;
    let last = pair.draft(&worker).events(2).commit();
    assert_eq!(pair.append(last.clone()).await, Ok(()));
    pair.reopen().await;
    for _ in 0..2 {
        assert_eq!(pair.append(last.clone()).await, Ok(()));
    }
}

/// A claim is higher than those before the store was opened, whose writers stay fenced.
pub async fn claims_rise_over_openings(place: &dyn Place) {
    let mut pair = Pair::open(place).await;
    let worker = pair.create().await;
    let late = pair.draft(&worker).commit();
    for _ in 0..3 {
        let epoch = pair.claim(&worker).await.expect("there is such a worker");
        pair.reopen().await;
        let fenced = Err(Refusal::Fenced { worker: worker.clone(), epoch });
        assert_eq!(pair.append(late.clone()).await, fenced);
    }
}

/// What was pruned stays forgotten, and the log goes on where it was, also when none of its events are left.
pub async fn a_prune_holds_over_openings(place: &dyn Place) {
    let mut pair = Pair::open(place).await;
    let [some, all] = [pair.create_with(6).await, pair.create_with(4).await];
    for prune in [pair.prune_to(&some, 3), pair.prune_to(&all, 4)] {
        assert_eq!(pair.prune(prune).await, Ok(()));
    }
    pair.reopen().await;
    for worker in [&some, &all] {
        let next = pair.draft(worker).commit();
        assert_eq!(pair.append(next).await, Ok(()));
    }
}

/// A long log stays forgotten, though the store is closed before all of it can have gone.
pub async fn a_long_log_stays_forgotten(place: &dyn Place) {
    let mut pair = Pair::open(place).await;
    let [pruned, deleted] = [pair.create_long().await, pair.create_long().await];
    let prune = pair.prune_to(&pruned, 2000);
    assert_eq!(pair.prune(prune).await, Ok(()));
    assert!(pair.delete(&deleted).await);
    for _ in 0..2 {
        pair.reopen().await;
        let next = pair.draft(&pruned).commit();
        assert_eq!(pair.append(next).await, Ok(()));
    }
}

/// A deleted worker stays gone and its id taken; a body that it had in common with another stays there.
pub async fn a_delete_holds_over_openings(place: &dyn Place) {
    let mut pair = Pair::open(place).await;
    let [worker, other] = [pair.create_with(3).await, pair.create().await];
    for worker in [&worker, &other] {
        let commit = pair.draft(worker).blob("a body in common").commit();
        assert_eq!(pair.append(commit).await, Ok(()));
    }
    assert!(pair.delete(&worker).await);
    pair.reopen().await;
    let again = pair.first(&worker).commit();
    assert_eq!(pair.append(again).await, Err(Refusal::NoWorker(worker.clone())));
    assert!(!pair.delete(&worker).await);
}
