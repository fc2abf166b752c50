//! The table of all processes, as `/proc` shows it.

use std::{
    fs::{self, File},
    io::{self, Read},
    os::fd::{AsRawFd, BorrowedFd},
    path::PathBuf,
    process,
};

use crate::{Scope, linux::Stat};

/// The kernel allows a process 6 MiB of arguments and environment together.
const ENVIRON_LIMIT: u64 = 6 * 1024 * 1024;

/// A process at the moment of looking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) stat: Stat,
    /// Its environment carries a marker of the scope.
    pub(crate) marked: bool,
}

/// Reads the whole table, zombies included. Blocks for some milliseconds.
///
/// # Errors
///
/// When `/proc` cannot be listed. A process that goes while we look is left out.
pub(crate) fn processes(scope: &Scope) -> io::Result<Vec<Process>> {
    let mut processes = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        if let Some(stat) = stat_of(pid) {
            processes.push(Process { marked: is_marked(pid, scope), stat });
        }
    }
    Ok(processes)
}

/// What the kernel says about a process; `None` when there is none.
pub(crate) fn stat_of(pid: u32) -> Option<Stat> {
    Stat::parse(&fs::read(format!("/proc/{pid}/stat")).ok()?)
}

/// A path under which another process of ours can open this open file anew.
pub(crate) fn fd_path(fd: BorrowedFd<'_>) -> PathBuf {
    format!("/proc/{}/fd/{}", process::id(), fd.as_raw_fd()).into()
}

/// An environment that we may not read is not one that we gave: it belongs to another user.
fn is_marked(pid: u32, scope: &Scope) -> bool {
    let mut environ = Vec::new();
    File::open(format!("/proc/{pid}/environ"))
        .and_then(|file| file.take(ENVIRON_LIMIT).read_to_end(&mut environ))
        .is_ok_and(|_| scope.covers(&environ))
}
