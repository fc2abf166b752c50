//! Processes, as the kernel shows them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rustix::process::{Pid, Signal, kill_process};

/// What Musher marks each process of a worker with, ending with the worker's id.
const MARKER: &str = "MUSHER_MARKER=";

/// A process that was there when somebody looked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: i32,
    /// Its command line, with a space behind each word.
    pub command: String,
}

impl Process {
    /// All that live; one that goes while we look is gone.
    #[must_use]
    pub fn all() -> Vec<Self> {
        Self::which(|_directory| true)
    }

    /// Those of a worker that live; none where its marker is on nobody's.
    #[must_use]
    pub fn of(worker: &str) -> Vec<Self> {
        let suffix = format!("/{worker}");
        Self::with(|variable| {
            variable.starts_with(MARKER.as_bytes()) && variable.ends_with(suffix.as_bytes())
        })
    }

    /// Those that live and were started with such a variable, `NAME=value`.
    #[must_use]
    pub fn with(is_wanted: impl Fn(&[u8]) -> bool) -> Vec<Self> {
        // A zombie has no environment left.
        Self::which(|directory| {
            fs::read(directory.join("environ"))
                .is_ok_and(|environ| environ.split(|byte| *byte == 0).any(&is_wanted))
        })
    }

    /// Those whose directory in `/proc` says so. It is asked before the command line is read: a process that becomes
    /// another program meanwhile is then shown as that one.
    fn which(is_wanted: impl Fn(&Path) -> bool) -> Vec<Self> {
        let process = |entry: fs::DirEntry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let directory = entry.path();
            let command = is_wanted(&directory).then(|| fs::read(directory.join("cmdline")))?.ok()?;
            Some(Self { pid, command: String::from_utf8_lossy(&command).replace('\0', " ") })
        };
        fs::read_dir("/proc").unwrap().flatten().filter_map(process).collect()
    }

    /// Whether it is Claude Code itself, or what stands in its place, rather than something that it started.
    #[must_use]
    pub fn is_program(&self) -> bool {
        self.command.contains("--session-id=") || self.command.contains("--resume=")
    }

    /// Sends it a signal; whether it was there.
    #[must_use]
    pub fn send(&self, signal: Signal) -> bool {
        let pid = Pid::from_raw(self.pid).expect("the kernel numbers processes from 1");
        kill_process(pid, signal).is_ok()
    }

    /// Its resident memory in KiB; 0 when it has gone.
    #[must_use]
    pub fn resident_kib(&self) -> u64 {
        let status = fs::read_to_string(self.path().join("status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.map_or(0, |line| line.trim().trim_end_matches(" kB").parse().unwrap())
    }

    fn path(&self) -> PathBuf {
        format!("/proc/{}", self.pid).into()
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_process_is_found_by_its_worker_and_killed() {
        let worker = uuid::Uuid::new_v4().simple().to_string();
        let mut child = Command::new("sh")
            .args(["-c", "read x", "sh", "--resume=1"])
            .env("MUSHER_MARKER", format!("owner/{worker}"))
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        // The variable is there once the shell is.
        let found = loop {
            if let [process] = &Process::of(&worker)[..] {
                break process.clone();
            }
        };
        assert_eq!((found.pid, found.is_program()), (i32::try_from(child.id()).unwrap(), true));
        assert!(found.resident_kib() > 0);
        assert!(found.send(Signal::KILL));
        child.wait().unwrap();
        assert_eq!(Process::of(&worker), []);
        assert!(Process::of("nobody").is_empty());
    }
}
