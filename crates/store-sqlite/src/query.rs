//! Questions of people, in SQL: read-only and bounded, while a server runs on the directory or when none does.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rusqlite::{
    Connection,
    hooks::{AuthAction, AuthContext, Authorization},
    limits::Limit,
    types::ValueRef,
};

use crate::{connection, home::DATABASE};

/// The most that a query may take. What is beyond is an error, not a shorter answer, except for rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueryLimits {
    /// Rows of the answer; further ones are left out, see [`Rows::has_more`].
    pub rows: usize,
    /// Bytes of all values of the answer, and of any single value on the way to it.
    pub bytes: usize,
    /// How long it may run. While it does, a server cannot shorten its write-ahead log.
    pub time: Duration,
}

impl Default for QueryLimits {
    fn default() -> Self {
        // An answer that a person or a script can take in; a log that grows by some hundred MiB at worst.
        Self { rows: 10_000, bytes: 64 << 20, time: Duration::from_secs(10) }
    }
}

/// The answer to a query.
#[derive(Clone, Debug, PartialEq)]
pub struct Rows {
    /// The names of the columns.
    pub columns: Vec<String>,
    /// The rows, each with a value for every column.
    pub rows: Vec<Vec<Value>>,
    /// Whether there are more rows than the limit allows.
    pub has_more: bool,
}

/// A value of an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Nothing.
    Null,
    /// A whole number.
    Integer(i64),
    /// Another number.
    Real(f64),
    /// A text; what is no UTF-8 in it is replaced.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
}

/// Why a query was not answered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// There is no store in the directory.
    #[error("there is no store in `{}`", .0.display())]
    NoStore(PathBuf),
    /// The statement would do something else than read.
    #[error("only a single statement that reads is allowed")]
    Forbidden,
    /// The query took too long.
    #[error("the query took longer than {} s", .0.as_secs_f64())]
    Time(Duration),
    /// The answer is too large.
    #[error("the answer is larger than {0} bytes")]
    Bytes(usize),
    /// The statement is wrong, or the database cannot be read.
    #[error("query the database")]
    Sqlite(#[source] rusqlite::Error),
}

/// Asks the store in this directory, in SQL; see `docs/operating.md` for the tables. Blocks for as long as the query
/// runs. Takes no lock that a server needs, and changes nothing: no checkpoint either.
///
/// # Errors
///
/// When there is no store, the statement is not one that only reads, or a limit is reached.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let options = musher_store_sqlite::SqliteOptions { reserve_bytes: 0, ..Default::default() };
/// # drop(musher_store_sqlite::SqliteStore::open(dir.path(), options)?);
/// use musher_store_sqlite::{QueryLimits, Value, query};
///
/// let answer = query(dir.path(), "SELECT count(*) AS n FROM workers", QueryLimits::default())?;
/// assert_eq!(answer.rows, [[Value::Integer(0)]]);
/// # Ok(())
/// # }
/// ```
pub fn query(dir: &Path, sql: &str, limits: QueryLimits) -> Result<Rows, QueryError> {
    let path = dir.join(DATABASE);
    if !path.is_file() {
        return Err(QueryError::NoStore(dir.to_owned()));
    }
    let mut connection = connection::reader(&path).map_err(QueryError::Sqlite)?;
    bound(&mut connection, limits).map_err(QueryError::Sqlite)?;
    answer(&connection, sql, limits)
}

fn answer(connection: &Connection, sql: &str, limits: QueryLimits) -> Result<Rows, QueryError> {
    let refused = |error| refusal(error, limits);
    let mut statement = connection.prepare(sql).map_err(refused)?;
    if !statement.readonly() || statement.column_count() == 0 {
        return Err(QueryError::Forbidden);
    }
    let columns: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let n_columns = columns.len();
    let mut answer = Rows { columns, rows: Vec::new(), has_more: false };
    let mut bytes = 0;
    let mut rows = statement.query([]).map_err(refused)?;
    while let Some(row) = rows.next().map_err(refused)? {
        if answer.rows.len() == limits.rows {
            answer.has_more = true;
            break;
        }
        let mut values = Vec::with_capacity(n_columns);
        for column in 0..n_columns {
            let (value, size) = value(row.get_ref(column).map_err(refused)?);
            bytes += size;
            if bytes > limits.bytes {
                return Err(QueryError::Bytes(limits.bytes));
            }
            values.push(value);
        }
        answer.rows.push(values);
    }
    Ok(answer)
}

/// The value, and about how much memory it takes.
fn value(value: ValueRef<'_>) -> (Value, usize) {
    let own = size_of::<Value>();
    match value {
        ValueRef::Null => (Value::Null, own),
        ValueRef::Integer(number) => (Value::Integer(number), own),
        ValueRef::Real(number) => (Value::Real(number), own),
        ValueRef::Text(text) => (Value::Text(String::from_utf8_lossy(text).into_owned()), own + text.len()),
        ValueRef::Blob(bytes) => (Value::Blob(bytes.to_vec()), own + bytes.len()),
    }
}

fn bound(connection: &mut Connection, limits: QueryLimits) -> rusqlite::Result<()> {
    /// Steps of SQLite's machine between two looks at the clock: some ten microseconds.
    const STEPS: i32 = 1000;
    connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, i32::try_from(limits.bytes).unwrap_or(i32::MAX))?;
    connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
    let until = Instant::now() + limits.time;
    connection.progress_handler(STEPS, Some(move || Instant::now() >= until))?;
    connection.authorizer(Some(|asked: AuthContext<'_>| authorize(asked.action)))
}

/// Reading is allowed, and pragmas that only describe the schema.
fn authorize(action: AuthAction<'_>) -> Authorization {
    const DESCRIBING: [&str; 5] = ["table_info", "table_xinfo", "table_list", "index_list", "index_xinfo"];
    // The enum is SQLite's: whatever else is in it, or will be, does not only read.
    let is_allowed = if let AuthAction::Function { function_name } = action {
        function_name != "load_extension"
    } else if let AuthAction::Pragma { pragma_name, .. } = action {
        DESCRIBING.contains(&pragma_name)
    } else {
        matches!(action, AuthAction::Select | AuthAction::Read { .. } | AuthAction::Recursive)
    };
    if is_allowed { Authorization::Allow } else { Authorization::Deny }
}

fn refusal(error: rusqlite::Error, limits: QueryLimits) -> QueryError {
    use rusqlite::{Error, ErrorCode};
    match (&error, error.sqlite_error_code()) {
        (Error::MultipleStatement, _) | (_, Some(ErrorCode::AuthorizationForStatementDenied)) => {
            QueryError::Forbidden
        }
        (_, Some(ErrorCode::OperationInterrupted)) => QueryError::Time(limits.time),
        (_, Some(ErrorCode::TooBig)) => QueryError::Bytes(limits.bytes),
        (_, _) => QueryError::Sqlite(error),
    }
}
