//! What was said and done before, for a backend whose vendor remembers nothing.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use musher_backend::HistoryEntry;
use musher_protocol::{BlobRef, TranscriptEntry, WorkerId};
use serde_json::Value;

use crate::store::{Kept, Most, Start, Store, StoreError};

/// More than fits into any model's context; a backend that needs what is older has made it shorter, and kept that.
const MAX_ENTRIES: u64 = 10_000;
/// A context of a million tokens; and as much again for what the vendor wants back beside the words.
const MAX_BYTES: usize = 16 << 20;
/// Entries that are read at once.
const PAGE: usize = 500;
/// Records that are read at once, of 16 MiB at most each.
const RECORDS: Most = Most { events: 500, bytes: 4 << 20 };

/// Where what belongs to transcript entries is kept, and where files are. In the order of names the first comes first.
const OF_ENTRIES: &str = "entry/";
const FILES: &str = "file/";

/// What a backend gets of its worker's earlier sessions.
#[derive(Debug, Default)]
pub(super) struct History {
    pub(super) entries: Vec<HistoryEntry>,
    pub(super) files: BTreeMap<String, Vec<u8>>,
}

/// What stands beside a transcript entry, as it is kept.
pub(crate) fn beside_entry(sequence: u64, private: &Value) -> Kept {
    Kept { name: of_entry(sequence), bytes: private.to_string().into() }
}

/// A backend's file, as it is kept; none when it cannot have this name.
pub(crate) fn file(name: &str, bytes: Vec<u8>) -> Option<Kept> {
    let kept = Kept { name: format!("{FILES}{name}"), bytes: bytes.into() };
    (!name.is_empty() && Kept::is_name(&kept.name)).then_some(kept)
}

/// In the order of sequences.
fn of_entry(sequence: u64) -> String {
    format!("{OF_ENTRIES}{sequence:020}")
}

impl History {
    /// Reads the newest of a worker's first `entries` entries, whole and with what stands beside them, and its files.
    /// The `untold` ones are left out.
    pub(super) async fn read(
        store: &dyn Store,
        worker: &WorkerId,
        entries: u64,
        untold: &BTreeSet<u64>,
    ) -> Result<Self, StoreError> {
        let mut newest = VecDeque::new();
        let mut n_bytes = 0;
        let mut passed = entries.saturating_sub(MAX_ENTRIES);
        while passed < entries {
            let limit = PAGE.min(usize::try_from(entries - passed).unwrap_or(PAGE));
            let page = store.transcript(worker, Start::Behind(passed), limit).await?.entries;
            if page.is_empty() {
                break;
            }
            passed += page.len() as u64;
            for mut entry in page.into_iter().filter(|entry| !untold.contains(&entry.sequence)) {
                complete(store, worker, &mut entry).await?;
                n_bytes += size(&entry);
                newest.push_back(entry);
                while n_bytes > MAX_BYTES
                    && let Some(oldest) = newest.pop_front()
                {
                    n_bytes -= size(&oldest);
                }
            }
        }
        let mut kept =
            records(store, worker, newest.front().map_or(entries + 1, |entry| entry.sequence)).await?;
        // An entry without what stood beside it would be another one to the vendor.
        if let Some(cut) = kept.cut {
            newest.retain(|entry| of_entry(entry.sequence) > cut);
        }
        let mut private = |entry: &TranscriptEntry| {
            let bytes = kept.beside.remove(&of_entry(entry.sequence))?;
            // It was JSON when it was kept, and it was not damaged.
            Some(serde_json::from_slice(&bytes).expect("what stands beside an entry is JSON"))
        };
        let entries =
            newest.into_iter().map(|entry| HistoryEntry { private: private(&entry), entry }).collect();
        Ok(Self { entries, files: kept.files })
    }
}

/// What is kept of a worker.
#[derive(Debug, Default)]
struct Records {
    /// By the names of their entries; the newest, within [`MAX_BYTES`].
    beside: BTreeMap<String, Bytes>,
    /// The newest of those that did not fit.
    cut: Option<String>,
    files: BTreeMap<String, Vec<u8>>,
}

/// The records from that of an entry on. How many files there are is the backend's own choice of names.
async fn records(store: &dyn Store, worker: &WorkerId, first: u64) -> Result<Records, StoreError> {
    let mut records = Records::default();
    let mut n_bytes = 0;
    let mut after = of_entry(first.saturating_sub(1));
    loop {
        let page = store.kept(worker, Some(&after), RECORDS).await?;
        let Some(last) = page.last() else { return Ok(records) };
        after.clone_from(&last.name);
        for Kept { name, bytes } in page {
            if let Some(file) = name.strip_prefix(FILES) {
                records.files.insert(file.to_owned(), bytes.to_vec());
                continue;
            }
            n_bytes += bytes.len();
            records.beside.insert(name, bytes);
            while n_bytes > MAX_BYTES
                && let Some((oldest, bytes)) = records.beside.pop_first()
            {
                n_bytes -= bytes.len();
                records.cut = Some(oldest);
            }
        }
    }
}

/// Puts the whole of what is large in the place of its preview.
async fn complete(
    store: &dyn Store,
    worker: &WorkerId,
    entry: &mut TranscriptEntry,
) -> Result<(), StoreError> {
    if let Some(blob) = entry.blob.take() {
        entry.content = body(store, worker, blob).await?;
    }
    if let Some(blob) = entry.result_blob.take() {
        entry.result = Some(body(store, worker, blob).await?);
    }
    if let Some(blob) = entry.input_blob.take() {
        let text = body(store, worker, blob).await?;
        entry.input = Some(serde_json::from_str(&text).map_err(|_no_json| damaged(worker, blob))?);
    }
    Ok(())
}

async fn body(store: &dyn Store, worker: &WorkerId, blob: BlobRef) -> Result<String, StoreError> {
    let bytes = store.blob(worker, blob.digest).await?;
    bytes.and_then(|bytes| String::from_utf8(bytes.into()).ok()).ok_or_else(|| damaged(worker, blob))
}

fn damaged(worker: &WorkerId, blob: BlobRef) -> StoreError {
    StoreError::Corrupt { worker: worker.clone(), what: format!("blob {}", blob.digest) }
}

/// What an entry takes in memory; what stands beside it has a bound of its own.
fn size(entry: &TranscriptEntry) -> usize {
    let input = entry.input.as_ref().map_or(0, |input| input.to_string().len());
    entry.content.len() + entry.result.as_ref().map_or(0, String::len) + input
}

#[cfg(test)]
mod tests {
    use musher_protocol::{Role, WorkerRef};
    use serde_json::json;

    use super::*;
    use crate::{store::Blob, task::starting::tests::entry};

    #[test]
    fn files_are_kept_under_names_that_every_store_orders_alike() {
        assert_eq!(file("history.json", vec![1]).map(|kept| kept.name).as_deref(), Some("file/history.json"));
        for name in ["", "a b", "A", &"x".repeat(200)] {
            assert_eq!(file(name, Vec::new()), None, "{name:?}");
        }
        assert!(beside_entry(9, &json!(1)).name < beside_entry(10, &json!(1)).name);
    }

    /// A worker with so many entries, each of them with its sequence beside it, and one file.
    async fn store(n: u64, content: impl Fn(u64) -> String) -> (crate::MemoryStore, WorkerId) {
        let worker_ref =
            WorkerRef { runtime_id: "rt_1".parse().unwrap(), worker_id: "wrk_1".parse().unwrap() };
        let worker = worker_ref.worker_id.clone();
        let mut first = crate::load::tests::created(&["hello"]).1;
        first.entries = (1..=n)
            .map(|sequence| TranscriptEntry { sequence, ..entry(Role::Assistant, &content(sequence)) })
            .collect();
        first.kept = (1..=n).map(|sequence| beside_entry(sequence, &json!({ "raw": sequence }))).collect();
        first.kept.push(file("shortened", b"what was before".to_vec()).unwrap());
        let large = Blob::of("the whole of it".into());
        first.entries[0].blob = Some(BlobRef { digest: large.digest, bytes: large.bytes.len() as u64 });
        first.blobs.push(large);
        let store = crate::MemoryStore::new();
        store.append(first).await.unwrap();
        (store, worker)
    }

    fn sequences(history: &History) -> Vec<u64> {
        let beside = |entry: &HistoryEntry| {
            let sequence = entry.entry.sequence;
            assert_eq!(entry.private, Some(json!({ "raw": sequence })));
            sequence
        };
        history.entries.iter().map(beside).collect()
    }

    #[tokio::test]
    async fn entries_come_whole_and_with_what_stands_beside_them_but_for_those_that_are_still_to_be_told() {
        let (store, worker) = store(1200, |sequence| format!("said {sequence}")).await;
        let history = History::read(&store, &worker, 1101, &[1101].into()).await.unwrap();
        assert_eq!(sequences(&history), (1..=1100).collect::<Vec<_>>());
        assert_eq!(history.entries[0].entry.content, "the whole of it");
        assert_eq!(history.files, [("shortened".to_owned(), b"what was before".to_vec())].into());
        let nothing = History::read(&store, &worker, 0, &BTreeSet::new()).await.unwrap();
        assert_eq!((nothing.entries.len(), nothing.files.len()), (0, 1));
    }

    #[tokio::test]
    async fn an_entry_whose_other_half_does_not_fit_is_left_out() {
        let (store, worker) = store(4, |_| "x".to_owned()).await;
        let large = json!({ "raw": "y".repeat(7 << 20) });
        let mut commit = crate::load::tests::created(&["more"]).1;
        commit.expected_head = store.extent(&worker).await.unwrap().unwrap().head.seq;
        commit.batch_id = uuid::Uuid::now_v7();
        for (event, seq) in commit.events.iter_mut().zip(commit.expected_head + 1..) {
            event.seq = seq;
        }
        (commit.row, commit.checkpoint, commit.accepted) = (None, None, Vec::new());
        (commit.entries, commit.blobs) = (Vec::new(), Vec::new());
        commit.kept = (2..=4).map(|sequence| beside_entry(sequence, &large)).collect();
        store.append(commit).await.unwrap();
        let history = History::read(&store, &worker, 4, &BTreeSet::new()).await.unwrap();
        let kept: Vec<_> = history.entries.iter().map(|entry| entry.entry.sequence).collect();
        assert_eq!(kept, [3, 4]);
    }

    #[tokio::test]
    async fn the_newest_are_kept_of_more_than_any_model_takes() {
        let (store, worker) = store(40, |_| "x".repeat(1 << 20)).await;
        let history = History::read(&store, &worker, 40, &BTreeSet::new()).await.unwrap();
        assert_eq!(sequences(&history), (25..=40).collect::<Vec<_>>());
        assert_eq!(history.files.len(), 1);
    }
}
