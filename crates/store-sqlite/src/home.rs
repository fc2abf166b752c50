//! The directory that a store lives in, and the exclusive right to it.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read as _, Seek as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

use rustix::{
    fs::{FallocateFlags, FlockOperation, fallocate, flock},
    io::Errno,
    process::{Pid, test_kill_process},
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

/// What a process that was killed has just forked holds its lock until its own program runs: milliseconds, and longer where
/// the machine has much to do.
const ORPHANED: Duration = Duration::from_secs(5);
/// Nobody tells when a lock is given back.
const LOOK: Duration = Duration::from_millis(10);

/// A store's directory, held by this process alone for as long as the value lives.
#[derive(Debug)]
pub(crate) struct Home {
    dir: PathBuf,
    /// Open until the last connection is closed: to close it takes SQLite's locks on that file with it.
    shared_index: OnceLock<File>,
    /// Given back last.
    _lock: Lock,
}

/// The right to the directory. The kernel gives it back when the last of its descriptors is closed, however the process ends.
#[derive(Debug)]
struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing alone leaves it with what this process has just forked. Where this fails, closing has to do.
        let _closing_does_it = flock(&self.0, FlockOperation::Unlock);
    }
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
        let deadline = Instant::now() + ORPHANED;
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => break,
                Err(Errno::WOULDBLOCK) => {
                    let holder = holder(&mut file);
                    if holder.is_none_or(is_there) || Instant::now() >= deadline {
                        return Err(OpenError::Locked { dir: dir.to_owned(), holder });
                    }
                    thread::sleep(LOOK);
                }
                Err(error) => return Err(failed("lock")(error.into())),
            }
        }
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(failed("write the lock file in"))?;
        let home = Self { dir: dir.to_owned(), shared_index: OnceLock::new(), _lock: Lock(file) };
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
    // Without the number the refusal is the same, and comes at once.
    file.rewind().and_then(|()| file.read_to_string(&mut text)).ok()?;
    text.trim().parse().ok()
}

/// Whether there is such a process, whoever's it is.
fn is_there(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    pid.is_some_and(|pid| test_kill_process(pid) != Err(Errno::SRCH))
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

    #[test]
    fn what_a_killed_holder_had_just_forked_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        drop(Home::take(dir.path()).unwrap());
        let name = dir.path().join(LOCK);
        // No system numbers processes so high.
        fs::write(&name, "1000000000\n").unwrap();
        let forked = File::open(&name).unwrap();
        flock(&forked, FlockOperation::NonBlockingLockExclusive).unwrap();
        thread::scope(|scope| {
            let taking = scope.spawn(|| Home::take(dir.path()));
            thread::sleep(5 * LOOK);
            assert!(!taking.is_finished(), "{:?}", taking.join());
            drop(forked);
            let _home = taking.join().unwrap().unwrap();
            assert_eq!(fs::read_to_string(&name).unwrap(), format!("{}\n", std::process::id()));
        });
    }

    #[test]
    fn a_lock_is_given_back_though_something_forked_still_has_it() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let taken = || {
            let file = File::open(file.path()).unwrap();
            flock(&file, FlockOperation::NonBlockingLockExclusive).map(|()| Lock(file))
        };
        let first = taken().unwrap();
        let _forked = first.0.try_clone().unwrap();
        assert!(taken().is_err());
        drop(first);
        taken().unwrap();
    }
}
