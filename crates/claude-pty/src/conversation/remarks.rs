//! Things worth knowing that change nothing, each said once in a session.

use std::collections::{BTreeMap, BTreeSet};

use musher_backend::Event;

use crate::{
    TESTED_VERSIONS, bounded,
    wire::{Denial, Strange},
};

/// Remarks of one kind. A program that makes up more types or fields than this gets no more notice for them.
const MAX_OF_A_KIND: usize = 32;
/// Enough of a line to recognize it by.
const EXCERPT: usize = 256;
/// Enough of a line to see what a new version means by it. All of them together stay below what one turn of a
/// busy worker adds to its log.
const RAW: usize = 2048;

#[derive(Debug, Default)]
pub(super) struct Remarks {
    /// What was remarked on, by the code of the remark.
    made: BTreeMap<&'static str, BTreeSet<String>>,
    n_not_json: u64,
}

impl Remarks {
    /// An event of a type that we do not know, or cannot read; the first of each is kept as it came.
    pub(super) fn unknown_event(&mut self, name: &str, line: &[u8]) -> Option<Event> {
        let name = bounded(name, EXCERPT);
        let raw = bounded(&String::from_utf8_lossy(line), RAW);
        self.once(
            "claude.unknown_event",
            &name,
            format!("Claude Code sent `{name}`, which is not understood: {raw}"),
        )
    }

    /// A field that we do not know, or cannot read, of an event that decides something; the first of each is kept as
    /// it came.
    pub(super) fn unknown_field(&mut self, field: &Strange) -> Option<Event> {
        let name = bounded(&format!("{}.{}", field.of, field.key), EXCERPT);
        let raw = bounded(&field.value.to_string(), RAW);
        self.once(
            "claude.unknown_field",
            &name,
            format!("Claude Code sent `{name}`, which is not understood: {raw}"),
        )
    }

    /// The program says which version it is.
    pub(super) fn version(&mut self, version: &str) -> Option<Event> {
        if TESTED_VERSIONS.contains(&version) {
            return None;
        }
        let (version, tested) = (bounded(version, EXCERPT), TESTED_VERSIONS.join(" and "));
        self.once(
            "claude.untested_version",
            "",
            format!("Claude Code is {version}; Musher was tested with {tested}"),
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

    fn once(&mut self, code: &'static str, about: &str, message: String) -> Option<Event> {
        let made = self.made.entry(code).or_default();
        let is_new = made.len() < MAX_OF_A_KIND && made.insert(about.to_owned());
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

/// A tool was refused by us, whatever anybody has decided.
pub(super) fn kept_from(tool: &str, why: &str) -> Event {
    let (tool, why) = (bounded(tool, EXCERPT), bounded(why, EXCERPT));
    diagnostic("claude.permission_denied", format!("`{tool}` was refused: {why}"))
}

/// A worker has to do without a server's tools. The code and the words are those of the other backends.
pub(super) fn no_server(name: &str, why: &str) -> Event {
    let why = bounded(why, RAW);
    diagnostic(
        "tools.mcp_unavailable",
        format!("the MCP server `{name}` cannot be used, its tools are left out: {why}"),
    )
}

fn diagnostic(code: &str, message: String) -> Event {
    Event::Diagnostic { code: code.to_owned(), message }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(event: Option<Event>) -> Option<(String, String)> {
        let Event::Diagnostic { code, message } = event? else { panic!("a remark is a diagnostic") };
        Some((code, message))
    }

    #[test]
    fn an_unknown_event_is_kept_raw_once_and_bounded() {
        let mut remarks = Remarks::default();
        let (code, message) =
            said(remarks.unknown_event("dream", br#"{"type":"dream","of":"sheep"}"#)).unwrap();
        assert_eq!(
            (code.as_str(), message.as_str()),
            (
                "claude.unknown_event",
                r#"Claude Code sent `dream`, which is not understood: {"type":"dream","of":"sheep"}"#
            )
        );
        assert_eq!(said(remarks.unknown_event("dream", b"{}")), None);
        let (_, message) = said(remarks.unknown_event("long", "é".repeat(RAW).as_bytes())).unwrap();
        assert!(message.ends_with(&format!(": {}…", "é".repeat(RAW / 2))), "{message}");
        let n_more =
            (0..2 * MAX_OF_A_KIND).filter(|n| remarks.unknown_event(&n.to_string(), b"{}").is_some());
        assert_eq!(n_more.count(), MAX_OF_A_KIND - 2);
    }

    #[test]
    fn an_unknown_field_is_kept_raw_once_and_bounded() {
        let field =
            |key: &str, value: &str| Strange { of: "result", key: key.to_owned(), value: value.into() };
        let mut remarks = Remarks::default();
        let (code, message) = said(remarks.unknown_field(&field("dream", "sheep"))).unwrap();
        assert_eq!(
            (code.as_str(), message.as_str()),
            ("claude.unknown_field", r#"Claude Code sent `result.dream`, which is not understood: "sheep""#)
        );
        assert_eq!(said(remarks.unknown_field(&field("dream", "again"))), None);
        let (_, message) = said(remarks.unknown_field(&field("long", &"x".repeat(2 * RAW)))).unwrap();
        assert!(message.len() < RAW + EXCERPT, "{}", message.len());
    }

    #[test]
    fn many_remarks_of_one_kind_crowd_out_no_other() {
        let mut remarks = Remarks::default();
        for n in 0..1000 {
            remarks.unknown_field(&Strange { of: "result", key: n.to_string(), value: 0.into() });
        }
        let others = [
            remarks.version("3.0.0"),
            remarks.unknown_event("dream", b"{}"),
            remarks.not_json(b"{"),
            remarks.stray_result("toolu_1"),
            remarks.limit_is_close("five_hour", None),
        ];
        let codes = others.map(|event| said(event).map(|(code, _)| code));
        let expected =
            ["untested_version", "unknown_event", "not_json", "stray_tool_result", "limit_is_close"];
        assert_eq!(codes, expected.map(|code| Some(format!("claude.{code}"))));
    }

    #[test]
    fn a_version_that_was_not_tested_is_told_once() {
        let mut remarks = Remarks::default();
        assert_eq!(TESTED_VERSIONS.map(|version| said(remarks.version(version))), [None, None]);
        let (code, message) = said(remarks.version("3.0.0")).unwrap();
        assert_eq!(
            (code.as_str(), message.as_str()),
            ("claude.untested_version", "Claude Code is 3.0.0; Musher was tested with 2.1.197 and 2.1.329")
        );
        assert_eq!(said(remarks.version("3.0.0")), None);
    }
}
