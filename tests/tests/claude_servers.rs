//! MCP servers of Claude Code, both supported versions: who has them, who is asked, and what is left of them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::time::Duration;

use musher_e2e::{ALLOW, ASK, Claude, Credential, Fleet, Home, Kennel, on_both_versions, tickets};
use musher_protocol::Payload;
use serde_json::{Value, json};

const TOKEN: &str = "token-of-the-tickets";

/// How long processes may live on after their server was killed.
const AFTER_KILL: Duration = Duration::from_secs(5);

/// A kennel whose workers may have tickets, from processes of this fleet.
async fn kennel(claude: Claude, approval: &str, servers: &Fleet) -> Kennel {
    let profile = format!(
        "approval = {approval}\n\
         capabilities = [\"read\", \"mcp:tickets\"]\n\
         [mcp.tickets]\n\
         command = \"sh\"\n\
         args = [\"-c\", \"setsid sleep 600 & exec {}\"]\n\
         env = {{ TICKETS_TOKEN = \"{TOKEN}\", {} }}",
        tickets().display(),
        servers.env(),
    );
    Kennel::open_as(claude.program().to_str().unwrap(), &profile, Credential::Key).await
}

/// What a tool said last, and whether that was an error.
async fn result(kennel: &Kennel, worker: &str) -> (String, bool) {
    let log = kennel.client.log(worker).await;
    let results = log.iter().filter_map(|event| {
        let Payload::ToolResult { content, is_error, .. } = &event.payload else { return None };
        Some((content.clone(), *is_error))
    });
    results.collect::<Vec<_>>().pop().unwrap()
}

/// Says what calls a tool, answers the question about it, and waits for the turn's end.
async fn call(kennel: &Kennel, worker: &str, call: &str, decision: &Value) -> Value {
    let client = &kennel.client;
    let before = client.get(&format!("/v1/workers/{worker}/events")).await.good()["next"].clone();
    client.say(worker, &format!("@@tool:{call}@@")).await;
    let query = format!("types=approval_requested&wait=60&after={}", before.as_str().unwrap());
    let page = client.get(&format!("/v1/workers/{worker}/events?{query}")).await.good();
    let asked = page["events"][0]["payload"].clone();
    let approval = asked["approval_id"].as_str().unwrap();
    let decided = client.post(&format!("/v1/workers/{worker}/approvals/{approval}"), decision).await.good();
    assert_eq!(decided["duplicate"], false);
    assert_eq!(client.idle(worker).await["outcome"]["outcome"], "completed");
    asked
}

async fn a_tool_of_a_server_needs_leave_like_every_other_and_its_secrets_are_not_shown(claude: Claude) {
    let servers = Fleet::new();
    let kennel = kennel(claude, ASK, &servers).await;
    let worker = kennel.worker().await;
    let create = r#"mcp__tickets__create|{"title": "a"}"#;
    let asked = call(&kennel, &worker, create, &json!({"decision": "allow", "remember": "tool"})).await;
    assert_eq!((&asked["tool"], &asked["input"]), (&json!("mcp__tickets__create"), &json!({"title": "a"})));
    assert_eq!(result(&kennel, &worker).await, ("ticket 1: a".to_owned(), false));

    let outcome = kennel.turn(&worker, r#"@@tool:mcp__tickets__create|{"title": "b"}@@"#).await;
    assert_eq!(outcome["outcome"], "completed");
    assert_eq!(result(&kennel, &worker).await, ("ticket 2: b".to_owned(), false));

    let deny = json!({"decision": "deny", "message": "that is nobody's business"});
    let asked = call(&kennel, &worker, "mcp__tickets__secret", &deny).await;
    assert_eq!(asked["tool"], "mcp__tickets__secret");
    assert_eq!(result(&kennel, &worker).await, ("that is nobody's business".to_owned(), true));
    call(&kennel, &worker, "mcp__tickets__secret", &json!({"decision": "allow"})).await;
    assert_eq!(result(&kennel, &worker).await, ("[redacted:TICKETS_TOKEN]".to_owned(), false));

    let log = kennel.client.log(&worker).await;
    let names: Vec<_> = log
        .iter()
        .filter_map(|event| {
            let Payload::ToolCallStarted { name, .. } = &event.payload else { return None };
            Some(name.clone())
        })
        .collect();
    let expected = ["create", "create", "secret", "secret"].map(|name| format!("mcp__tickets__{name}"));
    assert_eq!(names, expected);
    let by = |event: &musher_protocol::Envelope| serde_json::to_value(&event.payload).unwrap()["by"].clone();
    let resolved = log.iter().filter(|event| event.payload.type_name() == "approval_resolved");
    assert_eq!(resolved.filter(|event| by(event)["token"] == "remembered").count(), 1);
    let environment = log.iter().find_map(|event| {
        let Payload::SessionEnvironment(environment) = &event.payload else { return None };
        Some(environment)
    });
    let shown = &environment.unwrap().mcp_servers;
    let shown: Vec<_> = shown.iter().map(|server| (server.name.as_str(), server.state.as_str())).collect();
    assert_eq!(shown, [("tickets", "connected")]);

    let commands = [servers.alive(), kennel.fleet.alive()].concat();
    assert!(commands.len() >= 3, "{commands:?}");
    assert!(!format!("{log:?} {commands:?}").contains(TOKEN));
    kennel.stop(&worker).await;
    assert_eq!(servers.alive(), Vec::<String>::new());
    let finished = kennel.server.terminate().await;
    assert!(!finished.stderr.contains(TOKEN), "{}", finished.stderr);
    assert_eq!(kennel.api.violations(), []);
}

async fn a_worker_that_did_not_ask_for_a_server_has_none(claude: Claude) {
    let servers = Fleet::new();
    let kennel = kennel(claude, ALLOW, &servers).await;
    let worker = kennel.worker_with(json!({"requested_capabilities": [{"name": "read"}]})).await;
    let outcome = kennel.turn(&worker, r#"@@tool:mcp__tickets__create|{"title": "a"}@@"#).await;
    assert_eq!(outcome["outcome"], "completed");
    let (content, is_error) = result(&kennel, &worker).await;
    assert!(is_error && content.contains("No such tool available"), "{content}");
    let first = kennel.api.requests()[0].body.clone();
    assert!(first["tools"].as_array().is_some_and(|tools| !tools.is_empty()), "{first}");
    let tools = [&first["tools"], &first["system"]].map(Value::to_string).concat();
    assert!(!tools.contains("mcp__tickets"), "{tools}");
    assert_eq!(servers.alive(), Vec::<String>::new());
    kennel.stop(&worker).await;
    kennel.close();
}

async fn a_server_that_is_killed_takes_the_workers_servers_along(claude: Claude) {
    let servers = Fleet::new();
    let kennel = kennel(claude, ALLOW, &servers).await;
    let worker = kennel.worker().await;
    kennel.client.say(&worker, "@@tool:mcp__tickets__hang@@").await;
    let query = format!("/v1/workers/{worker}/events?types=tool_call_done&wait=60");
    assert_eq!(kennel.client.get(&query).await.good()["events"].as_array().unwrap().len(), 1);
    servers.shows("sleep 600").await;
    kennel.server.kill().await;
    servers.is_gone_within(AFTER_KILL).await;
}

on_both_versions!(
    a_tool_of_a_server_needs_leave_like_every_other_and_its_secrets_are_not_shown,
    a_worker_that_did_not_ask_for_a_server_has_none,
    a_server_that_is_killed_takes_the_workers_servers_along,
);

#[tokio::test]
async fn a_servers_program_that_is_not_there_refuses_the_create_by_name() {
    let config = "[profiles.coder]\nbackend = \"claude-pty\"\ncapabilities = [\"read\", \"mcp:tickets\"]\n\
        [backends.claude-pty]\nprogram = \"/bin/sh\"\n\
        [mcp.tickets]\ncommand = \"./bin/tickets-mcp\"\n";
    let server = Home::new(config).start().await;
    let missing = json!(["the program `tickets-mcp` of the MCP server `tickets` was not found"]);
    let refused = server.client().post("/v1/workers", &json!({"intent": {"kind": "assistant"}})).await;
    let error = &refused.body["error"];
    assert_eq!(
        (refused.status, &error["code"], &error["missing"]),
        (409, &json!("worker_execution_unavailable"), &missing)
    );
    let profiles = server.client().get("/v1/profiles").await.good()["profiles"].clone();
    let coder = profiles.as_array().unwrap().iter().find(|profile| profile["name"] == "coder").unwrap();
    assert_eq!((&coder["ready"], &coder["missing"]), (&json!(false), &missing));
}
