//! A `musher serve` of one's own.

use std::{path::Path, process::Stdio, time::Duration};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::AsyncReadExt as _,
    process::{Child, Command},
    time::timeout,
};

use crate::{Client, PATIENCE, binary};

/// How often to look for the ready file while the server says nothing.
const LOOK: Duration = Duration::from_millis(20);

/// A running server with its own directory, token and port.
#[derive(Debug)]
pub struct Server {
    process: Child,
    url: String,
    token: String,
    directory: TempDir,
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
    let mut command = Command::new(binary());
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", home).kill_on_drop(true);
    command
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
        Self::start_with(config, None).await
    }

    /// The same, with the server's temporary files in this directory.
    pub async fn start_with(config: &str, temporary: Option<&Path>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        std::fs::write(path("musher.toml"), config).unwrap();
        let process = musher(directory.path())
            .args(["serve", "--listen", "127.0.0.1:0", "--config"])
            .arg(path("musher.toml"))
            .arg("--token-file")
            .arg(path("token"))
            .arg("--ready-file")
            .arg(path("ready.json"))
            .envs(temporary.map(|directory| ("TMPDIR", directory)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut server = Self { process, url: String::new(), token: String::new(), directory };
        let ready = server.ready().await;
        server.url = ready["url"].as_str().unwrap().to_owned();
        server.token =
            std::fs::read_to_string(ready["token_file"].as_str().unwrap()).unwrap().trim().to_owned();
        server
    }

    async fn ready(&mut self) -> Value {
        let file = self.directory.path().join("ready.json");
        // The server says on stderr that it listens, and writes the file right after: look when it has spoken.
        let mut stderr = self.process.stderr.take().unwrap();
        let mut said = Vec::new();
        let found = timeout(PATIENCE, async {
            loop {
                if let Ok(text) = std::fs::read_to_string(&file) {
                    return serde_json::from_str(&text).unwrap();
                }
                if let Ok(Ok(0)) = timeout(LOOK, stderr.read_buf(&mut said)).await {
                    panic!("the server ended: {}", String::from_utf8_lossy(&said));
                }
            }
        });
        let ready = found.await.expect("the server gets ready");
        self.process.stderr = Some(stderr);
        ready
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

    /// The server's process id.
    #[must_use]
    pub fn pid(&self) -> i32 {
        i32::try_from(self.process.id().expect("the server runs")).unwrap()
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

    /// Kills the server as `kill -9` does, and returns when it has gone.
    pub async fn kill(mut self) {
        self.process.kill().await.unwrap();
    }

    /// Asks the server to end as a supervisor does, and returns when it has.
    pub async fn terminate(mut self) -> Finished {
        kill_process(Pid::from_raw(self.pid()).unwrap(), Signal::TERM).unwrap();
        let mut stderr = String::new();
        let mut pipe = self.process.stderr.take().unwrap();
        timeout(PATIENCE, pipe.read_to_string(&mut stderr)).await.expect("the server ends").unwrap();
        let status = self.process.wait().await.unwrap();
        Finished { code: status.code(), stdout: String::new(), stderr }
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
