//! A sync that fails ends all writing, and what it was for is never acknowledged.

use std::{
    env, fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

use musher_core::{Health, Store, StoreError};
use musher_protocol::WorkerId;

use crate::{log::Log, open};

/// Where the child works; only it has this.
const DIR: &str = "MUSHER_TEST_UNSYNCED_DIR";
const TEST: &str = "sync::what_a_failed_sync_was_for_is_never_acknowledged";
/// Which sync of the log fails, counted by each thread: what opens the store is another than what writes.
const FAILING: [usize; 3] = [3, 6, 9];
/// The child stops here when no sync fails.
const MOST: u64 = 50;

/// What strace saw, in its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// The log was synced.
    Synced,
    /// A sync of the log failed, as it was told to.
    Injected,
    /// The child was told that its store is open, or that an append is durable.
    Acknowledged,
}

/// Runs this test again under `strace`, which lets one sync of the log fail.
#[test]
fn what_a_failed_sync_was_for_is_never_acknowledged() {
    if let Some(dir) = env::var_os(DIR) {
        return run(append(&PathBuf::from(dir)));
    }
    for failing in FAILING {
        let home = tempfile::tempdir().unwrap();
        let trace = home.path().join("trace");
        let told = told(&home.path().join("store"), &trace, failing);
        let (worker, acknowledged) = told.split_once(' ').unwrap();
        let acknowledged: u64 = acknowledged.trim().parse().unwrap();

        let seen = seen(&fs::read_to_string(&trace).unwrap());
        let behind_open = seen.iter().position(|seen| *seen == Seen::Acknowledged).unwrap() + 1;
        let mut appends = seen[behind_open..].split(|seen| *seen == Seen::Acknowledged);
        let last = appends.next_back().unwrap();
        let synced: Vec<_> = appends.map(<[Seen]>::to_vec).collect();
        // A new log has a header, which is synced before its first commit.
        let each = |n: u64| vec![Seen::Synced; if n == 0 { 2 } else { 1 }];
        assert_eq!(synced, (0..acknowledged).map(each).collect::<Vec<_>>(), "{failing}: {seen:?}");
        assert_eq!(last, [Seen::Injected], "{failing}: {seen:?}");

        let worker: WorkerId = worker.parse().unwrap();
        run(async {
            let head = open(&home.path().join("store")).extent(&worker).await.unwrap().unwrap().head.seq;
            // Of the commit whose sync failed it is not known: it was written.
            assert!([acknowledged, acknowledged + 1].contains(&head), "{failing}: {acknowledged}, {head}");
        });
    }
}

/// What the child said in the end: its worker, and how many appends were acknowledged.
fn told(dir: &Path, trace: &Path, failing: usize) -> String {
    // Made beforehand, so that the thread that opens it has few syncs of its own.
    drop(open(dir));
    let child = Command::new("strace")
        .args(["-f", "-qq", "-e", "trace=fsync,fdatasync,write", "-o"])
        .arg(trace)
        .args(["-e".to_owned(), format!("inject=fsync,fdatasync:error=EIO:when={failing}")])
        .args(["-P".into(), dir.join("musher.db-wal")])
        .args(["-P".into(), acknowledgments(dir)])
        .arg(env::current_exe().unwrap())
        .args(["--exact", "--nocapture", TEST])
        .env(DIR, dir)
        .output()
        .unwrap_or_else(|error| panic!("this test needs strace, which cannot be started: {error}"));
    let text = String::from_utf8(child.stdout).unwrap();
    assert!(child.status.success(), "{text}\n{}", String::from_utf8_lossy(&child.stderr));
    text.lines().find_map(|line| line.strip_prefix("acknowledged ")).unwrap().to_owned()
}

fn seen(trace: &str) -> Vec<Seen> {
    let seen = |line: &str| {
        let is_sync = ["fsync", "fdatasync"].iter().any(|name| line.contains(name));
        if line.contains("write(") {
            Some(Seen::Acknowledged)
        } else if is_sync && line.contains("(INJECTED)") {
            Some(Seen::Injected)
        } else {
            (is_sync && line.ends_with("= 0")).then_some(Seen::Synced)
        }
    };
    trace.lines().filter_map(seen).collect()
}

/// The file that the child writes to behind each answer, so that the trace has the order of syncs and answers.
fn acknowledgments(dir: &Path) -> PathBuf {
    dir.with_extension("acknowledged")
}

async fn append(dir: &Path) {
    let mut file = fs::File::create(acknowledgments(dir)).unwrap();
    let store = open(dir);
    file.write_all(b"open\n").unwrap();
    let mut log = Log::new();
    let mut commit = log.first();
    let mut acknowledged = 0;
    let error = loop {
        match store.append(commit).await {
            Ok(()) => acknowledged += 1,
            Err(error) => break error,
        }
        file.write_all(format!("{acknowledged}\n").as_bytes()).unwrap();
        println!("append {acknowledged} is acknowledged");
        assert!(acknowledged < MOST, "no sync has failed");
        commit = log.next(1);
    };
    println!("then: {error:?}");
    assert!(matches!(error, StoreError::Io { .. }), "{error:?}");
    assert!(matches!(*store.health().borrow(), Health::Failed(_)));
    for _ in 0..3 {
        let again = store.append(log.next(1)).await.unwrap_err();
        assert!(matches!(again, StoreError::Failed), "{again:?}");
    }
    let read = store.extent(&log.worker).await.unwrap_err();
    assert!(matches!(read, StoreError::Failed), "{read:?}");
    println!("acknowledged {} {acknowledged}", log.worker);
}

fn run(future: impl Future<Output = ()>) {
    tokio::runtime::Runtime::new().unwrap().block_on(future);
}
