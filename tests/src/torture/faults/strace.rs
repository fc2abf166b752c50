//! strace as a hand that spoils system calls of a running server.

use std::{ffi::OsString, fs, io, path::Path, process::Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, ChildStderr, Command},
    time::timeout,
};

use crate::{Home, PATIENCE};

/// The files of a store, in its directory.
const FILES: [&str; 4] = ["", "musher.db", "musher.db-wal", "reserve"];

/// Which calls fail, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// System calls, with commas.
    pub(super) calls: &'static str,
    /// The error's name.
    pub(super) error: &'static str,
    /// Which of each thread's calls, counted from 1, as strace takes it: `3`, `3..5`, `3+`.
    pub(super) when: String,
}

/// A strace that is attached to a server.
#[derive(Debug)]
pub(super) struct Attached {
    strace: Child,
    /// Kept open and unread: what strace says later, a line for each new thread, fits into the pipe.
    _said: ChildStderr,
}

impl Fault {
    /// The arguments of strace, which writes what it saw to this file. Without a fault it only looks.
    fn arguments(fault: Option<&Self>, calls: &str, home: &Home, file: &Path) -> Vec<OsString> {
        let mut words: Vec<OsString> = vec!["-f".into(), "-e".into(), format!("trace={calls}").into()];
        for name in FILES {
            words.push("-P".into());
            // Without a slash at the end: strace compares names.
            let store = home.path().join("store");
            words.push(if name.is_empty() { store } else { store.join(name) }.into());
        }
        if let Some(Self { calls, error, when }) = fault {
            words.push("-e".into());
            words.push(format!("inject={calls}:error={error}:when={when}").into());
        }
        words.extend(["-o".into(), file.into()]);
        words
    }

    /// The wrapper that a server is started under so that this fault may hit its start.
    pub(super) fn wrapper(fault: Option<&Self>, calls: &str, home: &Home, file: &Path) -> Vec<OsString> {
        let mut words = vec!["strace".into()];
        words.extend(Self::arguments(fault, calls, home, file));
        words
    }
}

impl Attached {
    /// Attaches to a running server, and returns when all of its threads are watched.
    pub(super) async fn to(pid: i32, fault: Option<&Fault>, calls: &str, home: &Home, file: &Path) -> Self {
        let mut strace = Command::new("strace");
        strace.args(Fault::arguments(fault, calls, home, file)).arg("-p").arg(pid.to_string());
        let mut strace = strace.stderr(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let mut lines = BufReader::new(strace.stderr.take().unwrap()).lines();
        let attached = async {
            while let Some(line) = lines.next_line().await.unwrap() {
                if line.contains("attached") {
                    return;
                }
            }
            panic!("strace could not attach to the server; it needs the right to trace processes (ptrace)");
        };
        timeout(PATIENCE, attached).await.expect("strace attaches");
        Self { strace, _said: lines.into_inner().into_inner() }
    }

    /// Lets the server go on without it.
    pub(super) async fn detach(mut self) {
        if let Some(pid) = self.strace.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw) {
            // It has ended already when the server has.
            let _ended = kill_process(pid, Signal::INT);
        }
        timeout(PATIENCE, self.strace.wait()).await.expect("strace ends").unwrap();
    }
}

/// How many calls the busiest thread made, by what strace wrote.
pub(super) fn most_calls(file: &Path) -> io::Result<usize> {
    let mut counts = std::collections::BTreeMap::<String, usize>::new();
    for line in fs::read_to_string(file)?.lines() {
        let (thread, said) = line.split_once(' ').unwrap_or_default();
        if !said.trim_start().starts_with(['<', '+', '-']) {
            *counts.entry(thread.to_owned()).or_default() += 1;
        }
    }
    Ok(counts.values().copied().max().unwrap_or_default())
}

/// Whether the fault happened.
pub(super) fn has_hit(file: &Path) -> io::Result<bool> {
    Ok(fs::read_to_string(file)?.contains("(INJECTED)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_busiest_thread_counts_its_own_calls_and_a_fault_is_seen() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("trace");
        let good = "7 pwrite64(3, \"a\"..., 4096, 0 <unfinished ...>\n8 fsync(4) = 0\n\
            7 <... pwrite64 resumed>) = 4096\n7 pwrite64(3, \"a\"..., 4096, 0) = 4096\n7 +++ exited with 0 +++\n";
        fs::write(&file, good).unwrap();
        assert_eq!((most_calls(&file).unwrap(), has_hit(&file).unwrap()), (2, false));
        fs::write(&file, format!("{good}7 fsync(3) = -1 EIO (Input/output error) (INJECTED)\n")).unwrap();
        assert_eq!((most_calls(&file).unwrap(), has_hit(&file).unwrap()), (3, true));
    }
}
