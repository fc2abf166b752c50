//! Appends and reads of a store on this disk, beside what the disk itself can do in the same run.
//!
//! `cargo bench -p musher-store-sqlite` prints one JSON object a line. With `--dir DIR` the store and the limit are
//! measured there, with `--writers N` only so many writers, and nothing else. Where `strace` is, the syncs of the log
//! for a fixed number of batches are counted, too: one each. Those of checkpoints are left out.

#[path = "../tests/store/log.rs"]
mod log;

use std::{
    env,
    fs::OpenOptions,
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use musher_core::{Most, NewLife, Store};
use musher_protocol::RuntimeId;
use musher_store_sqlite::{SqliteOptions, SqliteStore};
use tokio::{runtime::Runtime, task::JoinSet};

use crate::log::Log;

/// How long each number of writers writes.
const TIME: Duration = Duration::from_secs(3);
/// What is written before each sync of the limit.
const BLOCK: usize = 512;
/// Batches whose syncs are counted: so few that no checkpoint comes in between, which also syncs the log once.
const COUNTED: u64 = 500;

fn main() {
    let mut arguments = env::args().skip(1);
    let mut place = env::temp_dir();
    let mut counted = None;
    let mut only = None;
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--dir" => place = arguments.next().expect("--dir DIR").into(),
            "--writers" => only = Some(arguments.next().and_then(|n| n.parse().ok()).expect("--writers N")),
            "--counted" => counted = Some(PathBuf::from(arguments.next().expect("--counted DIR"))),
            // What cargo passes on.
            _ => {}
        }
    }
    if let Some(dir) = counted {
        return count_batches(&dir);
    }
    let parent = tempfile::tempdir_in(place).expect("a directory");
    for writers in only.map_or(vec![1, 64, 1000], |n| vec![n]) {
        let limit = limit(&parent.path().join("limit"));
        let dir = parent.path().join(format!("store-{writers}"));
        println!("{}", measure(&dir, writers, limit));
    }
    if only.is_none() {
        println!("{}", reading(&parent.path().join("reading")));
        println!("{}", syncs(&parent.path().join("counted")));
    }
}

/// The median of a loop of a write and a sync, on a file that grows.
fn limit(path: &Path) -> Duration {
    let mut file = OpenOptions::new().create(true).write(true).truncate(true).open(path).expect("a file");
    let mut times = Vec::new();
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(1) {
        let before = Instant::now();
        file.write_all(&[7; BLOCK]).expect("a write");
        file.sync_data().expect("a sync");
        times.push(before.elapsed());
    }
    percentile(&mut times, 50)
}

fn measure(dir: &Path, writers: usize, limit: Duration) -> String {
    let runtime = Runtime::new().expect("a runtime");
    let store = Arc::new(open(dir));
    let (elapsed, mut times, before) = runtime.block_on(async {
        let logs = workers(&store, writers).await;
        let before = store.counters();
        let began = Instant::now();
        let mut tasks = JoinSet::new();
        for mut log in logs {
            let store = Arc::clone(&store);
            tasks.spawn(async move {
                let mut times = Vec::new();
                while began.elapsed() < TIME {
                    let commit = log.next(1);
                    let before = Instant::now();
                    store.append(commit).await.expect("an append");
                    times.push(before.elapsed());
                }
                times
            });
        }
        let times: Vec<_> = tasks.join_all().await.into_iter().flatten().collect();
        (began.elapsed(), times, before)
    });
    let events = times.len();
    let rate = events as f64 / elapsed.as_secs_f64();
    let (p50, p99) = (percentile(&mut times, 50), percentile(&mut times, 99));
    let counters = store.counters();
    format!(
        r#"{{"writers":{writers},"events_per_s":{rate:.0},"p50_us":{:.1},"p99_us":{:.1},"events_per_batch":{:.1},"checkpoints":{},"limit_p50_us":{:.1},"ratio":{:.2}}}"#,
        micros(p50),
        micros(p99),
        (counters.events - before.events) as f64 / (counters.batches - before.batches) as f64,
        counters.checkpoints,
        micros(limit),
        micros(p50) / micros(limit),
    )
}

/// A long log, read by pages.
fn reading(dir: &Path) -> String {
    const EVENTS: u64 = 200_000;
    let runtime = Runtime::new().expect("a runtime");
    let store = open(dir);
    runtime.block_on(async {
        let mut logs = workers(&store, 10).await;
        for n in 0..EVENTS / 250 {
            let log = usize::try_from(n).expect("a small number") % logs.len();
            store.append(logs[log].next(250)).await.expect("an append");
        }
        let most = Most { events: 1000, bytes: 1 << 20 };
        let (mut read, mut times) = (0, Vec::new());
        let began = Instant::now();
        while began.elapsed() < TIME {
            for log in &logs {
                let mut after = 0;
                loop {
                    let before = Instant::now();
                    let page = store.events(&log.worker, after, most).await.expect("a page");
                    times.push(before.elapsed());
                    let Some(last) = page.last() else { break };
                    after = last.seq;
                    read += page.len();
                }
            }
        }
        let rate = read as f64 / began.elapsed().as_secs_f64();
        format!(
            r#"{{"read_events_per_s":{rate:.0},"page_p50_us":{:.1}}}"#,
            micros(percentile(&mut times, 50))
        )
    })
}

/// Counts the syncs of the log for a fixed number of batches, by running this program under `strace`.
fn syncs(dir: &Path) -> String {
    let trace = dir.with_extension("trace");
    let status = Command::new("strace")
        .args(["-f", "-qq", "-y", "-e", "trace=fsync,fdatasync", "-o"])
        .arg(&trace)
        .arg(env::current_exe().expect("this program"))
        .arg("--counted")
        .arg(dir)
        .status();
    match status {
        Ok(status) if status.success() => {}
        Ok(_) | Err(_) => return r#"{"syncs_per_batch":null,"why":"no strace"}"#.to_owned(),
    }
    let trace = std::fs::read_to_string(trace).expect("the trace");
    // The marker file is synced just before the first and just after the last batch.
    let counted = trace.split("/marker>").nth(1).expect("two marks");
    let is_of_log = |line: &&str| line.contains("sync(") && line.contains("musher.db-wal>");
    let log = counted.lines().filter(is_of_log).count();
    format!(
        r#"{{"batches":{COUNTED},"syncs_of_the_log":{log},"syncs_per_batch":{:.3}}}"#,
        log as f64 / COUNTED as f64
    )
}

/// What runs under `strace`: so many batches between two syncs of a marker.
fn count_batches(dir: &Path) {
    let store = open(dir);
    Runtime::new().expect("a runtime").block_on(async {
        let mut log = workers(&store, 1).await.remove(0);
        store.append(log.next(1)).await.expect("an append");
        let mark = std::fs::File::create(dir.join("marker")).expect("a file");
        mark.sync_all().expect("a sync");
        let before = store.counters();
        for _ in 0..COUNTED {
            store.append(log.next(1)).await.expect("an append");
        }
        let after = store.counters();
        let made = (after.batches - before.batches, after.checkpoints - before.checkpoints);
        assert_eq!(made, (COUNTED, 0), "batches and checkpoints");
        mark.sync_all().expect("a sync");
    });
}

fn open(dir: &Path) -> SqliteStore {
    let options = SqliteOptions { reserve_bytes: 1 << 20, ..SqliteOptions::default() };
    SqliteStore::open(dir, options).expect("a store")
}

async fn workers(store: &SqliteStore, n: usize) -> Vec<Log> {
    let life = NewLife { runtime_id: RuntimeId::mint(), owner: "bench".to_owned() };
    store.begin(life).await.expect("a life");
    let mut logs: Vec<_> = (0..n).map(|_| Log::new()).collect();
    for log in &mut logs {
        let commit = log.first();
        store.append(commit).await.expect("a worker");
    }
    logs
}

fn percentile(times: &mut [Duration], percent: usize) -> Duration {
    times.sort_unstable();
    times[(times.len() - 1) * percent / 100]
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
