//! What requests under idempotency keys came to.

use jiff::Timestamp;
use musher_core::{KeyRecord, OwnedKeys, Store};

use super::{Place, pair::Pair, refusal::Refusal};

pub(super) fn record(scope: &str, key: &str, outcome: &str, second: i64) -> KeyRecord {
    KeyRecord {
        owner: scope.to_lowercase(),
        scope: scope.to_owned(),
        key: key.parse().expect("a key"),
        digest: [7; 32],
        outcome: outcome.to_owned().into(),
        at: Timestamp::from_second(second).expect("a time"),
    }
}

pub(super) async fn remembered(store: &dyn Store, like: &KeyRecord) -> Option<KeyRecord> {
    store.remembered(&like.scope, &like.key).await.expect("a store that can be read")
}

/// A key is remembered with the commit of its effect, and without one.
pub async fn a_key_is_remembered_with_its_effect(place: &dyn Place) {
    let mut pair = Pair::open(place).await;
    let worker = pair.create().await;
    let [first, second, third] = ["a", "b", "c"].map(|key| record("s", key, "{\"is\":\"that\"}", 1));
    assert_eq!(remembered(pair.store(), &first).await, None);
    let commit = pair.draft(&worker).remember(&first).remember(&second).commit();
    assert_eq!(pair.append(commit).await, Ok(()));
    pair.store().remember(vec![third.clone()]).await.expect("a store that can be written");
    for record in [first, second, third] {
        assert_eq!(remembered(pair.store(), &record).await, Some(record));
    }
}

/// What a refused commit came to is nothing.
pub async fn a_refused_commit_remembers_no_key(place: &dyn Place) {
    let mut pair = Pair::open(place).await;
    let worker = pair.create().await;
    let record = record("s", "k", "it", 1);
    let commit = pair.draft(&worker).expected_head(7).remember(&record).commit();
    assert_eq!(pair.append(commit).await, Err(Refusal::Conflict { worker, head: 1 }));
    assert_eq!(remembered(pair.store(), &record).await, None);
}

/// A record replaces what was remembered of its key, and the same key of another scope is another.
pub async fn a_key_is_replaced_in_its_scope(place: &dyn Place) {
    let mut pair = Pair::open(place).await;
    let worker = pair.create().await;
    let begun = record("s", "k", "begun", 1);
    let others = [record("s", "K", "upper", 1), record("S", "k", "upper", 1), record("s2", "k", "two", 1)];
    let first = others.iter().fold(pair.draft(&worker), |draft, other| draft.remember(other));
    assert_eq!(pair.append(first.remember(&begun).commit()).await, Ok(()));
    let done = KeyRecord { digest: [8; 32], ..record("s", "k", "done", 2) };
    let commit = pair.draft(&worker).remember(&done).commit();
    assert_eq!(pair.append(commit).await, Ok(()));
    assert_eq!(remembered(pair.store(), &begun).await, Some(done));
    for other in others {
        assert_eq!(remembered(pair.store(), &other).await, Some(other));
    }
}

/// A key is not its worker's: who created a worker is answered as he was when it has been deleted.
pub async fn a_key_outlives_its_worker(place: &dyn Place) {
    let mut pair = Pair::open(place).await;
    let (worker, record) = (pair.new_worker(), record("s", "k", "it", 1));
    let commit = pair.first(&worker).remember(&record).commit();
    assert_eq!(pair.append(commit).await, Ok(()));
    assert!(pair.delete(&worker).await);
    assert_eq!(remembered(pair.store(), &record).await, Some(record));
}

/// Keys are forgotten by their age, so many at once.
pub async fn old_keys_are_forgotten(place: &dyn Place) {
    let pair = Pair::open(place).await;
    let store = pair.store();
    let records = [1, 2, 3, 4].map(|second| record("s", &format!("k{second}"), "it", second));
    store.remember(records.to_vec()).await.expect("a store that can be written");
    let before = records[3].at;
    let mut left = Vec::new();
    for limit in [2, 2, 2] {
        let forgotten = store.forget_keys(before, limit).await.expect("a store that can be written");
        let mut n_left = 0;
        for record in &records {
            n_left += usize::from(remembered(store, record).await.is_some());
        }
        left.push((forgotten, n_left));
    }
    assert_eq!(left, [(2, 2), (1, 1), (0, 1)]);
    assert_eq!(remembered(store, &records[3]).await.as_ref(), Some(&records[3]));
}

/// Keys are counted by whose they are: one that is replaced once, one that is forgotten not at all.
pub async fn keys_are_counted_for_their_owner(place: &dyn Place) {
    let mut pair = Pair::open(place).await;
    let worker = pair.create().await;
    // Two scopes of one owner, and one of another.
    let [first, second, other] =
        [record("s", "a", "it", 3), record("S", "a", "it", 2), record("t", "ab", "it", 1)];
    assert_eq!(of(pair.store(), "s").await, (0, 0, None));
    let commit = pair.draft(&worker).remember(&first).remember(&other).commit();
    assert_eq!(pair.append(commit).await, Ok(()));
    assert_eq!(of(pair.store(), "s").await, (1, 5, Some(3)));
    pair.store().remember(vec![second]).await.expect("a store that can be written");
    assert_eq!(of(pair.store(), "s").await, (2, 10, Some(2)));
    // A letter of two bytes.
    let commit = pair.draft(&worker).remember(&record("S", "a", "agäin", 4)).commit();
    assert_eq!(pair.append(commit).await, Ok(()));
    let both = [of(pair.store(), "s").await, of(pair.store(), "t").await];
    assert_eq!(both, [(2, 14, Some(3)), (1, 6, Some(1))]);
    let before = Timestamp::from_second(4).expect("a time");
    pair.store().forget_keys(before, 9).await.expect("a store that can be written");
    let both = [of(pair.store(), "s").await, of(pair.store(), "t").await];
    assert_eq!(both, [(1, 9, Some(4)), (0, 0, None)]);
}

/// The number of an owner's keys, their bytes, and the second of the oldest.
async fn of(store: &dyn Store, owner: &str) -> (u64, u64, Option<i64>) {
    let OwnedKeys { count, bytes, oldest } = store.keys_of(owner).await.expect("a store that can be read");
    (count, bytes, oldest.map(Timestamp::as_second))
}

/// What is remembered of a key is there again, as it was written.
pub async fn keys_are_there_again(place: &dyn Place) {
    let mut pair = Pair::open(place).await;
    let worker = pair.create().await;
    let (with, without) = (record("s", "a", "it", 1), record("s", "b", "it", 2));
    let commit = pair.draft(&worker).remember(&with).commit();
    assert_eq!(pair.append(commit).await, Ok(()));
    pair.store().remember(vec![without.clone()]).await.expect("a store that can be written");
    pair.reopen().await;
    assert_eq!(of(pair.store(), "s").await, (2, 10, Some(1)));
    for record in [with, without] {
        assert_eq!(remembered(pair.store(), &record).await, Some(record));
    }
}
