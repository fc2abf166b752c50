//! The guard, watched: one that ends though nobody told it to is followed by another.

use std::{
    ffi::OsString,
    path::PathBuf,
    time::{Duration, Instant},
};

use musher_process::{Error, Exit, Guard, Owner};
use tokio::{sync::oneshot, task::JoinSet, time::sleep};

/// A guard that stood for this long did not end by what it was started with.
const STEADY: Duration = Duration::from_secs(10);
/// Between two guards that ended soon; it doubles each time.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// While a guard cannot stand, one line in the log for each of these is enough.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// What a guard is started with.
#[derive(Debug)]
pub(crate) struct Post {
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<OsString>,
    pub(crate) owner: Owner,
}

/// A guard that stands until [`Watch::finish`].
#[derive(Debug)]
pub(crate) struct Watch {
    /// One task; dropping the set drops the guard, which then sweeps and ends by itself.
    tasks: JoinSet<Result<Exit, Error>>,
    over: oneshot::Sender<()>,
}

impl Post {
    /// Starts the guard, and the watch over it. Needs a tokio runtime with I/O.
    pub(crate) fn start(self) -> Result<Watch, Error> {
        let guard = self.guard()?;
        let (over, is_over) = oneshot::channel();
        let mut tasks = JoinSet::new();
        tasks.spawn(self.watch(guard, is_over));
        Ok(Watch { tasks, over })
    }

    fn guard(&self) -> Result<Guard, Error> {
        Guard::start(&self.program, &self.arguments, &self.owner)
    }

    async fn watch(self, mut guard: Guard, mut is_over: oneshot::Receiver<()>) -> Result<Exit, Error> {
        let mut n_short_lived = 0;
        loop {
            let since = Instant::now();
            let ended = tokio::select! {
                _ = &mut is_over => return guard.finish().await,
                ended = guard.ended() => ended,
            };
            match ended {
                Ok(exit) => tracing::error!(%exit, "the guard ended before its server; another one follows"),
                Err(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "the guard cannot be watched");
                    // It may well stand, and finishing it now would end the workers.
                    let _over = is_over.await;
                    return guard.finish().await;
                }
            }
            let _reaped = guard.finish().await;
            n_short_lived = if since.elapsed() < STEADY { n_short_lived + 1 } else { 0 };
            guard = loop {
                tokio::select! {
                    // The last look for processes is a guard's work, even where none stands.
                    _ = &mut is_over => return self.guard()?.finish().await,
                    () = sleep(pause(n_short_lived)) => {}
                }
                match self.guard() {
                    Ok(guard) => break guard,
                    Err(error) => {
                        tracing::error!(error = &error as &dyn std::error::Error, "no guard can be started");
                        n_short_lived += 1;
                    }
                }
            };
        }
    }
}

impl Watch {
    /// Ends the guard, which looks once more for what is left, and says how it ended.
    pub(crate) async fn finish(mut self) -> Result<Exit, Error> {
        // The task listens until it ends, and it ends by this alone.
        let _heard = self.over.send(());
        let ended = self.tasks.join_next().await.expect("there is one task");
        ended.expect("the task neither panics nor is aborted")
    }
}

/// How long to wait before the next guard when so many have ended soon, or did not start.
fn pause(n_short_lived: u32) -> Duration {
    match n_short_lived.checked_sub(1) {
        None => Duration::ZERO,
        Some(n_doublings) => FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(n_doublings)).min(LONGEST_PAUSE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_doubles_up_to_its_bound() {
        let pauses = [0, 1, 2, 3, 9, 10, u32::MAX].map(|n| pause(n).as_millis());
        assert_eq!(pauses, [0, 100, 200, 400, 25_600, 30_000, 30_000]);
    }
}
