//! The store in memory passes the suite of all stores.

use std::sync::Arc;

use async_trait::async_trait;
use musher_core::{Life, MemoryStore, NewLife, Store};
use musher_testkit::store_suite::Place;

#[derive(Debug)]
struct Memory;

#[async_trait]
impl Place for Memory {
    async fn open(&self) -> Arc<dyn Store> {
        Arc::new(MemoryStore::new())
    }
}

musher_testkit::store_suite!(volatile, Memory);

/// A program may embed one runtime after the other on the same store.
#[tokio::test]
async fn a_store_may_outlive_its_runtime() {
    let store = MemoryStore::new();
    let life = |n: u8| NewLife {
        runtime_id: format!("rt_{n}").parse().expect("a runtime id"),
        owner: format!("owner-{n}"),
    };
    for (n, previous_owner) in [(1, None), (2, Some("owner-1")), (3, Some("owner-2"))] {
        let begun = store.begin(life(n)).await.expect("a life begins");
        let previous_owner = previous_owner.map(str::to_owned);
        assert_eq!(begun, Life { runtime_id: life(1).runtime_id, previous_owner });
    }
}
