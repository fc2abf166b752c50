//! Waiting for a worker.

use std::time::Duration;

use musher_protocol::{Until, WorkerDetail, WorkerId, WorkerQuery};
use tokio::time::{Instant, sleep, timeout_at};

use crate::{Client, Error};

/// Proxies give up on answers that take a minute.
pub(crate) const ONE_WAIT: Duration = Duration::from_secs(20);

/// A server that is about to end cuts waits short, and must not be asked without a pause.
pub(crate) const BETWEEN_WAITS: Duration = Duration::from_millis(250);

/// Why a worker is not in the state that was waited for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WaitError {
    /// The time is up.
    #[error("the time to wait is up")]
    TimeUp {
        /// The worker as it was seen last.
        worker: Option<Box<WorkerDetail>>,
    },
    /// The worker cannot be looked at.
    #[error("look at the worker")]
    Failed(#[from] Error),
}

impl Client {
    /// Waits until this holds of a worker, and answers with it: idle (no turn is open and nothing is queued, or it has
    /// ended), or terminal.
    ///
    /// # Errors
    ///
    /// When it does not hold within this time, or the worker cannot be looked at.
    pub async fn wait_for(
        &self,
        worker: &WorkerId,
        until: Until,
        within: Duration,
    ) -> Result<WorkerDetail, WaitError> {
        let deadline = Instant::now() + within;
        let mut seen = None;
        loop {
            let left = deadline.saturating_duration_since(Instant::now()).min(ONE_WAIT);
            // Whole seconds; a wait of none asks how it is now.
            let wait = left.as_secs() + u64::from(left.subsec_nanos() > 0);
            let query = WorkerQuery { until: Some(until), wait: Some(wait) };
            let Ok(looked) = timeout_at(deadline, self.worker(worker, &query)).await else {
                return Err(WaitError::TimeUp { worker: seen });
            };
            let worker = looked?;
            if holds(until, &worker) {
                return Ok(worker);
            }
            seen = Some(Box::new(worker));
            sleep(BETWEEN_WAITS).await;
        }
    }
}

fn holds(until: Until, worker: &WorkerDetail) -> bool {
    let is_over = worker.status.is_terminal();
    match until {
        Until::Idle => is_over || (worker.execution.turn_id.is_none() && worker.queued_inputs == 0),
        Until::Terminal => is_over,
    }
}
