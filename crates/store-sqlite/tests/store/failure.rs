//! A write that fails ends all writing, and nothing that was acknowledged is lost.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use musher_core::{Health, Store, StoreError};

use crate::{log::Log, open};

/// Where the child works; only it has this.
const DIR: &str = "MUSHER_TEST_FAILING_DIR";

/// Runs this test again in a process whose files cannot grow above some megabytes: then the log cannot be written,
/// in the way that a broken disk cannot.
#[test]
fn after_a_write_that_failed_nothing_is_written_or_read_and_a_new_start_has_what_was_acknowledged() {
    if let Some(dir) = env::var_os(DIR) {
        return run(fail(&PathBuf::from(dir)));
    }
    let dir = tempfile::tempdir().unwrap();
    let test = "failure::after_a_write_that_failed_nothing_is_written_or_read_and_a_new_start_has_what_was_acknowledged";
    let child = Command::new("sh")
        .args(["-c", r#"trap '' XFSZ; ulimit -f 4000; exec "$0" --exact --nocapture "$1""#])
        .arg(env::current_exe().unwrap())
        .arg(test)
        .env(DIR, dir.path())
        .output()
        .unwrap();
    let text = String::from_utf8(child.stdout).unwrap();
    assert!(child.status.success(), "{text}\n{}", String::from_utf8_lossy(&child.stderr));
    let (_, told) = text.split_once("acknowledged ").unwrap();
    let mut told = told.split_whitespace();
    let worker = told.next().unwrap().parse().unwrap();
    let acknowledged: u64 = told.next().unwrap().parse().unwrap();
    run(async {
        let head = open(dir.path()).extent(&worker).await.unwrap().unwrap().head.seq;
        // Of the commit that failed it is not known.
        assert!(
            [acknowledged, acknowledged + 1].contains(&head),
            "{acknowledged} acknowledged, {head} there"
        );
    });
}

async fn fail(dir: &Path) {
    let store = open(dir);
    let mut log = Log::new();
    store.append(log.first()).await.unwrap();
    let mut acknowledged = 1;
    let error = loop {
        match store.append(log.next(1)).await {
            Ok(()) => acknowledged += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, StoreError::Io { attempt: "write a commit", .. }), "{error:?}");
    assert!(matches!(*store.health().borrow(), Health::Failed(_)));
    let again = store.append(log.next(1)).await.unwrap_err();
    assert!(matches!(again, StoreError::Failed), "{again:?}");
    let read = store.extent(&log.worker).await.unwrap_err();
    assert!(matches!(read, StoreError::Failed), "{read:?}");
    println!("acknowledged {} {acknowledged}", log.worker);
}

fn run(future: impl Future<Output = ()>) {
    tokio::runtime::Runtime::new().unwrap().block_on(future);
}
