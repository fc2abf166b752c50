//! Checks of what a backend keeps beside the log.

use std::io;

use bytes::Bytes;
use musher_core::{Kept, Most, StoreError};
use musher_protocol::WorkerId;

use super::{
    Place,
    pair::{ALL, Pair},
    read::{Read, Reply},
    refusal::Refusal,
};

/// The record that is kept under this name.
fn kept(name: &str, bytes: impl Into<Bytes>) -> Kept {
    Kept { name: name.to_owned(), bytes: bytes.into() }
}

/// All that is kept of a worker.
async fn all(pair: &Pair<'_>, worker: &WorkerId) -> Vec<Kept> {
    let reply = pair.read(Read::Kept { worker: worker.clone(), after: None, most: ALL }).await;
    let Ok(Reply::Kept(kept)) = reply else { panic!("what is kept of {worker}: {reply:?}") };
    kept
}

/// What is kept comes back to the byte and in the order of its names' bytes, whatever order it was written in.
pub async fn kept_records_come_back_in_the_order_of_their_names(place: &dyn Place) {
    let mut pair = Pair::open(place).await;
    let worker = pair.create().await;
    let longest = "z".repeat(Kept::MAX_NAME);
    // The order of their bytes, which is no alphabet's.
    let names = [
        "-", ".", "..", "/", "0", "10", "2", "_", "a", "a-b", "a.b", "a/b", "a0", "a_b", "ab", "b", &longest,
    ];
    assert!(names.is_sorted());
    // Bytes that are no text, beginning with none at all.
    let bytes = (0..).map(|n| [0, 0xff, 0xfe].repeat(n));
    let expected: Vec<_> = names.into_iter().zip(bytes).map(|(name, bytes)| kept(name, bytes)).collect();
    let (low, high) = expected.split_at(8);
    for part in [high, low] {
        let draft = pair.draft(&worker);
        let draft = part.iter().rev().fold(draft, |draft, kept| draft.keep(&kept.name, kept.bytes.clone()));
        assert_eq!(pair.append(draft.commit()).await, Ok(()));
    }
    assert_eq!(all(&pair, &worker).await, expected);
}

/// A page of what is kept begins behind a name, which need not be there, and holds what its bounds allow, but one
/// record at least.
pub async fn kept_records_are_paged(place: &dyn Place) {
    let mut pair = Pair::open(place).await;
    let worker = pair.create().await;
    let draft = [("a", 100), ("b", 8000), ("c", 100), ("d", 0), ("e", 100)]
        .into_iter()
        .fold(pair.draft(&worker), |draft, (name, size)| draft.keep(name, vec![7; size]));
    assert_eq!(pair.append(draft.commit()).await, Ok(()));
    let cases: &[(Option<&str>, usize, usize, &[&str])] = &[
        (None, 9, 8300, &["a", "b", "c", "d", "e"]),
        (None, usize::MAX, usize::MAX, &["a", "b", "c", "d", "e"]),
        (None, 2, 8300, &["a", "b"]),
        (None, 9, 8100, &["a", "b"]),
        (None, 9, 8099, &["a"]),
        (None, 0, 0, &["a"]),
        (Some("a"), 9, 8300, &["b", "c", "d", "e"]),
        (Some("a"), 9, 8100, &["b", "c", "d"]),
        (Some("a"), 9, 0, &["b"]),
        (Some("a/1"), 1, 8300, &["b"]),
        (Some("-"), 1, 8300, &["a"]),
        (Some("b"), 2, 100, &["c", "d"]),
        (Some("d"), 0, 0, &["e"]),
        (Some("e"), 9, 8300, &[]),
        (Some("e"), 0, 0, &[]),
        (Some("f"), 9, 8300, &[]),
    ];
    for &(after, events, bytes, expected) in cases {
        let most = Most { events, bytes };
        let after = after.map(str::to_owned);
        let reply = pair.read(Read::Kept { worker: worker.clone(), after: after.clone(), most }).await;
        let Ok(Reply::Kept(kept)) = reply else { panic!("{after:?}, {most:?}: {reply:?}") };
        let found: Vec<_> = kept.iter().map(|kept| kept.name.as_str()).collect();
        assert_eq!(found, expected, "behind {after:?}, {most:?}");
    }
}

/// What is kept replaces what had its name, and the last of one name wins, also in one commit.
pub async fn a_kept_record_is_replaced_by_its_name(place: &dyn Place) {
    let mut pair = Pair::open(place).await;
    let worker = pair.create().await;
    let records = |text: &'static str| {
        let records = text.split(' ').map(|record| record.split_once('=').expect("a name and its bytes"));
        records.map(|(name, bytes)| kept(name, bytes)).collect::<Vec<_>>()
    };
    for (given, expected) in [
        ("a=1 b=2", "a=1 b=2"),
        ("a=a-longer-one", "a=a-longer-one b=2"),
        ("b=3 a=4 b=5 b=6", "a=4 b=6"),
        ("a=", "a= b=6"),
    ] {
        let draft = pair.draft(&worker);
        let draft = records(given).into_iter().fold(draft, |draft, kept| draft.keep(&kept.name, kept.bytes));
        let commit = draft.commit();
        // The second time it is a repetition, which writes nothing.
        for _ in 0..2 {
            assert_eq!(pair.append(commit.clone()).await, Ok(()));
            assert_eq!(all(&pair, &worker).await, records(expected), "after {given}");
        }
    }
}

/// What is kept belongs to the worker whose commit brought it; others have their own under the same name.
pub async fn a_kept_record_belongs_to_its_worker(place: &dyn Place) {
    let mut pair = Pair::open(place).await;
    let [one, other] = [pair.create().await, pair.create().await];
    let commit = pair.draft(&one).keep("a", "of one").commit();
    assert_eq!(pair.append(commit).await, Ok(()));
    assert_eq!(all(&pair, &other).await, []);
    let commit = pair.draft(&other).keep("a", "of the other").keep("b", "of the other").commit();
    assert_eq!(pair.append(commit).await, Ok(()));
    assert_eq!(all(&pair, &one).await, [kept("a", "of one")]);
    assert_eq!(all(&pair, &other).await, [kept("a", "of the other"), kept("b", "of the other")]);
}

/// A commit that is refused keeps nothing, and leaves what is kept as it is.
pub async fn a_refused_commit_keeps_nothing(place: &dyn Place) {
    let mut pair = Pair::open(place).await;
    let worker = pair.create().await;
    let stranger = pair.new_worker();
    let commit = pair.draft(&worker).keep("a", "kept").commit();
    assert_eq!(pair.append(commit).await, Ok(()));
    let of = || worker.clone();
    let refused = [
        (pair.draft(&worker).expected_head(1), Refusal::Conflict { worker: of(), head: 2 }),
        (pair.draft(&worker).expected_head(3), Refusal::Conflict { worker: of(), head: 2 }),
        (pair.draft(&worker).epoch(7), Refusal::Fenced { worker: of(), epoch: 1 }),
        (pair.draft(&stranger), Refusal::NoWorker(stranger.clone())),
    ];
    for (draft, refusal) in refused {
        let commit = draft.keep("a", "refused").keep("b", "refused").commit();
        assert_eq!(pair.append(commit).await, Err(refusal));
        assert_eq!(all(&pair, &worker).await, [kept("a", "kept")]);
        assert_eq!(all(&pair, &stranger).await, []);
    }
}

/// A commit that keeps something under what is no name is refused, with all that it brings.
pub async fn a_name_that_is_none_is_refused(place: &dyn Place) {
    let mut pair = Pair::open(place).await;
    let worker = pair.create().await;
    let stranger = pair.new_worker();
    let too_long = "a".repeat(Kept::MAX_NAME + 1);
    for name in ["", "A", "a b", "a\0", "a:b", "é", &too_long] {
        for draft in [pair.draft(&worker), pair.first(&stranger)] {
            let commit = draft.keep("a", "kept").keep(name, "refused").keep("b", "kept").commit();
            // Past the pair: the model knows nothing that no right caller does.
            match pair.store().append(commit).await {
                Err(StoreError::Io { source, .. }) if source.kind() == io::ErrorKind::InvalidInput => {}
                answer => panic!("{name:?} is answered with {answer:?}"),
            }
            pair.check().await;
        }
    }
}

/// What is kept is not forgotten with the events that it came with.
pub async fn kept_records_survive_a_prune(place: &dyn Place) {
    let mut pair = Pair::open(place).await;
    let worker = pair.new_worker();
    let first = pair.first(&worker).events(3).keep("a", "old").keep("b", "old").commit();
    assert_eq!(pair.append(first).await, Ok(()));
    let prune = pair.prune_to(&worker, 3);
    assert_eq!(pair.prune(prune).await, Ok(()));
    assert_eq!(all(&pair, &worker).await, [kept("a", "old"), kept("b", "old")]);
    let next = pair.draft(&worker).keep("b", "new").commit();
    assert_eq!(pair.append(next).await, Ok(()));
    assert_eq!(all(&pair, &worker).await, [kept("a", "old"), kept("b", "new")]);
}

/// What is kept goes with its worker, however much it is, and nothing of another goes with it.
pub async fn kept_records_go_with_their_worker(place: &dyn Place) {
    let mut pair = Pair::open(place).await;
    let workers = [pair.create().await, pair.create().await];
    for worker in &workers {
        let draft = pair.draft(worker);
        let draft = (0..20).fold(draft, |draft, n| draft.keep(&format!("item/{n}"), vec![n; 100]));
        assert_eq!(pair.append(draft.commit()).await, Ok(()));
    }
    let [gone, other] = &workers;
    let others = all(&pair, other).await;
    assert!(pair.delete(gone).await);
    // Slices of what is left to remove may go between these.
    for _ in 0..40 {
        assert_eq!(all(&pair, gone).await, []);
        let next = pair.draft(other).commit();
        pair.store().append(next.clone()).await.expect("the other goes on");
        assert_eq!(pair.note(&next), Ok(()));
    }
    assert_eq!(all(&pair, other).await, others);
}

/// What is kept is there when a place is opened again, as it was last written; what went with its worker is not.
pub async fn what_is_kept_is_there_again(place: &dyn Place) {
    let mut pair = Pair::open(place).await;
    let [worker, gone] = [pair.create().await, pair.create().await];
    for worker in [&worker, &gone] {
        let draft = pair.draft(worker);
        let draft = (0..9).fold(draft, |draft, n| draft.keep(&format!("item/{n}"), vec![n; 100]));
        assert_eq!(pair.append(draft.commit()).await, Ok(()));
    }
    let commit = pair.draft(&worker).keep("item/4", "new").commit();
    assert_eq!(pair.append(commit).await, Ok(()));
    let expected = all(&pair, &worker).await;
    assert!(pair.delete(&gone).await);
    for _ in 0..2 {
        pair.reopen().await;
        assert_eq!(all(&pair, &worker).await, expected);
        assert_eq!(all(&pair, &gone).await, []);
    }
}

/// Records of 16 MiB are kept, more than one by a commit, and replaced.
pub async fn large_records_are_kept(place: &dyn Place) {
    const LARGE: usize = 16 << 20;
    let mut pair = Pair::open(place).await;
    let worker = pair.create().await;
    let body = |n: u8| Bytes::from([n, 0, 0xff, 0xfe].repeat(LARGE / 4));
    let two = pair.draft(&worker).keep("large/1", body(1)).keep("large/2", body(2)).commit();
    let third = pair.draft(&worker).expected_head(2).keep("large/2", body(3)).commit();
    // Past the pair: a difference must not print megabytes.
    let store = pair.store();
    let sizes = |kept: &[Kept]| kept.iter().map(|kept| kept.bytes.len()).collect::<Vec<_>>();
    for (commit, expected) in [
        (two, [kept("large/1", body(1)), kept("large/2", body(2))]),
        (third, [kept("large/1", body(1)), kept("large/2", body(3))]),
    ] {
        store.append(commit).await.expect("a large commit is taken");
        let read = store.kept(&worker, None, ALL).await.expect("what is kept is read");
        assert!(read == expected, "records of {:?} bytes, not those that were written", sizes(&read));
        let most = Most { events: 9, bytes: LARGE };
        let read = store.kept(&worker, None, most).await.expect("what is kept is read");
        assert!(read == expected[..1], "records of {:?} bytes, not the first", sizes(&read));
    }
}
