//! What can run on a server: what it says about that, what a create says, and that the two agree.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use musher_e2e::{Client, Home};
use serde_json::{Value, json};

const CONFIG: &str = r#"
    [runtime]
    default_profile = "limited"
    [backends.claude-pty]
    program = "./bin/claude"
    [backends.local]
    kind = "openai-api"
    base_url = "http://127.0.0.1:9/v1"
    api_key_env = "LOCAL_KEY"
    [profiles.limited]
    backend = "local"
    model = "qwen"
    limits = { cost_usd = 5.0, turns = 7 }
    sandbox = "none"
    [profiles.tickets]
    backend = "local"
    model = "qwen"
    capabilities = ["read", "mcp:tickets"]
    approval = { mode = "ask", deadline_secs = 60 }
    [profiles.gem]
    backend = "gemini-api"
    model = "gemini-2.5-flash"
    capabilities = []
    [mcp.tickets]
    command = "./bin/tickets-mcp"
    env = { KEY = "mcp-secret" }
"#;
const KEY: &str = "local-secret";

const NO_CLAUDE: &str = "program `claude`: install Claude Code or name it in backends.claude-pty.program";
const NO_GEMINI: &str = "variable `GEMINI_API_KEY` or `GOOGLE_AI_API_KEY`";
const NO_OPENAI: &str = "variable `OPENAI_API_KEY`";
const NO_PRICE: &str = "a price of the model `qwen`, without which a limit of `cost_usd` cannot hold";
const NO_TICKETS: &str = "the program `tickets-mcp` of the MCP server `tickets` was not found";

fn install(home: &Path, program: &str) {
    let file = home.join("bin").join(program);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, "#!/bin/sh\n").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
}

/// A list, after it was looked at for what nobody should see.
async fn listed(client: &Client, home: &Path, what: &str) -> Value {
    let list = client.get(&format!("/v1/{what}")).await.good();
    let text = list.to_string();
    for secret in [KEY, "mcp-secret", home.to_str().unwrap(), "./bin"] {
        assert!(!text.contains(secret), "{secret} is in {text}");
    }
    list[what].clone()
}

/// Each by its name, with what is missing for it.
fn missing(list: &Value) -> Vec<(&str, &Value)> {
    list.as_array().unwrap().iter().map(|item| (item["name"].as_str().unwrap(), &item["missing"])).collect()
}

#[tokio::test]
async fn what_can_run_is_told_by_name_and_a_create_says_the_same() {
    let home = Home::new(CONFIG).env("LOCAL_KEY", KEY);
    let server = home.start().await;
    let client = server.client();
    let backends = listed(&client, home.path(), "backends").await;
    let backend = |name: &str, kind: &str, missing: &[&str]| {
        let is_api = kind.ends_with("-api");
        let capabilities = json!({
            "steer": is_api, "interrupt": true, "approvals": true, "resume": kind != "scripted", "tools": is_api,
        });
        json!({
            "name": name, "kind": kind, "available": missing.is_empty(), "missing": missing,
            "capabilities": capabilities,
        })
    };
    let expected = json!([
        backend("claude-pty", "claude-pty", &[NO_CLAUDE]),
        backend("gemini-api", "gemini-api", &[NO_GEMINI]),
        backend("local", "openai-api", &[]),
        backend("openai-api", "openai-api", &[NO_OPENAI]),
        backend("scripted", "scripted", &[]),
    ]);
    assert_eq!(backends, expected);

    let profiles = listed(&client, home.path(), "profiles").await;
    let limited = json!({
        "name": "limited", "backend": "local", "model": "qwen", "default": true, "ready": false,
        "missing": [NO_PRICE], "capabilities": ["read", "write", "shell", "network"],
        "limits": {"turns": 7, "cost_usd": 5.0, "inactivity_secs": 300, "queued_inputs": 64},
        "approval": {"mode": "deny", "deadline_secs": 600}, "sandbox": "none",
    });
    assert_eq!(profiles[3], limited);
    let tickets = json!({
        "name": "tickets", "backend": "local", "model": "qwen", "default": false, "ready": false,
        "missing": [NO_TICKETS], "capabilities": ["read", "mcp:tickets"],
        "limits": {"inactivity_secs": 300, "queued_inputs": 64},
        "approval": {"mode": "ask", "deadline_secs": 60}, "sandbox": "auto",
    });
    assert_eq!(profiles[4], tickets);
    let none = json!([]);
    let (no_claude, no_gemini) = (json!([NO_CLAUDE]), json!([NO_GEMINI]));
    assert_eq!(missing(&profiles)[..3], [("coder", &no_claude), ("echo", &none), ("gem", &no_gemini)]);
    agree(&client, &profiles).await;

    install(home.path(), "claude");
    install(home.path(), "tickets-mcp");
    let backends = listed(&client, home.path(), "backends").await;
    assert_eq!((&backends[0]["available"], &backends[0]["missing"]), (&json!(true), &none));
    let profiles = listed(&client, home.path(), "profiles").await;
    let no_price = json!([NO_PRICE]);
    let expected =
        [("coder", &none), ("echo", &none), ("gem", &no_gemini), ("limited", &no_price), ("tickets", &none)];
    assert_eq!(missing(&profiles), expected, "without a restart");
    agree(&client, &profiles).await;
}

/// Creates a worker of each profile: those that are ready can be created, all others are refused with what they miss.
async fn agree(client: &Client, profiles: &Value) {
    for profile in profiles.as_array().unwrap() {
        let named = json!({"kind": "named", "value": profile["name"]});
        let created =
            client.post("/v1/workers", &json!({"intent": {"kind": "assistant"}, "profile": named})).await;
        let told = if profile["ready"] == true {
            (200, "", &Value::Null)
        } else {
            (409, "worker_execution_unavailable", &profile["missing"])
        };
        let (status, code) = created.error();
        assert_eq!((status, code, &created.body["error"]["missing"]), told, "{profile}");
    }
}
