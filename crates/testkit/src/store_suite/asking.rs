//! Checks of how what a log says of an approval is found.

use musher_core::StoredEvent;
use musher_protocol::{ApprovalId, WorkerId};

use super::{
    Place,
    draft::{ASKED, RESOLVED},
    pair::{LONG_COMMIT, Pair},
    read::{Read, Reply},
};

fn approval(n: u64) -> ApprovalId {
    format!("apr_x{n}").parse().expect("an approval id")
}

/// What a store finds of an approval.
async fn found(pair: &Pair<'_>, worker: &WorkerId, approval: &ApprovalId) -> Vec<StoredEvent> {
    let read = Read::Approval(worker.clone(), approval.clone());
    let reply = pair.read(read).await;
    let Ok(Reply::Events(events)) = reply else { panic!("what is found of {approval}: {reply:?}") };
    events
}

/// An approval is found from when it is asked for, with its resolution as soon as that is there, however far away.
pub async fn an_approval_is_found_in_its_log(place: &dyn Place) {
    let mut pair = Pair::open(place).await;
    let worker = pair.create().await;
    let [one, two] = [approval(1), approval(2)];
    assert_eq!(found(&pair, &worker, &one).await, []);
    let asks = pair.draft(&worker).about(ASKED, &one).about(ASKED, &two).commit();
    let asked = asks.events[1..].to_vec();
    assert_eq!(pair.append(asks).await, Ok(()));
    let between = pair.draft(&worker).events(LONG_COMMIT).commit();
    assert_eq!(pair.append(between).await, Ok(()));
    assert_eq!(found(&pair, &worker, &one).await, asked[..1]);
    let resolves = pair.draft(&worker).about(RESOLVED, &two).about(RESOLVED, &one).commit();
    let resolved = resolves.events[1..].to_vec();
    assert_eq!(pair.append(resolves).await, Ok(()));
    assert_eq!(found(&pair, &worker, &one).await, [asked[0].clone(), resolved[1].clone()]);
    assert_eq!(found(&pair, &worker, &two).await, [asked[1].clone(), resolved[0].clone()]);
    // A part of its id is none.
    assert_eq!(found(&pair, &worker, &"apr_x".parse().expect("an id")).await, []);
}

/// An approval is its worker's alone, and goes with it.
pub async fn an_approval_belongs_to_its_worker(place: &dyn Place) {
    let mut pair = Pair::open(place).await;
    let [one, other] = [pair.create().await, pair.create().await];
    let same = approval(1);
    for worker in [&one, &other] {
        let commit = pair.draft(worker).about(ASKED, &same).commit();
        assert_eq!(pair.append(commit).await, Ok(()));
        assert_eq!(found(&pair, worker, &same).await.len(), 1);
    }
    let resolves = pair.draft(&other).about(RESOLVED, &same).commit();
    assert_eq!(pair.append(resolves).await, Ok(()));
    assert_eq!(found(&pair, &one, &same).await.len(), 1);
    assert!(pair.delete(&other).await);
    assert_eq!(found(&pair, &other, &same).await, []);
    assert_eq!(found(&pair, &one, &same).await.len(), 1);
}

/// What a prune forgets of an approval is not found any more, and what it leaves is.
pub async fn an_approval_is_forgotten_with_its_events(place: &dyn Place) {
    let mut pair = Pair::open(place).await;
    let worker = pair.create().await;
    let asked = approval(1);
    let commit = pair.draft(&worker).about(ASKED, &asked).about(RESOLVED, &asked).commit();
    let resolution = commit.events[2].clone();
    assert_eq!(pair.append(commit).await, Ok(()));
    for (seq, left) in [(2, 2), (3, 1), (4, 0)] {
        let prune = pair.prune_to(&worker, seq);
        assert_eq!(pair.prune(prune).await, Ok(()));
        let found = found(&pair, &worker, &asked).await;
        assert_eq!((found.len(), found.last()), (left, Some(&resolution).filter(|_| left > 0)));
    }
}

/// An approval is found again when a place is opened again.
pub async fn approvals_are_found_again(place: &dyn Place) {
    let mut pair = Pair::open(place).await;
    let worker = pair.create().await;
    let asked = approval(1);
    for type_name in [ASKED, RESOLVED] {
        let commit = pair.draft(&worker).about(type_name, &asked).commit();
        assert_eq!(pair.append(commit).await, Ok(()));
        let before = found(&pair, &worker, &asked).await;
        pair.reopen().await;
        assert_eq!(found(&pair, &worker, &asked).await, before);
    }
}
