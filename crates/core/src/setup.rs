//! The command that prepares a new worktree, before its worker's first session.
//!
//! It runs until it has succeeded once, whatever cut it off before. Its processes are the worker's: they carry its marker,
//! and they are held as the profile's sandbox says: they write only below the worktree and to a directory for temporary
//! files.

use std::{
    io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use musher_backend::{BackendError, Cancellation, Event, Launch, Link, Sandbox};
use musher_process::{
    Child, Confinement, Ended, Ends, Environment, Error, Exit, Ladder, Marker, Overheard, PipeCommand,
    Program, hear,
};
use tokio::{
    task,
    time::{self, Instant, MissedTickBehavior},
};
use uuid::Uuid;

use crate::{
    temporary,
    wall::{Wall, stands},
    worktree::Worktree,
};

/// Long enough to fetch and build what a project needs; a session that waits longer is of no use to anybody.
const LIMIT: Duration = Duration::from_secs(15 * 60);
/// How long it may clean up after SIGTERM.
const GRACE: Duration = Duration::from_secs(2);
/// How a build begins says what it is about, how it ends says why it failed.
const HEAD: usize = 8 << 10;
const TAIL: usize = 24 << 10;
/// Often enough for a limit of inactivity, which counts in seconds.
const ALIVE_INTERVAL: Duration = Duration::from_secs(1);
/// The diagnostic of one that ended well, and of one that did not.
const SET_UP: [&str; 2] = ["workspace.set_up", "workspace.setup_failed"];

/// A command that is still to succeed.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) command: String,
    /// Variables of the host's that it gets, too.
    pub(crate) pass_env: Vec<String>,
    /// What holds its processes.
    pub(crate) sandbox: Sandbox,
    pub(crate) worktree: Worktree,
    /// Where it runs.
    pub(crate) directory: PathBuf,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Prepared {
    Ready,
    /// Somebody wants the turn, or the session, to end.
    Canceled,
}

enum Over {
    Exited(Result<Exit, Error>),
    TimeLimit,
    Canceled,
}

impl Setup {
    /// Runs it, and tells the log what it said.
    ///
    /// # Errors
    ///
    /// When it does not succeed; it is to be run again.
    pub(crate) async fn run(
        &self,
        launch: &Launch,
        link: &Link,
        cancellation: Cancellation,
    ) -> Result<Prepared, BackendError> {
        let workspace = &self.worktree.record.reference;
        let place = self.worktree.temporary();
        let (temporary, is_own) = match &launch.temporary {
            Some(given) => (given.clone(), false),
            None => (place.clone(), true),
        };
        if is_own {
            let made = task::spawn_blocking(move || make(&place)).await;
            made.unwrap_or_else(|error| Err(error.into())).map_err(|error| {
                BackendError::new("setup_failed", "make a directory for temporary files", error)
            })?;
        }
        let started = Instant::now();
        let ran = self.spawn(launch, &temporary, link, cancellation).await;
        if is_own {
            temporary::remove(temporary).await;
        }
        let (over, ended, said) = ran.map_err(|error| {
            BackendError::new("setup_failed", format!("set up workspace `{workspace}`"), error)
        })?;
        let how = match &over {
            Over::Canceled => return Ok(Prepared::Canceled),
            Over::Exited(Ok(exit)) => format!("ended with {exit}"),
            Over::Exited(Err(error)) => format!("cannot be waited for: {error}"),
            Over::TimeLimit => format!("was ended: it took longer than its limit of {} s", LIMIT.as_secs()),
        };
        let is_good =
            matches!(over, Over::Exited(Ok(Exit { code: Some(0), .. }))) && ended.survivors.is_empty();
        let code = SET_UP[usize::from(!is_good)];
        let took = started.elapsed().as_secs();
        let message = format!("the setup of workspace `{workspace}` {how}, after {took} s\n{said}");
        // Nobody listens any more: then nobody misses it.
        let _unheard = link.emit(Event::Diagnostic { code: code.to_owned(), message }).await;
        if !is_good {
            let message = format!("the setup of workspace `{workspace}` {how}; its output is in the log");
            return Err(BackendError { code: "setup_failed", message, source: None });
        }
        let done = self.worktree.clone();
        let marked = task::spawn_blocking(move || done.mark_as_set_up()).await;
        marked.unwrap_or_else(|error| Err(error.into())).map_err(|error| {
            BackendError::new("setup_failed", format!("note that workspace `{workspace}` is set up"), error)
        })?;
        Ok(Prepared::Ready)
    }

    async fn spawn(
        &self,
        launch: &Launch,
        temporary: &Path,
        link: &Link,
        cancellation: Cancellation,
    ) -> Result<(Over, Ended, String), Error> {
        let mut environment = Environment::base();
        environment.set("TMPDIR", temporary)?;
        // There is none.
        environment.set("TERM", "dumb")?;
        for name in &self.pass_env {
            // What the host does not have the command does not get.
            let _is_there = environment.pass(name)?;
        }
        if !stands(Wall::Environment) {
            for (name, _) in std::env::vars_os() {
                let _is_there = name.to_str().map_or(Ok(false), |name| environment.pass(name))?;
            }
        }
        let marker: Marker = launch.marker.parse()?;
        let own = [self.worktree.record.directory.clone(), temporary.to_owned()];
        // What has no other name is refused when it is spawned.
        let mut writable = Vec::from(own.map(|path| path.canonicalize().unwrap_or(path)));
        writable.extend(launch.writable.iter().cloned());
        let command = PipeCommand {
            program: Program::find("bash", &environment)
                .or_else(|_| Program::find("/bin/sh", &environment))?,
            args: vec!["-c".into(), self.command.clone().into()],
            environment,
            directory: self.directory.clone(),
            marker: marker.part(Uuid::new_v4().simple().to_string())?,
            confinement: is_held(self.sandbox, Confinement::is_available())
                .then_some(Confinement { writable }),
        };
        let Overheard { mut child, output } = command.overhear().await?;
        let mut ends = Ends::new(HEAD, TAIL);
        let (over, ended) = hear(ends.listen(output), attend(&mut child, link, cancellation)).await;
        Ok((over, ended?, text(ends)))
    }
}

/// Whether it is held to where it may write. One that has to be, on a kernel that cannot, does not start.
fn is_held(sandbox: Sandbox, available: bool) -> bool {
    match sandbox {
        Sandbox::Auto => available,
        Sandbox::Landlock => true,
        Sandbox::None => false,
    }
}

/// Waits until it is over, and ends all that is left of it.
async fn attend(
    child: &mut Child,
    link: &Link,
    mut cancellation: Cancellation,
) -> (Over, Result<Ended, Error>) {
    let mut alive = time::interval(ALIVE_INTERVAL);
    alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let limit = time::sleep(LIMIT);
    tokio::pin!(limit);
    let over = loop {
        tokio::select! {
            exit = child.wait() => break Over::Exited(exit),
            () = &mut limit => break Over::TimeLimit,
            () = cancellation.comes() => break Over::Canceled,
            _ = alive.tick() => if link.emit(Event::Alive).await.is_err() { break Over::Canceled },
        }
    };
    let ended = match over {
        Over::Exited(_) => child.kill_now().await,
        Over::TimeLimit | Over::Canceled => child.end(Ladder { grace: GRACE }).await,
    };
    (over, ended)
}

fn make(directory: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)
}

/// What it said, as far as it is kept.
fn text(Ends { head, tail, n_left_out, .. }: Ends) -> String {
    let tail: Vec<u8> = tail.into();
    if n_left_out == 0 {
        return String::from_utf8_lossy(&[head, tail].concat()).into_owned();
    }
    let (head, tail) = (String::from_utf8_lossy(&head), String::from_utf8_lossy(&tail));
    format!("{head}\n[{n_left_out} bytes left out]\n{tail}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(chunks: &[&[u8]]) -> String {
        let mut ends = Ends::new(HEAD, TAIL);
        chunks.iter().for_each(|chunk| ends.take(chunk));
        text(ends)
    }

    #[test]
    fn of_a_long_output_both_ends_are_told() {
        assert_eq!(kept(&[b"a \xc3", b"\xa4 b"]), "a \u{e4} b");
        let all = "x".repeat(HEAD + TAIL);
        assert_eq!(kept(&[all.as_bytes()]), all);
        let long = kept(&[b"begin", all.as_bytes(), b"end"]);
        assert!(
            long.starts_with("beginx") && long.contains("x\n[8 bytes left out]\nx") && long.ends_with("xend")
        );
    }
}
