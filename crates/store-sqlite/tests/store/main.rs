//! What is particular to this store: its directory, its files, what is asked of it in SQL.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod damage;
mod failure;
mod fixture;
mod full;
mod log;
mod open;
mod question;
mod removal;
mod sync;

use std::path::Path;

use musher_core::Commit;
use musher_protocol::TranscriptEntry;
use musher_store_sqlite::{SqliteOptions, SqliteStore};

/// Opens a store with a reserve that costs a test no time.
fn open(dir: &Path) -> SqliteStore {
    let options = SqliteOptions { reserve_bytes: 1 << 16, ..SqliteOptions::default() };
    SqliteStore::open(dir, options).unwrap()
}

/// An entry of a transcript that the first event of this commit makes.
fn entry(commit: &Commit, role: &str, content: &str) -> TranscriptEntry {
    let event = &commit.events[0];
    let entry = serde_json::json!({
        "sequence": 1,
        "worker_ref": { "runtime_id": "rt_1", "worker_id": commit.worker },
        "role": role,
        "content": content,
        "event_id": event.event_id,
        "at": event.at,
        "turn_id": "trn_1",
    });
    serde_json::from_value(entry).unwrap()
}
