//! Where a runtime keeps its logs, as the config and the command line name it.

use std::{
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
};

use musher_core::{MemoryStore, Store};
use musher_store_sqlite::{SqliteOptions, SqliteStore};

use crate::{config::Config, failure::Failure, paths};

/// The scheme of a store in a directory.
const SQLITE: &str = "sqlite:";

/// A store by its address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StoreUrl {
    /// Gone with the process.
    Memory,
    /// In this directory.
    Sqlite(PathBuf),
}

/// The text names no store that this version has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no store `{0}`; there are `memory` and `sqlite:DIRECTORY`")]
pub(crate) struct NoStore(String);

impl FromStr for StoreUrl {
    type Err = NoStore;

    fn from_str(text: &str) -> Result<Self, NoStore> {
        match text.strip_prefix(SQLITE) {
            Some(directory) if !directory.is_empty() => Ok(Self::Sqlite(directory.into())),
            None if text == "memory" => Ok(Self::Memory),
            Some(_) | None => Err(NoStore(text.to_owned())),
        }
    }
}

impl StoreUrl {
    /// The flag or the variable, then the config, then a directory of the user's own.
    pub(crate) fn choose(flag: Option<&str>, config: &Config) -> Result<Self, Failure> {
        if let Some(text) = flag {
            return text.parse().map_err(Failure::usage);
        }
        match &config.store {
            Some(store) => Ok(store.clone()),
            None => paths::state_dir().map(Self::Sqlite).map_err(Failure::usage),
        }
    }

    /// The directory, where the store has one.
    pub(crate) fn directory(&self) -> Option<&Path> {
        match self {
            Self::Memory => None,
            Self::Sqlite(directory) => Some(directory),
        }
    }

    /// The same with a directory that is relative to this one made absolute.
    pub(crate) fn below(self, base: &Path) -> Self {
        match self {
            Self::Memory => Self::Memory,
            Self::Sqlite(directory) => Self::Sqlite(base.join(directory)),
        }
    }

    /// Opens the store; a new directory is made.
    pub(crate) fn open(&self) -> Result<Arc<dyn Store>, Failure> {
        match self {
            Self::Memory => Ok(Arc::new(MemoryStore::new())),
            Self::Sqlite(directory) => {
                let opened = SqliteStore::open(directory, SqliteOptions::default());
                let store = opened.map_err(|error| {
                    Failure::other(format!("open the store {}", directory.display()), error)
                })?;
                Ok(Arc::new(store))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stores_by_their_addresses() {
        let cases = [
            ("memory", Ok(StoreUrl::Memory)),
            ("sqlite:/var/lib/musher", Ok(StoreUrl::Sqlite("/var/lib/musher".into()))),
            ("sqlite:here", Ok(StoreUrl::Sqlite("here".into()))),
            ("sqlite:", Err(NoStore("sqlite:".into()))),
            ("sqlite", Err(NoStore("sqlite".into()))),
            ("postgres://h/d", Err(NoStore("postgres://h/d".into()))),
            ("", Err(NoStore(String::new()))),
        ];
        for (text, expected) in cases {
            assert_eq!(text.parse::<StoreUrl>(), expected, "{text}");
        }
    }
}
