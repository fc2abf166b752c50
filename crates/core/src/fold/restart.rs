//! What is left to do when a runtime's end has cut off a turn.

use musher_protocol::TurnFinished;
use serde::{Deserialize, Serialize};

use super::{Fold, TurnInput};

/// The error of a turn that ended because its runtime did; what it had not taken up is pending again.
pub(crate) const RESTARTED: &str = "restarted";
/// What a tool call without a result says in the end.
pub(crate) const CUT_OFF: &str = "interrupted; side effects unknown";
/// The code of the diagnostic that a worker waits for a person.
pub(crate) const STUCK: &str = "recovery.stuck";
/// By whom an input comes that tells a worker of its runtime's restart.
pub(crate) const ON_RESTART: &str = "on_restart";

/// A turn that was cut off by the end of its runtime.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Restart {
    /// How many turns in a row ended like this.
    pub(crate) n: u32,
    /// No turn has begun since.
    pub(crate) goes_on: bool,
    /// The backend had taken up what the turn was to do.
    pub(crate) taken: bool,
    /// The tool that was called last, and whether it may have run without a result.
    pub(crate) last_tool: Option<String>,
    pub(crate) tool_may_have_run: bool,
    /// Somebody has said something to the worker since.
    pub(crate) asked: bool,
    /// The log says that the worker waits for a person.
    pub(crate) told: bool,
}

impl Fold {
    /// Remembers what is left to do of a turn that was cut off. Whether it was.
    pub(super) fn restarted(&mut self, finished: &TurnFinished, inputs: &[TurnInput]) -> bool {
        if finished.error.as_ref().is_none_or(|error| error.code != RESTARTED) {
            self.restart = None;
            return false;
        }
        self.restart = Some(Restart {
            n: self.restart.as_ref().map_or(1, |restart| restart.n + 1),
            goes_on: true,
            taken: inputs.iter().any(|input| input.taken),
            last_tool: finished.last_tool.clone(),
            tool_may_have_run: finished.tool_may_have_run,
            asked: false,
            told: false,
        });
        true
    }
}
