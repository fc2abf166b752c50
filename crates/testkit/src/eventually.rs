//! Waiting for what nobody tells of.

use std::time::Duration;

/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(10);

/// Waits until this holds of what other programs and other tasks do to files: looking again is all one can do.
///
/// # Panics
///
/// When it does not hold for a minute.
pub async fn eventually(what: &str, holds: impl Fn() -> bool) {
    let looks = async {
        while !holds() {
            tokio::time::sleep(LOOK).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, looks).await.is_ok(), "{what}");
}
