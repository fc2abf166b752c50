//! What the runtime itself has to report, apart from any worker's log.

use std::{
    collections::VecDeque,
    error::Error,
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
        let diagnostic = logged(code, message.into(), worker_id, None);
        self.lock().push(diagnostic);
    }

    /// Reports what many workers may find at the same time. While one of the newest has the code, the others are in
    /// the program's log alone, so that they push nothing else out. The whole error is for that log, too: a diagnostic is
    /// shown to clients.
    pub(crate) fn report_once(
        &self,
        code: &str,
        message: impl Into<String>,
        worker: &WorkerId,
        error: &(dyn Error + 'static),
    ) {
        let diagnostic = logged(code, message.into(), Some(worker.clone()), Some(error));
        let mut inner = self.lock();
        if !inner.newest.iter().any(|known| known.code == code) {
            inner.push(diagnostic);
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

impl Inner {
    fn push(&mut self, diagnostic: RuntimeDiagnostic) {
        self.total += 1;
        self.newest.push_back(diagnostic);
        if self.newest.len() > KEPT {
            self.newest.pop_front();
        }
    }
}

/// A diagnostic that is in the program's log.
fn logged(
    code: &str,
    message: String,
    worker_id: Option<WorkerId>,
    error: Option<&(dyn Error + 'static)>,
) -> RuntimeDiagnostic {
    let worker = worker_id.as_ref().map(tracing::field::display);
    tracing::warn!(code, worker, error, "{message}");
    RuntimeDiagnostic { at: now(), code: code.to_owned(), message, worker_id }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_many_find_is_reported_by_the_first() {
        let diagnostics = Diagnostics::default();
        diagnostics.report("other", "a", None);
        for worker in ["wrk_1", "wrk_2"] {
            diagnostics.report_once("found", "b", &worker.parse().unwrap(), &std::fmt::Error);
        }
        let newest = diagnostics.newest();
        let found = newest.iter().map(|found| (found.code.as_str(), found.worker_id.as_ref()));
        let first = "wrk_1".parse().unwrap();
        assert_eq!(found.collect::<Vec<_>>(), [("other", None), ("found", Some(&first))]);
        assert_eq!(diagnostics.total(), 2);
    }

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
