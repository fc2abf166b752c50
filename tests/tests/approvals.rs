//! Approvals over REST, with scripted workers: each decision, and what the log says of it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use musher_e2e::{Client, Home};
use serde_json::{Value, json};

/// The texts of the tokens are `approver` and `driver`.
const CONFIG: &str = r#"
[store]
url = "sqlite:store"
[runtime]
default_profile = "asks"
[profiles.asks]
backend = "scripted"
script = "script.json"
approval = { mode = "ask", deadline_secs = 600 }
on_restart = "wait"
[profiles.hasty]
backend = "scripted"
script = "script.json"
approval = { mode = "ask", deadline_secs = 1 }
[[tokens]]
name = "ann"
sha256 = "7a023df6bf29324d9c2dd30086dc8aca140029e59a353152e05480d132d6ed85"
scopes = ["approve"]
[[tokens]]
name = "bob"
sha256 = "b4def8217cadae26d4da633fd2a4e58e326cbb5d570afdc3989484da07af3579"
scopes = ["drive"]
"#;

fn home() -> Home {
    let home = Home::new(CONFIG);
    let options = json!([{"label": "Red"}, {"label": "Blue"}]);
    let script = json!({"turns": [
        {"match": "which", "steps": [
            {"approval": {"tool": "ask", "input": {}, "questions": [{"question": "Which?", "options": options}]}},
            {"text": "done"}
        ]},
        {"match": "two", "steps": [
            {"approval": [{"tool": "shell", "input": {"n": 1}}, {"tool": "shell", "input": {"n": 2}}]},
            {"text": "done"}
        ]},
        {"match": "login", "steps": [{"fail": {"code": "authentication_failed", "message": "no key"}}]},
        {"match": "limit", "steps": [{"rate_limit": {"reset_after_secs": 3600}}]},
        {"match": "tool", "steps": [{"approval": {"tool": "shell", "input": {"command": "make"}}}, {"text": "done"}]},
    ]});
    std::fs::write(home.path().join("script.json"), script.to_string()).unwrap();
    home
}

/// A worker that begins with this, and the approvals that it asks for.
async fn asking(client: &Client, profile: &str, objective: &str, n: usize) -> (String, Vec<Value>) {
    let worker = client
        .create(&json!({
            "intent": {"kind": "task", "objective": objective},
            "profile": {"kind": "named", "value": profile},
            "labels": {"says": objective},
        }))
        .await;
    let asked = events(client, &worker, "approval_requested", n).await;
    (worker, asked)
}

/// The payloads of a type, once there are so many.
async fn events(client: &Client, worker: &str, name: &str, n: usize) -> Vec<Value> {
    let (mut seen, mut after) = (Vec::new(), String::new());
    while seen.len() < n {
        let page =
            client.get(&format!("/v1/workers/{worker}/events?types={name}&wait=60{after}")).await.good();
        let events = page["events"].as_array().unwrap();
        assert!(!events.is_empty(), "{} of {n} {name}", seen.len());
        seen.extend(events.iter().map(|event| event["payload"].clone()));
        after = format!("&after={}", page["next"].as_str().unwrap());
    }
    seen
}

fn path(worker: &str, approval: &Value) -> String {
    format!("/v1/workers/{worker}/approvals/{}", approval["approval_id"].as_str().unwrap())
}

/// What has to be seen to, as the ids of its items without their kinds' prefix.
async fn attention(client: &Client, query: &str) -> Vec<(String, Value)> {
    let list = client.get(&format!("/v1/attention{query}")).await.good();
    let items = list["attention"].as_array().unwrap();
    items.iter().map(|item| (item["kind"].as_str().unwrap().to_owned(), item["worker_id"].clone())).collect()
}

#[tokio::test]
async fn each_decision_is_in_the_log_and_ends_its_turn_as_it_says() {
    let server = home().start().await;
    let (admin, ann) = (server.client(), server.client_with(Some("approver")));
    let by = json!({"token": "ann", "actor": "the boss"});
    let cases = [
        ("tool", json!({"decision": "allow"}), "completed"),
        ("tool", json!({"decision": "allow", "message": "fine"}), "completed"),
        ("tool", json!({"decision": "allow", "updated_input": {"command": "true"}}), "completed"),
        ("tool", json!({"decision": "allow", "remember": "input"}), "completed"),
        ("tool", json!({"decision": "allow", "remember": "tool"}), "completed"),
        ("tool", json!({"decision": "deny", "message": "no"}), "completed"),
        ("tool", json!({"decision": "deny", "message": "no", "interrupt": true}), "interrupted"),
        ("which", json!({"decision": "allow", "answers": {"Which?": ["Blue"]}}), "completed"),
        ("which", json!({"decision": "deny", "message": "none of these"}), "completed"),
    ];
    for (objective, decision, outcome) in cases {
        let (worker, asked) = asking(&admin, "asks", objective, 1).await;
        let mut request = decision.clone();
        request["actor"] = json!("the boss");
        let reply = ann.post(&path(&worker, &asked[0]), &request).await.good();
        assert_eq!((&reply["duplicate"], &reply["approval"]["by"]), (&json!(false), &by), "{decision}");

        let resolved = events(&admin, &worker, "approval_resolved", 1).await.remove(0);
        let mut expected = decision.clone();
        expected["type"] = json!("approval_resolved");
        expected["approval_id"] = asked[0]["approval_id"].clone();
        expected["by"] = by.clone();
        assert_eq!(resolved, expected);
        assert_eq!(admin.idle(&worker).await["outcome"]["outcome"], outcome, "{decision}");

        let again = ann.post(&path(&worker, &asked[0]), &decision).await.good();
        assert_eq!((&again["duplicate"], &again["approval"]), (&json!(true), &reply["approval"]));
    }
    assert_eq!(attention(&admin, "").await, []);
}

#[tokio::test]
async fn scopes_are_apart_and_nonsense_is_refused_with_its_place() {
    let server = home().start().await;
    let (admin, ann) = (server.client(), server.client_with(Some("approver")));
    let bob = server.client_with(Some("driver"));
    let (worker, asked) = asking(&admin, "asks", "tool", 1).await;
    let (other, question) = asking(&admin, "asks", "which", 1).await;
    let (tool, which) = (path(&worker, &asked[0]), path(&other, &question[0]));
    let allow = json!({"decision": "allow"});
    assert_eq!(bob.post(&tool, &allow).await.error(), (403, "forbidden"));
    let say = json!({"kind": "user", "content": "x"});
    assert_eq!(ann.post(&format!("/v1/workers/{worker}/input"), &say).await.error(), (403, "forbidden"));
    assert_eq!(ann.get("/v1/attention").await.error(), (403, "forbidden"));
    let cases = [
        (&tool, json!({"decision": "allow", "interrupt": true}), "/interrupt"),
        (&tool, json!({"decision": "allow", "answers": {}}), "/answers"),
        (&tool, json!({"decision": "allow", "updated_input": {}, "remember": "tool"}), "/remember"),
        (&tool, json!({"decision": "deny", "updated_input": {}}), "/updated_input"),
        (&tool, json!({"decision": "deny", "answers": {}}), "/answers"),
        (&tool, json!({"decision": "deny", "remember": "tool"}), "/remember"),
        (&tool, json!({"decision": "deny", "message": "x".repeat(10_000)}), "/message"),
        (&which, allow.clone(), "/answers"),
        (&which, json!({"decision": "allow", "answers": {"Why?": ["x"], "Which?": ["Red"]}}), "/answers"),
    ];
    for (path, request, field) in cases {
        let refused = ann.post(path, &request).await;
        assert_eq!(
            (refused.error(), refused.body["error"]["field"].as_str()),
            ((400, "invalid_request"), Some(field)),
            "{request:.100}"
        );
    }
    let unknown = ann.post(&format!("/v1/workers/{worker}/approvals/apr_0"), &allow).await;
    assert_eq!(unknown.error(), (404, "approval_not_found"));
    assert_eq!(events(&admin, &worker, "approval_requested", 1).await, asked, "nothing was decided");
    let open = admin.get(&format!("/v1/workers/{worker}/approvals")).await.good();
    assert_eq!(open["approvals"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn two_open_ones_are_decided_in_reverse_and_a_deadline_denies() {
    let server = home().start().await;
    let client = server.client();
    let (worker, asked) = asking(&client, "asks", "two", 2).await;
    let (hasty, late) = asking(&client, "hasty", "tool", 1).await;
    for approval in asked.iter().rev() {
        let reply = client.post(&path(&worker, approval), &json!({"decision": "allow"})).await.good();
        assert_eq!(reply["approval"]["approval_id"], approval["approval_id"]);
    }
    assert_eq!(client.idle(&worker).await["outcome"]["text"], "done");
    let resolved = events(&client, &hasty, "approval_resolved", 1).await.remove(0);
    assert_eq!((&resolved["decision"], &resolved["by"]["token"]), (&json!("expired"), &json!("deadline")));
    for decision in ["allow", "deny"] {
        let refused = client.post(&path(&hasty, &late[0]), &json!({"decision": decision})).await;
        assert_eq!(refused.error(), (409, "approval_not_pending"));
        assert_eq!(refused.body["error"]["approval"]["decision"], "expired");
    }
}

#[tokio::test]
async fn decisions_and_what_waits_are_the_same_after_a_kill() {
    let home = home();
    let server = home.start().await;
    let client = server.client();
    let (decided, asked) = asking(&client, "asks", "tool", 1).await;
    let deny = json!({"decision": "deny", "message": "no"});
    let first = client.post(&path(&decided, &asked[0]), &deny).await.good();
    client.idle(&decided).await;
    let (open, still) = asking(&client, "asks", "which", 1).await;
    let (locked_out, _) = asking(&client, "asks", "login", 0).await;
    let (parked, _) = asking(&client, "asks", "limit", 0).await;
    client.idle(&locked_out).await;
    events(&client, &parked, "rate_limited", 1).await;
    let waits = attention(&client, "").await;
    let expected = |kinds: &[(&str, &String)]| {
        kinds.iter().map(|(kind, worker)| ((*kind).to_owned(), json!(worker))).collect::<Vec<_>>()
    };
    assert_eq!(waits, expected(&[("question", &open), ("login", &locked_out), ("parked", &parked)]));
    assert_eq!(attention(&client, "?label=says=limit").await, expected(&[("parked", &parked)]));
    server.kill().await;

    let server = home.start().await;
    let client = server.client();
    let again = client.post(&path(&decided, &asked[0]), &deny).await.good();
    assert_eq!((&again["duplicate"], &again["approval"]), (&json!(true), &first["approval"]));
    let otherwise = client.post(&path(&decided, &asked[0]), &json!({"decision": "allow"})).await;
    assert_eq!(otherwise.body["error"]["approval"], first["approval"]);
    let answer = json!({"decision": "allow", "answers": {"Which?": ["Red"]}});
    let withdrawn = client.post(&path(&open, &still[0]), &answer).await;
    assert_eq!(withdrawn.error(), (409, "approval_not_pending"));
    assert_eq!(
        withdrawn.body["error"]["approval"]["message"],
        "the runtime ended while the question was open"
    );
    assert_eq!(attention(&client, "").await, expected(&[("login", &locked_out), ("parked", &parked)]));
}
