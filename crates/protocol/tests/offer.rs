//! What can run here, as it is written and read.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use musher_protocol::{
    ApprovalMode, BackendCapabilities, BackendSummary, BackendsReply, Capability, ProfileApproval,
    ProfileSummary, ProfilesReply, SandboxMode, WorkerLimits,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

/// Holds a value against its JSON, written and read.
fn check<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(value: &T, json: &Value) {
    assert_eq!(&serde_json::to_value(value).unwrap(), json);
    assert_eq!(&serde_json::from_value::<T>(json.clone()).unwrap(), value);
}

#[test]
fn backends_are_told_with_what_they_can_do_and_what_is_missing() {
    let capabilities =
        BackendCapabilities { steer: true, interrupt: true, approvals: true, resume: true, tools: false };
    let missing = vec!["variable `LOCAL_KEY`".to_owned()];
    let (name, kind) = ("local".to_owned(), "openai-api".to_owned());
    let backend = BackendSummary { name, kind, available: false, missing, capabilities };
    let json = json!({"backends": [{
        "name": "local", "kind": "openai-api", "available": false, "missing": ["variable `LOCAL_KEY`"],
        "capabilities": {"steer": true, "interrupt": true, "approvals": true, "resume": true, "tools": false},
    }]});
    check(&BackendsReply { backends: vec![backend] }, &json);
}

#[test]
fn profiles_are_told_with_all_that_a_create_depends_on() {
    let profile = ProfileSummary {
        name: "coder".to_owned(),
        backend: "local".to_owned(),
        model: Some("qwen".to_owned()),
        default: true,
        ready: true,
        missing: Vec::new(),
        capabilities: vec![Capability::Read, Capability::Mcp("tickets".to_owned())],
        limits: WorkerLimits { turns: Some(50), ..WorkerLimits::default() },
        approval: ProfileApproval { mode: ApprovalMode::Ask, deadline_secs: 600 },
        sandbox: SandboxMode::Landlock,
    };
    let json = json!({"profiles": [{
        "name": "coder", "backend": "local", "model": "qwen", "default": true, "ready": true, "missing": [],
        "capabilities": ["read", "mcp:tickets"], "limits": {"turns": 50},
        "approval": {"mode": "ask", "deadline_secs": 600}, "sandbox": "landlock",
    }]});
    check(&ProfilesReply { profiles: vec![profile] }, &json);
}

#[test]
fn a_newer_server_may_say_more() {
    let newer = json!({"mode": "vote", "deadline_secs": 1, "quorum": 2});
    let read: ProfileApproval = serde_json::from_value(newer).unwrap();
    assert_eq!(read, ProfileApproval { mode: ApprovalMode::Unknown, deadline_secs: 1 });
    let sandbox: SandboxMode = serde_json::from_value(json!("vm")).unwrap();
    assert_eq!(sandbox, SandboxMode::Unknown);
}
