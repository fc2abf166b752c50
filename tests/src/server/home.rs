//! A directory with a config, in which servers are started.

use std::{
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    process::{Child, Command},
    task::JoinSet,
    time::timeout,
};

use super::{Finished, LOOK, Server};
use crate::{PATIENCE, binary};

/// More than a server says while a test runs; what comes after it is read and forgotten.
const MAX_STDERR: usize = 1 << 20;

/// A directory in which servers are started one after the other.
///
/// Config, token and store stay, the port changes. The directory is the servers' working directory, so that a
/// config may say `url = "sqlite:store"`; it goes with the last [`Home`] and [`Server`] of it.
#[derive(Clone, Debug)]
pub struct Home {
    directory: Arc<TempDir>,
    program: PathBuf,
    env: Vec<(OsString, OsString)>,
}

/// A process that is to become a server, or a wrapper around one.
#[derive(Debug)]
pub(super) struct Started {
    pub(super) process: Child,
    pub(super) stderr: Stderr,
    pub(super) directory: Arc<TempDir>,
}

/// What a process says on stderr, read all the time so that it never waits on a full pipe.
#[derive(Debug)]
pub(super) struct Stderr {
    // Also what was said so far is wanted, of a server that does not end. Held for a few lines.
    said: Arc<Mutex<Vec<u8>>>,
    reading: JoinSet<()>,
}

impl Home {
    /// A new directory with this config.
    #[must_use]
    pub fn new(config: &str) -> Self {
        let directory = Arc::new(tempfile::tempdir().unwrap());
        std::fs::write(directory.path().join("musher.toml"), config).unwrap();
        Self { directory, program: binary(), env: Vec::new() }
    }

    /// Runs another build of `musher`.
    #[must_use]
    pub fn program(mut self, program: PathBuf) -> Self {
        self.program = program;
        self
    }

    /// Gives the servers a variable.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Leaves the directory where it is, for somebody to look at.
    pub fn keep(&self) -> &Path {
        // A reference that is never given back keeps the directory's owner from removing it.
        std::mem::forget(Arc::clone(&self.directory));
        self.path()
    }

    /// Starts a server, and returns when it is ready.
    pub async fn start(&self) -> Server {
        self.start_under(&[]).await
    }

    /// Starts a server that may refuse to, and returns when it is ready or has ended.
    pub async fn try_start(&self) -> Result<Server, Finished> {
        self.try_start_under(&[]).await
    }

    /// Starts a server under a wrapper, e.g. `strace -f -o FILE`, and returns when it is ready.
    ///
    /// The wrapper must end when the server does.
    pub async fn start_under(&self, wrapper: &[OsString]) -> Server {
        let started = self.try_start_under(wrapper).await;
        started.unwrap_or_else(|finished| panic!("the server ended: {finished:?}"))
    }

    /// The same with a server that may refuse.
    pub async fn try_start_under(&self, wrapper: &[OsString]) -> Result<Server, Finished> {
        let mut started = self.spawn(wrapper);
        let file = self.ready_file();
        let ready = timeout(PATIENCE, async {
            loop {
                if let Ok(text) = std::fs::read_to_string(&file) {
                    return Ok(serde_json::from_str::<Value>(&text).unwrap());
                }
                // The file comes without any event, so the wait for the end is cut to look again.
                if let Ok(status) = timeout(LOOK, started.process.wait()).await {
                    return Err(status.unwrap().code());
                }
            }
        });
        let ready = match ready.await.expect("the server gets ready") {
            Ok(ready) => ready,
            Err(code) => return Err(started.finished(code).await),
        };
        let token = std::fs::read_to_string(ready["token_file"].as_str().unwrap()).unwrap();
        Ok(Server {
            started,
            pid: i32::try_from(ready["pid"].as_i64().unwrap()).unwrap(),
            url: ready["url"].as_str().unwrap().to_owned(),
            token: token.trim().to_owned(),
        })
    }

    /// Starts a server and kills it after this time, ready or not.
    pub async fn start_and_kill(&self, after: Duration) {
        let mut started = self.spawn(&[]);
        // Any moment is as good as another; that it is not one that the server chose is the point.
        if timeout(after, started.process.wait()).await.is_err() {
            started.process.kill().await.unwrap();
        }
    }

    fn ready_file(&self) -> PathBuf {
        self.path().join("ready.json")
    }

    fn spawn(&self, wrapper: &[OsString]) -> Started {
        let ready_file = self.ready_file();
        if ready_file.exists() {
            std::fs::remove_file(&ready_file).unwrap();
        }
        let mut words = wrapper.iter().cloned().chain([self.program.clone().into_os_string()]);
        let mut command = of_home(PathBuf::from(words.next().unwrap()), self.path());
        command
            .args(words)
            .args(["serve", "--listen", "127.0.0.1:0", "--config"])
            .arg(self.path().join("musher.toml"))
            .arg("--token-file")
            .arg(self.path().join("token"))
            .arg("--ready-file")
            .arg(ready_file)
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .current_dir(self.path());
        let mut process =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = Stderr::of(process.stderr.take().unwrap());
        Started { process, stderr, directory: Arc::clone(&self.directory) }
    }
}

impl Started {
    /// What is left to say of a process that has ended with this code.
    pub(super) async fn finished(&mut self, code: Option<i32>) -> Finished {
        let reading = timeout(PATIENCE, self.stderr.reading.join_next());
        reading.await.expect("nobody else holds the pipe");
        Finished { code, stdout: String::new(), stderr: self.stderr.text() }
    }
}

impl Stderr {
    fn of(mut pipe: impl AsyncRead + Unpin + Send + 'static) -> Self {
        let said = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::clone(&said);
        let mut reading = JoinSet::new();
        reading.spawn(async move {
            let mut buffer = vec![0; 4096];
            while let Ok(n @ 1..) = pipe.read(&mut buffer).await {
                let mut all = all.lock().unwrap();
                let room = MAX_STDERR.saturating_sub(all.len());
                all.extend_from_slice(&buffer[..n.min(room)]);
            }
        });
        Self { said, reading }
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.said.lock().unwrap()).into_owned()
    }
}

/// A program with nothing of the tester's own settings.
pub(super) fn of_home(program: PathBuf, home: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", home).kill_on_drop(true);
    command
}
