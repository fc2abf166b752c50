//! A program with pipes only: a session of its own, and no terminal.

mod gate;

use std::{
    any::Any,
    ffi::OsString,
    io::{self, Write},
    path::{self, PathBuf},
    process::{self, Command, Stdio},
    thread,
};

use process_wrap::std::{CommandWrap, ProcessSession};
use tokio::{
    net::unix::pipe::{Receiver, Sender},
    sync::oneshot,
};

use self::gate::{Gate, Input};
use crate::{
    Child, Confinement, Environment, Error, Marker, Program, Scope, Spawned,
    family::Family,
    leader::Leader,
    linux::Cgroups,
    tether::{Last, Tether},
};

/// What to run without a terminal, completely: nothing is inherited but what is named here.
///
/// A program that asks for a password on `/dev/tty` finds none and fails, instead of waiting for nobody. Without a
/// terminal nothing hangs up on it when this process dies: then it is for a [`Guard`](crate::Guard) to end it.
#[derive(Clone, Debug)]
pub struct PipeCommand {
    /// The program.
    pub program: Program,
    /// Its arguments, without its name. They arrive as they are; no shell reads them.
    pub args: Vec<OsString>,
    /// Its environment; the marker is added. Where there is a control group and `/bin/sh` is bash, so is `SHLVL`.
    pub environment: Environment,
    /// Its working directory; a relative one is resolved against the current directory.
    pub directory: PathBuf,
    /// The worker that it belongs to.
    pub marker: Marker,
    /// Where it and all that it starts may write; wherever its user may when `None`.
    pub confinement: Option<Confinement>,
}

/// A running program that is only listened to: its stdin is at its end from the start.
#[derive(Debug)]
pub struct Overheard {
    /// The process.
    pub child: Child,
    /// Its stdout and its stderr, in the order in which they were written. It ends when every process that inherited
    /// either has closed it.
    pub output: Receiver,
}

impl PipeCommand {
    /// Starts the program in a session of its own, with three pipes. It is in its worker's control group, where there
    /// can be one, before it can start anything; see [`PtyCommand::spawn`](crate::PtyCommand::spawn).
    ///
    /// Dropping the future ends what was started, as dropping a [`Child`] does. Needs a tokio runtime with I/O.
    ///
    /// # Errors
    ///
    /// [`Error::Spawn`] when the system refuses, or the program or the directory is gone; [`Error::Confine`] when
    /// the kernel cannot hold it to its confinement. No process is left by any of them. Where there is a control group
    /// a file that is executable, but no program, is no error here: it ends with code 126 or 127 and says why on
    /// stderr.
    pub async fn spawn(self) -> Result<Spawned, Error> {
        self.spawn_in(Cgroups::of_this_process()).await
    }

    /// Starts the program as [`PipeCommand::spawn`] does, with `/dev/null` as its stdin and one pipe for what it
    /// says.
    ///
    /// # Errors
    ///
    /// As [`PipeCommand::spawn`].
    pub async fn overhear(self) -> Result<Overheard, Error> {
        self.overhear_in(Cgroups::of_this_process()).await
    }

    async fn spawn_in(self, cgroups: Option<&'static Cgroups>) -> Result<Spawned, Error> {
        let spawn_error = spawn_error(&self.program);
        let (child_stdin, stdin) = io::pipe().map_err(&spawn_error)?;
        let (stdout, child_stdout) = io::pipe().map_err(&spawn_error)?;
        let (stderr, child_stderr) = io::pipe().map_err(&spawn_error)?;
        let stdout = Receiver::from_owned_fd(stdout.into()).map_err(&spawn_error)?;
        let stderr = Receiver::from_owned_fd(stderr.into()).map_err(&spawn_error)?;
        let gate = cgroups.map(|cgroups| Gate { cgroups, input: Input::Stays });
        let child = self.start([child_stdin.into(), child_stdout.into(), child_stderr.into()], gate).await?;
        if gate.is_some() {
            gate::open(&stdin).map_err(&spawn_error)?;
        }
        let stdin = Sender::from_owned_fd(stdin.into()).map_err(&spawn_error)?;
        Ok(Spawned { child, stdin, stdout, stderr })
    }

    async fn overhear_in(self, cgroups: Option<&'static Cgroups>) -> Result<Overheard, Error> {
        let spawn_error = spawn_error(&self.program);
        let (output, child_stdout) = io::pipe().map_err(&spawn_error)?;
        let child_stderr = child_stdout.try_clone().map_err(&spawn_error)?;
        let output = Receiver::from_owned_fd(output.into()).map_err(&spawn_error)?;
        let child = match cgroups {
            Some(cgroups) => {
                let (child_stdin, stdin) = io::pipe().map_err(&spawn_error)?;
                let gate = Gate { cgroups, input: Input::Ends };
                let streams = [child_stdin.into(), child_stdout.into(), child_stderr.into()];
                let child = self.start(streams, Some(gate)).await?;
                gate::open(&stdin).map_err(&spawn_error)?;
                child
            }
            None => self.start([Stdio::null(), child_stdout.into(), child_stderr.into()], None).await?,
        };
        Ok(Overheard { child, output })
    }

    async fn start(self, streams: [Stdio; 3], gate: Option<Gate>) -> Result<Child, Error> {
        let spawn_error = spawn_error(&self.program);
        let marker = self.marker.clone();
        let (done, started) = oneshot::channel();
        // Fork copies page tables: with much memory in use that takes too long for an async thread.
        let spawning = thread::Builder::new().name("worker-spawn".to_owned());
        let spawning = spawning.spawn(move || {
            let family = Family::new(Scope::Worker(self.marker.clone()), None);
            match done.send(self.run(streams, gate)) {
                Ok(()) => {}
                // Nobody waits any more: it must not run on unwatched.
                Err(Ok(child)) => abandon(child, family),
                Err(Err(error)) => tracing::debug!(%error, "nobody waited for a program that did not start"),
            }
        });
        spawning.map_err(&spawn_error)?;
        let gone = |_| spawn_error(io::Error::other("the thread that spawns has panicked"));
        let process = started.await.map_err(gone)??;
        let leader = Leader::watch(process).map_err(&spawn_error)?;
        Ok(Child::new(leader, Tether::Pipes, marker))
    }

    fn run(self, streams: [Stdio; 3], gate: Option<Gate>) -> Result<process::Child, Error> {
        let Some(gate) = gate else { return self.fork(streams, None) };
        let marker = self.marker.clone();
        let entrance = gate.cgroups.open(&marker);
        let child = self.fork(streams, Some(gate));
        match &child {
            Ok(child) => {
                let pid = child.id();
                if let Err(error) = entrance.and_then(|mut file| file.write_all(pid.to_string().as_bytes())) {
                    // It is found by its marker and its parents then.
                    tracing::warn!(pid, %marker, %error, "could not join the worker's control group");
                }
            }
            Err(_) => {
                if let Err(error) = gate.cgroups.remove(&Scope::Worker(marker)) {
                    tracing::debug!(%error, "a control group is left to a sweep");
                }
            }
        }
        child
    }

    /// Forks on a thread that ends with that: a confinement holds the thread that enters it for good.
    fn fork(self, streams: [Stdio; 3], gate: Option<Gate>) -> Result<process::Child, Error> {
        let spawn_error = spawn_error(&self.program);
        let forking = thread::Builder::new().name("worker-fork".to_owned());
        let forking = forking.spawn(move || self.fork_here(streams, gate)).map_err(&spawn_error)?;
        let gone = |_| Err(spawn_error(io::Error::other("the thread that forks has panicked")));
        forking.join().unwrap_or_else(gone)
    }

    fn fork_here(
        self,
        [stdin, stdout, stderr]: [Stdio; 3],
        gate: Option<Gate>,
    ) -> Result<process::Child, Error> {
        let spawn_error = spawn_error(&self.program);
        let mut command = match gate {
            Some(gate) => gate.command(&self.program, &self.environment).map_err(&spawn_error)?,
            None => Command::new(self.program.path()),
        };
        command.args(&self.args).stdin(stdin).stdout(stdout).stderr(stderr);
        command.current_dir(path::absolute(&self.directory).map_err(&spawn_error)?);
        command.env_clear().envs(self.environment.variables());
        command.env(Marker::VARIABLE, self.marker.to_string());
        if let Some(confinement) = &self.confinement {
            confinement.enter()?;
        }
        let child = CommandWrap::from(command).wrap(ProcessSession).spawn().map_err(&spawn_error)?;
        let child: Box<dyn Any> = child.into_inner();
        match child.downcast() {
            Ok(child) => Ok(*child),
            Err(_) => Err(spawn_error(io::Error::other("the child is not a process"))),
        }
    }
}

fn spawn_error(program: &Program) -> impl Fn(io::Error) -> Error + use<> {
    let program = program.path().to_owned();
    move |source| Error::Spawn { program: program.clone(), source }
}

/// Ends a process that was started for nobody.
fn abandon(child: process::Child, family: Family) {
    let pid = child.id();
    let group = rustix::process::Pid::from_child(&child);
    let killed = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    tracing::debug!(pid, ?killed, "killed a process that nobody waited for");
    Last { leader: child, abandoned: Some(family) }.reap();
}

#[cfg(test)]
mod tests;
