//! What is left of processes that nobody ended in order.

use std::time::Duration;

use musher_process::{Marker, Scope, Sweep};
use tokio::runtime::Handle;

/// SIGKILL takes effect within milliseconds; what is there after this is stuck in the kernel.
const KILL_LIMIT: Duration = Duration::from_secs(2);

/// Dropping a child kills its group alone. Dropping this finds the rest by their marker, such as what went into a
/// session of its own, and ends it in the background.
#[derive(Debug)]
pub(crate) struct Remains(Option<Marker>);

impl Remains {
    /// Those of a part of a worker's processes.
    pub(crate) fn of(part: Marker) -> Self {
        Self(Some(part))
    }

    /// Everything was ended and looked for: nothing is left to be found.
    pub(crate) fn are_gone(mut self) {
        self.0 = None;
    }
}

impl Drop for Remains {
    fn drop(&mut self) {
        let Some(part) = self.0.take() else { return };
        let sweep = move || {
            let scope = Scope::Worker(part.clone());
            let sweep = Sweep { scope, root: None, grace: Duration::ZERO, limit: KILL_LIMIT };
            match sweep.run_blocking() {
                Ok(survivors) if survivors.is_empty() => {}
                // The runtime looks again when the session has ended, and says so in the log.
                Ok(survivors) => tracing::warn!(marker = %part, ?survivors, "processes of a tool survived"),
                Err(error) => {
                    tracing::warn!(marker = %part, %error, "nobody can look for processes of a tool")
                }
            }
        };
        match Handle::try_current() {
            // It takes longer than an async thread may stand still. A runtime that ends waits for it.
            Ok(runtime) => drop(runtime.spawn_blocking(sweep)),
            Err(_) => sweep(),
        }
    }
}
