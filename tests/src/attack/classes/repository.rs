//! Hostile repositories as workspaces, and what a command of a worker gets to see.

use serde_json::{Value, json};

use crate::attack::{
    hostile::{self, is_sprung},
    request::Request,
    tally::Tally,
    target::{CANARY, Target},
};

/// A request for a worker in a worktree of a repository.
fn in_worktree(workspace: &str) -> Value {
    json!({
        "intent": {"kind": "task", "objective": "hello"},
        "profile": {"kind": "named", "value": "brief"},
        "workspace_refs": [{"name": "main", "reference": workspace}],
    })
}

/// A worker in a worktree of the repository, whose setup was run, and its log.
async fn worked(target: &Target) -> (String, String) {
    let worker = target.admin.create(&in_worktree("repo")).await;
    let here = format!("/v1/workers/{worker}");
    drop(target.admin.get(&format!("{here}?until=idle&wait=50")).await);
    let log = target.admin.get(&format!("{here}/events")).await.good().to_string();
    assert!(log.contains("PATH="), "the setup was not run: {log}");
    (worker, log)
}

/// Nothing that a repository names is run by the server, whatever it asks git.
pub(super) async fn traps(target: &Target, tally: &mut Tally) {
    let mut look = |moment: &str, traps: &[&str]| {
        for trap in traps {
            tally.case(format!("{trap} by a {moment}"), !is_sprung(target.server.path(), trap));
        }
    };
    let (worker, _) = worked(target).await;
    look("create", hostile::CREATE);
    let here = format!("/v1/workers/{worker}");
    let compared = target.admin.get(&format!("{here}/diff")).await.good();
    assert_eq!(compared["diff"]["files"][0]["path"], "file", "nothing was compared: {compared}");
    look("diff", hostile::DIFF);
    let stopped = target.admin.post(&format!("{here}/stop"), &json!({})).await;
    assert_eq!(stopped.status, 200, "{}", stopped.body);
    let kept = target.ask_as_admin(Request::new("DELETE", here)).await;
    assert_eq!(kept.status, 409, "nothing was compared: {kept:?}");
    look("delete", hostile::DELETE);
    let partial = in_worktree("partial").to_string();
    let partial = target.ask_as_admin(Request::post("/v1/workers", partial)).await;
    assert!(partial.is_refused(), "nothing was missing: {partial:?}");
    look("create of what has to be fetched", hostile::PARTIAL);
}

/// A command of a worker's has no secret of the server's in its environment.
pub(super) async fn environment(target: &Target, tally: &mut Tally) {
    let (_, log) = worked(target).await;
    let names = ["ATTACK_CANARY_KEY", "MUSHER_LOG", "MUSHER_TOKEN", "MUSHER_TOKEN_FILE"];
    for name in names {
        tally.case(name, !log.contains(&format!("{name}=")));
    }
    let admin = target.admin_token();
    for (name, value) in [("the canary", CANARY), ("the admin's token", admin.trim())] {
        tally.case(name, !log.contains(value));
    }
}
