//! A hostile repository as a workspace, and what a command of a worker gets to see.

use serde_json::json;

use crate::attack::{
    tally::Tally,
    target::{CANARY, TRAPS, Target},
};

/// A worker in a worktree of the repository, whose setup was run.
async fn worked(target: &Target) -> String {
    let body = json!({
        "intent": {"kind": "task", "objective": "hello"},
        "profile": {"kind": "named", "value": "brief"},
        "workspace_refs": [{"name": "main", "reference": "repo"}],
    });
    let worker = target.admin.create(&body).await;
    let here = format!("/v1/workers/{worker}");
    drop(target.admin.get(&format!("{here}?until=idle&wait=30")).await);
    let log = target.admin.get(&format!("{here}/events")).await.good().to_string();
    assert!(log.contains("PATH="), "the setup was not run: {log}");
    log
}

/// Nothing that the repository names is run by the server.
pub(super) async fn traps(target: &Target, tally: &mut Tally) {
    worked(target).await;
    for trap in TRAPS {
        let ran = target.server.path().join(format!("ran-{trap}"));
        tally.case(*trap, !ran.exists());
    }
}

/// A command of a worker's has no secret of the server's in its environment.
pub(super) async fn environment(target: &Target, tally: &mut Tally) {
    let log = worked(target).await;
    let names = ["ATTACK_CANARY_KEY", "MUSHER_LOG", "MUSHER_TOKEN", "MUSHER_TOKEN_FILE"];
    for name in names {
        tally.case(name, !log.contains(&format!("{name}=")));
    }
    let admin = target.admin_token();
    for (name, value) in [("the canary", CANARY), ("the admin's token", admin.trim())] {
        tally.case(name, !log.contains(value));
    }
}

/// A command of a worker's without a sandbox, and the file with the admin's token.
pub(super) async fn files(target: &Target, tally: &mut Tally) {
    let log = worked(target).await;
    tally.case("reads the admin's token", !log.contains("READABLE-2"));
}
