//! Tasks that go on behind a turn's end.
//!
//! New versions say which tasks live in the background whenever that changes. Old ones say that a task began, of
//! those in the foreground too, and that it ended; which kind it is follows from the call that began it.

use std::collections::BTreeSet;

use crate::wire::{Block, Message, TaskStarted};

/// The tasks that live in the background, and what tells them from others.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    live: BTreeSet<String>,
    /// Calls that asked for the background and have not begun a task.
    asked: BTreeSet<String>,
    told: usize,
}

impl Tasks {
    /// A model called tools.
    pub(super) fn called(&mut self, message: &Message) {
        for block in &message.content {
            if let Block::ToolUse { id, input, .. } = block
                && input["run_in_background"] == true
            {
                self.asked.insert(id.clone());
            }
        }
    }

    pub(super) fn started(&mut self, task: TaskStarted) {
        let TaskStarted { task_id, tool_use_id, is_backgrounded } = task;
        let asked = tool_use_id.is_some_and(|id| self.asked.remove(&id));
        if is_backgrounded.unwrap_or(asked) {
            self.live.insert(task_id);
        }
    }

    pub(super) fn ended(&mut self, task_id: &str) {
        self.live.remove(task_id);
    }

    /// All that live, by the program's own word.
    pub(super) fn are(&mut self, live: BTreeSet<String>) {
        self.live = live;
    }

    /// How many there are, when that is news.
    pub(super) fn news(&mut self) -> Option<u32> {
        let n = self.live.len();
        let is_new = std::mem::replace(&mut self.told, n) != n;
        is_new.then(|| u32::try_from(n).unwrap_or(u32::MAX))
    }

    /// The turn is over: what it asked for and never got will not come.
    pub(super) fn end_turn(&mut self) {
        self.asked.clear();
    }
}
