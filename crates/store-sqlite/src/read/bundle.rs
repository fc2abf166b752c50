//! Config bundles.

use bytes::Bytes;
use musher_core::{StoreError, StoredBundle};
use musher_protocol::{ConfigBundleId, ConfigBundleRef, ConfigBundleSummary};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::{
    failure::{Fault, is_damage},
    seal,
};

/// A revision, by its digest.
pub(crate) fn bundle(
    connection: &Connection,
    reference: &ConfigBundleRef,
) -> Result<Option<StoredBundle>, Fault> {
    let mut statement = connection.prepare_cached(
        "SELECT summary, seal, canonical FROM stored_bundle WHERE bundle_id = ?1 AND digest = ?2",
    )?;
    let read = |row: &Row<'_>| {
        let canonical = Bytes::copy_from_slice(row.get_ref(2)?.as_str()?.as_bytes());
        let bundle = intact(row)?.map(|summary| StoredBundle { summary, canonical });
        Ok(bundle.filter(StoredBundle::is_intact))
    };
    let read = statement.query_row(params![reference.id.as_str(), reference.digest.0], read).optional();
    match read {
        Ok(None) => Ok(None),
        Ok(Some(Some(bundle))) => Ok(Some(bundle)),
        Ok(Some(None)) => Err(damaged(&reference.id).into()),
        Err(error) if is_damage(&error) => Err(damaged(&reference.id).into()),
        Err(error) => Err(error.into()),
    }
}

/// Whether there is any revision, whole or damaged.
pub(crate) fn has_bundle(connection: &Connection, id: &ConfigBundleId) -> Result<bool, Fault> {
    let mut statement =
        connection.prepare_cached("SELECT EXISTS (SELECT 1 FROM stored_bundle WHERE bundle_id = ?1)")?;
    Ok(statement.query_row([id.as_str()], |row| row.get(0))?)
}

/// All revisions that are intact, in the order of their ids and revisions.
pub(crate) fn bundles(connection: &Connection) -> Result<Vec<ConfigBundleSummary>, Fault> {
    let mut statement =
        connection.prepare_cached("SELECT summary, seal FROM stored_bundle ORDER BY bundle_id, revision")?;
    let mut summaries = Vec::new();
    for summary in statement.query_map([], intact)? {
        match summary {
            Ok(Some(summary)) => summaries.push(summary),
            Ok(None) => tracing::error!("a stored config bundle is damaged"),
            Err(error) if is_damage(&error) => {
                tracing::error!(%error, "a stored config bundle is damaged");
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(summaries)
}

/// The summary in the first columns, when it is what was written.
fn intact(row: &Row<'_>) -> rusqlite::Result<Option<ConfigBundleSummary>> {
    let summary = row.get_ref(0)?.as_str()?;
    let is_intact = row.get::<_, u32>(1)? == seal::bundle(summary);
    Ok(serde_json::from_str(summary).ok().filter(|_| is_intact))
}

/// What is stored of a bundle is not what was written.
pub(crate) fn damaged(id: &ConfigBundleId) -> StoreError {
    StoreError::CorruptBundle { id: id.clone() }
}
