//! Things worth knowing that change nothing, each said once in a session.

use std::collections::BTreeSet;

use musher_backend::Event;

use crate::{bounded, wire::Denial};

/// Types that we do not know and remember by name. A program that makes up more than this gets no more notice.
const MAX_KNOWN: usize = 64;
/// Enough of a line to recognize it by.
const EXCERPT: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Remarks {
    made: BTreeSet<String>,
    n_not_json: u64,
}

impl Remarks {
    /// An event of a type that we do not know, or cannot read.
    pub(super) fn unknown_event(&mut self, name: &str) -> Option<Event> {
        let name = bounded(name, EXCERPT);
        self.once(
            "claude.unknown_event",
            &name,
            format!("Claude Code sent `{name}`, which is not understood"),
        )
    }

    /// A line that is no JSON.
    pub(super) fn not_json(&mut self, line: &[u8]) -> Option<Event> {
        self.n_not_json += 1;
        let excerpt = bounded(&String::from_utf8_lossy(line), EXCERPT);
        self.once("claude.not_json", "", format!("Claude Code wrote a line that is no JSON: {excerpt}"))
    }

    /// A tool's answer that no call of the turn waits for.
    pub(super) fn stray_result(&mut self, id: &str) -> Option<Event> {
        let id = bounded(id, EXCERPT);
        self.once("claude.stray_tool_result", "", format!("tool call `{id}` has a result and was never made"))
    }

    /// A usage limit is close.
    pub(super) fn limit_is_close(&mut self, scope: &str, utilization: Option<f64>) -> Option<Event> {
        let scope = bounded(scope, EXCERPT);
        let used = utilization.map_or_else(String::new, |used| format!(": {:.0} % used", used * 100.0));
        self.once("claude.limit_is_close", &scope, format!("the limit `{scope}` is close{used}"))
    }

    /// The program said something to its user.
    pub(super) fn notice(&mut self, text: &str) -> Event {
        diagnostic("claude.notice", bounded(text, EXCERPT))
    }

    /// What was left out, when nothing more comes.
    pub(super) fn sum(&mut self) -> Option<Event> {
        let n = std::mem::take(&mut self.n_not_json);
        (n > 1).then(|| diagnostic("claude.not_json", format!("{n} lines were no JSON and were left out")))
    }

    fn once(&mut self, code: &str, about: &str, message: String) -> Option<Event> {
        let is_new = self.made.len() < MAX_KNOWN && self.made.insert(format!("{code} {about}"));
        is_new.then(|| diagnostic(code, message))
    }
}

/// A tool was refused without anybody being asked.
pub(super) fn denied(denial: Denial) -> Event {
    let Denial { tool_name, tool_use_id: _, message } = denial;
    let why = if message.is_empty() { String::new() } else { format!(": {}", bounded(&message, EXCERPT)) };
    let tool = bounded(&tool_name, EXCERPT);
    diagnostic("claude.permission_denied", format!("Claude Code refused `{tool}` by a rule of its own{why}"))
}

fn diagnostic(code: &str, message: String) -> Event {
    Event::Diagnostic { code: code.to_owned(), message }
}
