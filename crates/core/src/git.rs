//! The program `git`, run so that nothing of a repository's own is ever executed.
//!
//! A repository's config names programs in more places than anybody can list: hooks, filters, diff drivers, watchers of
//! files, and whatever a later version thinks of. So git never reads one. It works in a [`View`]: a git directory of
//! ours, with a config of ours, that borrows the repository's objects and references.
//!
//! Invariant: the environment is built from empty, and no config of the host's is read either.
//! Invariant: nothing is fetched, nobody is asked, and every run has a limit of time and of output.

mod repository;
mod view;

use std::{ffi::OsString, io, path::Path, time::Duration};

use musher_process::{Environment, Exit, Marker, Owner, PipeCommand, Program, Spawned};
use musher_protocol::WorkerId;
use rustix::process::Signal;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    time,
};
use uuid::Uuid;

pub(crate) use self::{
    repository::{Head, Repository, ensure_plain},
    view::View,
};
use crate::wall::{Wall, stands};

/// References are a matter of milliseconds; what takes longer hangs, and somebody may have meant it to.
const LIMIT: Duration = Duration::from_secs(10);
/// A checkout of the largest repositories that people have takes a minute.
const LIMIT_FOR_FILES: Duration = Duration::from_secs(120);
/// As much as lists of names need; more is somebody's attempt to fill the memory.
const MOST: usize = 16 << 20;
/// The last words that belong into an error message.
const SAID: usize = 2048;

/// What git finds in its environment: nothing of the host's, nothing that asks, nothing that fetches.
const VARIABLES: [(&str, &str); 11] = [
    ("LC_ALL", "C"),
    ("GIT_CONFIG_NOSYSTEM", "1"),
    ("GIT_CONFIG_SYSTEM", "/dev/null"),
    ("GIT_CONFIG_GLOBAL", "/dev/null"),
    ("GIT_ATTR_NOSYSTEM", "1"),
    ("GIT_TERMINAL_PROMPT", "0"),
    ("GIT_PAGER", "cat"),
    ("GIT_OPTIONAL_LOCKS", "0"),
    ("GIT_NO_REPLACE_OBJECTS", "1"),
    ("GIT_NO_LAZY_FETCH", "1"),
    // No protocol at all.
    ("GIT_ALLOW_PROTOCOL", ""),
];

/// Why git did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GitError {
    #[error("find git")]
    Missing(#[source] musher_process::Error),
    #[error("run git to {attempt}")]
    Run {
        attempt: &'static str,
        #[source]
        source: musher_process::Error,
    },
    #[error("git took longer than {} s to {attempt}", limit.as_secs())]
    Time { attempt: &'static str, limit: Duration },
    #[error("git could not {attempt} ({exit}): {said}")]
    Failed { attempt: &'static str, exit: Exit, said: String },
    /// Somebody ended it, or the system did: that says nothing about the repository.
    #[error("git was ended before it could {attempt} ({exit})")]
    Killed { attempt: &'static str, exit: Exit },
    #[error("git had no space left to {attempt}: {said}")]
    Space { attempt: &'static str, said: String },
    /// The repository is there, and not for this user: so nobody can tell what is in it.
    #[error("git was not permitted to {attempt}: {said}")]
    Permission { attempt: &'static str, said: String },
    #[error("git's answer is longer than {most} bytes: {attempt}")]
    Long { attempt: &'static str, most: usize },
    #[error("{attempt}")]
    Io {
        attempt: &'static str,
        #[source]
        source: io::Error,
    },
    /// Its references are in a table, where no part of them can be given to a worker alone.
    #[error("the repository keeps its references in a format that is not known here")]
    Format,
}

impl GitError {
    pub(crate) fn io(attempt: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { attempt, source }
    }
}

/// The program, for what is done about one worker.
#[derive(Clone, Debug)]
pub(crate) struct Git {
    program: Program,
    environment: Environment,
    marker: Marker,
}

/// What a run of git said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) stdout: Vec<u8>,
    /// There was more.
    pub(crate) is_cut: bool,
    /// How it ended; a run whose output was cut was ended by that.
    pub(crate) exit: Exit,
    stderr: String,
}

impl Said {
    /// Whether git said that something failed, which its exit does not always show.
    pub(crate) fn has_error(&self) -> bool {
        self.stderr.lines().any(|line| line.starts_with("error: ") || line.starts_with("fatal: "))
    }

    /// Why it did not succeed.
    pub(crate) fn failure(self, attempt: &'static str) -> GitError {
        let Self { stdout, is_cut, exit, stderr } = self;
        // Whatever it ended with, the cut came first.
        if is_cut {
            return GitError::Long { attempt, most: stdout.len() };
        }
        if exit.signal == Some(Signal::XFSZ.as_raw()) {
            let said = "a file would have become larger than is allowed".to_owned();
            return GitError::Space { attempt, said };
        }
        if exit.code.is_none() {
            return GitError::Killed { attempt, exit };
        }
        if ends_with_any(&stderr, &NO_SPACE) {
            return GitError::Space { attempt, said: stderr };
        }
        if ends_with_any(&stderr, &["permission denied"]) {
            return GitError::Permission { attempt, said: stderr };
        }
        GitError::Failed { attempt, exit, said: stderr }
    }
}

/// How git says that it ended for want of space: its exit is that of every other failure. An index that cannot be written has
/// words of its own, all else the system's.
const NO_SPACE: [&str; 4] =
    ["no space left on device", "out of diskspace", "quota exceeded", "file too large"];

/// Whether any of these words end a line, where no name of a file stands.
fn ends_with_any(said: &str, words: &[&str]) -> bool {
    said.to_lowercase().lines().any(|line| words.iter().any(|words| line.ends_with(words)))
}

/// One run of git.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    git: &'a Git,
    attempt: &'static str,
    args: Vec<OsString>,
    variables: Vec<(&'static str, OsString)>,
    directory: &'a Path,
    /// What it reads.
    input: Vec<u8>,
    limit: Duration,
    most: usize,
}

impl Git {
    /// Finds the program in the host's PATH. What it starts carries a marker beside the worker's own, so that the end of
    /// a session is not its end, too.
    pub(crate) fn find(owner: &Owner, worker: &WorkerId) -> Result<Self, GitError> {
        let base = Environment::base();
        let program = Program::find("git", &base).map_err(GitError::Missing)?;
        let set_up = || {
            let mut environment = Environment::empty();
            if let Some(path) = base.get("PATH") {
                environment.set("PATH", path)?;
            }
            for (name, value) in VARIABLES.into_iter().filter(|_| stands(Wall::Git)) {
                environment.set(name, value)?;
            }
            let marker = Marker::new(owner.clone(), format!("{worker}-git"))?;
            Ok(Self { program, environment, marker })
        };
        set_up().map_err(|source| GitError::Run { attempt: "look at a repository", source })
    }

    /// A run in a directory, with nothing but these variables added.
    fn call<'a>(
        &'a self,
        attempt: &'static str,
        directory: &'a Path,
        variables: Vec<(&'static str, OsString)>,
        args: impl IntoIterator<Item = impl Into<OsString>>,
    ) -> Call<'a> {
        let args = args.into_iter().map(Into::into).collect();
        Call { git: self, attempt, args, variables, directory, input: Vec::new(), limit: LIMIT, most: MOST }
    }
}

impl Call<'_> {
    /// With this index instead of the view's own.
    pub(crate) fn with_index(mut self, index: &Path) -> Self {
        self.variables.push(("GIT_INDEX_FILE", index.into()));
        self
    }

    /// With this directory for what it writes of objects, in which it looks for none but those.
    pub(crate) fn writing_objects_to(mut self, directory: &Path) -> Self {
        self.variables.push(("GIT_OBJECT_DIRECTORY", directory.into()));
        self
    }

    /// With the objects that are in this directory, too.
    pub(crate) fn with_objects_of(mut self, directory: &Path) -> Self {
        self.variables.push(("GIT_ALTERNATE_OBJECT_DIRECTORIES", directory.into()));
        self
    }

    /// With this to read.
    pub(crate) fn with_input(self, input: Vec<u8>) -> Self {
        Self { input, ..self }
    }

    /// What it writes beyond so many bytes is cut.
    pub(crate) fn at_most(self, most: usize) -> Self {
        Self { most, ..self }
    }

    /// Runs it, and requires that it succeeds and is not cut.
    pub(crate) async fn output(self) -> Result<Vec<u8>, GitError> {
        let attempt = self.attempt;
        let said = self.run().await?;
        if said.exit.code == Some(0) && !said.is_cut { Ok(said.stdout) } else { Err(said.failure(attempt)) }
    }

    /// Runs it, and requires that it succeeds unless it was cut.
    pub(crate) async fn beginning(self) -> Result<Said, GitError> {
        let attempt = self.attempt;
        let said = self.run().await?;
        if said.is_cut || said.exit.code == Some(0) {
            return Ok(said);
        }
        Err(said.failure(attempt))
    }

    /// Runs it; how it ended is for the caller to judge.
    pub(crate) async fn run(self) -> Result<Said, GitError> {
        let Self { git, attempt, args, variables, directory, input, limit, most } = self;
        let failed = |source| GitError::Run { attempt, source };
        let mut environment = git.environment.clone();
        for (name, value) in variables {
            environment.set(name, value).map_err(failed)?;
        }
        let command = PipeCommand {
            program: git.program.clone(),
            args,
            environment,
            directory: directory.to_owned(),
            marker: git.marker.part(Uuid::new_v4().simple().to_string()).map_err(failed)?,
            confinement: None,
        };
        let Spawned { mut child, stdin, stdout, stderr } = command.spawn().await.map_err(failed)?;
        let talk = async {
            let (stdout, stderr, ()) =
                tokio::join!(beginning(stdout, most), ending(stderr), feed(stdin, &input));
            (stdout, stderr, child.wait().await)
        };
        let talked = time::timeout(limit, talk).await;
        let ended = child.kill_now().await;
        let Ok((stdout, stderr, exit)) = talked else { return Err(GitError::Time { attempt, limit }) };
        ended.map_err(failed)?;
        let (stdout, is_cut) = stdout.map_err(GitError::io("read what git says"))?;
        Ok(Said { stdout, is_cut, exit: exit.map_err(failed)?, stderr: stderr.trim().to_owned() })
    }
}

/// Gives a program what it reads. One that does not take all of it has failed, and says why itself.
async fn feed(mut stdin: impl AsyncWrite + Unpin, input: &[u8]) {
    let _refused = stdin.write_all(input).await;
}

/// The first bytes of what a program writes, and whether there were more; the pipe is closed then.
async fn beginning(output: impl AsyncRead + Unpin, most: usize) -> io::Result<(Vec<u8>, bool)> {
    let mut bytes = Vec::new();
    output.take(most as u64 + 1).read_to_end(&mut bytes).await?;
    let is_cut = bytes.len() > most;
    bytes.truncate(most);
    Ok((bytes, is_cut))
}

/// The last words of what a program writes.
async fn ending(mut output: impl AsyncRead + Unpin) -> String {
    let mut said = Vec::new();
    let mut buffer = [0; SAID];
    // What cannot be read is not said.
    while let Ok(n @ 1..) = output.read(&mut buffer).await {
        said.extend_from_slice(&buffer[..n]);
        said.drain(..said.len().saturating_sub(SAID));
    }
    String::from_utf8_lossy(&said).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_told_by_how_git_ended_and_what_it_said_last() {
        let exit = |code, signal| Exit { code, signal };
        let attempt = "compare";
        let failed =
            |said: &str| GitError::Failed { attempt, exit: exit(Some(128), None), said: said.to_owned() };
        let space = |said: &str| GitError::Space { attempt, said: said.to_owned() };
        let index = "fatal: sha1 file '/tmp/view/index.lock' write error. Out of diskspace";
        let object = "error: x\nfatal: unable to write loose object file: No space left on device";
        let quota = "fatal: unable to create '/tmp/view/index.lock': Disk quota exceeded\n";
        let large = "error: unable to write file src/lib.txt: File too large";
        let denied = "error: unable to open loose object 3f0c: Permission denied";
        let name = "fatal: 'No space left on device' does not exist in 'HEAD'";
        let damaged = "fatal: loose object 3f0c is corrupt";
        for (code, signal, is_cut, stderr, expected) in [
            (Some(128), None, false, damaged, failed(damaged)),
            (Some(128), None, false, name, failed(name)),
            (Some(128), None, false, "", failed("")),
            (Some(128), None, false, index, space(index)),
            (Some(128), None, false, object, space(object)),
            (Some(128), None, false, quota, space(quota)),
            (Some(128), None, false, large, space(large)),
            (Some(1), None, false, denied, GitError::Permission { attempt, said: denied.to_owned() }),
            (None, Some(9), false, damaged, GitError::Killed { attempt, exit: exit(None, Some(9)) }),
            (None, Some(25), false, "", space("a file would have become larger than is allowed")),
            (None, Some(13), true, "", GitError::Long { attempt, most: 3 }),
            (Some(0), None, true, "", GitError::Long { attempt, most: 3 }),
        ] {
            let stderr = stderr.to_owned();
            let said = Said { stdout: b"abc".to_vec(), is_cut, exit: exit(code, signal), stderr };
            assert_eq!(format!("{:?}", said.failure(attempt)), format!("{expected:?}"));
        }
    }
}
