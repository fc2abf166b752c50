//! Control groups, version 2: nothing leaves one by dropping its environment, its session or its parent.
//!
//! Where this process's own group is delegated to it, each worker gets a group below that. Its name says whose
//! it is, so that any process can tell members by `/proc/PID/cgroup`, wherever the group is. A part of a worker's
//! processes has a group beside the worker's, so that the end of the one is not the end of the other: what is done
//! to the worker's group is done to those of its parts, too, and nothing to the worker's when a part ends.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

use rustix::fs::Access;

use crate::{Marker, Scope};

/// The kernel lets go of a process's group a moment after it has let go of the process.
const REMOVE_LIMIT: Duration = Duration::from_secs(1);
/// That moment is shorter than this on an idle machine.
const REMOVE_PAUSE: Duration = Duration::from_millis(5);

/// More groups than a worker makes for anything but mischief; what is left is removed with the owner's.
const NESTED_LIMIT: usize = 1024;

/// Where groups of workers are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cgroups {
    pub(crate) root: PathBuf,
}

impl Cgroups {
    /// Below this process's own group, where that is delegated: where it may make groups and move processes
    /// into them. Looked up once, as a server is where its service manager put it.
    pub(crate) fn of_this_process() -> Option<&'static Cgroups> {
        static FOUND: OnceLock<Option<Cgroups>> = OnceLock::new();
        FOUND
            .get_or_init(|| {
                // A kernel without control groups has no such file, which is an answer, too.
                let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
                let membership = fs::read_to_string("/proc/self/cgroup").ok()?;
                Cgroups::delegated_at(own_directory(&mounts, &membership)?)
            })
            .as_ref()
    }

    /// Below this group, when it is one and may be changed.
    fn delegated_at(root: PathBuf) -> Option<Cgroups> {
        let may_write = |path: &Path| rustix::fs::access(path, Access::WRITE_OK).is_ok();
        // Only the root group has no type, and it holds whatever it likes. Below a threaded group there are
        // threads, not processes.
        let holds_processes =
            fs::read_to_string(root.join("cgroup.type")).map_or(true, |kind| kind.trim() == "domain");
        let delegated = may_write(&root) && may_write(&root.join("cgroup.procs")) && holds_processes;
        delegated.then_some(Cgroups { root })
    }

    /// Where a worker's group is, once it is made.
    pub(crate) fn group(&self, marker: &Marker) -> PathBuf {
        self.root.join(name(marker))
    }

    /// The file by which a process joins a worker's group.
    pub(crate) fn entrance(&self, marker: &Marker) -> PathBuf {
        self.group(marker).join("cgroup.procs")
    }

    /// Makes a worker's group; one that is there is made.
    pub(crate) fn make(&self, marker: &Marker) -> io::Result<()> {
        match fs::create_dir(self.group(marker)) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Makes a worker's group and opens its entrance: a process whose pid is written there is moved into it.
    pub(crate) fn open(&self, marker: &Marker) -> io::Result<File> {
        self.make(marker)?;
        File::options().write(true).open(self.entrance(marker))
    }

    /// Kills everything in the groups of a scope at once, so that nothing can fork faster than it is killed. A group
    /// that cannot be killed keeps none of the others alive; the first error is returned.
    pub(crate) fn kill(&self, scope: &Scope) -> io::Result<()> {
        // A worker may run a server of its own, and be that server's guest: nobody kills himself.
        if fs::read("/proc/self/cgroup").is_ok_and(|membership| covers(scope, &membership)) {
            return Ok(());
        }
        let kill = |group: &PathBuf| {
            // The kernel makes the file. Nobody may, and asking for it hides that it is not there.
            let opened = OpenOptions::new().write(true).open(group.join("cgroup.kill"));
            // Gone, or a kernel before 5.14: signals do what they can.
            let Some(mut file) = none_if_gone(opened)? else { return Ok(()) };
            none_if_gone(file.write_all(b"1")).map(drop)
        };
        first_error(self.of(scope)?.iter().map(kill))
    }

    /// Removes the groups of a scope, with what was made below them. Blocks until the kernel has let go of their
    /// last processes, for at most 1 s. A group that cannot be removed keeps none of the others; the first error is
    /// returned.
    pub(crate) fn remove(&self, scope: &Scope) -> io::Result<()> {
        let deadline = Instant::now() + REMOVE_LIMIT;
        let remove = |group: &PathBuf| loop {
            match remove_nested(group) {
                Err(error) if error.kind() == io::ErrorKind::ResourceBusy && Instant::now() < deadline => {
                    thread::sleep(REMOVE_PAUSE);
                }
                removed => return removed,
            }
        };
        first_error(self.of(scope)?.iter().map(remove))
    }

    /// The groups of a scope that are there.
    fn of(&self, scope: &Scope) -> io::Result<Vec<PathBuf>> {
        let mut groups = Vec::new();
        for entry in fs::read_dir(&self.root)? {
            let entry = entry?;
            if entry.file_name().to_str().is_some_and(|name| is_of(scope, name)) {
                groups.push(entry.path());
            }
        }
        Ok(groups)
    }
}

/// Whether a process with this `/proc/PID/cgroup` is in a group of the scope, or below one.
pub(super) fn covers(scope: &Scope, membership: &[u8]) -> bool {
    // Not text: the group is none of ours.
    let Ok(membership) = str::from_utf8(membership) else { return false };
    own_path(membership).is_some_and(|path| path.split('/').any(|name| is_of(scope, name)))
}

/// The name of a worker's group, or a part's. A dot comes from nowhere else, so that no name of an owner or a worker
/// begins another's.
fn name(marker: &Marker) -> String {
    let worker = format!("{}{}", prefix(marker.owner().as_str()), plain(marker.worker()));
    match marker.part_name() {
        Some(part) => format!("{worker}.{}", plain(part)),
        None => worker,
    }
}

fn is_of(scope: &Scope, group: &str) -> bool {
    match scope {
        Scope::Owner(owner) => group.starts_with(&prefix(owner.as_str())),
        Scope::Worker(marker) => {
            group.strip_prefix(&name(marker)).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        }
    }
}

fn prefix(owner: &str) -> String {
    format!("musher-{}.", plain(owner))
}

/// What may be in the name of a file and in a line, and is no dot.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-' {
            plain.push(char::from(byte));
        } else {
            plain.push_str(&format!("%{byte:02x}"));
        }
    }
    plain
}

/// The path in the line of version 2, which has neither a number nor controllers.
fn own_path(membership: &str) -> Option<&str> {
    membership.lines().find_map(|line| line.strip_prefix("0::"))
}

/// Where the group of this membership is mounted; see proc_pid_mountinfo(5).
fn own_directory(mounts: &str, membership: &str) -> Option<PathBuf> {
    let path = own_path(membership)?;
    mounts.lines().find_map(|line| {
        let (mount, system) = line.split_once(" - ")?;
        if system.split(' ').next() != Some("cgroup2") {
            return None;
        }
        let mut fields = mount.split(' ').skip(3);
        let (root, point) = (fields.next()?, fields.next()?);
        // Paths with spaces are written in octal; who mounts groups there gets none.
        let below = Path::new(path).strip_prefix(root).ok().filter(|_| !point.contains('\\'))?;
        Some(Path::new(point).join(below))
    })
}

/// Groups go from the innermost, and have nothing in them but groups that can be removed.
fn remove_nested(group: &Path) -> io::Result<()> {
    let mut groups = vec![group.to_owned()];
    let mut n_listed = 0;
    while n_listed < groups.len() && groups.len() < NESTED_LIMIT {
        for entry in none_if_gone(fs::read_dir(&groups[n_listed]))?.into_iter().flatten() {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                groups.push(entry.path());
            }
        }
        n_listed += 1;
    }
    first_error(groups.iter().rev().map(|group| none_if_gone(fs::remove_dir(group)).map(drop)))
}

/// Goes on to the end, whatever fails on the way.
fn first_error(attempts: impl Iterator<Item = io::Result<()>>) -> io::Result<()> {
    attempts.fold(Ok(()), Result::and)
}

/// Whoever else removed it was as good.
fn none_if_gone<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
