//! Calls and their results in a conversation that a client sends.

use serde_json::Value;

use super::Violation;

/// What is found on the way through a conversation.
#[derive(Debug, Default)]
pub(super) struct Pairing<'a> {
    /// Calls without a result yet.
    open: Vec<&'a str>,
    violations: Vec<Violation>,
}

impl<'a> Pairing<'a> {
    pub(super) fn call(&mut self, id: &'a Value) {
        self.open.push(id.as_str().unwrap_or_default());
    }

    pub(super) fn result(&mut self, id: &Value) {
        let id = id.as_str().unwrap_or_default();
        match self.open.iter().position(|call| *call == id) {
            Some(at) => drop(self.open.remove(at)),
            None => self.refuse(format!("no call for result {id}")),
        }
    }

    pub(super) fn refuse(&mut self, message: String) {
        self.violations.push(Violation::new(message));
    }

    /// From here on no result comes any more.
    pub(super) fn close(&mut self) {
        let unanswered = self.open.drain(..);
        self.violations.extend(unanswered.map(|id| Violation::new(format!("no result of call {id}"))));
    }

    pub(super) fn finish(mut self) -> Vec<Violation> {
        self.close();
        self.violations
    }
}
