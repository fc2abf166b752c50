//! The server that is attacked, and all that is there to be taken.

use std::{fs, path::Path, time::Duration};

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{answer::Answer, hostile, request::Request};
use crate::{Client, Finished, Home, PATIENCE, Server, musher};

/// With spaces, so that a scripted worker says it in pieces.
pub(super) const CANARY: &str = "canary of the attack suite";
/// The variable of the server with the canary.
const VARIABLE: &str = "ATTACK_CANARY_KEY";

const CONFIG: &str = r#"
[store]
url = "sqlite:store"
[backends.openai-api]
api_key_env = "ATTACK_CANARY_KEY"
[profiles.asks]
backend = "scripted"
script = "asks.json"
approval = { mode = "ask", deadline_secs = 600 }
[profiles.brief]
backend = "scripted"
[workspaces.tree]
path = "tree"
children = true
[mounts.handbook]
path = "handbook"
[mounts.part]
path = "tree/child"
[workspaces.repo]
path = "repo"
isolation = "worktree"
setup = "env; echo changed >> file"
[workspaces.partial]
path = "partial"
isolation = "worktree"
"#;

/// A server with workers of two teams.
#[derive(Debug)]
pub(super) struct Target {
    /// The wall that is taken from it.
    pub(super) wall: Option<&'static str>,
    pub(super) server: Server,
    pub(super) admin: Client,
    /// Tokens by their names.
    pub(super) observe: String,
    pub(super) drive: String,
    pub(super) approve: String,
    /// Of team a, with every scope.
    pub(super) ours: String,
    /// A worker of team a, and one of team b; both wait for a decision.
    pub(super) mine: String,
    pub(super) theirs: String,
    /// The approval that theirs waits for.
    pub(super) approval: String,
}

impl Target {
    /// A server from which this wall is taken, if any.
    pub(super) async fn start(wall: Option<&'static str>) -> Self {
        let home = Home::new(CONFIG).env(VARIABLE, CANARY).env("MUSHER_LOG", "debug");
        let home = match wall {
            Some(wall) => home.program(super::weakened::program()).env("MUSHER_WEAKEN", wall),
            None => home,
        };
        prepare(home.path());
        let server = home.start().await;
        let admin = server.client();
        let observe = token(&server, &["observer", "--scope", "observe"]).await;
        let drive = token(&server, &["driver", "--scope", "drive"]).await;
        let approve = token(&server, &["approver", "--scope", "approve"]).await;
        let ours = token(&server, &["ours", "--scope", "admin", "--label", "team=a"]).await;
        let mine = asking(&admin, "a").await;
        let theirs = asking(&admin, "b").await;
        let open = admin.get(&format!("/v1/workers/{theirs}/approvals")).await.good();
        let approval = open["approvals"][0]["approval_id"].as_str().expect("an approval").to_owned();
        Self { wall, server, admin, observe, drive, approve, ours, mine, theirs, approval }
    }

    /// What the server says to these bytes.
    pub(super) async fn hear(&self, bytes: &[u8]) -> Answer {
        Answer::to(self.server.port(), bytes).await
    }

    pub(super) async fn ask(&self, request: Request) -> Answer {
        self.hear(&request.bytes()).await
    }

    /// The same by the admin.
    pub(super) async fn ask_as_admin(&self, request: Request) -> Answer {
        self.ask(request.bearer(self.admin_token().trim())).await
    }

    pub(super) fn admin_token(&self) -> String {
        fs::read_to_string(self.server.path().join("token")).unwrap()
    }
}

/// Makes a token, and waits until the server takes it.
pub(super) async fn token(server: &Server, words: &[&str]) -> String {
    let made = token_command(server, &[&["create"], words, &["--json"]].concat()).await;
    let made: Value = serde_json::from_str(&made.stdout).unwrap();
    let text = made["token"].as_str().unwrap().to_owned();
    let client = server.client_with(Some(&text));
    let begun = Instant::now();
    while client.get("/v1/nowhere").await.status == 401 {
        assert!(begun.elapsed() < PATIENCE, "the server does not hear of a token");
        sleep(Duration::from_millis(50)).await;
    }
    text
}

pub(super) async fn token_command(server: &Server, words: &[&str]) -> Finished {
    let mut command = musher(server.path());
    Finished::of(command.arg("token").args(words).arg("--token-file").arg(server.path().join("token"))).await
}

async fn asking(admin: &Client, team: &str) -> String {
    let body = json!({
        "intent": {"kind": "task", "objective": "ask"},
        "profile": {"kind": "named", "value": "asks"},
        "labels": {"team": team},
    });
    let worker = admin.create(&body).await;
    let asked = format!("/v1/workers/{worker}/events?types=approval_requested&wait=50");
    assert_eq!(admin.get(&asked).await.good()["events"].as_array().map(Vec::len), Some(1));
    worker
}

/// The files of the server: scripts, directories with links that lead out, and hostile repositories.
fn prepare(home: &Path) {
    let call = json!({"name": "shell", "input": {"command": CANARY}, "result": CANARY});
    let script = json!({"turns": [
        {"match": "ask", "steps": [{"approval": {"tool": "shell", "input": {"command": "make push"}}}]},
        {"match": "leak", "steps": [
            {"thinking": CANARY}, {"text": format!("it is {CANARY}."), "word_delay_ms": 1}, {"tool_call": call},
            {"fail": {"code": "provider_error", "message": CANARY}}
        ]},
    ], "otherwise": "echo"});
    fs::write(home.join("asks.json"), script.to_string()).unwrap();
    fs::create_dir_all(home.join("tree/child")).unwrap();
    fs::create_dir(home.join("handbook")).unwrap();
    std::os::unix::fs::symlink("/etc", home.join("tree/link")).unwrap();
    std::os::unix::fs::symlink("..", home.join("tree/up")).unwrap();
    hostile::lay_out(home);
}
