//! Checks of what a prune forgets, and of what it leaves.

use musher_core::{Extent, Head, Prune};
use musher_protocol::InputId;

use super::{
    Place,
    draft::checkpoint_at,
    pair::{ALL, Pair},
    read::{Read, Reply},
    refusal::Refusal,
};

/// A prune moves the log's beginning: what is before is gone, what is behind stays, and its checkpoint stands.
pub async fn a_prune_forgets_the_oldest_events(place: &dyn Place) {
    let mut pair = Pair::open(place).await;
    let worker = pair.new_worker();
    let first = pair.first(&worker).events(6).commit();
    let [_, _, third, fourth, ..] = first.events.as_slice() else { panic!("six events") };
    let oldest = Head { seq: 3, checksum: third.checksum };
    let (fourth, head) = (fourth.clone(), first.head());
    assert_eq!(pair.append(first).await, Ok(()));
    let prune = pair.prune_to(&worker, 3);
    assert_eq!(pair.prune(prune).await, Ok(()));

    let extent = Extent { oldest: oldest.clone(), head };
    assert_eq!(pair.read(Read::Extent(worker.clone())).await, Ok(Reply::Extent(Some(extent))));
    let checkpoint = Some(checkpoint_at(oldest.clone()));
    assert_eq!(pair.read(Read::Checkpoint(worker.clone())).await, Ok(Reply::Checkpoint(checkpoint)));
    let pruned = Err(Refusal::Pruned { worker: worker.clone(), oldest });
    for after in [0, 1, 2] {
        assert_eq!(pair.read(Read::Events { worker: worker.clone(), after, most: ALL }).await, pruned);
    }
    let one = musher_core::Most { events: 1, bytes: 0 };
    let reply = pair.read(Read::Events { worker: worker.clone(), after: 3, most: one }).await;
    assert_eq!(reply, Ok(Reply::Events(vec![fourth])));
    let next = pair.draft(&worker).commit();
    assert_eq!(pair.append(next).await, Ok(()), "the log goes on");
}

/// Transcript, accepted inputs, bodies and row are not forgotten with their events.
pub async fn a_prune_forgets_nothing_but_events(place: &dyn Place) {
    let mut pair = Pair::open(place).await;
    let worker = pair.new_worker();
    let input: InputId = "inp_old".parse().expect("an input id");
    let first = pair.first(&worker).entries([1, 2]).accepts(&input).blob("an old body").commit();
    let (accepted, blob) = (first.accepted[0].clone(), first.blobs[0].clone());
    assert_eq!(pair.append(first).await, Ok(()));
    let next = pair.draft(&worker).events(2).commit();
    assert_eq!(pair.append(next).await, Ok(()));
    let prune = pair.prune_to(&worker, 2);
    assert_eq!(pair.prune(prune).await, Ok(()));
    let reply = pair.read(Read::AcceptedInput(worker.clone(), input)).await;
    assert_eq!(reply, Ok(Reply::AcceptedInput(Some(accepted))));
    let reply = pair.read(Read::Blob(worker, blob.digest)).await;
    assert_eq!(reply, Ok(Reply::Blob(Some(blob.bytes))));
}

/// A log may lose all its events; its head stays where it is.
pub async fn a_log_goes_on_without_its_events(place: &dyn Place) {
    let mut pair = Pair::open(place).await;
    let worker = pair.create_with(4).await;
    let prune = pair.prune_to(&worker, 4);
    assert_eq!(pair.prune(prune).await, Ok(()));
    let early = pair.draft(&worker).expected_head(0).commit();
    let refusal = Refusal::Conflict { worker: worker.clone(), head: 4 };
    assert_eq!(pair.append(early).await, Err(refusal));
    let next = pair.draft(&worker).events(2).commit();
    assert_eq!(pair.append(next).await, Ok(()));
}

/// Events are gone when their prune or delete returns, however many there were.
pub async fn a_long_log_is_forgotten_at_once(place: &dyn Place) {
    let mut pair = Pair::open(place).await;
    let [pruned, deleted] = [pair.create_long().await, pair.create_long().await];
    let prune = pair.prune_to(&pruned, 2000);
    assert_eq!(pair.prune(prune).await, Ok(()));
    assert!(pair.delete(&deleted).await);
    for _ in 0..3 {
        let next = pair.draft(&pruned).events(2).commit();
        assert_eq!(pair.append(next).await, Ok(()));
    }
}

/// A prune to a place that is gone already changes nothing.
pub async fn an_older_prune_changes_nothing(place: &dyn Place) {
    let mut pair = Pair::open(place).await;
    let worker = pair.create_with(6).await;
    let [older, newer] = [2, 4].map(|seq| pair.prune_to(&worker, seq));
    // Its checkpoint would be the newest.
    let checkpoint = pair.prune_to(&worker, 6).checkpoint;
    let older = Prune { checkpoint, ..older };
    for prune in [newer, older] {
        assert_eq!(pair.prune(prune).await, Ok(()));
    }
}

/// A prune brings no older checkpoint than there was.
pub async fn a_prune_leaves_a_newer_checkpoint(place: &dyn Place) {
    let mut pair = Pair::open(place).await;
    let worker = pair.new_worker();
    let first = pair.first(&worker).events(6).checkpoint().commit();
    let newest = first.checkpoint.clone();
    assert_eq!(pair.append(first).await, Ok(()));
    let prune = pair.prune_to(&worker, 3);
    assert_eq!(pair.prune(prune).await, Ok(()));
    assert_eq!(pair.read(Read::Checkpoint(worker)).await, Ok(Reply::Checkpoint(newest)));
}

/// Only the holder of the right to write prunes, and only what is there.
pub async fn a_prune_is_refused_as_a_commit_is(place: &dyn Place) {
    let mut pair = Pair::open(place).await;
    let worker = pair.create_with(3).await;
    let prune = pair.prune_to(&worker, 2);
    let epoch = pair.claim(&worker).await.expect("there is such a worker");
    let refusal = Refusal::Fenced { worker: worker.clone(), epoch };
    assert_eq!(pair.prune(prune.clone()).await, Err(refusal));
    let stranger = pair.new_worker();
    let elsewhere = Prune { worker: stranger.clone(), ..prune };
    assert_eq!(pair.prune(elsewhere).await, Err(Refusal::NoWorker(stranger)));
    let prune = pair.prune_to(&worker, 2);
    assert_eq!(pair.prune(prune).await, Ok(()));
}
