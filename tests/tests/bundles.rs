//! Config bundles on a server: synced, checked against its config, and outlived by workers, also over a restart.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use bytes::Bytes;
use hyper::Method;
use musher_e2e::{Client, Home};
use serde_json::{Value, json};

const CONFIG: &str = r#"
    [backends.local]
    kind = "openai-api"
    base_url = "http://127.0.0.1:9/v1"
    api_key_env = "LOCAL_KEY"
    [backends.claude-pty]
    pass_env = ["CLAUDE_KEY"]
    [mcp.tickets]
    command = "tickets-mcp"
    [workspaces.shop]
    path = "."
"#;

fn bundle(revision: &str) -> Value {
    json!({
        "metadata": {
            "id": "team-a", "revision": revision, "workspace_id": "tenant-7",
            "created_at": "2026-11-20T10:00:00Z", "provenance": {"source": "control-plane", "detail": "build 7"},
        },
        "profiles": [
            {"selector": "slow-echo", "label": "Echo, slowly", "spec": {
                "backend": "scripted", "script": "echo", "word_delay_ms": 1, "capabilities": ["read"],
                "limits": {"turns": 3},
            }},
            {"selector": "echo"},
        ],
        "declarations": [
            {"kind": "secret_ref", "name": "llm-key", "reference": "LOCAL_KEY"},
            {"kind": "workspace_grant", "name": "code", "reference": "shop"},
            {"kind": "mcp_server", "name": "tickets", "reference": "tickets"},
            {"kind": "backend", "name": "llm", "reference": "local"},
        ],
    })
}

/// Stores a bundle, and answers with what a create request names it by.
async fn store(client: &Client, bundle: &Value) -> Value {
    let reply = client.post("/v1/config-bundles", &json!({ "bundle": bundle })).await.good();
    let [summary] = &reply["bundles"].as_array().unwrap()[..] else { panic!("one bundle: {reply}") };
    json!({"id": summary["id"], "digest": summary["digest"]})
}

fn place(reference: &Value, what: &str) -> String {
    let [id, digest] = ["id", "digest"].map(|key| reference[key].as_str().unwrap());
    format!("/v1/config-bundles/{id}{what}?digest={digest}")
}

fn create(reference: &Value, selector: &str) -> Value {
    let profile = json!({"kind": "named", "value": selector});
    json!({"intent": {"kind": "assistant"}, "profile": profile, "config_bundle": reference})
}

/// What is missing for each profile of a bundle, and that a create says the same.
async fn missing(client: &Client, reference: &Value) -> Value {
    let availability = client.get(&place(reference, "/availability")).await.good()["availability"].clone();
    assert_eq!(&availability["reference"], reference);
    for profile in availability["profiles"].as_array().unwrap() {
        let selector = profile["selector"].as_str().unwrap();
        let created = client.post("/v1/workers", &create(reference, selector)).await;
        let told = if profile["ready"] == true {
            (200, "", &Value::Null)
        } else {
            (409, "worker_execution_unavailable", &profile["missing"])
        };
        let (status, code) = created.error();
        assert_eq!((status, code, &created.body["error"]["missing"]), told, "{}", created.body);
    }
    availability["profiles"].as_array().unwrap().iter().map(|profile| profile["missing"].clone()).collect()
}

#[tokio::test]
async fn a_worker_of_a_bundle_outlives_the_bundle_and_the_server() {
    let home = Home::new(CONFIG).env("LOCAL_KEY", "local-secret");
    let server = home.start().await;
    let client = server.client();
    let reference = store(&client, &bundle("1")).await;
    assert_eq!(missing(&client, &reference).await, json!([[], []]));
    let worker = client.create(&create(&reference, "slow-echo")).await;
    client.say(&worker, "hello").await;
    let before = client.idle(&worker).await;
    assert_eq!((&before["config_bundle"], &before["profile"]), (&reference, &json!("slow-echo")));
    assert_eq!((&before["capabilities"], &before["limits"]["turns"]), (&json!(["read"]), &json!(3)));
    assert_eq!(before["outcome"]["text"], "hello");
    server.kill().await;

    let server = home.start().await;
    let client = server.client();
    assert_eq!(store(&client, &bundle("1")).await, reference, "the same again");
    assert_eq!(missing(&client, &reference).await, json!([[], []]));
    let gone = client.send(Method::DELETE, &place(&reference, ""), &[], Bytes::new()).await;
    assert_eq!(gone.status, 204);
    let refused = client.post("/v1/workers", &create(&reference, "slow-echo")).await;
    assert_eq!(refused.error(), (404, "config_bundle_missing"));
    server.kill().await;

    let server = home.start().await;
    let client = server.client();
    assert_eq!(client.get("/v1/config-bundles").await.good(), json!({"bundles": []}));
    client.say(&worker, "again").await;
    let after = client.idle(&worker).await;
    for what in ["config_bundle", "profile", "backend", "capabilities", "limits"] {
        assert_eq!(after[what], before[what], "{what}");
    }
    assert_eq!(after["outcome"]["text"], "again");
    server.terminate().await;
}

#[tokio::test]
async fn what_a_server_lacks_is_told_by_name_until_its_config_has_it() {
    let home = Home::new(CONFIG);
    let server = home.start().await;
    let client = server.client();
    let mut lacking = bundle("1");
    let api = json!({"backend": "local", "model": "qwen", "capabilities": ["read"]});
    let mut profiles = lacking["profiles"].as_array().unwrap().clone();
    profiles.push(json!({"selector": "reader", "spec": api}));
    profiles.push(json!({"selector": "mailer", "spec": {"backend": "local", "capabilities": ["mcp:mail"]}}));
    profiles.push(json!({"selector": "remote", "spec": {"backend": "elsewhere"}}));
    lacking["profiles"] = profiles.into();
    lacking["declarations"][1]["reference"] = "nowhere".into();
    let reference = store(&client, &lacking).await;
    // No variable, no workspace; the rest is in the config.
    let (key, code, variable) = ("secret_ref `llm-key`", "workspace_grant `code`", "variable `LOCAL_KEY`");
    let expected = json!([
        [key, code],
        [key, code],
        [key, code, variable],
        [key, code, "an MCP server `mail`"],
        [key, code, "backend `elsewhere`"],
    ]);
    assert_eq!(missing(&client, &reference).await, expected);
    server.terminate().await;

    let home = home.env("LOCAL_KEY", "local-secret");
    let server = home.start().await;
    let client = server.client();
    let expected =
        json!([[code], [code], [code], [code, "an MCP server `mail`"], [code, "backend `elsewhere`"],]);
    assert_eq!(missing(&client, &reference).await, expected, "with the variable");
    server.terminate().await;
}

#[tokio::test]
async fn a_bundle_is_what_its_digest_says_and_never_changes() {
    let home = Home::new(CONFIG).env("LOCAL_KEY", "local-secret");
    let server = home.start().await;
    let client = server.client();
    let post = async |bundle: &Value| client.post("/v1/config-bundles", &json!({ "bundle": bundle })).await;
    let first = store(&client, &bundle("1")).await;

    let mut forged = bundle("2");
    forged["metadata"]["digest"] = first["digest"].clone();
    assert_eq!(post(&forged).await.error(), (400, "config_bundle_digest_mismatch"));
    let mut changed = bundle("1");
    changed["profiles"][0]["spec"]["limits"]["turns"] = 300.into();
    assert_eq!(post(&changed).await.error(), (409, "config_bundle_conflict"));
    let mut named = bundle("1");
    named["metadata"]["digest"] = first["digest"].clone();
    assert_eq!(store(&client, &named).await, first, "with its digest");
    let second = store(&client, &bundle("2")).await;
    let listed = client.get("/v1/config-bundles").await.good();
    let listed: Vec<_> =
        listed["bundles"].as_array().unwrap().iter().map(|bundle| &bundle["digest"]).collect();
    assert_eq!(listed, [&first["digest"], &second["digest"]]);

    for (place, value, expected) in [
        ("/profiles/0/spec/script", json!("script.json"), (400, "invalid_request")),
        ("/profiles/0/spec/script", json!("../script.json"), (400, "invalid_request")),
        ("/profiles/0/spec/limits/turns", json!(0), (400, "invalid_request")),
        ("/profiles/0/spec/grace_secs", json!(61), (400, "invalid_request")),
        ("/profiles/0/spec/settings_sources", json!(["user"]), (400, "invalid_request")),
        ("/profiles/0/spec/sandbox", json!("landlock"), (400, "invalid_request")),
        ("/profiles/0/spec/program", json!("sh"), (400, "invalid_json")),
        ("/profiles/0/spec/env", json!({}), (400, "invalid_json")),
        ("/declarations/0/kind", json!("volume"), (400, "unsupported_config_declaration")),
    ] {
        let (parent, key) = place.rsplit_once('/').unwrap();
        let mut wrong = bundle("3");
        wrong.pointer_mut(parent).unwrap()[key] = value;
        let reply = post(&wrong).await;
        assert_eq!(reply.error(), expected, "{place}: {}", reply.body);
        assert_eq!(reply.body["error"]["field"], format!("/bundle{place}"), "{}", reply.body);
    }
    let refused = client.post("/v1/workers", &create(&first, "coder")).await;
    assert_eq!(refused.error(), (400, "invalid_profile_selector"));
    let unnamed = json!({"intent": {"kind": "assistant"}, "config_bundle": first});
    assert_eq!(client.post("/v1/workers", &unnamed).await.error(), (400, "invalid_profile_selector"));
    server.terminate().await;
}
