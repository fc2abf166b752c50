//! What is deleted or pruned goes, also after a restart.

use bytes::Bytes;
use musher_core::{Blob, Checkpoint, Commit, Kept, Prune, Store};
use musher_store_sqlite::{QueryLimits, Value, query};

use crate::{log::Log, open};

#[tokio::test]
async fn rows_of_the_deleted_and_the_pruned_go_in_slices_and_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let (mut deleted, mut pruned) = (Log::new(), Log::new());
    for log in [&mut deleted, &mut pruned] {
        store.append(log.first()).await.unwrap();
        let blobs = (0..9).map(|n| Blob::of(Bytes::from(vec![n; 100]))).collect();
        let kept =
            (0..9).map(|n| Kept { name: format!("item/{n}"), bytes: Bytes::from(vec![n; 100]) }).collect();
        store.append(Commit { blobs, kept, ..log.next(1999) }).await.unwrap();
    }
    let last = store.extent(&pruned.worker).await.unwrap().unwrap().head;
    let checkpoint = Checkpoint { head: last.clone(), body: Bytes::new() };
    let prune = Prune { worker: pruned.worker.clone(), epoch: 1, oldest: last, checkpoint };
    store.prune(prune).await.unwrap();
    store.delete(&deleted.worker).await.unwrap();
    drop(store);

    let store = open(dir.path());
    let left = || {
        let counts = "SELECT (SELECT count(*) FROM stored_event), (SELECT count(*) FROM stored_blob),
                             (SELECT count(*) FROM stored_kept),
                             (SELECT count(*) FROM stored_spec), (SELECT count(*) FROM stored_worker WHERE sweep)";
        query(dir.path(), counts, QueryLimits::default()).unwrap().rows.remove(0)
    };
    let expected = [0, 9, 9, 1, 0].map(Value::Integer);
    let all_gone = async {
        while left() != expected {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), all_gone).await.unwrap();
    // The slices are no batches.
    assert_eq!(store.counters().batches, 0);
    store.append(pruned.next(1)).await.unwrap();
    assert_eq!(store.extent(&pruned.worker).await.unwrap().unwrap().head.seq, 2001);
}
