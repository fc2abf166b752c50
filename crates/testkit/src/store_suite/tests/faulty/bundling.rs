//! What faults make of config bundles.

use musher_core::{BundlePut, KeyRecord, Store as _, StoreError, StoredBundle};
use musher_protocol::{ConfigBundleId, ConfigBundleRef, ConfigBundleSummary};
use tokio::task::yield_now;

use super::{Act, Fault, Faulty};

impl Faulty {
    pub(super) async fn put_a_bundle(
        &self,
        bundle: StoredBundle,
        most: usize,
        key: Option<KeyRecord>,
    ) -> Result<BundlePut, StoreError> {
        let most = if self.is(Fault::BundlesIgnoreTheLimit) { usize::MAX } else { most };
        let mut key = self.spoil_bundle_key(&bundle, key).await?;
        let with_it = key.clone().filter(|_| !self.is(Fault::BundlesComeBeforeTheirKeys));
        let mut put = self.store.put_bundle(bundle.clone(), most, with_it).await?;
        if let (BundlePut::OtherContent(digest), true) = (put, self.is(Fault::BundlesAreOverwritten)) {
            let id = bundle.summary.id.clone();
            self.delete_a_bundle(&ConfigBundleRef { id, digest }).await?;
            put = self.store.put_bundle(bundle.clone(), most, key.clone()).await?;
        }
        if self.is(Fault::BundlesComeBeforeTheirKeys) {
            yield_now().await;
            self.store.remember(key.clone().into_iter().collect()).await?;
        }
        match put {
            BundlePut::Stored => {
                if self.is(Fault::ReopeningLosesKeysOfBundles) {
                    key = None;
                }
                self.journal.note(Act::PutBundle(Box::new(bundle), key));
            }
            BundlePut::WasThere => self.journal.note(Act::Remember(key.into_iter().collect())),
            BundlePut::OtherContent(_) | BundlePut::TooMany if self.is(Fault::KeysOfRefusedBundles) => {
                self.store.remember(key.into_iter().collect()).await?;
            }
            BundlePut::OtherContent(_) | BundlePut::TooMany => {}
        }
        Ok(put)
    }

    /// Makes of the key that comes with a bundle what a fault makes of it.
    async fn spoil_bundle_key(
        &self,
        bundle: &StoredBundle,
        key: Option<KeyRecord>,
    ) -> Result<Option<KeyRecord>, StoreError> {
        let mut keys: Vec<_> = key.into_iter().collect();
        self.spoil_keys(&mut keys).await?;
        let is_lost = self.is(Fault::KeysOfBundlesAreLost)
            || self.is(Fault::KeysOfKnownBundlesAreLost)
                && self.store.bundles().await?.contains(&bundle.summary);
        Ok(keys.pop().filter(|_| !is_lost))
    }

    pub(super) async fn read_a_bundle(
        &self,
        reference: &ConfigBundleRef,
    ) -> Result<Option<StoredBundle>, StoreError> {
        let found = self.store.bundle(reference).await?;
        if found.is_some() || !self.is(Fault::BundlesAreFoundByIds) {
            return Ok(found);
        }
        let of_id = self.store.bundles().await?.into_iter().find(|summary| summary.id == reference.id);
        match of_id {
            Some(ConfigBundleSummary { id, digest, .. }) => {
                self.store.bundle(&ConfigBundleRef { id, digest }).await
            }
            None => Ok(None),
        }
    }

    pub(super) async fn has_a_bundle(&self, id: &ConfigBundleId) -> Result<bool, StoreError> {
        if self.is(Fault::BundlesAreAllTheSame) {
            return Ok(!self.store.bundles().await?.is_empty());
        }
        self.store.has_bundle(id).await
    }

    pub(super) async fn list_bundles(&self) -> Result<Vec<ConfigBundleSummary>, StoreError> {
        let mut summaries = self.store.bundles().await?;
        if self.is(Fault::BundlesAreReversed) {
            summaries.reverse();
        }
        Ok(summaries)
    }

    pub(super) async fn delete_a_bundle(&self, reference: &ConfigBundleRef) -> Result<bool, StoreError> {
        let mut gone = vec![reference.clone()];
        if self.is(Fault::BundlesGoWithTheirMates) {
            let mates = self.store.bundles().await?.into_iter().filter(|summary| summary.id == reference.id);
            gone.extend(mates.map(|summary| ConfigBundleRef { id: summary.id, digest: summary.digest }));
        }
        let mut was_there = false;
        for gone in gone {
            was_there |= self.store.delete_bundle(&gone).await?;
            self.journal.note(Act::DeleteBundle(gone));
        }
        Ok(was_there)
    }
}
