//! A sign that work goes on, where a person looks at a terminal and nothing is said for a while.

use std::{
    io::{IsTerminal as _, stderr},
    time::{Duration, Instant},
};

/// A person wonders after about this long, and sees by it that the counter runs.
const PAUSE: Duration = Duration::from_secs(1);

/// A counter on the last line of the terminal.
#[derive(Debug)]
pub(crate) struct Waiting {
    /// Nobody looks when stderr is no terminal.
    watched: bool,
    since: Instant,
    shown: bool,
}

impl Waiting {
    pub(crate) fn new() -> Self {
        Self { watched: stderr().is_terminal(), since: Instant::now(), shown: false }
    }

    /// Waits for the next moment to show the counter; for ever where nobody looks.
    pub(crate) async fn pause(&self) {
        if self.watched {
            tokio::time::sleep(PAUSE).await;
        } else {
            std::future::pending().await
        }
    }

    /// What shows on stderr for how long nothing was said.
    pub(crate) fn show(&mut self) -> String {
        self.shown = true;
        format!("\r\x1b[2K… {} s", self.since.elapsed().as_secs())
    }

    /// What makes room on stderr, if that is needed: something is about to be said.
    pub(crate) fn clear(&mut self) -> Option<String> {
        self.since = Instant::now();
        std::mem::take(&mut self.shown).then(|| "\r\x1b[2K".to_owned())
    }
}
