//! The embedded durable store: one directory with one SQLite database.
//!
//! Invariant: nothing is acknowledged before the sync that makes it durable has returned, and nothing that is not
//! durable is ever read.
//! Invariant: one thread writes. It takes everything that waits and commits it at once, with one sync.
//! Invariant: a failed write, sync or checkpoint ends all writing for the life of the process; nothing is tried again.
//! Only a full disk is no failure: a reserve beside the database lets what is under way be ended.
//! Invariant: what is read back is checked. Damage in one worker's rows is an error of that worker only.
//!
//! ```
//! use musher_core::{Store, WorkerCounts};
//! use musher_store_sqlite::{QueryLimits, SqliteOptions, SqliteStore, query};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let parent = tempfile::tempdir()?;
//! # let dir = parent.path().join("store");
//! let options = SqliteOptions { reserve_bytes: 1 << 20, ..SqliteOptions::default() };
//! let store = SqliteStore::open(&dir, options)?;
//! assert_eq!(store.counts().await?, WorkerCounts::default());
//!
//! // The same directory for people, while the store is open or when it is not.
//! let rows = query(&dir, "SELECT count(*) AS workers FROM workers", QueryLimits::default())?;
//! assert_eq!(rows.columns, ["workers"]);
//! # Ok(())
//! # }
//! ```

mod options;
mod store;

mod queue;
mod writer;

mod read;
mod readers;

mod counters;
mod failure;
mod seal;

mod connection;
mod home;
mod migration;
mod reserve;
mod verify;
mod wal;

mod query;

pub use self::{
    counters::Counters,
    failure::{OpenError, WalDamage},
    options::SqliteOptions,
    query::{QueryError, QueryLimits, Rows, Value, query},
    store::SqliteStore,
};
