//! What can run here.

use musher_protocol::ErrorCode;
use serde_json::{Value, json};

use crate::{
    client::Client,
    world::{DRIVES, LOOKS, World},
};

/// A profile of the world's, as it is told; `script` is the first that it was given.
fn profile(name: &str, mode: &str, deadline_secs: u64, queued_inputs: u64) -> Value {
    json!({
        "name": name, "backend": "scripted", "default": name == "script", "ready": true, "missing": [],
        "capabilities": ["read", "write", "shell", "network"],
        "limits": {"inactivity_secs": 300, "queued_inputs": queued_inputs},
        "approval": {"mode": mode, "deadline_secs": deadline_secs}, "sandbox": "auto",
    })
}

#[tokio::test]
async fn who_may_look_sees_what_can_run_and_nothing_of_how() {
    let world = World::new().await;
    let looks = Client::new(world.address, Some(LOOKS));
    let capabilities =
        json!({"steer": false, "interrupt": true, "approvals": true, "resume": false, "tools": false});
    let scripted = json!({
        "name": "scripted", "kind": "scripted", "available": true, "missing": [], "capabilities": capabilities,
    });
    assert_eq!(looks.get("/v1/backends").await.ok().json(), json!({"backends": [scripted]}));
    let profiles = [profile("narrow", "ask", 600, 1), profile("script", "deny", 600, 64)];
    assert_eq!(looks.get("/v1/profiles").await.ok().json(), json!({"profiles": profiles}));
    for path in ["/v1/backends", "/v1/profiles"] {
        let drives = Client::new(world.address, Some(DRIVES));
        assert_eq!(drives.get(path).await.error(), ErrorCode::Forbidden);
        assert_eq!(looks.get(&format!("{path}?all")).await.error(), ErrorCode::InvalidQuery);
        assert_eq!(looks.post(path, &json!({})).await.error(), ErrorCode::MethodNotAllowed);
    }
    world.end().await;
}
