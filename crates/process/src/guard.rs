//! A second process that ends the workers' processes when the first one was killed.
//!
//! The guard is a program that calls [`run`], usually the same binary again. It holds the read end of a pipe
//! whose only write end is in the process that it guards: the kernel closes that however the process goes.

use std::{
    ffi::OsStr,
    io,
    path::{Path, PathBuf},
    process::{ChildStdin, Command, ExitCode, Stdio},
    thread,
    time::{Duration, Instant},
};

use tokio::{
    runtime,
    signal::unix::{Signal, SignalKind, signal},
    time,
};

use crate::{
    Environment, Error, Exit, Owner, Scope, Survivor,
    family::Family,
    leader::Leader,
    sweep::{self, PAUSE},
};

/// The kernel has hung up on the workers' terminals: a program that cleans up after itself does it in this
/// time.
const HANGUP: Duration = Duration::from_millis(300);

/// Together with [`HANGUP`] and the start of a look, all is over within 5 s of the end of the pipe.
const SWEEP_LIMIT: Duration = Duration::from_millis(3700);

/// Longer than a guard can take.
const FINISH_LIMIT: Duration = Duration::from_secs(5);

/// The exit code of a guard that found processes which it could not end.
const SURVIVORS: u8 = 1;

/// The exit code of a guard that could not do its work.
const FAILED: u8 = 2;

/// A running guard, seen from the process that it guards.
///
/// Dropping it lets the guard sweep and exit by itself, unobserved; its zombie goes with this process.
#[derive(Debug)]
pub struct Guard {
    program: PathBuf,
    leader: Leader,
    /// The end of the pipe that is closed when this process has gone.
    pipe: Option<ChildStdin>,
}

impl Guard {
    /// Starts `program` with `args` and, as the last argument, the owner; it is to call [`run`] with that.
    ///
    /// It gets the base environment, `/` as its directory, no stdout, and this process's stderr. It is in
    /// force as soon as it runs: should this process be killed before, the guard finds the end of its pipe at
    /// once. Needs a tokio runtime with I/O.
    ///
    /// # Errors
    ///
    /// [`Error::Guard`] when the system refuses.
    pub fn start(
        program: &Path,
        args: impl IntoIterator<Item = impl AsRef<OsStr>>,
        owner: &Owner,
    ) -> Result<Guard, Error> {
        let start = || {
            let mut process = Command::new(program)
                .args(args)
                .arg(owner.as_str())
                .env_clear()
                .envs(Environment::base().variables())
                .current_dir("/")
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .spawn()?;
            let pipe = process.stdin.take();
            Ok(Guard { program: program.to_owned(), leader: Leader::watch(process)?, pipe })
        };
        start().map_err(|source| Error::Guard { program: program.to_owned(), source })
    }

    /// The guard's pid.
    pub fn pid(&self) -> u32 {
        self.leader.pid()
    }

    /// Waits until the guard has ended, though nobody told it to, and says how. Cancel-safe.
    ///
    /// It is not reaped: [`Guard::finish`] does that, and then returns at once.
    ///
    /// # Errors
    ///
    /// [`Error::Guard`] when the guard cannot be waited for.
    pub async fn ended(&mut self) -> Result<Exit, Error> {
        let ended = self.leader.exit().await;
        ended.map_err(|source| Error::Guard { program: self.program.clone(), source })
    }

    /// Ends the guard and with it every process of the owner.
    ///
    /// Exit code 0 says that none is left, 1 that some are; any other end, that the guard did not do its work
    /// and nothing is known. One that takes longer than 5 s is killed. When the future is dropped the guard
    /// ends by itself.
    ///
    /// # Errors
    ///
    /// [`Error::Guard`] when the guard cannot be waited for.
    pub async fn finish(self) -> Result<Exit, Error> {
        let Guard { program, mut leader, pipe } = self;
        drop(pipe);
        let in_time = time::timeout(FINISH_LIMIT, leader.exit()).await;
        let mut process = leader.into_process();
        let killed = if in_time.is_err() { process.kill() } else { Ok(()) };
        killed.and(process.wait()).map(Exit::from).map_err(|source| Error::Guard { program, source })
    }
}

/// What a guard does: waits for the end of its stdin, however long, then ends every process of the owner
/// within 4 s. Exit code 0 when none is left, 1 when one is, 2 when the guard could not do its work.
///
/// It leaves its session and survives SIGHUP, SIGINT, SIGQUIT and SIGTERM, which may come from the same key
/// press or the same supervisor that ends the guarded process. For `main`, outside of any tokio runtime.
pub fn run(owner: &Owner) -> ExitCode {
    match stand(owner) {
        Ok(survivors) if survivors.is_empty() => ExitCode::SUCCESS,
        Ok(survivors) => {
            tracing::error!(%owner, ?survivors, "processes survived");
            ExitCode::from(SURVIVORS)
        }
        Err(error) => {
            tracing::error!(%owner, error = &error as &dyn std::error::Error, "guard failed");
            ExitCode::from(FAILED)
        }
    }
}

fn stand(owner: &Owner) -> Result<Vec<Survivor>, Error> {
    let wait = || -> io::Result<()> {
        let runtime = runtime::Builder::new_current_thread().enable_io().build()?;
        let _entered = runtime.enter();
        let _deaf = ignore_signals()?;
        // Refused only to the leader of a process group, which is by itself already.
        let _ = rustix::process::setsid();
        // Bytes mean nothing here, and a buffer would only keep them.
        io::copy(&mut io::stdin().lock(), &mut io::sink()).map(|_| ())
    };
    wait().map_err(|source| Error::Guard { program: PathBuf::from("/proc/self/exe"), source })?;
    let mut family = Family::new(Scope::Owner(owner.clone()), None);
    let deadline = Instant::now() + HANGUP;
    // Where nothing is left, as after a server that ended in order, there is nothing to wait for.
    while !family.look()?.is_empty() && Instant::now() < deadline {
        thread::sleep(PAUSE);
    }
    sweep::kill(&mut family, SWEEP_LIMIT)
}

/// A signal that has a listener no longer ends the process, for the rest of its life.
fn ignore_signals() -> io::Result<Vec<Signal>> {
    [SignalKind::hangup(), SignalKind::interrupt(), SignalKind::quit(), SignalKind::terminate()]
        .into_iter()
        .map(signal)
        .collect()
}

#[cfg(test)]
mod tests;
