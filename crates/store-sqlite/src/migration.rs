//! The schema's versions: numbered, forward only, each in one transaction.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use crate::failure::{OpenError, is_damage};

/// What leads from each version to the next. A released one never changes.
const MIGRATIONS: &[&str] = &[
    include_str!("../migrations/0001.sql"),
    include_str!("../migrations/0002.sql"),
    include_str!("../migrations/0003.sql"),
    include_str!("../migrations/0004.sql"),
    include_str!("../migrations/0005.sql"),
    include_str!("../migrations/0006.sql"),
    include_str!("../migrations/0007.sql"),
];

/// The versions whose migrations only make reads fast. Such an index is built from the rows of all workers: damage in those of
/// one must not keep the others from being served, and without the index the same is read, in more time.
const ONLY_FASTER: [u32; 1] = [7];

/// In the header of the file, so that `file` and we know whose it is: `Mshr`.
const APPLICATION_ID: i32 = 0x4d73_6872;

/// Brings the database to the newest version. The caller holds the store's lock.
pub(crate) fn migrate(connection: &mut Connection, path: &Path) -> Result<(), OpenError> {
    let failed = |attempt| move |source| OpenError::sqlite(attempt, path, source);
    let version: u32 = connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(failed("read the schema version of"))?;
    let application: i32 = connection
        .pragma_query_value(None, "application_id", |row| row.get(0))
        .map_err(failed("read the schema version of"))?;
    let objects: u64 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(failed("read the schema of"))?;
    let is_new = version == 0 && application == 0 && objects == 0;
    if !is_new && application != APPLICATION_ID {
        return Err(OpenError::Foreign { path: path.to_owned() });
    }

    let known = MIGRATIONS.len();
    let Some(missing) = usize::try_from(version).ok().and_then(|version| MIGRATIONS.get(version..)) else {
        let known = u32::try_from(known).expect("versions are few");
        return Err(OpenError::Newer { path: path.to_owned(), found: version, known });
    };
    for (to, migration) in (version + 1..).zip(missing) {
        let migrate = |connection: &mut Connection, migration: &str| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            transaction.execute_batch(migration)?;
            transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
            transaction.pragma_update(None, "user_version", to)?;
            transaction.commit()
        };
        let migrated = match migrate(connection, migration) {
            Err(error) if is_damage(&error) && ONLY_FASTER.contains(&to) => {
                tracing::error!(version = to, %error, "an index cannot be built over damaged rows; reads are slower without it");
                migrate(connection, "")
            }
            migrated => migrated,
        };
        migrated.map_err(failed("bring to the next schema version"))?;
        tracing::info!(version = to, "schema migrated");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(prepare: &str, expected: &str) {
        let mut connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(prepare).unwrap();
        let result = migrate(&mut connection, Path::new("a.db"));
        assert_eq!(
            result.map_or_else(|error| error.to_string(), |()| "fine".to_owned()),
            expected,
            "{prepare}"
        );
    }

    #[test]
    fn databases_of_later_versions_and_other_programs_are_refused_by_name() {
        let later = format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = 99");
        let newer = format!(
            "`a.db` has schema version 99; this version of Musher knows {} and older ones",
            MIGRATIONS.len()
        );
        check("", "fine");
        check(&later, &newer);
        check("CREATE TABLE a (b)", "`a.db` is not a database of Musher");
        check("PRAGMA application_id = 7", "`a.db` is not a database of Musher");
    }

    #[test]
    fn a_migration_that_was_applied_is_not_applied_again() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, Path::new("a.db")).unwrap();
        migrate(&mut connection, Path::new("a.db")).unwrap();
    }
}
