//! A worker that says what it must not: no log, no reply and no line of the server shows a secret that the server knows.

use musher_e2e::Home;
use serde_json::json;

/// With spaces, so that the scripted backend says it in pieces.
const KEY: &str = "canary of sixteen letters";
const NAME: &str = "[redacted:MY_CANARY]";
const CONFIG: &str = r#"
[store]
url = "sqlite:store"
[backends.openai-api]
api_key_env = "MY_CANARY"
[profiles.leaks]
backend = "scripted"
script = "leaks.json"
"#;

#[tokio::test]
async fn a_key_that_a_worker_prints_is_in_no_log_and_in_no_reply() {
    let home = Home::new(CONFIG).env("MY_CANARY", KEY).env("MUSHER_LOG", "debug");
    let call = json!({"name": "shell", "input": {"command": format!("echo {KEY}")}, "result": KEY});
    let script = json!({"turns": [
        {"match": "say", "steps": [
            {"thinking": KEY}, {"text": format!("it is {KEY}."), "word_delay_ms": 5}, {"tool_call": call}
        ]},
        {"match": "fail", "steps": [{"fail": {"code": "provider_error", "message": KEY}}]},
    ]});
    std::fs::write(home.path().join("leaks.json"), script.to_string()).unwrap();
    let server = home.start().await;
    let client = server.client();
    let body = json!({"intent": {"kind": "assistant"}, "profile": {"kind": "named", "value": "leaks"}});
    let worker = client.create(&body).await;
    let here = format!("/v1/workers/{worker}");
    for words in ["say", "fail"] {
        client.say(&worker, words).await;
        assert_eq!(client.get(&format!("{here}?until=idle&wait=20")).await.status, 200);
    }
    let mut shown = Vec::new();
    for path in ["", "/events", "/transcript"] {
        shown.push(client.get(&format!("{here}{path}")).await.good().to_string());
    }
    let text: String = client.get(&format!("{here}/events?types=text_delta")).await.good()["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["payload"]["text"].as_str().unwrap())
        .collect();
    assert_eq!(text, format!("it is {NAME}."));
    let admin = std::fs::read_to_string(home.path().join("token")).unwrap();
    let finished = server.terminate().await;
    shown.push(finished.stderr);
    for shown in &shown {
        assert!(!shown.contains(KEY) && !shown.contains(admin.trim()), "{shown}");
    }
    // A thought, the text with its pieces, a call with its arguments and its result, an error, a transcript.
    assert!(shown[1].matches(NAME).count() >= 6, "{}", shown[1]);
}
