//! Why a store could not be opened, and how failures of SQLite become the store's.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use musher_core::StoreError;
use musher_protocol::WorkerId;
use rusqlite::ErrorCode;

/// Why a store was not opened. Nothing was changed, unless a migration says so.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process has the directory.
    #[error("`{}` is in use by {}", dir.display(), Holder(*holder))]
    Locked {
        /// The directory.
        dir: PathBuf,
        /// The process, where it could be read.
        holder: Option<u32>,
    },
    /// The database is of a later version of Musher.
    #[error("`{}` has schema version {found}; this version of Musher knows {known} and older ones", path.display())]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its schema's version.
        found: u32,
        /// The newest that is known here.
        known: u32,
    },
    /// The file is a database, but of another program.
    #[error("`{}` is not a database of Musher", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// Committed events in the write-ahead log are damaged. Nothing was touched.
    #[error(
        "`{}` is damaged ({damage}), and later commits depend on it; copy the whole directory first, then either \
         restore a backup or, to go on without the commits of this file, delete it from the copy and open the copy",
        path.display()
    )]
    DamagedWal {
        /// The write-ahead log.
        path: PathBuf,
        /// Where and how.
        damage: WalDamage,
    },
    /// The database itself cannot be read. Nothing was touched.
    #[error(
        "`{}` is damaged ({what}); copy the whole directory first, then either restore a backup or, to get out of the \
         copy what is still good, run `sqlite3 musher.db .recover` on it",
        path.display()
    )]
    Damaged {
        /// The database.
        path: PathBuf,
        /// How SQLite says it.
        what: String,
    },
    /// A reader of another process kept the write-ahead log from being merged.
    #[error("`{}` is being read by another process", path.display())]
    Busy {
        /// The database.
        path: PathBuf,
    },
    /// A file could not be read or written.
    #[error("{attempt} `{}`", path.display())]
    Io {
        /// What was tried.
        attempt: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// SQLite refused.
    #[error("{attempt} `{}`", path.display())]
    Sqlite {
        /// What was tried.
        attempt: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: rusqlite::Error,
    },
}

impl OpenError {
    /// What SQLite refused with, at this attempt.
    pub(crate) fn sqlite(attempt: &'static str, path: &Path, source: rusqlite::Error) -> Self {
        let path = path.to_owned();
        if is_damage(&source) {
            Self::Damaged { path, what: source.to_string() }
        } else {
            Self::Sqlite { attempt, path, source }
        }
    }
}

/// What is wrong with a write-ahead log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WalDamage {
    /// Its header is, so that nothing behind it could be read.
    #[error("its header is not what was written")]
    Header,
    /// A frame is that was certainly whole.
    #[error("frame {0} is not what was written")]
    Frame(u64),
}

/// Who holds a directory, for a message.
struct Holder(Option<u32>);

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(pid) => write!(f, "process {pid}"),
            None => f.write_str("another process"),
        }
    }
}

/// Why a read or a write ended.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The store refuses it, and goes on.
    Refused(StoreError),
    /// SQLite failed.
    Sqlite(rusqlite::Error),
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Refused(error)
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

/// Whether this is a full disk, which is no failure.
pub(crate) fn is_full(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::DiskFull)
}

/// Whether a page or a column was read that is not what was written.
pub(crate) fn is_damage(error: &rusqlite::Error) -> bool {
    use rusqlite::Error;
    let is_column = matches!(
        error,
        Error::FromSqlConversionFailure(..)
            | Error::IntegralValueOutOfRange(..)
            | Error::Utf8Error(..)
            | Error::InvalidColumnType(..)
    );
    is_column
        || matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

/// A failure of SQLite as the store's.
pub(crate) fn io_error(attempt: &'static str, source: &Arc<rusqlite::Error>) -> StoreError {
    StoreError::Io { attempt, source: io::Error::other(Arc::clone(source)) }
}

/// Something of a worker is not what was written.
pub(crate) fn damaged(worker: &WorkerId, what: impl Into<String>) -> StoreError {
    StoreError::Corrupt { worker: worker.clone(), what: what.into() }
}
