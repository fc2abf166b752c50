//! The directory for workers without a workspace: it goes with the process, as the store in memory does.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

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

/// Makes a directory that nobody else can look into.
pub(crate) fn make() -> io::Result<TempDir> {
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
