//! What a runtime does by itself: it forgets what need not be kept, and reports how its store is.

use std::time::Duration;

use jiff::Timestamp;
use musher_protocol::{Order, WorkerStatus};
use tokio::time::{MissedTickBehavior, interval};

use super::{Phase, Runtime, Shared, UnsavedWork};
use crate::{
    error::Error,
    idempotency::{self, kept_since},
    store::Health,
    task::now,
};

/// Retention is counted in days; an hour more or less does not matter.
const LOOK: Duration = Duration::from_secs(3600);
/// Workers that are looked at with one read.
const PAGE: usize = 256;
/// Keys that are forgotten with one write: some milliseconds, which a batch that comes meanwhile waits for.
const KEYS: usize = 512;

impl Runtime {
    /// Begins what a runtime does by itself, until it ends.
    pub(crate) fn keep_house(&self) -> Result<(), Error> {
        let shared = std::sync::Arc::downgrade(&self.0);
        let mut health = self.0.health.clone();
        let mut phase = self.0.phase.subscribe();
        self.0.spawn(async move {
            let mut looks = interval(LOOK);
            looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut keys = interval(idempotency::LOOK);
            keys.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    () = async { drop(phase.wait_for(|phase| *phase != Phase::Running).await) } => return,
                    changed = health.changed() => match (changed, shared.upgrade()) {
                        (Ok(()), Some(shared)) => shared.report_health(&health.borrow_and_update()),
                        (Err(_), _) | (_, None) => return,
                    },
                    _ = looks.tick() => {
                        let Some(shared) = shared.upgrade() else { return };
                        Self(shared).delete_old().await;
                    }
                    _ = keys.tick() => {
                        let Some(shared) = shared.upgrade() else { return };
                        Self(shared).forget_keys().await;
                    }
                }
            }
        })
    }

    /// Forgets keys whose time is over, in slices. While the disk is full they stay: also what removes them is written,
    /// and what is left of the disk is for endings.
    async fn forget_keys(&self) {
        let before = kept_since(now());
        while self.check_space().is_ok() && self.check_running().is_ok() {
            match self.0.store.forget_keys(before, KEYS).await {
                Ok(KEYS) => {}
                Ok(_) => return,
                Err(error) => {
                    return tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "forget old idempotency keys"
                    );
                }
            }
        }
    }

    /// Deletes workers whose last event is older than they are kept.
    async fn delete_old(&self) {
        let Some(kept) = self.0.retention.delete_terminal_after else { return };
        let Ok(before) = now().checked_sub(kept) else { return };
        for status in [WorkerStatus::Stopped, WorkerStatus::Cancelled] {
            if let Err(error) = self.delete_before(status, before).await {
                tracing::error!(error = &error as &dyn std::error::Error, "delete old workers");
            }
        }
    }

    async fn delete_before(&self, status: WorkerStatus, before: Timestamp) -> Result<(), Error> {
        let mut after = None;
        loop {
            let rows = self.0.store.workers(Some(status), Order::Asc, after.as_ref(), PAGE).await?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = Some(last.worker_id.clone());
            for row in rows.iter().filter(|row| row.updated_at < before) {
                self.check_running()?;
                match self.delete_worker(&row.worker_id, UnsavedWork::Keep).await {
                    // Somebody else was faster.
                    Ok(()) | Err(Error::WorkerNotFound(_)) => {}
                    Err(error @ (Error::Draining | Error::Stopped)) => return Err(error),
                    Err(error @ Error::WorkspaceDirty { .. }) => {
                        let message = format!("it is kept beyond its time: {error}");
                        self.0.diagnostics.report_once(
                            "retention.worktree_kept",
                            message,
                            &row.worker_id,
                            &error,
                        );
                    }
                    Err(error) => {
                        let worker = &row.worker_id;
                        tracing::error!(%worker, error = &error as &dyn std::error::Error, "delete an old worker");
                        self.readiness()?;
                    }
                }
            }
        }
    }
}

impl Shared {
    fn report_health(&self, health: &Health) {
        match health {
            Health::Good => self.diagnostics.report("store.has_space", "the store has space again", None),
            Health::Full => {
                let message = "the store is full: what is under way is ended, and nothing new begins";
                self.diagnostics.report("store.full", message, None);
            }
            Health::Failed(error) => {
                tracing::error!(error = &**error as &dyn std::error::Error, "the store failed");
                self.diagnostics.report(
                    "store.failed",
                    "the store failed; nothing is written any more",
                    None,
                );
            }
        }
    }
}
