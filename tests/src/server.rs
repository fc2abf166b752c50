//! A `musher serve` of one's own.

mod home;

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{process::Command, time::timeout};

pub use self::home::Home;
use self::home::{Started, of_home};
use crate::{Client, PATIENCE, binary};

/// How often to look for what tells nobody that it changes, the ready file above all.
const LOOK: Duration = Duration::from_millis(5);

/// A running server with its own directory, token and port.
///
/// It is killed when it is dropped.
#[derive(Debug)]
pub struct Server {
    started: Started,
    pid: i32,
    url: String,
    token: String,
}

/// How a program ended, and all it said.
#[derive(Debug)]
pub struct Finished {
    /// Its exit code; `None` after a signal.
    pub code: Option<i32>,
    /// What it wrote to stdout.
    pub stdout: String,
    /// What it wrote to stderr.
    pub stderr: String,
}

/// The built `musher` with nothing of the tester's own settings.
#[must_use]
pub fn musher(home: &Path) -> Command {
    of_home(binary(), home)
}

/// Another build of it, in the same way.
#[must_use]
pub fn musher_of(program: PathBuf, home: &Path) -> Command {
    of_home(program, home)
}

impl Finished {
    /// Runs a program to its end.
    pub async fn of(command: &mut Command) -> Self {
        let output = timeout(PATIENCE, command.stdin(Stdio::null()).output())
            .await
            .expect("the program ends")
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

impl Server {
    /// Starts a server with this config, and returns when it is ready.
    pub async fn start(config: &str) -> Self {
        Home::new(config).start().await
    }

    /// The same, with the server's temporary files in this directory.
    pub async fn start_with(config: &str, temporary: Option<&Path>) -> Self {
        let home = Home::new(config);
        match temporary {
            Some(directory) => home.env("TMPDIR", directory).start().await,
            None => home.start().await,
        }
    }

    /// The directory that it was started in.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.started.directory.path()
    }

    /// A client with the admin's token.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::new(&self.url, Some(&self.token))
    }

    /// A client with this token, or none.
    #[must_use]
    pub fn client_with(&self, token: Option<&str>) -> Client {
        Client::new(&self.url, token)
    }

    /// The port that the server took.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.url.rsplit(':').next().unwrap().parse().unwrap()
    }

    /// What the server has said on stderr so far.
    #[must_use]
    pub fn said(&self) -> String {
        self.started.stderr.text()
    }

    /// The server's process id, also when it runs under a wrapper.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Waits until the server has a guard other than this one, and answers with its process id.
    pub async fn guard_other_than(&self, known: Option<i32>) -> i32 {
        let parent = self.pid();
        let found = timeout(PATIENCE, async {
            loop {
                if let Some(guard) = children(parent).find(|pid| Some(*pid) != known && is_guard(*pid)) {
                    return guard;
                }
                // There is no event for another process's child; looking again is all one can do.
                tokio::time::sleep(LOOK).await;
            }
        });
        found.await.expect("a guard")
    }

    /// The server's resident memory in KiB.
    #[must_use]
    pub fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// The processor time that the server has used, in the kernel's ticks of 10 ms.
    #[must_use]
    pub fn processor_ticks(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
        // The name before it, in parentheses, may hold anything; user and system time are fields 14 and 15.
        let (_, fields) = stat.rsplit_once(')').unwrap();
        fields.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum()
    }

    /// Kills the server as `kill -9` does, and returns when it has gone, with its exit code if it had ended by
    /// itself.
    pub async fn kill(mut self) -> Option<i32> {
        self.signal(Signal::KILL);
        timeout(PATIENCE, self.started.process.wait()).await.expect("the server ends").unwrap().code()
    }

    /// Asks the server to end as a supervisor does, and returns when it has.
    pub async fn terminate(self) -> Finished {
        self.signal(Signal::TERM);
        self.ended().await
    }

    /// Waits until the server ends by itself.
    pub async fn ended(mut self) -> Finished {
        let status = timeout(PATIENCE, self.started.process.wait()).await.expect("the server ends").unwrap();
        self.started.finished(status.code()).await
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.pid()).unwrap(), signal).unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the server said: {}", self.started.stderr.text());
        }
        // A wrapper that is killed leaves its server behind. While nobody has waited for the process that we
        // started, the server's id cannot be another's; that it has ended already is as good.
        if self.started.process.id().is_some() {
            let _ended = kill_process(Pid::from_raw(self.pid()).unwrap(), Signal::KILL);
        }
    }
}

fn children(parent: i32) -> impl Iterator<Item = i32> {
    let pids = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(move |pid| {
        // A process that goes while we look is nobody's child.
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("PPid:"));
        line.is_some_and(|line| line.trim() == parent.to_string())
    })
}

fn is_guard(pid: i32) -> bool {
    let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    words.split(|b| *b == 0).nth(1) == Some(b"guard")
}
