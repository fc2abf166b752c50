//! What the disk can do: a write at the end of a file, and the sync that makes it durable.

use std::{
    fs::File,
    io::Write as _,
    path::Path,
    time::{Duration, Instant},
};

use super::latency::Latencies;

/// As long as one event.
const EVENT: usize = 512;
/// Enough syncs for a p50, and not many more on a slow disk.
const MOST: usize = 400;
const LONGEST: Duration = Duration::from_secs(2);

/// The p50 of a write of 512 B at the end of a file in this directory with its `fdatasync`, in seconds.
pub(super) async fn sync_p50(directory: &Path) -> f64 {
    let file = tempfile::tempfile_in(directory).unwrap();
    tokio::task::spawn_blocking(move || measure(file)).await.unwrap()
}

fn measure(mut file: File) -> f64 {
    let event = [b'x'; EVENT];
    let begun = Instant::now();
    let mut latencies = Latencies::default();
    for _ in 0..MOST {
        let at = Instant::now();
        file.write_all(&event).unwrap();
        file.sync_data().unwrap();
        latencies.push(at.elapsed());
        if begun.elapsed() > LONGEST {
            break;
        }
    }
    latencies.quantile(50)
}
