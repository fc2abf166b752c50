//! Checks of how a store and its workers begin.

use musher_core::{Commit, Extent, Health, NewLife, TranscriptSlice};

use super::{
    Place,
    pair::{ALL, Pair},
    read::{Read, Reply},
    refusal::Refusal,
};

/// A store that nobody has used is well, and takes its id from the runtime that begins on it.
pub async fn a_fresh_store_belongs_to_its_first_runtime(place: &dyn Place) {
    let store = place.open().await;
    assert!(matches!(*store.health().borrow(), Health::Good));
    let runtime_id: musher_protocol::RuntimeId = "rt_first".parse().expect("a runtime id");
    let life = NewLife { runtime_id: runtime_id.clone(), owner: "somebody".to_owned() };
    let begun = store.begin(life).await.expect("a life begins");
    assert_eq!(begun, musher_core::Life { runtime_id, previous_owner: None });
}

/// A worker's first commit creates it, and is what its log then holds.
pub async fn a_first_commit_creates_its_worker(place: &dyn Place) {
    let mut pair = Pair::open(place).await;
    let worker = pair.new_worker();
    let first = pair.first(&worker).events(3).entries([1, 2]).checkpoint().commit();
    assert_eq!((first.expected_head, first.epoch), (0, Commit::FIRST_EPOCH));
    assert_eq!(pair.append(first.clone()).await, Ok(()));

    // Compared without the model, which everything else is compared with.
    let head = first.head();
    let oldest = musher_core::Head::EMPTY;
    let of = || worker.clone();
    let transcript = Read::Transcript { worker: of(), start: musher_core::Start::Behind(0), limit: 9 };
    let slice = TranscriptSlice { start: 0, total: 2, entries: first.entries, head: head.clone() };
    let cases = [
        (Read::Worker(of()), Reply::Worker(first.row.map(Box::new))),
        (Read::Extent(of()), Reply::Extent(Some(Extent { oldest, head }))),
        (Read::Events { worker: of(), after: 0, most: ALL }, Reply::Events(first.events)),
        (transcript, Reply::Transcript(slice)),
        (Read::Checkpoint(of()), Reply::Checkpoint(first.checkpoint)),
    ];
    for (read, expected) in cases {
        assert_eq!(pair.read(read.clone()).await, Ok(expected), "{read:?}");
    }
}

/// Nothing but a first commit creates a worker: at head 0, of the first epoch, and with a row.
pub async fn only_a_first_commit_creates(place: &dyn Place) {
    let mut pair = Pair::open(place).await;
    let worker = pair.new_worker();
    let refused = [
        pair.draft(&worker).commit(),
        pair.first(&worker).expected_head(1).commit(),
        pair.first(&worker).epoch(Commit::FIRST_EPOCH + 1).commit(),
        pair.first(&worker).epoch(0).commit(),
    ];
    for commit in refused {
        assert_eq!(pair.append(commit).await, Err(Refusal::NoWorker(worker.clone())));
    }
    let first = pair.first(&worker).commit();
    assert_eq!(pair.append(first).await, Ok(()), "its id is still free");
}

/// The first commit of a worker that is there is refused.
pub async fn a_worker_is_created_once(place: &dyn Place) {
    let mut pair = Pair::open(place).await;
    let worker = pair.new_worker();
    let [first, second] = [pair.first(&worker).events(2).commit(), pair.first(&worker).commit()];
    assert_eq!(pair.append(first).await, Ok(()));
    assert_eq!(pair.append(second).await, Err(Refusal::Conflict { worker, head: 2 }));
}
