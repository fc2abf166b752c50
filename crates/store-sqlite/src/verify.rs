//! A look at what finds workers, before anything is served.

use rusqlite::Connection;

use crate::failure::is_damage;

/// Whether the indexes of the workers lead to all of them. Reads every worker's row, and no event: some milliseconds for
/// ten thousand workers.
///
/// Damage in other indexes shows where it is met, as a hole in a log; a worker that its index does not find would
/// seem never to have been.
pub(crate) fn finds_all_workers(connection: &Connection) -> rusqlite::Result<bool> {
    let checked = connection.query_row("PRAGMA integrity_check('stored_worker')", [], |row| row.get(0));
    let verdict: String = match checked {
        Err(error) if is_damage(&error) => error.to_string(),
        checked => checked?,
    };
    if verdict != "ok" {
        tracing::error!(verdict, "the workers' rows and their indexes do not agree");
    }
    Ok(verdict == "ok")
}
