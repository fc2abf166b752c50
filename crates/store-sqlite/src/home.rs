//! The directory that a store lives in, and the exclusive right to it.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::OnceLock,
};

use rustix::{
    fs::{FallocateFlags, FlockOperation, fallocate, flock},
    io::Errno,
};

use crate::failure::OpenError;

/// Names of the files in a store's directory.
pub(crate) const DATABASE: &str = "musher.db";
const WAL: &str = "musher.db-wal";
const SHARED_INDEX: &str = "musher.db-shm";
const LOCK: &str = "lock";
const RESERVE: &str = "reserve";

/// An index of 128 Ki pages, which are half a GiB of log: several times what merging lets it grow to.
const SHARED_INDEX_BYTES: u64 = 1 << 20;

/// A store's directory, held by this process alone for as long as the value lives.
#[derive(Debug)]
pub(crate) struct Home {
    dir: PathBuf,
    /// Open until the last connection is closed: to close it takes SQLite's locks on that file with it.
    shared_index: OnceLock<File>,
    /// The kernel gives the lock back when the last of its descriptors is closed, however the process ends.
    _lock: File,
}

impl Home {
    /// Takes the directory, which is made (for its owner alone) where it is not there.
    pub(crate) fn take(dir: &Path) -> Result<Self, OpenError> {
        let failed = |attempt| move |source| OpenError::Io { attempt, path: dir.to_owned(), source };
        make(dir).map_err(failed("create the directory"))?;
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(dir.join(LOCK))
            .map_err(failed("open the lock file in"))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                return Err(OpenError::Locked { dir: dir.to_owned(), holder: holder(&mut file) });
            }
            Err(error) => return Err(failed("lock")(error.into())),
        }
        file.set_len(0)
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(failed("write the lock file in"))?;
        let home = Self { dir: dir.to_owned(), shared_index: OnceLock::new(), _lock: file };
        home.sync().map_err(failed("sync"))?;
        Ok(home)
    }

    /// Makes names of new files in the directory durable. SQLite does not report it when that fails, so we do it.
    pub(crate) fn sync(&self) -> io::Result<()> {
        File::open(&self.dir)?.sync_all()
    }

    /// Allocates SQLite's index of the write-ahead log, which grows after a commit has been synced: when there were
    /// no space for it then, the commit would fail and yet be found after a crash.
    pub(crate) fn fill_shared_index(&self) -> io::Result<()> {
        let file = OpenOptions::new().read(true).write(true).open(self.shared_index_path())?;
        let file = self.shared_index.get_or_init(|| file);
        match fallocate(file, FallocateFlags::empty(), 0, SHARED_INDEX_BYTES) {
            // Where blocks cannot be asked for, the index is as safe as the file system makes it.
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSPC) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes the database's file, for its owner alone where it is not there; SQLite gives its other files the same mode.
    pub(crate) fn make_database(&self) -> io::Result<()> {
        let mut open = OpenOptions::new();
        open.write(true).create(true).truncate(false).mode(0o600).open(self.database()).map(drop)
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.dir.join(DATABASE)
    }

    pub(crate) fn wal(&self) -> PathBuf {
        self.dir.join(WAL)
    }

    pub(crate) fn shared_index_path(&self) -> PathBuf {
        self.dir.join(SHARED_INDEX)
    }

    pub(crate) fn reserve(&self) -> PathBuf {
        self.dir.join(RESERVE)
    }
}

/// Makes the directory and those above it, and their names durable.
fn make(dir: &Path) -> io::Result<()> {
    let above = match dir.parent() {
        Some(above) if above.as_os_str().is_empty() => Path::new("."),
        Some(above) => above,
        None => Path::new("/"),
    };
    let is_there = dir.is_dir();
    if !is_there && !above.is_dir() {
        make(above)?;
    }
    match if is_there { Ok(()) } else { DirBuilder::new().mode(0o700).create(dir) } {
        // Two processes may begin on the same new directory; the lock tells which of them goes on.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && fs::metadata(dir)?.is_dir() => {}
        made => made?,
    }
    // Also of a directory that was there: whoever made it may have ended before its name was durable.
    match File::open(above) {
        // One that others made is theirs to look after.
        Err(error) if is_there && error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        opened => opened?.sync_all(),
    }
}

/// The process that the lock file names; `None` in the moment between its lock and its name.
fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    // The number only helps a person: without it, the refusal is the same.
    file.read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_second_taker_is_told_the_first_ones_pid_and_gets_it_when_that_one_is_gone() {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("a/b");
        let first = Home::take(&dir).unwrap();
        let mode = fs::metadata(&dir).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        let second = Home::take(&dir).unwrap_err();
        let OpenError::Locked { holder, .. } = second else { panic!("{second}") };
        assert_eq!(holder, Some(std::process::id()));
        drop(first);
        Home::take(&dir).unwrap();
    }
}
