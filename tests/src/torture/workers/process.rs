//! The processes of workers, as the kernel shows them.

use std::{fs, path::Path};

use rustix::process::{Pid, Signal, kill_process};

/// What Musher marks each process of a worker with, ending with the worker's id.
const MARKER: &str = "MUSHER_MARKER=";

/// A process of a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Process {
    pid: i32,
    /// Its command line.
    pub(super) command: String,
}

/// The processes of a worker that live; none where its marker is on nobody's.
pub(super) fn of(worker: &str) -> Vec<Process> {
    let suffix = format!("/{worker}");
    let entries = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    entries.filter_map(|path| process(&path, &suffix)).collect()
}

/// A process that goes while we look is gone; a zombie has no environment left.
fn process(path: &Path, suffix: &str) -> Option<Process> {
    let pid = path.file_name()?.to_str()?.parse().ok()?;
    let environ = fs::read(path.join("environ")).ok()?;
    let is_marked =
        |variable: &[u8]| variable.starts_with(MARKER.as_bytes()) && variable.ends_with(suffix.as_bytes());
    environ.split(|byte| *byte == 0).find(|variable| is_marked(variable))?;
    let command = fs::read(path.join("cmdline")).unwrap_or_default();
    Some(Process { pid, command: String::from_utf8_lossy(&command).replace('\0', " ") })
}

impl Process {
    /// Whether it is the CLI itself, rather than something that it started.
    pub(super) fn is_program(&self) -> bool {
        self.command.contains("--session-id=") || self.command.contains("--resume=")
    }

    /// Kills it; whether it was there.
    pub(super) fn kill(&self) -> bool {
        let pid = Pid::from_raw(self.pid).expect("the kernel numbers processes from 1");
        kill_process(pid, Signal::KILL).is_ok()
    }

    /// Its resident memory in KiB; 0 when it has gone.
    pub(super) fn resident_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.map_or(0, |line| line.trim().trim_end_matches(" kB").parse().unwrap())
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
            if let [process] = &of(&worker)[..] {
                break process.clone();
            }
        };
        assert_eq!((found.pid, found.is_program()), (i32::try_from(child.id()).unwrap(), true));
        assert!(found.resident_kib() > 0);
        assert!(found.kill());
        child.wait().unwrap();
        assert_eq!(of(&worker), []);
        assert!(of("nobody").is_empty());
    }
}
