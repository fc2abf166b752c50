//! The process that was spawned, held by its pid.

use std::{io, process};

use rustix::{
    io::Errno,
    process::{Pid, Signal, WaitId, WaitIdOptions},
};
use tokio::signal::unix::{self, SignalKind};

use crate::Exit;

/// A process that nobody reaps while this value is held, so that its pid and its group are nobody else's.
#[derive(Debug)]
pub(crate) struct Leader {
    process: process::Child,
    /// SIGCHLD, which says that some child ended. A process descriptor would say which, but tokio registers
    /// one only in unsafe code, and looking at each child costs one system call.
    some_child_ended: unix::Signal,
}

impl Leader {
    /// Needs a tokio runtime with I/O. When the process cannot be watched it is killed and reaped.
    pub(crate) fn watch(mut process: process::Child) -> io::Result<Leader> {
        match unix::signal(SignalKind::child()) {
            Ok(some_child_ended) => Ok(Leader { process, some_child_ended }),
            Err(error) => {
                process.kill()?;
                process.wait()?;
                Err(error)
            }
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Waits for its end and says how it came; reaps nothing. Cancel-safe.
    pub(crate) async fn exit(&mut self) -> io::Result<Exit> {
        loop {
            if let Some(exit) = self.peek()? {
                return Ok(exit);
            }
            // An end since the last look is not missed: the signal has been listened to from the start.
            if self.some_child_ended.recv().await.is_none() {
                return Err(io::Error::other("the runtime no longer listens to signals"));
            }
        }
    }

    /// How it ended; `None` while it runs. Reaps nothing.
    pub(crate) fn peek(&self) -> io::Result<Option<Exit>> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        match rustix::process::waitid(WaitId::Pid(self.raw_pid()), options) {
            Ok(status) => Ok(status.map(Exit::from)),
            Err(Errno::CHILD) => Ok(Some(Exit::UNKNOWN)),
            Err(error) => Err(error.into()),
        }
    }

    /// Asks it to end; one that has ended is left alone.
    pub(crate) fn terminate(&self) -> io::Result<()> {
        match self.peek()? {
            None => Ok(rustix::process::kill_process(self.raw_pid(), Signal::TERM)?),
            Some(_) => Ok(()),
        }
    }

    /// Kills all that is in its process group, whether or not it has ended itself.
    pub(crate) fn kill_group(&self) {
        // Reaped behind our back: the number may be another group's by now.
        if self.peek().is_ok_and(|exit| exit == Some(Exit::UNKNOWN)) {
            return;
        }
        if let Err(error) = rustix::process::kill_process_group(self.raw_pid(), Signal::KILL) {
            tracing::debug!(pid = self.pid(), %error, "process group not killed");
        }
    }

    /// Hands the process out to be reaped.
    pub(crate) fn into_process(self) -> process::Child {
        self.process
    }

    fn raw_pid(&self) -> Pid {
        Pid::from_child(&self.process)
    }
}
