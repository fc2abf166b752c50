//! The laws that every store obeys.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::sync::Arc;

use async_trait::async_trait;
use musher_core::Store;
use musher_store_sqlite::{SqliteOptions, SqliteStore};
use musher_testkit::store_suite::Place;
use tempfile::TempDir;

#[derive(Debug)]
struct Directory(TempDir);

impl Directory {
    fn fresh() -> Self {
        Self(tempfile::tempdir().unwrap())
    }
}

#[async_trait]
impl Place for Directory {
    async fn open(&self) -> Arc<dyn Store> {
        let options = SqliteOptions { reserve_bytes: 1 << 16, ..SqliteOptions::default() };
        Arc::new(SqliteStore::open(self.0.path(), options).unwrap())
    }
}

musher_testkit::store_suite!(durable, Directory::fresh());
