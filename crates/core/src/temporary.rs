//! Temporary directories: each session has one of its own, which goes when nothing of the session runs any more.
//!
//! They lie in a directory that belongs to one life of a runtime. While that life lasts it holds a lock on the
//! directory, which the kernel takes back however the life ends: one that is not locked belongs to nobody.

use std::{
    fs::{self, DirBuilder, File, TryLockError},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use musher_process::{Owner, Scope, Sweep};
use musher_protocol::RuntimeId;
use uuid::Uuid;

use crate::session::survivors;

/// Below the runtime's scratch directory.
const NAME: &str = "tmp";
/// The file that says whose a life's directory is.
const LIFE: &str = "life";
/// Digits of a random name: enough for the few that are there at once, and few, for the sake of sockets.
const NAME_DIGITS: usize = 8;
/// A name that is taken, or removed by somebody who tidies up in the same moment, is followed by another.
const ATTEMPTS: usize = 8;

/// The longest path that a socket can have, with the NUL at its end: see unix(7).
const SOCKET_PATH: usize = 108;
/// What programs add to the directory for their sockets: `/cc-socks/4194304.sock`, `/tsx-0/4194304.pipe` and the
/// like.
const SOCKET_ROOM: usize = 32;
/// `/`, [`NAME`], `/`, a life, `/`, and a session's number for many years.
const OWN_ROOM: usize = 1 + NAME.len() + 1 + NAME_DIGITS + 1 + 8;

/// How long processes of an earlier life may resist.
const SWEEP_LIMIT: Duration = Duration::from_secs(5);

/// Why sessions use the temporary directory of the host.
#[derive(Debug, thiserror::Error)]
#[error("sessions share the host's temporary directory: below {} paths get too long for sockets", .0.display())]
pub(crate) struct TooLong(PathBuf);

/// Why a session has no directory of its own. Where, is for the operator alone.
#[derive(Debug, thiserror::Error)]
#[error("make a session's temporary directory below {}", .root.display())]
pub(crate) struct NotMade {
    root: PathBuf,
    pub(crate) source: io::Error,
}

/// Where the sessions of one life of a runtime have their directories.
#[derive(Debug)]
pub(crate) struct Temporary {
    root: PathBuf,
    runtime_id: RuntimeId,
    owner: Owner,
    /// Made for the first session. Protects the making, and the counting.
    life: Mutex<Option<Life>>,
}

#[derive(Debug)]
struct Life {
    directory: PathBuf,
    n_sessions: u64,
    /// Says that this life lasts, for as long as it is open.
    _lock: File,
}

impl Temporary {
    /// A place for directories below `scratch`. Nothing is made yet.
    pub(crate) fn below(scratch: &Path, runtime_id: RuntimeId, owner: Owner) -> io::Result<Self> {
        let root = std::path::absolute(scratch)?.join(NAME);
        Ok(Self { root, runtime_id, owner, life: Mutex::default() })
    }

    /// Whether sockets can be made in the directories.
    pub(crate) fn check_length(&self) -> Result<(), TooLong> {
        let above = self.root.as_os_str().len() - NAME.len() - 1;
        if above + OWN_ROOM + SOCKET_ROOM < SOCKET_PATH { Ok(()) } else { Err(TooLong(self.root.clone())) }
    }

    /// Makes a directory that nobody else can look into, for one session.
    pub(crate) fn session(&self) -> Result<PathBuf, NotMade> {
        self.make().map_err(|source| NotMade { root: self.root.clone(), source })
    }

    fn make(&self) -> io::Result<PathBuf> {
        let mut life = self.life.lock().unwrap_or_else(PoisonError::into_inner);
        let life = match &mut *life {
            Some(life) => life,
            none => none.insert(self.begin()?),
        };
        life.n_sessions += 1;
        let directory = life.directory.join(life.n_sessions.to_string());
        DirBuilder::new().mode(0o700).create(&directory)?;
        Ok(directory)
    }

    fn begin(&self) -> io::Result<Life> {
        let mut last = io::Error::from(io::ErrorKind::AlreadyExists);
        for _ in 0..ATTEMPTS {
            let random = Uuid::new_v4().simple().to_string();
            match self.begin_in(self.root.join(&random[..NAME_DIGITS])) {
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::NotFound) =>
                {
                    last = error;
                }
                begun => return begun,
            }
        }
        Err(last)
    }

    /// The name of the owner comes last: a directory that has it has been locked before.
    fn begin_in(&self, directory: PathBuf) -> io::Result<Life> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.root)?;
        DirBuilder::new().mode(0o700).create(&directory)?;
        let lock = File::open(&directory)?;
        lock.try_lock().map_err(|error| match error {
            // Somebody looks whether it is left over; it is gone next.
            TryLockError::WouldBlock => io::Error::from(io::ErrorKind::NotFound),
            TryLockError::Error(error) => error,
        })?;
        let mut life = File::create_new(directory.join(LIFE))?;
        write!(life, "{}\n{}\n", self.runtime_id, self.owner)?;
        // A power cut must not leave sessions' files without the name of their owner.
        life.sync_all()?;
        Ok(Life { directory, n_sessions: 0, _lock: lock })
    }

    /// Removes what earlier lives of this runtime left, when nothing of them runs. Directories of other runtimes,
    /// and of lives that last, stay.
    pub(crate) async fn remove_left_behind(&self) {
        let left = match left_behind(&self.root, &self.runtime_id) {
            Ok(left) => left,
            Err(error) => {
                tracing::warn!(directory = %self.root.display(), %error, "look for temporary directories that are left");
                return;
            }
        };
        for Left { directory, owner, lock: _lock } in left {
            let scope = Scope::Owner(owner);
            let sweep = Sweep { scope, root: None, grace: Duration::ZERO, limit: SWEEP_LIMIT };
            // Where somebody works in it, it stays for the next start.
            if survivors(sweep).await.is_empty() {
                remove(directory).await;
            }
        }
    }
}

impl Drop for Temporary {
    /// What a session left, because something of it still runs, stays with the name of its owner for the next start.
    fn drop(&mut self) {
        let Some(life) = self.life.get_mut().unwrap_or_else(PoisonError::into_inner).take() else { return };
        let gone = fs::read_dir(&life.directory).and_then(|entries| {
            if entries.count() == 1 {
                fs::remove_file(life.directory.join(LIFE))?;
                fs::remove_dir(&life.directory)?;
                // Refused while other lives have theirs in it.
                let _in_use = fs::remove_dir(&self.root);
            }
            Ok(())
        });
        match gone {
            // With all that is above it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Ok(()) => {}
            Err(error) => {
                let directory = life.directory.display();
                tracing::warn!(%directory, %error, "the directory for temporary directories stays");
            }
        }
    }
}

/// A directory of a life that is over.
struct Left {
    directory: PathBuf,
    owner: Owner,
    /// Held while it is removed, so that nobody else does.
    lock: File,
}

fn left_behind(root: &Path, runtime_id: &RuntimeId) -> io::Result<Vec<Left>> {
    let entries = match fs::read_dir(root) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut left = Vec::new();
    for entry in entries {
        let entry = entry?;
        if !entry.file_type()?.is_dir() {
            continue;
        }
        let directory = entry.path();
        let lock = match File::open(&directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            lock => lock?,
        };
        match lock.try_lock() {
            Ok(()) => {}
            // It belongs to a life that lasts.
            Err(TryLockError::WouldBlock) => continue,
            Err(TryLockError::Error(error)) => return Err(error),
        }
        match fs::read_to_string(directory.join(LIFE)) {
            Ok(life) => {
                if let Some(owner) = owner_in(&life, runtime_id) {
                    left.push(Left { directory, owner, lock });
                }
            }
            // Its life ended before it could say whose it was, or begins just now and takes another.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let _has_something_in_it = fs::remove_dir(&directory);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(left)
}

/// Whose a directory is, when it is one of this runtime.
fn owner_in(life: &str, runtime_id: &RuntimeId) -> Option<Owner> {
    let owner = life.strip_prefix(runtime_id.as_str())?.strip_prefix('\n')?.strip_suffix('\n')?;
    // A life that was cut while it wrote its name had no session.
    Owner::new(owner).ok()
}

/// Removes a directory with all in it, on a thread for blocking work. What cannot be removed is in the log.
pub(crate) async fn remove(directory: PathBuf) {
    let shown = directory.display().to_string();
    let removed = tokio::task::spawn_blocking(move || remove_all(&directory)).await;
    match removed.unwrap_or_else(|error| Err(error.into())) {
        Ok(()) => {}
        Err(error) => tracing::warn!(directory = shown, %error, "a temporary directory stays"),
    }
}

/// Removes a directory with all in it; links are removed, not followed. One that is not there is removed. Blocks.
pub(crate) fn remove_all(directory: &Path) -> io::Result<()> {
    let removed = fs::remove_dir_all(directory).or_else(|error| {
        if error.kind() != io::ErrorKind::PermissionDenied {
            return Err(error);
        }
        // Programs make directories that they themselves cannot write to, caches above all.
        open_up(directory)?;
        fs::remove_dir_all(directory)
    });
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Lets the user into every directory below; links are not followed. Nothing of the session runs any more.
fn open_up(directory: &Path) -> io::Result<()> {
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o700))?;
        for entry in fs::read_dir(&directory)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                directories.push(entry.path());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
