//! What the demo decides by itself: that its file is written, and what nobody can be asked about.

use musher_protocol::{Actor, Approval};

use super::script;
use crate::{
    asking::allow,
    rule::{Presence, Ruling},
};

/// In whose name.
pub(super) fn me() -> Actor {
    Actor { token: NAME.to_owned(), actor: Some("the demo's rule".to_owned()) }
}

/// In whose name the person at the terminal decides.
pub(super) fn person() -> Actor {
    Actor { token: NAME.to_owned(), actor: Some("the person at the terminal".to_owned()) }
}

const NAME: &str = "demo";

pub(super) fn rule(approval: &Approval, presence: Presence) -> Option<Ruling> {
    let writes_the_file = approval.tool == "write_file" && approval.input["path"] == script::FILE;
    let said = match (writes_the_file, presence) {
        (true, _) => format!("the demo's own rule allows `write_file` of {}", script::FILE),
        (false, Presence::Gone) => {
            format!("nobody can be asked here, so the demo allows `{}`", approval.tool)
        }
        (false, Presence::Here) => return None,
    };
    Some(Ruling { request: allow(None), by: me(), said: format!("  {said}\n") })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn said(tool: &str, input: &Value, presence: Presence) -> Option<String> {
        let approval = json!({
            "approval_id": "apr_1", "worker_id": "wrk_1", "turn_id": "trn_1", "kind": "tool", "tool": tool,
            "input": input, "state": "pending", "requested_at": "2026-11-20T10:00:00Z",
            "deadline_at": "2026-11-20T10:10:00Z",
        });
        rule(&serde_json::from_value(approval).unwrap(), presence).map(|ruling| ruling.said)
    }

    #[test]
    fn a_person_is_asked_about_all_but_the_file() {
        let (team, other) = (json!({"path": "team.txt"}), json!({"path": "other.txt"}));
        let command = json!({"command": "wc"});
        let allowed = Some("  the demo's own rule allows `write_file` of team.txt\n".to_owned());
        assert_eq!(said("write_file", &team, Presence::Here), allowed);
        assert_eq!(said("write_file", &team, Presence::Gone), allowed);
        assert_eq!(said("write_file", &other, Presence::Here), None);
        assert_eq!(said("shell", &command, Presence::Here), None);
        let nobody = Some("  nobody can be asked here, so the demo allows `shell`\n".to_owned());
        assert_eq!(said("shell", &command, Presence::Gone), nobody);
    }
}
