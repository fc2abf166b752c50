//! A running program, and the ladder that ends it.

use std::{fmt, mem, time::Duration};

use tokio::time;

use crate::{
    Error, Exit, Marker, Scope, Survivor,
    family::Family,
    leader::Leader,
    sweep::{self, blocking},
    tether::{Last, Tether},
};

/// SIGKILL takes effect within milliseconds; what is there after this is stuck in the kernel.
const KILL_LIMIT: Duration = Duration::from_secs(2);

/// Closing a terminal and reaping a process that has ended needs no time worth naming.
const REAP_LIMIT: Duration = Duration::from_secs(1);

/// A process that leads a session of its own, and with it everything that carries its marker.
///
/// End it with [`Child::end`] or [`Child::kill_now`]. Dropping it without is the last resort: its process
/// group gets SIGKILL and its terminal, if any, closes, in the background and unobserved; processes that left the
/// group are for a [`Sweep`](crate::Sweep) to find.
pub struct Child {
    pid: u32,
    marker: Marker,
    state: State,
}

/// How to end a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ladder {
    /// How long it may clean up after SIGTERM before everything that is left gets SIGKILL.
    pub grace: Duration,
}

/// What was found after a process was ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// How it ended; `None` when it survived SIGKILL, and is among the survivors.
    pub exit: Option<Exit>,
    /// Processes of the worker that could not be ended.
    pub survivors: Vec<Survivor>,
}

enum State {
    Held { leader: Leader, tether: Tether },
    Reaped(Exit),
}

impl Child {
    pub(crate) fn new(leader: Leader, tether: impl Into<Tether>, marker: Marker) -> Child {
        Child { pid: leader.pid(), marker, state: State::Held { leader, tether: tether.into() } }
    }

    /// Its pid, which is also the number of its process group and session. It is nobody else's until
    /// [`Child::end`] or [`Child::kill_now`] returned.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The marker that it and its descendants carry.
    pub fn marker(&self) -> &Marker {
        &self.marker
    }

    /// Waits for its end. Its descendants may live on; [`Child::end`] is still to be called.
    ///
    /// Cancel-safe, and may be called again.
    ///
    /// # Errors
    ///
    /// [`Error::Wait`] when the process cannot be watched.
    pub async fn wait(&mut self) -> Result<Exit, Error> {
        match &mut self.state {
            State::Held { leader, .. } => {
                leader.exit().await.map_err(|source| Error::Wait { pid: self.pid, source })
            }
            State::Reaped(exit) => Ok(*exit),
        }
    }

    /// Ends it and everything of its worker: SIGTERM to the process alone, for it knows best how to end its
    /// tools; after `grace` at the latest SIGKILL to its group, its descendants, their sessions and
    /// everything with its marker, again and again until a look finds nothing, for at most 2 s.
    ///
    /// Works on a process that has ended already, too: its leftovers go. When the future is dropped, calling
    /// this again goes on.
    ///
    /// # Errors
    ///
    /// [`Error::Scan`] when nobody can look for survivors; the process group got SIGKILL even so.
    /// [`Error::Wait`] when the process cannot be watched.
    pub async fn end(&mut self, ladder: Ladder) -> Result<Ended, Error> {
        // What leaves the tree while it cleans up is known by this look. The one after the grace says what
        // failed.
        let family = look(self.family()).await.unwrap_or_else(|_| self.family());
        if let State::Held { leader, .. } = &self.state {
            leader.terminate().map_err(|source| Error::Wait { pid: self.pid, source })?;
        }
        // Whether it ended in time or not, the same step follows.
        if let Ok(exit) = time::timeout(ladder.grace, self.wait()).await {
            exit?;
        }
        Ok(self.kill(family).await?.0)
    }

    /// Ends it and everything of its worker as [`Child::end`] does, without SIGTERM and grace.
    ///
    /// # Errors
    ///
    /// As [`Child::end`].
    pub async fn kill_now(&mut self) -> Result<Ended, Error> {
        Ok(self.kill(self.family()).await?.0)
    }

    /// Kills a child that did not get to its program; returns how it ended and the tail of its terminal.
    pub(crate) async fn abort(mut self) -> Result<(Exit, String), Error> {
        let (ended, tail) = self.kill(self.family()).await?;
        Ok((ended.exit.unwrap_or(Exit::UNKNOWN), tail))
    }

    async fn kill(&mut self, family: Family) -> Result<(Ended, String), Error> {
        let seen = look(family).await;
        if let State::Held { leader, .. } = &self.state {
            // All at once, so that a group that forks faster than we look goes, too.
            leader.kill_group();
        }
        let mut family = seen?;
        let survivors = blocking(move || sweep::kill(&mut family, KILL_LIMIT)).await?;
        let exit = match &self.state {
            State::Held { leader, .. } => {
                leader.peek().map_err(|source| Error::Wait { pid: self.pid, source })?
            }
            State::Reaped(exit) => Some(*exit),
        };
        let tail = match exit {
            Some(exit) => self.reap(exit).await,
            None => String::new(),
        };
        Ok((Ended { exit, survivors }, tail))
    }

    /// Returns the tail of what was written to the terminal.
    async fn reap(&mut self, exit: Exit) -> String {
        match mem::replace(&mut self.state, State::Reaped(exit)) {
            State::Held { leader, tether } => {
                let closed = tether.close(Last { leader: leader.into_process(), abandoned: None });
                // Without its tail the child has still ended.
                time::timeout(REAP_LIMIT, closed).await.ok().and_then(Result::ok).unwrap_or_default()
            }
            State::Reaped(_) => String::new(),
        }
    }

    fn family(&self) -> Family {
        let root = match self.state {
            State::Held { .. } => Some(self.pid),
            State::Reaped(_) => None,
        };
        Family::new(Scope::Worker(self.marker.clone()), root)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if let State::Held { leader, tether } = mem::replace(&mut self.state, State::Reaped(Exit::UNKNOWN)) {
            tracing::debug!(pid = self.pid, marker = %self.marker, "killing a process that nobody ended");
            leader.kill_group();
            // Nobody is left to wait for this; a thread reaps the process.
            let abandoned = Some(self.family());
            drop(tether.close(Last { leader: leader.into_process(), abandoned }));
        }
    }
}

impl fmt::Debug for Child {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Child").field("pid", &self.pid).field("marker", &self.marker).finish_non_exhaustive()
    }
}

async fn look(mut family: Family) -> Result<Family, Error> {
    blocking(move || {
        family.look()?;
        Ok(family)
    })
    .await
}

#[cfg(test)]
mod tests;
