//! What is remembered of idempotency keys, and how the rules about it are broken.

use jiff::Timestamp;
use std::collections::BTreeSet;

use musher_core::{KeyRecord, OwnedKeys, Store as _, StoreError};
use musher_protocol::IdempotencyKey;

use super::{Act, Fault, Faulty};

/// The scope of everybody.
const COMMON: &str = "";

impl Faulty {
    /// Makes of records what a fault makes of them before they are written.
    pub(super) async fn spoil_keys(&self, keys: &mut Vec<KeyRecord>) -> Result<(), StoreError> {
        for record in keys.iter() {
            let weighs_all = !self.is(Fault::KeysWeighTheirOutcomes);
            let bytes = if weighs_all { record.bytes() } else { record.outcome.len() as u64 };
            self.seen().owners.push(record.owner.clone());
            *self.seen().weights.entry(record.owner.clone()).or_default() += bytes;
        }
        if self.is(Fault::KeysAreLost) {
            keys.clear();
        } else if self.is(Fault::KeysAreEverybodys) {
            keys.iter_mut().for_each(|record| COMMON.clone_into(&mut record.scope));
        } else if self.is(Fault::KeysStayAsTheyWere) {
            let mut new = Vec::new();
            for record in keys.drain(..) {
                if self.store.remembered(&record.scope, &record.key).await?.is_none() {
                    new.push(record);
                }
            }
            *keys = new;
        }
        Ok(())
    }

    pub(super) async fn write_keys(&self, mut keys: Vec<KeyRecord>) -> Result<(), StoreError> {
        self.spoil_keys(&mut keys).await?;
        self.store.remember(keys.clone()).await?;
        self.journal.note(Act::Remember(keys));
        Ok(())
    }

    pub(super) async fn read_key(
        &self,
        scope: &str,
        key: &IdempotencyKey,
    ) -> Result<Option<KeyRecord>, StoreError> {
        if self.is(Fault::KeysGoWithWorkers) && !self.seen().deleted.is_empty() {
            return Ok(None);
        }
        if self.is(Fault::KeysAreEverybodys) {
            let record = self.store.remembered(COMMON, key).await?;
            return Ok(record.map(|record| KeyRecord { scope: scope.to_owned(), ..record }));
        }
        self.store.remembered(scope, key).await
    }

    pub(super) async fn count_keys(&self, owner: &str) -> Result<OwnedKeys, StoreError> {
        let mut keys = self.store.keys_of(owner).await?;
        if self.is(Fault::KeysAreCountedAsTheyCome) {
            let owners = self.seen().owners.clone();
            keys.count = owners.iter().filter(|known| *known == owner).count() as u64;
        } else if self.is(Fault::KeysAreCountedTogether) {
            let owners: BTreeSet<_> = self.seen().owners.iter().cloned().collect();
            keys.count = 0;
            for owner in owners {
                keys.count += self.store.keys_of(&owner).await?.count;
            }
        } else if self.is(Fault::KeysWeighAsTheyCome) || self.is(Fault::KeysWeighTheirOutcomes) {
            keys.bytes = self.seen().weights.get(owner).copied().unwrap_or_default();
        } else if self.is(Fault::KeysForgetTheOldest) {
            keys.oldest = None;
        }
        Ok(keys)
    }

    pub(super) async fn drop_keys(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
        let before = if self.is(Fault::KeysGoWhateverTheirAge) { Timestamp::MAX } else { before };
        let limit = if self.is(Fault::KeysGoAllAtOnce) { usize::MAX } else { limit };
        self.store.forget_keys(before, limit).await
    }
}
