//! The directory for workers without a workspace: it lasts as long as their logs.

use std::{
    ffi::OsString,
    fs, io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _},
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use crate::store::StoreUrl;

/// What the name of every scratch directory begins with.
const PREFIX: &str = "musher-";

/// Why a scratch directory stays.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ScratchError {
    #[error("{} is not a scratch directory of this user", .0.display())]
    Foreign(PathBuf),
    #[error("remove the scratch directory {}", .0.display())]
    Remove(PathBuf, #[source] io::Error),
}

/// Where workers without a workspace work.
#[derive(Debug)]
pub(crate) enum Scratch {
    /// It goes with the process.
    Passing(TempDir),
    /// It stays beside a store that does.
    Lasting(PathBuf),
}

impl Scratch {
    /// One that goes with the process, whatever store there is.
    pub(crate) fn passing() -> io::Result<Self> {
        make().map(Self::Passing)
    }

    pub(crate) fn beside(store: &StoreUrl) -> io::Result<Self> {
        let Some(directory) = store.directory() else { return Self::passing() };
        let scratch = std::path::absolute(directory)?.join("scratch");
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&scratch)?;
        Ok(Self::Lasting(scratch))
    }

    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Passing(directory) => directory.path(),
            Self::Lasting(directory) => directory,
        }
    }

    /// A directory beside one that lasts: what is in it may be worth more than the process.
    pub(crate) fn beside_lasting(&self, name: &str) -> Option<PathBuf> {
        match self {
            Self::Passing(_) => None,
            Self::Lasting(directory) => Some(directory.with_file_name(name)),
        }
    }

    /// What tells a guard to remove the directory of a process that was killed.
    pub(crate) fn guard_arguments(&self) -> Vec<OsString> {
        match self {
            Self::Passing(directory) => vec!["guard".into(), "--scratch".into(), directory.path().into()],
            Self::Lasting(_) => vec!["guard".into()],
        }
    }

    pub(crate) fn close(self) {
        let Self::Passing(directory) = self else { return };
        let path = directory.path().to_owned();
        match directory.close() {
            Ok(()) => {}
            // The guard was faster.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                let directory = path.display();
                tracing::warn!(%directory, %error, "the scratch directory stays");
            }
        }
    }
}

/// Makes a directory that nobody else can look into.
fn make() -> io::Result<TempDir> {
    tempfile::Builder::new().prefix(PREFIX).tempdir()
}

/// Removes a scratch directory whose process has gone, and nothing that is none; one that is gone is removed.
pub(crate) fn remove(directory: &Path) -> Result<(), ScratchError> {
    let failed = |error| ScratchError::Remove(directory.to_owned(), error);
    // Of a link itself, never of what it leads to.
    let found = match fs::symlink_metadata(directory) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    let named =
        directory.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(PREFIX.as_bytes()));
    if !named || !found.is_dir() || found.uid() != rustix::process::geteuid().as_raw() {
        return Err(ScratchError::Foreign(directory.to_owned()));
    }
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_scratch_directory_is_removed_with_all_in_it_and_then_once_more() {
        let scratch = make().unwrap();
        fs::create_dir(scratch.path().join("deep")).unwrap();
        fs::write(scratch.path().join("deep/file"), "x").unwrap();
        remove(scratch.path()).unwrap();
        assert!(!scratch.path().exists());
        remove(scratch.path()).unwrap();
    }

    #[test]
    fn nothing_else_is_removed() {
        let scratch = make().unwrap();
        let other = scratch.path().join("other");
        let file = scratch.path().join("musher-file");
        let link = scratch.path().join("musher-link");
        fs::create_dir(&other).unwrap();
        fs::write(&file, "x").unwrap();
        symlink(&other, &link).unwrap();
        for path in [&other, &file, &link] {
            assert!(matches!(remove(path), Err(ScratchError::Foreign(_))), "{}", path.display());
            assert!(fs::symlink_metadata(path).is_ok(), "{}", path.display());
        }
    }
}
