//! Checks of config bundles, which are no worker's.

use std::{cell::Cell, slice};

use futures_util::future;
use musher_core::{Blob, BundlePut, KeyRecord, Store, StoredBundle};
use musher_protocol::{ConfigBundleRef, ConfigBundleSummary, Digest, DigestAlgorithm};
use tokio::task::yield_now;

use super::{
    Place,
    remembering::{record, remembered},
};

/// More than any check stores.
const PLENTY: usize = 100;

fn bundle(id: &str, revision: &str, content: &str) -> StoredBundle {
    let canonical = format!(r#"{{"content":"{content}","id":"{id}","revision":"{revision}"}}"#);
    let summary = ConfigBundleSummary {
        id: id.parse().expect("an id"),
        digest: Blob::digest_of(canonical.as_bytes()),
        digest_algorithm: DigestAlgorithm::Sha256Jcs,
        revision: revision.parse().expect("a revision"),
        profile_count: 1,
        declaration_count: 2,
        created_at: "2026-11-20T10:00:00.000001Z".parse().expect("a time"),
    };
    StoredBundle { summary, canonical: canonical.into() }
}

fn reference(bundle: &StoredBundle) -> ConfigBundleRef {
    ConfigBundleRef { id: bundle.summary.id.clone(), digest: bundle.summary.digest }
}

async fn put(store: &dyn Store, bundle: &StoredBundle) -> BundlePut {
    store.put_bundle(bundle.clone(), PLENTY, None).await.expect("a store that can be written")
}

async fn put_under(store: &dyn Store, bundle: &StoredBundle, key: &KeyRecord) -> BundlePut {
    let put = store.put_bundle(bundle.clone(), PLENTY, Some(key.clone())).await;
    put.expect("a store that can be written")
}

async fn read(store: &dyn Store, reference: &ConfigBundleRef) -> Option<StoredBundle> {
    store.bundle(reference).await.expect("a store that can be read")
}

async fn list(store: &dyn Store) -> Vec<ConfigBundleSummary> {
    store.bundles().await.expect("a store that can be read")
}

/// A revision stays what it was first, whatever comes under its name.
pub async fn a_revision_is_stored_once_and_for_good(place: &dyn Place) {
    let store = place.open().await;
    let (first, other) = (bundle("team", "1", "é and \u{1F600}"), bundle("team", "1", "other"));
    assert_eq!(put(&*store, &first).await, BundlePut::Stored);
    for _ in 0..2 {
        assert_eq!(put(&*store, &first).await, BundlePut::WasThere);
        assert_eq!(put(&*store, &other).await, BundlePut::OtherContent(first.summary.digest));
        assert_eq!(read(&*store, &reference(&first)).await.as_ref(), Some(&first));
        assert_eq!(read(&*store, &reference(&other)).await, None);
        assert_eq!(list(&*store).await, slice::from_ref(&first.summary));
    }
}

/// A revision is found by its bundle and digest, and beside it the other revisions.
pub async fn a_bundle_is_found_by_its_id_and_digest(place: &dyn Place) {
    let store = place.open().await;
    let stored = [bundle("team", "1", "a"), bundle("team", "2", "a"), bundle("other", "1", "a")];
    for bundle in &stored {
        assert_eq!(put(&*store, bundle).await, BundlePut::Stored);
    }
    for bundle in &stored {
        assert_eq!(read(&*store, &reference(bundle)).await.as_ref(), Some(bundle));
    }
    let nobody = ConfigBundleRef { id: "nobody".parse().expect("an id"), ..reference(&stored[0]) };
    let foreign = ConfigBundleRef { digest: Digest([7; 32]), ..reference(&stored[0]) };
    for (unknown, is_there) in [(nobody, false), (foreign, true)] {
        assert_eq!(read(&*store, &unknown).await, None, "{unknown:?}");
        let has = store.has_bundle(&unknown.id).await.expect("a store that can be read");
        assert_eq!(has, is_there, "{unknown:?}");
    }
}

/// Bundles are listed in the byte order of their ids, then of their revisions, whatever order they came in.
pub async fn bundles_are_listed_by_id_and_revision(place: &dyn Place) {
    let store = place.open().await;
    assert_eq!(list(&*store).await, []);
    let expected = [("B", "1"), ("a", "10"), ("a", "2"), ("a-b", "1"), ("a.b", "1"), ("ab", "1")];
    let stored = expected.map(|(id, revision)| bundle(id, revision, "x"));
    for bundle in stored.iter().rev() {
        assert_eq!(put(&*store, bundle).await, BundlePut::Stored);
    }
    let summaries = stored.map(|bundle| bundle.summary);
    assert_eq!(list(&*store).await, summaries);
}

/// When as many are stored as may be, others are refused, and those that are there are known.
pub async fn no_more_bundles_are_stored_than_may_be(place: &dyn Place) {
    let store = place.open().await;
    let [one, two, three] = ["1", "2", "3"].map(|revision| bundle("team", revision, "x"));
    let put = async |bundle: &StoredBundle| {
        store.put_bundle(bundle.clone(), 2, None).await.expect("a store that can be written")
    };
    assert_eq!([put(&one).await, put(&two).await], [BundlePut::Stored; 2]);
    assert_eq!([put(&three).await, put(&one).await], [BundlePut::TooMany, BundlePut::WasThere]);
    assert!(store.delete_bundle(&reference(&one)).await.expect("a store that can be written"));
    assert_eq!([put(&three).await, put(&one).await], [BundlePut::Stored, BundlePut::TooMany]);
}

/// The key that a bundle is stored under is remembered with it, also of a bundle that was there; one key once.
pub async fn a_bundle_brings_its_key(place: &dyn Place) {
    let store = place.open().await;
    let stored = bundle("team", "1", "x");
    let [first, second] = ["a", "b"].map(|key| record("s", key, "{\"is\":\"that\"}", 1));
    let again = record("s", "b", "again", 2);
    for (key, expected, n) in
        [(&first, BundlePut::Stored, 1), (&second, BundlePut::WasThere, 2), (&again, BundlePut::WasThere, 2)]
    {
        assert_eq!(put_under(&*store, &stored, key).await, expected);
        assert_eq!(remembered(&*store, key).await.as_ref(), Some(key));
        let owned = store.keys_of(&key.owner).await.expect("a store that can be read");
        assert_eq!((owned.count, owned.oldest), (n, Some(first.at)));
    }
    assert_eq!(put(&*store, &stored).await, BundlePut::WasThere);
    assert_eq!(remembered(&*store, &first).await, Some(first));
}

/// A bundle that is not stored leaves no key.
pub async fn a_refused_bundle_brings_no_key(place: &dyn Place) {
    let store = place.open().await;
    let (first, other, more) =
        (bundle("team", "1", "x"), bundle("team", "1", "other"), bundle("team", "2", "x"));
    assert_eq!(put(&*store, &first).await, BundlePut::Stored);
    let key = record("s", "k", "it", 1);
    for (bundle, expected) in
        [(other, BundlePut::OtherContent(first.summary.digest)), (more, BundlePut::TooMany)]
    {
        let put = store.put_bundle(bundle, 1, Some(key.clone())).await;
        assert_eq!(put.expect("a store that can be written"), expected);
        assert_eq!(remembered(&*store, &key).await, None, "{expected:?}");
    }
}

/// Whoever sees a bundle finds the key that it came under: no moment is between them.
pub async fn a_bundle_is_seen_with_its_key(place: &dyn Place) {
    const BUNDLES: usize = 20;
    let store = place.open().await;
    let bundles =
        (0..BUNDLES).map(|n| (bundle("team", &n.to_string(), "x"), record("s", &n.to_string(), "it", 1)));
    let bundles: Vec<_> = bundles.collect();
    let is_over = Cell::new(false);
    let write = async {
        for (bundle, key) in &bundles {
            assert_eq!(put_under(&*store, bundle, key).await, BundlePut::Stored);
            yield_now().await;
        }
        is_over.set(true);
    };
    let look = async {
        while !is_over.get() {
            for summary in list(&*store).await {
                let (_, key) = bundles.iter().find(|(bundle, _)| bundle.summary == summary).expect("ours");
                assert_eq!(remembered(&*store, key).await.as_ref(), Some(key));
            }
            yield_now().await;
        }
    };
    future::join(write, look).await;
}

/// A revision is deleted once, and alone; its name is free again.
pub async fn a_bundle_is_deleted_alone(place: &dyn Place) {
    let store = place.open().await;
    let [one, two] = ["1", "2"].map(|revision| bundle("team", revision, "x"));
    for bundle in [&one, &two] {
        assert_eq!(put(&*store, bundle).await, BundlePut::Stored);
    }
    for was_there in [true, false] {
        let deleted = store.delete_bundle(&reference(&one)).await.expect("a store that can be written");
        assert_eq!(deleted, was_there);
        assert_eq!(list(&*store).await, slice::from_ref(&two.summary));
        assert_eq!(read(&*store, &reference(&one)).await, None);
    }
    let other = bundle("team", "1", "other");
    assert_eq!(put(&*store, &other).await, BundlePut::Stored);
    assert_eq!(list(&*store).await, [other.summary, two.summary]);
}

/// Bundles and their keys are there when a place is opened again; bundles that were deleted are not, but their keys.
pub async fn bundles_are_there_again(place: &dyn Place) {
    let [kept, gone] = ["1", "2"].map(|revision| bundle("team", revision, "x"));
    let store = place.open().await;
    let keys = ["a", "b"].map(|key| record("s", key, "it", 1));
    for (bundle, key) in [&kept, &gone].into_iter().zip(&keys) {
        assert_eq!(put_under(&*store, bundle, key).await, BundlePut::Stored);
    }
    assert!(store.delete_bundle(&reference(&gone)).await.expect("a store that can be written"));
    drop(store);
    let store = place.open().await;
    assert_eq!(list(&*store).await, slice::from_ref(&kept.summary));
    assert_eq!(read(&*store, &reference(&kept)).await.as_ref(), Some(&kept));
    assert_eq!(put(&*store, &kept).await, BundlePut::WasThere);
    for key in keys {
        assert_eq!(remembered(&*store, &key).await, Some(key));
    }
}
