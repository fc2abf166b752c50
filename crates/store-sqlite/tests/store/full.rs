//! A full disk: what is under way can be ended, and all is well when there is space again.

use std::{fs, path::PathBuf};

use jiff::Timestamp;
use musher_core::{BundlePut, Health, KeyRecord, Most, OwnedKeys, Store, StoreError};
use musher_store_sqlite::{SqliteOptions, SqliteStore};
use musher_testkit::apart::on_a_disk_of;

use crate::{fixture::bundle, log::Log};

const RESERVE: u64 = 2 << 20;

#[test]
fn a_full_disk_is_written_from_the_reserve_until_that_is_used_up_and_recovers() {
    let test = "full::a_full_disk_is_written_from_the_reserve_until_that_is_used_up_and_recovers";
    if let Some(disk) = on_a_disk_of(12, test) {
        tokio::runtime::Runtime::new().unwrap().block_on(fill(disk));
    }
}

async fn fill(disk: PathBuf) {
    let options = SqliteOptions { reserve_bytes: RESERVE, ..SqliteOptions::default() };
    let dir = disk.join("store");
    let store = SqliteStore::open(&dir, options).unwrap();
    let mut health = store.health();
    let mut log = Log::new();
    store.append(log.first()).await.unwrap();
    // Somebody else takes nearly all of the disk.
    let ballast = disk.join("ballast");
    fs::write(&ballast, vec![1; 4 << 20]).unwrap();

    let mut while_full = 0;
    let before_full = loop {
        let saved = log.clone();
        match store.append(log.next(10)).await {
            Ok(()) if matches!(*health.borrow(), Health::Full) => while_full += 1,
            Ok(()) => assert_eq!(while_full, 0, "full until there is space again"),
            Err(StoreError::Full) => break saved,
            Err(error) => panic!("{error:?}"),
        }
    };
    assert!(while_full > 20, "{while_full} commits from the reserve");
    assert!(matches!(*health.borrow(), Health::Full));
    // Keys that come without an event are refused together, also one that would fit into a page that is there.
    let keys = [record("large", 64 << 10), record("small", 8)];
    assert!(matches!(store.remember(keys.to_vec()).await, Err(StoreError::Full)));
    for KeyRecord { scope, key, .. } in &keys {
        assert_eq!(store.remembered(scope, key).await.unwrap(), None);
    }
    assert_eq!(store.keys_of("ci").await.unwrap(), OwnedKeys::default());
    // A bundle that would fit is not stored without its key, which does not.
    let put = async || store.put_bundle(bundle(), 1, Some(record("bundle", 64 << 10))).await;
    assert!(matches!(put().await, Err(StoreError::Full)));
    assert_eq!(store.bundles().await.unwrap(), []);
    // Nothing of what was refused is there, and reads go on.
    let mut log = before_full;
    assert_eq!(store.extent(&log.worker).await.unwrap().unwrap().head.seq, log.head);
    check_all(&store, &log).await;

    fs::remove_file(&ballast).unwrap();
    let is_good = |health: &Health| matches!(health, Health::Good);
    tokio::time::timeout(std::time::Duration::from_secs(60), health.wait_for(is_good))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(fs::metadata(dir.join("reserve")).unwrap().len(), RESERVE);
    store.remember(keys.to_vec()).await.unwrap();
    assert_eq!(put().await.unwrap(), BundlePut::Stored);
    assert_eq!(store.keys_of("ci").await.unwrap().count, 3);
    for _ in 0..10 {
        store.append(log.next(10)).await.unwrap();
    }
    check_all(&store, &log).await;

    drop(store);
    let store = SqliteStore::open(&dir, options).unwrap();
    check_all(&store, &log).await;
}

fn record(key: &str, bytes: usize) -> KeyRecord {
    KeyRecord {
        owner: "ci".to_owned(),
        scope: "s".to_owned(),
        key: key.parse().unwrap(),
        digest: [7; 32],
        outcome: vec![b' '; bytes].into(),
        at: Timestamp::UNIX_EPOCH,
    }
}

async fn check_all(store: &SqliteStore, log: &Log) {
    let mut after = 0;
    loop {
        let page = store.events(&log.worker, after, Most { events: 1000, bytes: 1 << 20 }).await.unwrap();
        let Some(last) = page.last() else { break };
        after = last.seq;
    }
    assert_eq!(after, log.head);
}
