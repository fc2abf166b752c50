//! What holds a child besides its pid: the terminal that controls it, or nothing.

use std::{process, thread};

use tokio::sync::oneshot;

use crate::{family::Family, terminal::Terminal};

/// The parent's side of what a child was started on.
pub(crate) enum Tether {
    Terminal(Terminal),
    /// It has pipes only, which close by themselves.
    Pipes,
}

/// The process that is to be reaped, which ends what holds it, too.
pub(crate) struct Last {
    pub(crate) leader: process::Child,
    /// Whose control groups nobody will look after.
    pub(crate) abandoned: Option<Family>,
}

impl Tether {
    /// Lets a thread reap the leader, without waiting for it. The tail of what was written to its terminal arrives
    /// when that is done, which is at once when the leader has ended.
    pub(crate) fn close(self, last: Last) -> oneshot::Receiver<String> {
        match self {
            Self::Terminal(terminal) => terminal.close(last),
            Self::Pipes => reap(last),
        }
    }
}

impl From<Terminal> for Tether {
    fn from(terminal: Terminal) -> Self {
        Self::Terminal(terminal)
    }
}

impl Last {
    /// Reaps the leader, and removes the groups of an abandoned family. Blocks until the leader has ended.
    pub(crate) fn reap(self) {
        let Last { mut leader, abandoned } = self;
        // Only the reaping counts: how it ended was read before, without reaping.
        drop(leader.wait());
        if let Some(Err(error)) = abandoned.map(|family| family.remove_groups()) {
            tracing::debug!(%error, "a control group is left to a sweep");
        }
    }
}

fn reap(last: Last) -> oneshot::Receiver<String> {
    let (done, reaped) = oneshot::channel();
    let pid = last.leader.id();
    let reaping = thread::Builder::new().name("worker-reaper".to_owned()).spawn(move || {
        last.reap();
        // Nobody listens when the child was dropped.
        drop(done.send(String::new()));
    });
    if let Err(error) = reaping {
        tracing::warn!(pid, %error, "a process that ended stays a zombie: no thread to reap it");
    }
    reaped
}
