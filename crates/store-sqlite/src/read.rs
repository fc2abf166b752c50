//! What is read, each from one connection in one transaction.

mod beside;
mod bundle;
mod list;
mod log;
mod row;
mod transcript;

pub(crate) use self::{
    beside::{READ_A_KEY, accepted_input, blob, checkpoint, kept, keys_of, remembered},
    bundle::{bundle, bundles, damaged as damaged_bundle, has_bundle},
    list::{bytes, counts, unsettled, workers},
    log::{Bounds, approval_events, bounds, events, extent},
    row::{row, status_text},
    transcript::transcript,
};

use jiff::Timestamp;
use rusqlite::{Row, types::Type};

/// A time, as nanoseconds since 1970; SQLite's integers hold those until 2262.
pub(crate) fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    let nanoseconds: i64 = row.get(column)?;
    Timestamp::from_nanosecond(nanoseconds.into()).map_err(|error| conversion(column, Type::Integer, error))
}

/// An id, which is checked as where it first came in.
pub(crate) fn parsed<T>(row: &Row<'_>, column: usize) -> rusqlite::Result<T>
where
    T: std::str::FromStr,
    T::Err: std::error::Error + Send + Sync + 'static,
{
    let text = row.get_ref(column)?.as_str()?;
    text.parse().map_err(|error| conversion(column, Type::Text, error))
}

fn conversion(
    column: usize,
    kind: Type,
    error: impl std::error::Error + Send + Sync + 'static,
) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, kind, Box::new(error))
}
