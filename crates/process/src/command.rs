//! A program with a terminal of its own and three clean pipes.

mod shell;

use std::{ffi::OsString, path::PathBuf, time::Duration};

use tokio::{
    io::AsyncReadExt,
    net::unix::pipe::{Receiver, Sender},
    task, time,
};

use self::shell::{ChildEnds, OUTSIDE, READY, Started};
use crate::{Child, Environment, Error, Marker, Program, linux::Cgroups};

/// A shell needs milliseconds to get to the program. On a host where it needs longer than this, because
/// memory or the file system hang, waiting on would only hide that.
const START_LIMIT: Duration = Duration::from_secs(10);

/// The last words that belong into an error message.
const STDERR_TAIL: usize = 4096;

/// Longer than everything that the shell can say on the status pipe.
const STATUS_LIMIT: usize = 64;

/// What to run, completely: nothing is inherited but what is named here.
#[derive(Clone, Debug)]
pub struct PtyCommand {
    /// The program.
    pub program: Program,
    /// Its arguments, without its name. They arrive as they are; no shell reads them.
    pub args: Vec<OsString>,
    /// Its environment; the marker is added. Where `/bin/sh` is bash, so is `SHLVL`.
    pub environment: Environment,
    /// Its working directory; a relative one is resolved against the current directory.
    pub directory: PathBuf,
    /// The worker that it belongs to.
    pub marker: Marker,
}

/// A running program and the parent's ends of its pipes, to be taken apart.
///
/// The pipes outlive the [`Child`] value: what was written before the end can still be read.
#[derive(Debug)]
pub struct Spawned {
    /// The process.
    pub child: Child,
    /// Its stdin; dropping this is its end of input.
    pub stdin: Sender,
    /// Its stdout. It ends when every process that inherited it has closed it.
    pub stdout: Receiver,
    /// Its stderr, likewise.
    pub stderr: Receiver,
}

impl PtyCommand {
    /// Starts the program in a session of its own, controlled by a terminal of its own, and returns when the
    /// program itself runs. Where this process's control group (version 2) is delegated to it, the worker gets
    /// one below that, which goes when [`Child::end`] or a [`Sweep`](crate::Sweep) has found nothing in it.
    ///
    /// Dropping the future ends what was started, as dropping a [`Child`] does. Needs a tokio runtime with
    /// time and I/O.
    ///
    /// # Errors
    ///
    /// [`Error::ArgumentsTooLong`], [`Error::Terminal`] or [`Error::Spawn`] when the system refuses,
    /// [`Error::NotStarted`] when the program or the directory is gone or cannot be used,
    /// [`Error::StartTimeout`] when this takes more than 10 s. No process is left by any of them.
    pub async fn spawn(self) -> Result<Spawned, Error> {
        self.spawn_in(Cgroups::of_this_process()).await
    }

    pub(crate) async fn spawn_in(self, cgroups: Option<&'static Cgroups>) -> Result<Spawned, Error> {
        let program = self.program.path().to_owned();
        // Fork copies page tables: with much memory in use that takes too long for an async thread.
        let started = task::spawn_blocking(move || shell::start(self, cgroups)).await;
        let Started { mut spawned, mut status, child_ends } =
            started.map_err(|error| Error::Spawn { program: program.clone(), source: error.into() })??;

        let running = time::timeout(START_LIMIT, runs(&mut spawned.child, &mut status, child_ends)).await;
        if let Ok(Ok(true)) = running {
            return Ok(spawned);
        }
        let (exit, terminal) = spawned.child.abort().await?;
        let output = last_words(&terminal, &spawned.stderr);
        match running {
            Ok(Err(error)) => Err(error),
            Ok(Ok(_)) => Err(Error::NotStarted { program, exit, output }),
            Err(_) => Err(Error::StartTimeout { program, limit: START_LIMIT, output }),
        }
    }
}

/// Waits until the program runs, or until it is certain that it will not.
async fn runs(child: &mut Child, status: &mut Receiver, child_ends: ChildEnds) -> Result<bool, Error> {
    let mut said = Vec::with_capacity(STATUS_LIMIT);
    tokio::select! {
        read = status.read_buf(&mut said) => {
            read.map_err(|source| Error::Wait { pid: child.pid(), source })?;
        }
        exit = child.wait() => { exit?; }
    }
    // From here on only the child holds its ends, so the end of the status pipe is its doing.
    drop(child_ends);
    let mut status = status.take(STATUS_LIMIT as u64);
    status.read_to_end(&mut said).await.map_err(|source| Error::Wait { pid: child.pid(), source })?;
    let words = said.strip_prefix(OUTSIDE).unwrap_or(&said);
    if words.len() < said.len() {
        tracing::warn!(pid = child.pid(), marker = %child.marker(), "could not join the worker's control group");
    }
    Ok(words == READY)
}

fn last_words(terminal: &str, stderr: &Receiver) -> String {
    let mut tail = vec![0; STDERR_TAIL];
    // An empty pipe is an error here, and no words either.
    let n = stderr.try_read(&mut tail).unwrap_or(0);
    let words = format!("{terminal}{}", String::from_utf8_lossy(&tail[..n]));
    words.trim().to_owned()
}

#[cfg(test)]
mod tests;
