//! Ends every process of a scope, and says what is left after looking.

use std::{
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use tokio::task;

use crate::{
    Error, Scope,
    family::Family,
    linux::{self, Stat},
};

/// A process needs this long to go; looking more often only costs.
pub(crate) const PAUSE: Duration = Duration::from_millis(20);

/// A process that forks and ends while we look can hide its child from one look; the next one shows it.
const QUIET_LOOKS: u32 = 2;

/// A process that could not be ended: stuck in the kernel, or another user's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survivor {
    /// Its pid.
    pub pid: u32,
    /// The name of its program as the kernel has it, at most 15 bytes; never an argument.
    pub command: String,
}

/// Finds every process that carries a marker or is in a control group of the scope, its descendants and the
/// sessions that any of these lead, and ends them; the groups go with them. This process and zombies are left alone.
///
/// Where control groups are not delegated to this process, one that dropped its environment, its parents and its
/// session before anyone looked cannot be found.
#[derive(Clone, Debug)]
pub struct Sweep {
    /// Whose processes.
    pub scope: Scope,
    /// A process that belongs to them in any case, with its descendants; the caller must not have reaped it.
    pub root: Option<u32>,
    /// How long processes may clean up after a SIGTERM; zero sends none.
    pub grace: Duration,
    /// How long to go on with SIGKILL before what is left counts as surviving.
    pub limit: Duration,
}

impl Sweep {
    /// Sweeps on a thread for blocking work. Dropping the future does not stop the sweep, which is bounded.
    ///
    /// # Errors
    ///
    /// [`Error::Scan`] when nobody can look; then nothing is known about survivors.
    pub async fn run(self) -> Result<Vec<Survivor>, Error> {
        blocking(|| self.run_blocking()).await
    }

    /// Sweeps on this thread, for at most grace and limit together and the time of one look.
    ///
    /// # Errors
    ///
    /// As [`Sweep::run`].
    pub fn run_blocking(self) -> Result<Vec<Survivor>, Error> {
        let mut family = Family::new(self.scope, self.root);
        if !self.grace.is_zero() {
            let deadline = Instant::now() + self.grace;
            let mut members = family.look()?;
            send(&members, Signal::TERM);
            while !members.is_empty() && Instant::now() < deadline {
                thread::sleep(PAUSE);
                members = family.look()?;
            }
        }
        kill(&mut family, self.limit)
    }
}

/// Kills the family until nobody is found, or the limit is over; returns who is left.
pub(crate) fn kill(family: &mut Family, limit: Duration) -> Result<Vec<Survivor>, Error> {
    let deadline = Instant::now() + limit;
    let mut n_quiet = 0;
    while n_quiet < QUIET_LOOKS {
        let members = family.look()?;
        if members.is_empty() {
            n_quiet += 1;
            continue;
        }
        n_quiet = 0;
        if Instant::now() >= deadline {
            return Ok(members.into_iter().map(Survivor::from).collect());
        }
        if let Err(error) = family.kill_groups() {
            // Not swallowed: the signals below do the same, one by one.
            tracing::debug!(%error, "control group not killed");
        }
        send(&members, Signal::KILL);
        thread::sleep(PAUSE);
    }
    if let Err(error) = family.remove_groups() {
        // Nobody is in it, and a later sweep of the owner removes it.
        tracing::warn!(%error, "an empty control group stays");
    }
    Ok(Vec::new())
}

/// Runs something that blocks for a bounded time.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    task::spawn_blocking(work).await.map_err(|error| Error::Scan { source: error.into() })?
}

fn send(members: &[Stat], signal: Signal) {
    for member in members {
        if let Err(error) = linux::signal(member.identity, signal) {
            // Not swallowed: the next look finds it alive, and says so in the end.
            tracing::debug!(pid = member.identity.pid, %error, "signal not sent");
        }
    }
}

impl From<Stat> for Survivor {
    fn from(stat: Stat) -> Survivor {
        Survivor { pid: stat.identity.pid, command: stat.command }
    }
}

#[cfg(test)]
mod tests;
