//! Checks of the right to write.

use musher_protocol::WorkerStatus;

use super::{Place, pair::Pair, refusal::Refusal, row::row};

/// After a claim, commits of an earlier holder are refused and write nothing, also one that repeats the last.
pub async fn a_claim_fences_earlier_writers(place: &dyn Place) {
    let mut pair = Pair::open(place).await;
    let worker = pair.new_worker();
    let first = pair.first(&worker).commit();
    assert_eq!(pair.append(first.clone()).await, Ok(()));
    let late = pair.draft(&worker).entries([1]).row(row(&worker).status(WorkerStatus::Stopped)).commit();

    let epoch = pair.claim(&worker).await.expect("there is such a worker");
    let fenced = Err(Refusal::Fenced { worker: worker.clone(), epoch });
    assert_eq!(pair.append(late.clone()).await, fenced);
    assert_eq!(pair.append(first).await, fenced);
    let next = pair.draft(&worker).commit();
    assert_eq!(pair.append(next).await, Ok(()), "the holder writes");
    assert_eq!(pair.append(late).await, fenced, "fenced, whatever the head");
}

/// Each claim of a worker is higher than any before; another worker's do not count.
pub async fn claims_rise(place: &dyn Place) {
    let mut pair = Pair::open(place).await;
    let [one, other] = [pair.create().await, pair.create().await];
    let mut last = 1;
    for _ in 0..4 {
        // The model compares with the epoch before.
        let epoch = pair.claim(&one).await.expect("there is such a worker");
        assert!(epoch > last, "{epoch} after {last}");
        last = epoch;
        for worker in [&one, &other] {
            let commit = pair.draft(worker).commit();
            assert_eq!(pair.append(commit).await, Ok(()));
        }
    }
}

/// A worker that is not there cannot be claimed.
pub async fn nobody_claims_what_is_not_there(place: &dyn Place) {
    let mut pair = Pair::open(place).await;
    let worker = pair.new_worker();
    assert_eq!(pair.claim(&worker).await, None);
    let first = pair.first(&worker).commit();
    assert_eq!(pair.append(first).await, Ok(()), "its first epoch is still the first");
}

/// A commit of an epoch that no claim has given is refused.
pub async fn an_epoch_is_given_before_it_is_used(place: &dyn Place) {
    let mut pair = Pair::open(place).await;
    let worker = pair.create().await;
    let epoch = pair.claim(&worker).await.expect("there is such a worker");
    for other in [0, epoch + 1, epoch + 1000] {
        let commit = pair.draft(&worker).epoch(other).commit();
        let refusal = Refusal::Fenced { worker: worker.clone(), epoch };
        assert_eq!(pair.append(commit).await, Err(refusal), "epoch {other}");
    }
}
