//! Config bundles: what control planes sync to the runtime.

use musher_protocol::{
    ConfigBundleAvailability, ConfigBundleReadiness, ConfigBundleRef, ConfigBundleSummary,
};
use tokio::sync::oneshot;

use super::{Runtime, offering::Asked};
use crate::{
    bundle::{Bundle, BundleError, MAX_BUNDLES},
    error::Error,
    idempotency::{Answered, Claim, CommandOptions, Keyed, Outcome},
    store::BundlePut,
    task::now,
};

impl Runtime {
    /// Stores a config bundle, given as its JSON as it was sent: its digest is over that, not over what is read of it.
    /// The same again is answered as the first time.
    ///
    /// # Errors
    ///
    /// When something in it may not be there or makes no sense here, when it names another digest than it has, when its
    /// revision is stored with another content, or when the store fails.
    pub async fn store_config_bundle(&self, json: &str) -> Result<ConfigBundleSummary, Error> {
        self.check_running()?;
        self.put_bundle(&Bundle::read(json)?, None).await
    }

    /// As [`Runtime::store_config_bundle`], under a key where one is given: a repeat stores nothing and is answered as the
    /// first time, also when the bundle has been deleted since.
    ///
    /// # Errors
    ///
    /// As [`Runtime::store_config_bundle`], or when the key is in use otherwise.
    pub async fn store_config_bundle_with(
        &self,
        json: &str,
        options: CommandOptions,
    ) -> Result<Answered<ConfigBundleSummary>, Error> {
        self.check_running()?;
        let bundle = Bundle::read(json)?;
        let Some(keyed) = Keyed::of(&options, &["store_config_bundle"], &bundle.canonical()) else {
            return Ok(Answered::first(self.put_bundle(&bundle, None).await?));
        };
        let claim = Claim::take(&self.0, &keyed)?;
        if let Some(Outcome::Bundle(summary)) = keyed.look_up(&*self.0.store, now()).await? {
            return Ok(Answered::again(summary));
        }
        self.check_room(&keyed).await?;
        Ok(Answered::first(self.put_bundle(&bundle, Some((keyed, claim))).await?))
    }

    /// Stores a bundle, and with it that the request under its key was answered so.
    async fn put_bundle(
        &self,
        bundle: &Bundle,
        under: Option<(Keyed, Claim)>,
    ) -> Result<ConfigBundleSummary, Error> {
        self.check_space()?;
        bundle.check_specs(&self.0.catalog)?;
        let summary = bundle.summary.clone();
        let key = under.as_ref().map(|(keyed, _)| keyed.record(&Outcome::Bundle(summary.clone()), now()));
        let (store, bundle) = (self.0.store.clone(), bundle.to_store());
        // In a task of its own: what is handed to the store is written also when the caller goes away, and until then its
        // key is in use.
        let (reply, put) = oneshot::channel();
        self.0.spawn(async move {
            let put = store.put_bundle(bundle, MAX_BUNDLES, key).await;
            drop(under);
            drop(reply.send(put));
        })?;
        match put.await.map_err(|_cut_off| Error::Stopped)?? {
            BundlePut::Stored | BundlePut::WasThere => Ok(summary),
            BundlePut::OtherContent(digest) => {
                let ConfigBundleSummary { id, revision, .. } = summary;
                Err(BundleError::Conflict { id, revision, digest }.into())
            }
            BundlePut::TooMany => Err(BundleError::TooMany { limit: MAX_BUNDLES }.into()),
        }
    }

    /// The config bundles, by id and revision.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub async fn list_config_bundles(&self) -> Result<Vec<ConfigBundleSummary>, Error> {
        Ok(self.0.store.bundles().await?)
    }

    /// Which profiles of a config bundle can run right now, and what is missing for the others.
    ///
    /// It is looked for as for [`Runtime::list_backends`].
    ///
    /// # Errors
    ///
    /// When there is no such bundle, or the store cannot be read.
    pub async fn check_config_bundle(
        &self,
        reference: &ConfigBundleRef,
    ) -> Result<ConfigBundleAvailability, Error> {
        let catalog = &self.0.catalog;
        let bundle = self.bundle(reference).await?;
        let profiles: Vec<_> = bundle
            .selectors()
            .filter_map(|selector| Some((selector, bundle.profile(catalog, selector)?)))
            .collect();
        let can_be_had = profiles.iter().filter_map(|(_, profile)| profile.as_ref().ok());
        let needed = can_be_had.flat_map(|profile| Asked::of(profile).needs(catalog));
        let found = self.0.looks.look(catalog, needed.collect()).await;
        let unresolved = bundle.unresolved(catalog);
        let profiles = profiles.into_iter().map(|(selector, profile)| {
            let of_profile = match profile {
                Ok(profile) => Asked::of(&profile).missing(catalog, &found),
                Err(missing) => vec![missing],
            };
            let missing = [unresolved.clone(), of_profile].concat();
            ConfigBundleReadiness { selector: selector.to_owned(), ready: missing.is_empty(), missing }
        });
        Ok(ConfigBundleAvailability {
            reference: bundle.reference(),
            profiles: profiles.collect(),
            summary: bundle.summary.clone(),
        })
    }

    /// Deletes a revision of a config bundle. Workers keep the profile that they were created with.
    ///
    /// # Errors
    ///
    /// When there is no such one, or the store fails.
    pub async fn delete_config_bundle(&self, reference: &ConfigBundleRef) -> Result<(), Error> {
        self.check_running()?;
        if self.0.store.delete_bundle(reference).await? {
            Ok(())
        } else {
            Err(self.not_stored(reference).await)
        }
    }

    /// A revision that is stored.
    pub(super) async fn bundle(&self, reference: &ConfigBundleRef) -> Result<Bundle, Error> {
        match self.0.store.bundle(reference).await? {
            Some(stored) => Ok(Bundle::stored(stored)?),
            None => Err(self.not_stored(reference).await),
        }
    }

    /// What it is that is not stored: the bundle, or only this revision.
    async fn not_stored(&self, reference: &ConfigBundleRef) -> Error {
        let ConfigBundleRef { id, digest } = reference.clone();
        match self.0.store.has_bundle(&id).await {
            Err(error) => error.into(),
            Ok(true) => BundleError::NoRevision { id, digest }.into(),
            Ok(false) => BundleError::Missing(id).into(),
        }
    }
}
