//! Claude Code behind a server, and a model server behind Claude Code.

use std::path::Path;

use musher_protocol::Envelope;
use musher_testkit::messages_api::{MessagesApi, prompt};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{Claude, Client, Fleet, Home, Server};

/// A profile's approvals: everything is allowed.
pub const ALLOW: &str = r#"{ mode = "allow" }"#;
/// A profile's approvals: everything is denied.
pub const DENY: &str = r#"{ mode = "deny" }"#;
/// A profile's approvals: somebody is asked, and has the time to answer.
pub const ASK: &str = r#"{ mode = "ask", deadline_secs = 600 }"#;

/// A server whose workers are Claude Code, a model server that it talks to, and a directory to work in.
#[derive(Debug)]
pub struct Kennel {
    /// The server.
    pub server: Server,
    /// A client of it.
    pub client: Client,
    /// The model server.
    pub api: MessagesApi,
    /// The workers' processes.
    pub fleet: Fleet,
    /// The directory.
    pub work: TempDir,
    /// The home of the workers' program.
    pub vendor: TempDir,
    home: Home,
}

/// As whom the workers' program talks to its vendor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credential {
    /// A key.
    Key,
    /// A login: a vendor tells only that one when a limit resets.
    Login,
}

impl Kennel {
    /// A kennel whose workers may do everything.
    pub async fn open(claude: Claude) -> Self {
        Self::open_with(claude.program().to_str().unwrap(), ALLOW).await
    }

    /// A kennel with this program and these approvals.
    pub async fn open_with(program: &str, approval: &str) -> Self {
        Self::open_as(program, &format!("approval = {approval}"), Credential::Key).await
    }

    /// A kennel with this program; `profile` are lines of its coder's table.
    pub async fn open_as(program: &str, profile: &str, credential: Credential) -> Self {
        let api = MessagesApi::start().await;
        let (vendor, work, fleet) =
            (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), Fleet::new());
        let config = config(program, profile, credential, &api, &fleet, vendor.path(), work.path());
        let home = Home::new(&config);
        let server = home.start().await;
        let client = server.client();
        Self { server, client, api, fleet, work, vendor, home }
    }

    /// Kills the server and starts another one on the same store.
    pub async fn restarted(self) -> Self {
        let Self { server, client: _, api, fleet, work, vendor, home } = self;
        server.kill().await;
        let server = home.start().await;
        let client = server.client();
        Self { server, client, api, fleet, work, vendor, home }
    }

    /// A worker that waits for input.
    pub async fn worker(&self) -> String {
        self.worker_with(json!({})).await
    }

    /// The same with further fields of the request.
    pub async fn worker_with(&self, mut fields: Value) -> String {
        fields["intent"] = json!({"kind": "assistant"});
        fields["workspace_refs"] = json!([{"name": "main", "reference": "shop"}]);
        self.client.create(&fields).await
    }

    /// The outcome of one turn.
    pub async fn turn(&self, worker: &str, content: &str) -> Value {
        self.client.say(worker, content).await;
        self.client.idle(worker).await["outcome"].clone()
    }

    /// Stops a worker, and answers with the ack.
    pub async fn stop(&self, worker: &str) -> Value {
        let ack = self.client.post(&format!("/v1/workers/{worker}/stop"), &json!({})).await.good();
        assert_eq!(self.fleet.alive(), Vec::<String>::new(), "a stop returns when nothing is left");
        ack
    }

    /// What the model was asked last.
    #[must_use]
    pub fn last_prompt(&self) -> String {
        prompt(self.api.requests().last().unwrap())
    }

    /// The end of a test in which the vendor's rules were kept.
    pub fn close(self) {
        assert_eq!(self.api.violations(), []);
    }
}

/// A config whose coder is this program, with nothing of the tester's own settings.
#[must_use]
pub fn claude_config(
    program: &str,
    approval: &str,
    api: &MessagesApi,
    fleet: &Fleet,
    home: &Path,
    work: &Path,
) -> String {
    config(program, &format!("approval = {approval}"), Credential::Key, api, fleet, home, work)
}

fn config(
    program: &str,
    profile: &str,
    credential: Credential,
    api: &MessagesApi,
    fleet: &Fleet,
    home: &Path,
    work: &Path,
) -> String {
    let variable = match credential {
        Credential::Key => "ANTHROPIC_API_KEY",
        Credential::Login => "CLAUDE_CODE_OAUTH_TOKEN",
    };
    format!(
        "[profiles.coder]\nbackend = \"claude-pty\"\n{profile}\n\
         [workspaces.shop]\npath = \"{}\"\n\
         [backends.claude-pty]\nprogram = \"{program}\"\n\
         env = {{ HOME = \"{home}\", CLAUDE_CONFIG_DIR = \"{home}/config\", ANTHROPIC_BASE_URL = \"{}\", {variable} = \"{}\", {} }}\n",
        work.display(),
        api.url(),
        api.api_key(),
        fleet.env(),
        home = home.display(),
    )
}

/// The types of events, those left out that come as often as they like.
#[must_use]
pub fn types(log: &[Envelope]) -> Vec<&'static str> {
    log.iter().map(|event| event.payload.type_name()).filter(|name| !name.ends_with("_delta")).collect()
}

/// Tests that run with both versions of Claude Code.
#[macro_export]
macro_rules! on_both_versions {
    ($($name:ident),* $(,)?) => {
        mod latest {
            $(#[tokio::test]
            async fn $name() {
                super::$name($crate::Claude::Latest).await;
            })*
        }
        mod old {
            $(#[tokio::test]
            async fn $name() {
                super::$name($crate::Claude::Old).await;
            })*
        }
    };
}
