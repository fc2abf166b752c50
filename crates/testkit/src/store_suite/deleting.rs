//! Checks of deleted workers.

use musher_protocol::{InputId, WorkerId};

use super::{Place, pair::Pair, refusal::Refusal, row::row};

/// Creates a worker that has something of everything.
async fn create_rich(pair: &mut Pair<'_>) -> WorkerId {
    let worker = pair.new_worker();
    let input: InputId = "inp_rich".parse().expect("an input id");
    let first =
        pair.first(&worker).events(4).entries([1, 2]).accepts(&input).blob("a rich body").keep("a", "kept");
    let first = first.row(row(&worker).unsettled(true)).checkpoint().commit();
    assert_eq!(pair.append(first).await, Ok(()));
    let prune = pair.prune_to(&worker, 2);
    assert_eq!(pair.prune(prune).await, Ok(()));
    worker
}

/// A deleted worker answers every question as one that has never been, and the others stay as they are.
pub async fn a_deleted_worker_is_as_if_it_had_never_been(place: &dyn Place) {
    let mut pair = Pair::open(place).await;
    let workers = [create_rich(&mut pair).await, create_rich(&mut pair).await, create_rich(&mut pair).await];
    let [_, middle, _] = &workers;
    let prune = pair.prune_to(middle, 3);
    let next = pair.draft(middle).commit();
    assert!(pair.delete(middle).await);
    let gone = Err(Refusal::NoWorker(middle.clone()));
    assert_eq!(pair.append(next).await, gone);
    assert_eq!(pair.prune(prune).await, gone);
    assert_eq!(pair.claim(middle).await, None);
}

/// What is gone, or was never there, cannot be deleted.
pub async fn a_worker_is_deleted_once(place: &dyn Place) {
    let mut pair = Pair::open(place).await;
    let worker = pair.new_worker();
    assert!(!pair.delete(&worker).await);
    let first = pair.first(&worker).commit();
    assert_eq!(pair.append(first).await, Ok(()), "its id is still free");
    assert!(pair.delete(&worker).await);
    assert!(!pair.delete(&worker).await);
}

/// The id of a deleted worker never names another.
pub async fn a_deleted_id_is_not_free(place: &dyn Place) {
    let mut pair = Pair::open(place).await;
    let worker = pair.new_worker();
    let first = pair.first(&worker).commit();
    assert_eq!(pair.append(first.clone()).await, Ok(()));
    assert!(pair.delete(&worker).await);
    let another = pair.first(&worker).commit();
    for commit in [first, another] {
        assert_eq!(pair.append(commit).await, Err(Refusal::NoWorker(worker.clone())));
    }
}
