//! Config bundles are stored and deleted.

use musher_core::{BundlePut, StoredBundle};
use musher_protocol::{ConfigBundleRef, Digest, WorkerId};
use rusqlite::{OptionalExtension as _, params};

use super::{Desk, Remember};
use crate::{
    failure::{Fault, is_damage},
    queue::Write,
    read::damaged_bundle,
    seal,
};

/// Stores a revision, unless it is there or there are so many others, and what the request under a key came to.
#[derive(Debug)]
pub(crate) struct PutBundle {
    pub(crate) bundle: StoredBundle,
    pub(crate) most: usize,
    pub(crate) keys: Remember,
}

impl Write for PutBundle {
    type Answer = BundlePut;

    fn worker(&self) -> Option<&WorkerId> {
        None
    }

    fn weight(&self) -> usize {
        self.bundle.canonical.len() + self.keys.bytes()
    }

    fn apply(&self, desk: &mut Desk<'_>) -> Result<BundlePut, Fault> {
        let StoredBundle { summary, canonical } = &self.bundle;
        let (id, revision) = (summary.id.as_str(), summary.revision.as_str());
        let found = desk
            .connection
            .prepare_cached("SELECT digest FROM stored_bundle WHERE bundle_id = ?1 AND revision = ?2")?
            .query_row([id, revision], |row| row.get(0))
            .optional();
        match found {
            Ok(Some(digest)) if Digest(digest) == summary.digest => {
                self.keys.write(desk.connection)?;
                return Ok(BundlePut::WasThere);
            }
            Ok(Some(digest)) => return Ok(BundlePut::OtherContent(Digest(digest))),
            Ok(None) => {}
            Err(error) if is_damage(&error) => return Err(damaged_bundle(&summary.id).into()),
            Err(error) => return Err(error.into()),
        }
        let stored: u64 = desk
            .connection
            .prepare_cached("SELECT count(*) FROM stored_bundle")?
            .query_row([], |row| row.get(0))?;
        if usize::try_from(stored).is_ok_and(|stored| stored >= self.most) {
            return Ok(BundlePut::TooMany);
        }
        let canonical = std::str::from_utf8(canonical).expect("canonical JSON is text");
        let shown = serde_json::to_string(summary).expect("a summary is JSON");
        desk.connection
            .prepare_cached(
                "INSERT INTO stored_bundle (bundle_id, revision, digest, canonical, summary, seal)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![id, revision, summary.digest.0, canonical, shown, seal::bundle(&shown)])?;
        self.keys.write(desk.connection)?;
        Ok(BundlePut::Stored)
    }
}

/// Deletes a revision; answers whether there was such a one. A damaged one can be deleted like any other.
#[derive(Debug)]
pub(crate) struct DeleteBundle(pub(crate) ConfigBundleRef);

impl Write for DeleteBundle {
    type Answer = bool;

    fn worker(&self) -> Option<&WorkerId> {
        None
    }

    fn weight(&self) -> usize {
        0
    }

    fn apply(&self, desk: &mut Desk<'_>) -> Result<bool, Fault> {
        let ConfigBundleRef { id, digest } = &self.0;
        let deleted = desk
            .connection
            .prepare_cached("DELETE FROM stored_bundle WHERE bundle_id = ?1 AND digest = ?2")?
            .execute(params![id.as_str(), digest.0])?;
        Ok(deleted > 0)
    }
}
