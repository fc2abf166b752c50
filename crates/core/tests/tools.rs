//! Tools of the program that the runtime is a part of: who is offered them, and who cannot have them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod acting;

use std::{sync::Arc, time::Duration};

use musher_backend::{
    BackendError, Capabilities, Command, Event, Launch, Link, LinkClosed, SessionOutcome, Tool, ToolCall,
    ToolOutput, ToolSpec, TurnEnd, async_trait,
};
use musher_core::{Builder, Error, MemoryStore, Profile, Runtime, StartError};
use musher_protocol::{
    Actor, Capability, CapabilityRequest, CreateWorker, Intent, ProfileSelector, Until, WorkerDetail,
};
use serde_json::json;

use self::acting::{Act, Acting};

/// Says which tools it has.
#[derive(Debug)]
struct Lister;

#[async_trait]
impl Act for Lister {
    fn capabilities(&self) -> Capabilities {
        Capabilities { tools: true, ..Capabilities::default() }
    }

    async fn run(&self, launch: Launch, mut link: Link) -> Result<SessionOutcome, BackendError> {
        let names: Vec<_> = launch.tools.iter().map(|tool| tool.spec().name.as_str()).collect();
        let ended = list(&names.join(" "), &mut link).await;
        Ok(if ended.is_ok() { SessionOutcome::ended() } else { SessionOutcome::aborted() })
    }
}

/// Brings its own tools, those of the server `mail` among them.
#[derive(Debug)]
struct Mailer;

#[async_trait]
impl Act for Mailer {
    fn server_missing(&self, server: &str) -> Option<String> {
        (server != "mail").then(|| format!("`{server}` of its own"))
    }

    async fn run(&self, _: Launch, _: Link) -> Result<SessionOutcome, BackendError> {
        unreachable!("nobody says anything to it")
    }
}

async fn list(names: &str, link: &mut Link) -> Result<(), LinkClosed> {
    link.session_started("list-1".parse().expect("an id"), false).await?;
    loop {
        match link.next_command().await {
            Command::Input(input) => {
                link.emit(Event::InputTaken { input_id: input.input_id }).await?;
                link.emit(Event::TextDone { block: 0, text: names.to_owned() }).await?;
                link.emit(Event::TurnEnded(TurnEnd::completed())).await?;
            }
            Command::End { .. } => return Ok(()),
            Command::Steer(_) | Command::Interrupt | Command::Decision(_) => {}
        }
    }
}

#[derive(Debug)]
struct Named(ToolSpec);

#[async_trait]
impl Tool for Named {
    fn spec(&self) -> &ToolSpec {
        &self.0
    }

    async fn call(&self, _: ToolCall) -> ToolOutput {
        ToolOutput::ok("")
    }
}

fn tool(name: &str, capability: Capability) -> Arc<dyn Tool> {
    Arc::new(Named(ToolSpec {
        name: name.to_owned(),
        description: String::new(),
        input_schema: json!({"type": "object"}),
        capability,
        is_read_only: true,
        limit: Duration::from_secs(1),
    }))
}

fn mcp(server: &str) -> Capability {
    Capability::Mcp(server.to_owned())
}

/// A program with two tools and no toolbox; profile `shop` of each backend may use what is named.
fn builder() -> Builder {
    let profile = |backend: &str| {
        let mut profile = Profile::of(backend);
        profile.capabilities = [Capability::Read, mcp("shop"), mcp("mail")].into();
        profile
    };
    Runtime::builder(MemoryStore::new())
        .backend("lister", Acting(Lister))
        .backend("scripted", musher_scripted::Scripted)
        .backend("mailer", Acting(Mailer))
        .profile("lists", profile("lister"))
        .profile("speaks", profile("scripted"))
        .profile("mails", profile("mailer"))
        .tool(tool("clock", Capability::Read))
        .tool(tool("shop__order", mcp("shop")))
        .scratch(tempfile::tempdir().unwrap().keep())
}

async fn create(runtime: &Runtime, profile: &str, capabilities: &[&str]) -> Result<WorkerDetail, Error> {
    let named = |name: &&str| CapabilityRequest { name: (*name).to_owned(), reason: None };
    let request = CreateWorker {
        profile: ProfileSelector::Named { value: profile.to_owned() },
        requested_capabilities: Some(capabilities.iter().map(named).collect()),
        ..CreateWorker::new(Intent::Task { objective: "list".to_owned() })
    };
    runtime.create_worker(request, Actor::rule("test")).await
}

#[tokio::test]
async fn workers_are_offered_the_programs_tools_that_their_capabilities_allow() {
    let runtime = builder().start().await.unwrap();
    for (capabilities, expected) in
        [(&["read", "mcp:shop"][..], "clock shop__order"), (&["read"], "clock"), (&[], "")]
    {
        let worker = create(&runtime, "lists", capabilities).await.unwrap().worker_id;
        let worker = runtime.wait_worker(&worker, Until::Idle, Duration::from_secs(60)).await.unwrap();
        assert_eq!(worker.outcome.unwrap().text, expected);
    }
}

#[tokio::test]
async fn a_service_that_nothing_gives_or_nobody_can_call_is_missing_by_name() {
    let runtime = builder().start().await.unwrap();
    for (profile, capabilities, expected) in [
        ("lists", &["read", "mcp:mail"][..], "an MCP server `mail`"),
        (
            "speaks",
            &["mcp:shop"],
            "a way to the tools of `mcp:shop`: this backend calls none of the runtime's",
        ),
        (
            "speaks",
            &["mcp:mail"],
            "a way to the tools of `mcp:mail`: this backend calls none of the runtime's",
        ),
        // What the program has is out of reach for a backend that brings its own tools.
        ("mails", &["read", "mcp:shop", "mcp:mail"], "`shop` of its own"),
    ] {
        let error = create(&runtime, profile, capabilities).await.unwrap_err();
        let Error::Unavailable { missing, .. } = &error else { panic!("{error:?}") };
        assert_eq!(missing, &[expected]);
    }
    create(&runtime, "speaks", &["read"]).await.unwrap();
    create(&runtime, "mails", &["read", "mcp:mail"]).await.unwrap();
}

#[tokio::test]
async fn two_tools_of_one_name_start_no_runtime() {
    let started = builder().tool(tool("clock", Capability::Write)).start().await;
    assert!(matches!(started, Err(StartError::ToolNameTaken(name)) if name == "clock"));
}
