//! A server whose workers are the real Claude Code, with a fake of its vendor's API.

use std::path::Path;

use musher_protocol::Envelope;
use musher_testkit::messages_api::MessagesApi;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{Client, Fleet, Home, Server};

/// A server whose workers are Claude Code, a model server that it talks to, and a directory to work in.
#[derive(Debug)]
pub struct Kennel {
    /// The server that runs right now.
    pub server: Server,
    /// Its client.
    pub client: Client,
    /// The fake of the vendor's API.
    pub api: MessagesApi,
    /// The workers' processes.
    pub fleet: Fleet,
    /// Where workers work.
    pub work: TempDir,
    /// The home of the workers' program.
    pub vendor: TempDir,
    home: Home,
}

impl Kennel {
    /// A server with this program as its coder; `profile` are further lines of the coder's table.
    pub async fn open(program: &Path, profile: &str) -> Self {
        Self::open_with(program, profile, "ANTHROPIC_API_KEY").await
    }

    /// The same with a login in the place of a key: a vendor tells only that one when a limit resets.
    pub async fn open_with_login(program: &Path, profile: &str) -> Self {
        Self::open_with(program, profile, "CLAUDE_CODE_OAUTH_TOKEN").await
    }

    async fn open_with(program: &Path, profile: &str, credential: &str) -> Self {
        let api = MessagesApi::start().await;
        let (vendor, work, fleet) =
            (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), Fleet::new());
        let config = format!(
            "[profiles.coder]\nbackend = \"claude-pty\"\n{profile}\n\
             [workspaces.shop]\npath = \"{}\"\n\
             [backends.claude-pty]\nprogram = \"{}\"\n\
             env = {{ HOME = \"{home}\", CLAUDE_CONFIG_DIR = \"{home}/config\", ANTHROPIC_BASE_URL = \"{}\", \
             {credential} = \"{}\", {} }}\n",
            work.path().display(),
            program.display(),
            api.url(),
            api.api_key(),
            fleet.env(),
            home = vendor.path().display(),
        );
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
        let shop = json!([{"name": "main", "reference": "shop"}]);
        fields["intent"] = json!({"kind": "assistant"});
        fields["workspace_refs"] = shop;
        self.client.create(&fields).await
    }

    /// The outcome of one turn.
    pub async fn turn(&self, worker: &str, content: &str) -> Value {
        self.client.say(worker, content).await;
        self.client.idle(worker).await["outcome"].clone()
    }

    /// Stops a worker; nothing of any worker may be left.
    pub async fn stop(&self, worker: &str) -> Value {
        let ack = self.client.post(&format!("/v1/workers/{worker}/stop"), &json!({})).await.good();
        assert_eq!(self.fleet.alive(), Vec::<String>::new(), "a stop returns when nothing is left");
        ack
    }

    /// Ends it; the program must have asked its vendor nothing that it may not.
    pub fn close(self) {
        assert_eq!(self.api.violations(), []);
    }
}

/// The types of events, those left out that come as often as they like.
#[must_use]
pub fn types(log: &[Envelope]) -> Vec<&'static str> {
    log.iter().map(|event| event.payload.type_name()).filter(|name| !name.ends_with("_delta")).collect()
}
