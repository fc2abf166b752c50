//! A session's own directory for temporary files.

use std::{
    io,
    path::{Path, PathBuf},
};

use tempfile::TempDir;
use tokio::runtime::Handle;

/// A directory that only this user can enter.
#[derive(Debug)]
pub(crate) struct Scratch {
    path: PathBuf,
    /// It goes with this value; one that was given does not.
    created: Option<TempDir>,
}

impl Scratch {
    /// One that somebody else removes.
    pub(crate) fn given(path: PathBuf) -> Self {
        Self { path, created: None }
    }

    pub(crate) fn create_in(directory: &Path) -> io::Result<Self> {
        let created = tempfile::Builder::new().prefix("musher-").tempdir_in(directory)?;
        Ok(Self { path: created.path().to_owned(), created: Some(created) })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let Some(directory) = self.created.take() else { return };
        let remove = move || {
            let path = directory.path().to_owned();
            if let Err(error) = directory.close() {
                tracing::warn!(path = %path.display(), %error, "temporary files of a session are left");
            }
        };
        match Handle::try_current() {
            // A worker may have left a million files: that takes longer than an async thread may stand still.
            // A runtime that ends waits for it.
            Ok(runtime) => drop(runtime.spawn_blocking(remove)),
            Err(_) => remove(),
        }
    }
}
