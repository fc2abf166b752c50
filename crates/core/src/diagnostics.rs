//! What the runtime itself has to report, apart from any worker's log.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use musher_protocol::{RuntimeDiagnostic, WorkerId};

use crate::task::now;

/// The newest ones are what an operator looks for; older ones are in the program's log.
const KEPT: usize = 256;

/// The newest diagnostics of a runtime, and how many there were.
#[derive(Debug, Default)]
pub(crate) struct Diagnostics {
    /// Protects the queue for single pushes and copies.
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    newest: VecDeque<RuntimeDiagnostic>,
    total: u64,
}

impl Diagnostics {
    /// Reports something, here and in the program's log.
    pub(crate) fn report(&self, code: &str, message: impl Into<String>, worker_id: Option<WorkerId>) {
        let diagnostic =
            RuntimeDiagnostic { at: now(), code: code.to_owned(), message: message.into(), worker_id };
        let worker = diagnostic.worker_id.as_ref().map(tracing::field::display);
        tracing::warn!(code, worker, "{}", diagnostic.message);
        let mut inner = self.lock();
        inner.total += 1;
        inner.newest.push_back(diagnostic);
        if inner.newest.len() > KEPT {
            inner.newest.pop_front();
        }
    }

    /// The newest ones, oldest first.
    pub(crate) fn newest(&self) -> Vec<RuntimeDiagnostic> {
        self.lock().newest.iter().cloned().collect()
    }

    pub(crate) fn total(&self) -> u64 {
        self.lock().total
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        // Every change is whole before anything could panic.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_kept_and_all_are_counted() {
        let diagnostics = Diagnostics::default();
        for n in 0..KEPT + 2 {
            diagnostics.report("test", n.to_string(), None);
        }
        let newest = diagnostics.newest();
        let ends = (newest.first().unwrap().message.as_str(), newest.last().unwrap().message.as_str());
        assert_eq!((newest.len(), ends, diagnostics.total()), (KEPT, ("2", "257"), KEPT as u64 + 2));
    }
}
