//! Opening: what a crash leaves, what others hold, and what is refused.

use std::{fs, path::Path, task::Poll};

use musher_core::{Extent, Head, Store};
use musher_store_sqlite::{OpenError, SqliteOptions, SqliteStore, WalDamage};
use rusqlite::Connection;

use crate::{log::Log, open};

const COMMITS: usize = 5;

/// A directory with a log of some commits that were never merged, as a crash leaves it.
async fn crashed(dir: &Path) -> Log {
    let store = open(dir);
    let mut log = Log::new();
    store.append(log.first()).await.unwrap();
    for _ in 1..COMMITS {
        store.append(log.next(1)).await.unwrap();
    }
    log
}

async fn head(store: &SqliteStore, log: &Log) -> u64 {
    store.extent(&log.worker).await.unwrap().unwrap().head.seq
}

fn refusal(dir: &Path) -> OpenError {
    SqliteStore::open(dir, SqliteOptions::default()).unwrap_err()
}

#[tokio::test]
async fn what_was_never_merged_is_merged_before_anything_is_served() {
    let dir = tempfile::tempdir().unwrap();
    let log = crashed(dir.path()).await;
    let wal = dir.path().join("musher.db-wal");
    assert!(fs::metadata(&wal).unwrap().len() > 0);
    let store = open(dir.path());
    assert_eq!(fs::metadata(&wal).unwrap().len(), 0);
    assert_eq!(head(&store, &log).await, COMMITS as u64);
}

#[tokio::test]
async fn a_torn_last_commit_is_not_there_and_the_others_are() {
    let dir = tempfile::tempdir().unwrap();
    let log = crashed(dir.path()).await;
    let wal = dir.path().join("musher.db-wal");
    let whole = fs::read(&wal).unwrap();
    fs::write(&wal, &whole[..whole.len() - 100]).unwrap();
    let store = open(dir.path());
    let Extent { oldest, head } = store.extent(&log.worker).await.unwrap().unwrap();
    assert_eq!((oldest, head.seq), (Head::EMPTY, COMMITS as u64 - 1));
}

#[tokio::test]
async fn damage_before_later_commits_is_refused_and_nothing_is_touched() {
    let dir = tempfile::tempdir().unwrap();
    crashed(dir.path()).await;
    let wal = dir.path().join("musher.db-wal");
    let mut bytes = fs::read(&wal).unwrap();
    bytes[32 + 24 + 1000] ^= 4;
    fs::write(&wal, &bytes).unwrap();
    let database = fs::read(dir.path().join("musher.db")).unwrap();

    let error = refusal(dir.path());
    let OpenError::DamagedWal { path, damage } = &error else { panic!("{error}") };
    assert_eq!((path, *damage), (&wal, WalDamage::Frame(1)));
    assert_eq!(
        error.to_string(),
        format!(
            "`{}` is damaged (frame 1 is not what was written), and later commits depend on it; copy the whole \
             directory first, then either restore a backup or, to go on without the commits of this file, delete it \
             from the copy and open the copy",
            wal.display()
        )
    );
    assert_eq!(fs::read(&wal).unwrap(), bytes);
    assert_eq!(fs::read(dir.path().join("musher.db")).unwrap(), database);
}

#[test]
fn a_directory_in_use_is_refused_with_its_holder() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path());
    let message = format!("`{}` is in use by process {}", dir.path().display(), std::process::id());
    assert_eq!(refusal(dir.path()).to_string(), message);
    drop(first);
    open(dir.path());
}

#[test]
fn a_later_schema_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    let database = Connection::open(dir.path().join("musher.db")).unwrap();
    database.pragma_update(None, "user_version", 1000).unwrap();
    drop(database);
    let error = refusal(dir.path());
    let OpenError::Newer { found: 1000, .. } = error else { panic!("{error}") };
}

#[tokio::test]
async fn what_is_handed_over_is_written_before_the_store_is_closed() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut log = Log::new();
    store.append(log.first()).await.unwrap();
    let commits: Vec<_> = (0..100).map(|_| log.next(10)).collect();
    let mut appends: Vec<_> = commits.into_iter().map(|commit| store.append(commit)).collect();
    // Each is polled once, which hands it over, and then dropped with the store.
    for append in &mut appends {
        // The first ones may be written by then.
        if let Poll::Ready(written) = futures_poll(append).await {
            written.unwrap();
        }
    }
    drop(appends);
    drop(store);
    assert_eq!(head(&open(dir.path()), &log).await, 1001);
}

async fn futures_poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    std::future::poll_fn(|cx| Poll::Ready(std::pin::Pin::new(&mut *future).poll(cx))).await
}
