//! The table of all processes, as `/proc` shows it.

use std::{
    fs::{self, File},
    io::{self, Read},
    os::fd::{AsRawFd, BorrowedFd},
    path::PathBuf,
    process, thread,
    time::{Duration, Instant},
};

use crate::{
    Scope,
    linux::{Stat, cgroup},
};

/// The kernel allows a process 6 MiB of arguments and environment together.
const ENVIRON_LIMIT: u64 = 6 * 1024 * 1024;

/// A program is replaced within microseconds, and within milliseconds where its file has to be read first.
const EXEC_PAUSE: Duration = Duration::from_millis(1);
/// One that is not replaced for this long does not get the time on a machine that has far too much to do. It is for all
/// processes of a look together: a look is a part of an end, which has a limit of its own.
const EXEC_LIMIT: Duration = Duration::from_secs(2);

/// A process at the moment of looking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) stat: Stat,
    /// Its environment carries a marker of the scope, or its control group is the scope's.
    pub(crate) marked: bool,
}

/// Reads the whole table, zombies included. Blocks for some milliseconds, and for up to 2 s more where programs are just
/// being replaced.
///
/// # Errors
///
/// When `/proc` cannot be listed. A process that goes while we look is left out.
pub(crate) fn processes(scope: &Scope) -> io::Result<Vec<Process>> {
    let mut processes = Vec::new();
    let mut patience = EXEC_LIMIT;
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        if let Some(stat) = stat_of(pid) {
            let marked = cgroup::covers(scope, &read(pid, "cgroup")) || is_marked(pid, scope, &mut patience);
            processes.push(Process { marked, stat });
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

/// Whether a process carries a marker. One that is just being replaced by another program is waited for: until the
/// kernel has laid out its environment, that is empty. What that takes is taken from the patience.
fn is_marked(pid: u32, scope: &Scope, patience: &mut Duration) -> bool {
    let mut n_bare = 0;
    loop {
        let environ = read(pid, "environ");
        // A process of the kernel runs no file, and neither does a zombie.
        if !environ.is_empty() || fs::read_link(format!("/proc/{pid}/exe")).is_err() {
            return scope.covers(&environ);
        }
        // The replacement may have been over just between these two reads, so once is no proof.
        n_bare += u32::from(stat_of(pid).is_none_or(|stat| stat.laid_out));
        if n_bare > 1 || patience.is_zero() {
            return false;
        }
        let begun = Instant::now();
        thread::sleep(EXEC_PAUSE);
        *patience = patience.saturating_sub(begun.elapsed());
    }
}

/// What a file of a process holds; nothing where it may not be read: then it is not one of ours.
fn read(pid: u32, name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let read = File::open(format!("/proc/{pid}/{name}"))
        .and_then(|file| file.take(ENVIRON_LIMIT).read_to_end(&mut bytes));
    if read.is_ok() { bytes } else { Vec::new() }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::{Marker, scene};

    #[test]
    fn a_process_is_marked_from_its_first_moment() {
        let marker = Marker::new(scene::owner(), "worker").unwrap();
        let scope = Scope::Worker(marker.clone());
        for n in 0..500 {
            let mut child =
                Command::new("sleep").arg("1013").env(Marker::VARIABLE, marker.to_string()).spawn().unwrap();
            let marked = is_marked(child.id(), &scope, &mut EXEC_LIMIT.clone());
            child.kill().unwrap();
            child.wait().unwrap();
            assert!(marked, "process {n}");
        }
    }
}
