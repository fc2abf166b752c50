//! What a process has used.

use std::{fs, time::Duration};

/// The time that all threads of a process have run so far.
pub(super) fn cpu(pid: i32) -> Duration {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
    let ran = threads.filter_map(|thread| {
        // A thread that ends while we look takes its time with it; servers' threads stay.
        let schedstat = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        schedstat.split(' ').next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(ran.sum())
}
