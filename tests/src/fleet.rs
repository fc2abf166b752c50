//! Processes that workers start, found from outside by a variable of the test's own.

use std::time::Duration;

use uuid::Uuid;

use crate::{PATIENCE, Process};

/// The variable that a test gives to its workers by the config.
const VARIABLE: &str = "MUSHER_E2E_FLEET";
/// How often to look again.
const PAUSE: Duration = Duration::from_millis(20);

/// The processes of one test's workers.
#[derive(Debug)]
pub struct Fleet(String);

impl Fleet {
    /// A mark that no other test has.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "no two are alike")]
    pub fn new() -> Self {
        Self(Uuid::new_v4().simple().to_string())
    }

    /// The entry of the config's `env` table that marks the processes.
    #[must_use]
    pub fn env(&self) -> String {
        format!("{VARIABLE} = \"{}\"", self.0)
    }

    /// Those that live.
    #[must_use]
    pub fn processes(&self) -> Vec<Process> {
        let mark = format!("{VARIABLE}={}", self.0);
        Process::with(|variable| variable == mark.as_bytes())
    }

    /// The command lines of those that live.
    #[must_use]
    pub fn alive(&self) -> Vec<String> {
        self.processes().into_iter().map(|process| process.command).collect()
    }

    /// Waits until a process with these words in its command line lives.
    pub async fn shows(&self, words: &str) {
        self.until(PATIENCE, |alive| alive.iter().any(|line| line.contains(words))).await;
    }

    /// Waits until nothing lives.
    pub async fn is_gone_within(&self, limit: Duration) {
        self.until(limit, <[String]>::is_empty).await;
    }

    async fn until(&self, limit: Duration, holds: impl Fn(&[String]) -> bool) {
        let found = tokio::time::timeout(limit, async {
            while !holds(&self.alive()) {
                // There is no event for another process's life; looking again is all one can do.
                tokio::time::sleep(PAUSE).await;
            }
        });
        assert!(found.await.is_ok(), "after {limit:?} there are {:?}", self.alive());
    }
}
