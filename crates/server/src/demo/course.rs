//! Whether all went as scripted.

use std::{
    fs,
    path::{Path, PathBuf},
};

use musher_protocol::{Decision, Envelope, Payload, TurnOutcome};

use super::script;

/// What did not go as scripted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DemoError {
    #[error("the model server was asked what no vendor takes: {0}")]
    Violation(String),
    #[error("it did not go as scripted: {0} is not in the log")]
    Missing(&'static str),
    #[error("the scratch directory {} is still there", .0.display())]
    Remains(PathBuf),
    #[error("it did not go as scripted: {file} is not what the model wrote")]
    File {
        file: &'static str,
        #[source]
        source: Option<std::io::Error>,
    },
}

/// Looks for all that has to be in the log.
pub(super) fn check(log: &[Envelope]) -> Result<(), DemoError> {
    let asked = log.iter().find_map(|event| {
        let Payload::ApprovalRequested(approval) = &event.payload else { return None };
        (approval.tool == "shell").then_some(&approval.approval_id)
    });
    let allowed = log.iter().find_map(|event| {
        let Payload::ApprovalResolved { approval_id, decision, .. } = &event.payload else { return None };
        (asked == Some(approval_id)).then_some(*decision == Decision::Allow)
    });
    let has = |what: &dyn Fn(&Payload) -> bool| log.iter().any(|event| what(&event.payload));
    let result = |wanted: &str, has_diff: bool| {
        has(&|payload| {
            let Payload::ToolResult { content, is_error: false, diff, .. } = payload else { return false };
            content.trim_end().starts_with(wanted) && diff.is_some() == has_diff
        })
    };
    let ended = |payload: &Payload| matches!(payload, Payload::SessionEnded(session) if session.exit_ok && session.survivors.is_empty());
    let completed = |payload: &Payload| matches!(payload, Payload::TurnFinished(turn) if turn.outcome == TurnOutcome::Completed);
    let landmarks = [
        (has(&|payload| matches!(payload, Payload::ThinkingDone { .. })), "a thought"),
        (result("created team.txt", true), "the written file with its diff"),
        (has(&|payload| matches!(payload, Payload::Retrying(_))), "the broken connection"),
        (allowed.is_some(), "a decision about the command"),
        (allowed != Some(true) || result(script::COUNT, false), "what the command said"),
        (has(&completed), "a completed turn"),
        (has(&ended), "a session that ended with nothing left"),
    ];
    match landmarks.into_iter().find(|(is_there, _)| !is_there) {
        Some((_, what)) => Err(DemoError::Missing(what)),
        None => Ok(()),
    }
}

/// Looks at the file itself.
pub(super) fn check_file(workspace: &Path) -> Result<(), DemoError> {
    let wrong = |source| DemoError::File { file: script::FILE, source };
    let written = fs::read_to_string(workspace.join(script::FILE)).map_err(|error| wrong(Some(error)))?;
    if written == script::TEAM { Ok(()) } else { Err(wrong(None)) }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::demo::log;

    /// A log in which all went as scripted, with this decision about the command and what it said.
    fn good(decision: &str, said: &str) -> Vec<Value> {
        let asked = json!({
            "type": "approval_requested", "approval_id": "apr_1", "worker_id": "wrk_1", "turn_id": "trn_1",
            "kind": "tool", "tool": "shell", "input": {}, "state": "pending",
            "requested_at": "2026-11-20T10:00:00Z", "deadline_at": "2026-11-20T10:10:00Z",
        });
        let usage = serde_json::to_value(musher_protocol::Usage::default()).unwrap();
        let ended = json!({"type": "session_ended", "exit_ok": true, "aborted": false, "rate_limited": false,
            "usage": usage, "survivors": []});
        vec![
            json!({"type": "thinking_done", "turn_id": "trn_1", "block": 0, "text": "hm"}),
            json!({"type": "tool_result", "tool_call_id": "a", "content": "created team.txt (24 bytes)",
                "is_error": false, "diff": "+Balto\n"}),
            json!({"type": "retrying", "turn_id": "trn_1", "attempt": 2, "max_attempts": 6, "delay_ms": 1,
                "reason": "cut", "discarded_blocks": []}),
            asked,
            json!({"type": "approval_resolved", "approval_id": "apr_1", "decision": decision, "by": {"token": "demo"}}),
            json!({"type": "tool_result", "tool_call_id": "b", "content": said, "is_error": decision != "allow"}),
            json!({"type": "turn_finished", "turn_id": "trn_1", "outcome": "completed", "usage": usage}),
            ended,
        ]
    }

    #[test]
    fn a_denial_is_in_the_script_too() {
        for (decision, said) in [("allow", "4\n"), ("deny", "not run"), ("expired", "not run")] {
            check(&log(&good(decision, said))).unwrap();
        }
        let error = check(&log(&good("allow", "5\n"))).unwrap_err().to_string();
        assert_eq!(error, "it did not go as scripted: what the command said is not in the log");
    }

    #[test]
    fn whatever_is_missing_is_named() {
        let all = good("allow", "4\n");
        let without = |at: usize| {
            let mut left = all.clone();
            left.remove(at);
            check(&log(&left)).unwrap_err().to_string()
        };
        let expected = [
            "a thought",
            "the written file with its diff",
            "the broken connection",
            "a decision about the command",
            "a decision about the command",
            "what the command said",
            "a completed turn",
            "a session that ended with nothing left",
        ];
        for (at, what) in expected.into_iter().enumerate() {
            assert_eq!(without(at), format!("it did not go as scripted: {what} is not in the log"));
        }
    }

    #[test]
    fn the_file_itself_is_looked_at() {
        let workspace = tempfile::tempdir().unwrap();
        assert!(matches!(check_file(workspace.path()), Err(DemoError::File { source: Some(_), .. })));
        fs::write(workspace.path().join("team.txt"), "Balto\n").unwrap();
        assert!(matches!(check_file(workspace.path()), Err(DemoError::File { source: None, .. })));
        fs::write(workspace.path().join("team.txt"), script::TEAM).unwrap();
        check_file(workspace.path()).unwrap();
    }
}
