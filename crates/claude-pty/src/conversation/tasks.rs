//! Tasks that go on behind a turn's end.
//!
//! New versions say which tasks live in the background whenever that changes. Old ones say that a task began, of
//! those in the foreground too, and that it ended; which kind it is follows from the call that began it.

use std::collections::{BTreeMap, BTreeSet};

use crate::wire::{Block, Message, TaskStarted};

/// The tasks that live in the background, and what tells them from others.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    live: BTreeSet<String>,
    /// The calls that began those that live, by task.
    begun_by: BTreeMap<String, String>,
    /// The calls that they make and that have no result yet, each with the call that it belongs to.
    calls: BTreeMap<String, String>,
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
        let asked = tool_use_id.as_ref().is_some_and(|id| self.asked.remove(id));
        if is_backgrounded.unwrap_or(asked) {
            self.begun_by.extend(tool_use_id.map(|id| (task_id.clone(), id)));
            self.live.insert(task_id);
        }
    }

    pub(super) fn ended(&mut self, task_id: &str) {
        self.live.remove(task_id);
        self.forget();
    }

    /// All that live, by the program's own word.
    pub(super) fn are(&mut self, live: BTreeSet<String>) {
        self.live = live;
        self.forget();
    }

    /// A subagent called tools; `by` is the call that it belongs to.
    pub(super) fn subagent_called(&mut self, by: &str, message: &Message) {
        if !self.begun_by.values().any(|call| call == by) && !self.is_call(by) {
            return;
        }
        for block in &message.content {
            if let Block::ToolUse { id, .. } = block {
                self.calls.insert(id.clone(), by.to_owned());
            }
        }
    }

    /// A call has its result.
    pub(super) fn answered(&mut self, call: &str) {
        self.calls.remove(call);
    }

    /// Whether a task in the background makes this call.
    pub(super) fn is_call(&self, call: &str) -> bool {
        self.calls.contains_key(call)
    }

    /// What has ended calls nothing any more.
    fn forget(&mut self) {
        let Self { live, begun_by, calls, .. } = self;
        begun_by.retain(|task, _| live.contains(task));
        let known = calls.clone();
        calls.retain(|_, by| begun_by.values().any(|call| call == by) || known.contains_key(by));
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
