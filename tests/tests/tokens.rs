//! Tokens of a server that runs: made, rotated, revoked, and what they had opened.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{fs, time::Duration};

use musher_e2e::{Client, Finished, Home, PATIENCE, Server, musher};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

/// What was opened with a token ends within this time after the token does.
const SOON: Duration = Duration::from_secs(20);
const CONFIG: &str = "[store]\nurl = \"memory\"\n";
const ECHO: &str = r#"{"intent":{"kind":"assistant"},"profile":{"kind":"named","value":"echo"}}"#;

async fn token(server: &Server, words: &[&str]) -> Finished {
    let mut command = musher(server.path());
    command.arg("token").args(words).arg("--token-file").arg(server.path().join("token"));
    Finished::of(&mut command).await
}

async fn made(server: &Server, words: &[&str]) -> Value {
    let finished = token(server, &[words, &["--json"]].concat()).await;
    assert_eq!(finished.code, Some(0), "{finished:?}");
    serde_json::from_str(&finished.stdout).unwrap()
}

/// Waits until the server answers with this status; it hears of tokens by looking.
async fn becomes(client: &Client, path: &str, status: u16) {
    let begun = Instant::now();
    while client.get(path).await.status != status {
        assert!(begun.elapsed() < SOON, "it is not {status}");
        sleep(Duration::from_millis(50)).await;
    }
}

/// What the server itself has to report first, once there is anything.
async fn first_diagnostic(server: &Server) -> Value {
    let begun = Instant::now();
    loop {
        let seen = server.client().get("/v1/diagnostics").await.good();
        if let Some(first) = seen["diagnostics"].get(0) {
            return first.clone();
        }
        assert!(begun.elapsed() < SOON, "nothing is reported");
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_token_is_shown_once_and_works_while_the_server_runs() {
    let server = Server::start(CONFIG).await;
    let made =
        made(&server, &["create", "ci", "--scope", "observe", "--scope", "drive", "--label", "team=a"]).await;
    let text = made["token"].as_str().unwrap();
    assert_eq!(
        made,
        json!({"name": "ci", "token": text, "scopes": ["observe", "drive"], "labels": {"team": "a"}})
    );
    let client = server.client_with(Some(text));
    becomes(&client, "/v1/runtime", 200).await;
    let worker = client.create(&serde_json::from_str(ECHO).unwrap()).await;
    let shown = client.get(&format!("/v1/workers/{worker}")).await.good();
    assert_eq!(shown["worker"]["labels"], json!({"team": "a"}));
    let other = server.client().create(&serde_json::from_str(ECHO).unwrap()).await;
    assert_eq!(client.get(&format!("/v1/workers/{other}")).await.error(), (404, "worker_not_found"));

    let listed = token(&server, &["list", "--json"]).await;
    assert_eq!(
        serde_json::from_str::<Value>(&listed.stdout).unwrap(),
        json!({"name": "ci", "scopes": ["observe", "drive"], "labels": {"team": "a"}})
    );
    let file = fs::read_to_string(server.path().join("tokens.json")).unwrap();
    assert!(!file.contains(text) && !listed.stdout.contains(text));
    for (words, code, said) in [
        (&["create", "ci", "--scope", "observe"][..], 2, "there is a token `ci`"),
        (&["create", "admin", "--scope", "observe"], 2, "`admin` is the admin's token"),
        (&["create", "x", "--scope", "root"], 2, "a scope is `observe`"),
        (&["create", "x"], 2, "--scope"),
        (&["revoke", "nobody"], 2, "no token `nobody`"),
        (&["rotate", "nobody"], 2, "no token `nobody`"),
    ] {
        let refused = token(&server, words).await;
        assert_eq!(refused.code, Some(code), "{refused:?}");
        assert!(refused.stderr.contains(said), "{refused:?}");
    }
}

#[tokio::test]
async fn a_token_for_a_server_that_never_was_is_said_to_be_one() {
    let home = tempfile::tempdir().unwrap();
    let server = Server::start(CONFIG).await;
    for (place, is_told) in [(home.path(), true), (server.path(), false)] {
        let mut command = musher(home.path());
        command
            .args(["token", "create", "ci", "--scope", "observe", "--token-file"])
            .arg(place.join("token"));
        let finished = Finished::of(&mut command).await;
        assert_eq!(finished.code, Some(0), "{finished:?}");
        assert_eq!(finished.stderr.contains("no server has begun with"), is_told, "{finished:?}");
    }
}

#[tokio::test]
async fn what_a_revoked_or_rotated_token_had_opened_ends() {
    let server = Server::start(CONFIG).await;
    let worker = server.client().create(&serde_json::from_str(ECHO).unwrap()).await;
    for (name, words) in [("gone", &["revoke", "gone"]), ("other", &["rotate", "other"])] {
        let made = made(&server, &["create", name, "--scope", "observe"]).await;
        let client = server.client_with(made["token"].as_str());
        becomes(&client, "/v1/runtime", 200).await;
        let mut sse = client.sse(&worker, None).await.unwrap();
        let mut one = client.observe(&worker).await;
        let mut many = client.observe_many().await;
        let waits = format!("/v1/workers/{worker}?until=terminal&wait=60");
        let wait = client.get(&waits);
        let ended = async {
            assert_eq!(token(&server, words).await.code, Some(0));
            let begun = Instant::now();
            let closed = async {
                for socket in [&mut one, &mut many] {
                    let code = loop {
                        if let Err(code) = socket.next().await {
                            break code;
                        }
                    };
                    assert_eq!(code, 4401);
                }
                while let Ok(Some(_event)) = sse.next().await {}
            };
            timeout(PATIENCE, closed).await.unwrap();
            begun.elapsed()
        };
        let (wait, took) = tokio::join!(wait, ended);
        assert_eq!(wait.error(), (401, "unauthorized"));
        assert!(took < SOON, "{took:?}");
        assert_eq!(client.get("/v1/runtime").await.error(), (401, "unauthorized"));
    }
}

#[tokio::test]
async fn a_broken_tokens_file_changes_nothing_and_is_told() {
    let server = Server::start(CONFIG).await;
    let made = made(&server, &["create", "ci", "--scope", "observe"]).await;
    let client = server.client_with(made["token"].as_str());
    becomes(&client, "/v1/runtime", 200).await;
    let file = server.path().join("tokens.json");
    let good = fs::read_to_string(&file).unwrap();
    fs::write(&file, good.replace("observe", "everything")).unwrap();
    let diagnostic = first_diagnostic(&server).await;
    assert_eq!(diagnostic["code"], "tokens.not_read");
    assert!(!diagnostic["message"].as_str().unwrap().contains('/'), "{diagnostic}");
    assert_eq!(client.get("/v1/runtime").await.status, 200);
    // A start does not guess either.
    fs::write(&file, good.replace("]", "")).unwrap();
    let home = server.path().to_owned();
    let mut second = musher(&home);
    second
        .args(["serve", "--listen", "127.0.0.1:0", "--store", "memory", "--token-file"])
        .arg(home.join("token"));
    let refused = Finished::of(&mut second).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("tokens.json makes no sense; restore it"), "{refused:?}");
    // What is good again holds again.
    fs::write(&file, good.replace("observe", "drive")).unwrap();
    becomes(&client, "/v1/runtime", 403).await;
}

#[tokio::test]
async fn a_made_token_with_the_name_of_one_of_the_config_is_not_taken_and_keeps_no_other_from_being_heard_of()
{
    let config = format!(
        "{CONFIG}[[tokens]]\nname = \"ci\"\nsha256 = \"{}\"\nscopes = [\"drive\"]\n",
        "ab".repeat(32)
    );
    let home = Home::new(&config);
    let server = home.start().await;
    let other = made(&server, &["create", "other", "--scope", "observe"]).await;
    let other = server.client_with(other["token"].as_str());
    becomes(&other, "/v1/runtime", 200).await;
    let ci = made(&server, &["create", "ci", "--scope", "observe"]).await;
    let diagnostic = first_diagnostic(&server).await;
    assert_eq!(diagnostic["code"], "tokens.not_taken");
    assert!(diagnostic["message"].as_str().unwrap().contains("`ci`"), "{diagnostic}");
    assert_eq!(server.client_with(ci["token"].as_str()).get("/v1/runtime").await.status, 401);
    assert_eq!(token(&server, &["revoke", "other"]).await.code, Some(0));
    becomes(&other, "/v1/runtime", 401).await;

    // The next start says so, too.
    server.kill().await;
    let server = home.start().await;
    assert_eq!(first_diagnostic(&server).await["code"], "tokens.not_taken");
}

#[tokio::test]
async fn the_admins_token_can_be_another_one() {
    let server = Server::start(CONFIG).await;
    let old = server.client();
    assert_eq!(token(&server, &["rotate", "admin"]).await.code, Some(0));
    becomes(&old, "/v1/runtime", 401).await;
    let text = fs::read_to_string(server.path().join("token")).unwrap();
    let new = server.client_with(Some(text.trim()));
    assert_eq!(new.get("/v1/runtime").await.status, 200);
    // Without the file the one that was read last holds: nobody else gets in, and nobody is locked out.
    fs::remove_file(server.path().join("token")).unwrap();
    let begun = Instant::now();
    while new.get("/v1/diagnostics").await.good()["diagnostics"].as_array().unwrap().is_empty() {
        assert!(begun.elapsed() < SOON);
        sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(new.get("/v1/runtime").await.status, 200);
}
