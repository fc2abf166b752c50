//! The binary with scripted workers: its wire, its command line, its ends.

use std::{fs, process::Stdio};

use bytes::Bytes;
use hyper::Method;
use musher_e2e::{Finished, Home, PATIENCE, Server, musher};
use musher_protocol::{Envelope, Payload};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};

const ECHO: &str = "[runtime]\ndefault_profile = \"echo\"\n";

/// A path, headers, a body, and the error that they get.
type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str, (u16, &'a str));

fn types(events: &[Envelope]) -> Vec<&'static str> {
    events.iter().map(|event| event.payload.type_name()).filter(|name| !name.ends_with("_delta")).collect()
}

#[tokio::test]
async fn a_worker_is_created_driven_watched_and_stopped() {
    let server = Server::start(ECHO).await;
    let client = server.client();
    let worker = client.create(&json!({"intent": {"kind": "assistant"}})).await;
    let mut stream = client.observe(&worker).await;
    let before = stream.snapshot().await;
    let ack = client.say(&worker, "hello out there").await;
    let detail = client.idle(&worker).await;
    assert_eq!(
        (detail["outcome"]["text"].as_str(), detail["execution"]["run_state"].as_str()),
        (Some("hello out there"), Some("idle"))
    );
    let stopped = client.post(&format!("/v1/workers/{worker}/stop"), &json!({"reason": "done"})).await.good();
    assert_eq!((stream.end().await, stopped["ack"]["status"].as_str()), (1000, Some("stopped")));

    let log = client.log(&worker).await;
    let behind: Vec<_> = log.iter().filter(|event| event.seq > before.head.seq()).cloned().collect();
    assert_eq!(stream.seen, behind, "the stream is the log");
    assert_eq!(
        log.iter().map(|event| event.seq).collect::<Vec<_>>(),
        (1..=log.len() as u64).collect::<Vec<_>>()
    );
    let expected = [
        "input_accepted",
        "input_delivered",
        "user_message",
        "turn_started",
        "status",
        "session_started",
        "status",
        "session_environment",
        "diagnostic",
        "input_taken",
        "text_done",
        "turn_finished",
        "status",
        "stop_requested",
        "session_ended",
        "worker_stopped",
    ];
    assert_eq!(types(&behind), expected);
    assert_eq!(ack["event_id"], json!(behind[0].event_id));
    let transcript = client.get(&format!("/v1/workers/{worker}/transcript")).await.good();
    let entries = transcript["transcript"]["items"].as_array().unwrap();
    let entries: Vec<_> = entries
        .iter()
        .map(|entry| (entry["role"].as_str().unwrap(), entry["content"].as_str().unwrap()))
        .collect();
    assert_eq!(entries, [("user", "hello out there"), ("assistant", "hello out there")]);
}

#[tokio::test]
async fn refused_requests_are_named_and_change_nothing() {
    let server = Server::start(ECHO).await;
    let client = server.client();
    let worker = client.create(&json!({"intent": {"kind": "assistant"}})).await;
    let input = format!("/v1/workers/{worker}/input");
    let json_type = [("content-type", "application/json")];
    let host = [("content-type", "application/json"), ("host", "evil.example")];
    let origin = [("content-type", "application/json"), ("origin", "http://evil.example")];
    let large = format!("{{\"kind\":\"user\",\"content\":\"{}\"}}", "x".repeat(3 << 20));
    let good = r#"{"kind":"user","content":"x"}"#;
    let before = client.log(&worker).await;
    let cases: &[Case<'_>] = &[
        (&input, &json_type, "{", (400, "invalid_json")),
        (&input, &json_type, r#"{"kind":"user","content":"x","more":1}"#, (400, "invalid_json")),
        (&input, &json_type, r#"{"kind":"user","content":"x","input_id":""}"#, (400, "invalid_json")),
        (&input, &json_type, r#"{"kind":"user","content":"  "}"#, (400, "invalid_request")),
        (&input, &[], good, (400, "invalid_json")),
        (&input, &host, good, (421, "misdirected_host")),
        (&input, &origin, good, (403, "forbidden")),
        (&input, &json_type, &large, (413, "payload_too_large")),
        (
            "/v1/workers",
            &json_type,
            r#"{"intent":{"kind":"assistant"},"profile":{"kind":"named","value":"nobody"}}"#,
            (400, "invalid_profile_selector"),
        ),
        (
            "/v1/workers",
            &json_type,
            r#"{"intent":{"kind":"assistant"},"display_name":"a\u001b[31m"}"#,
            (400, "invalid_request"),
        ),
        (
            "/v1/workers",
            &json_type,
            r#"{"intent":{"kind":"task","objective":" "}}"#,
            (400, "invalid_request"),
        ),
        ("/v1/workers/wrk_0/input", &json_type, good, (404, "worker_not_found")),
        ("/v1/workers/%20/input", &json_type, good, (400, "invalid_worker_id")),
        ("/v2/workers", &json_type, good, (404, "route_not_found")),
        ("/v1/runtime", &json_type, good, (405, "method_not_allowed")),
    ];
    for (path, headers, body, expected) in cases {
        let answer = client.send(Method::POST, path, headers, Bytes::from((*body).to_owned())).await;
        assert_eq!(
            answer.error(),
            *expected,
            "{path} {}: {}",
            body.chars().take(60).collect::<String>(),
            answer.body
        );
    }
    assert_eq!(server.client_with(None).get("/v1/runtime").await.error(), (401, "unauthorized"));
    assert_eq!(server.client_with(Some("wrong")).get("/v1/runtime").await.error(), (401, "unauthorized"));
    assert_eq!(server.client_with(None).get("/livez").await.status, 200);
    assert_eq!(client.log(&worker).await, before);
    let runtime = client.get("/v1/runtime").await.good();
    assert_eq!(runtime["runtime"]["worker_count"], 1);
}

#[tokio::test]
async fn a_missing_program_refuses_the_create_by_name() {
    let server = Server::start("[backends.claude-pty]\nprogram = \"no-such-claude\"\n").await;
    let client = server.client();
    let answer = client.post("/v1/workers", &json!({"intent": {"kind": "assistant"}})).await;
    assert_eq!(answer.error(), (409, "worker_execution_unavailable"));
    assert!(
        answer.body["error"]["missing"][0].as_str().unwrap().contains("no-such-claude"),
        "{}",
        answer.body
    );
    assert_eq!(client.get("/v1/workers").await.good()["workers"], json!([]));
}

#[tokio::test]
async fn the_cause_of_a_missing_directory_is_for_the_operator_alone() {
    let home = Home::new(&format!("{ECHO}[store]\nurl = \"sqlite:store\"\n")).env("NO_COLOR", "1");
    let scratch = home.path().join("store/scratch");
    fs::create_dir_all(&scratch).unwrap();
    fs::write(scratch.join("tmp"), "somebody's file").unwrap();
    let server = home.start().await;
    let client = server.client();
    let worker = client.create(&json!({"intent": {"kind": "task", "objective": "hello"}})).await;
    assert_eq!(client.idle(&worker).await["outcome"]["text"], "hello");
    let diagnostics = client.get("/v1/diagnostics").await.good();
    let expected = json!({
        "at": diagnostics["diagnostics"][0]["at"], "code": "runtime.temporary_missing", "worker_id": worker,
        "message": "a session shares the host's temporary directory: entity already exists",
    });
    assert_eq!(diagnostics["diagnostics"], json!([expected]));
    let stderr = server.terminate().await.stderr;
    let line = stderr.lines().find(|line| line.contains("runtime.temporary_missing")).unwrap();
    let place = scratch.join("tmp");
    for part in [
        &format!("error=make a session's temporary directory below {}", place.display()),
        "error.sources=[File exists (os error 17)]",
    ] {
        assert!(line.contains(part), "{line}");
    }
}

#[tokio::test]
async fn a_drain_closes_streams_ends_sessions_and_exits_with_zero() {
    let server = Server::start(ECHO).await;
    let client = server.client();
    let worker = client.create(&json!({"intent": {"kind": "task", "objective": "hello"}})).await;
    client.idle(&worker).await;
    let mut stream = client.observe(&worker).await;
    stream.snapshot().await;
    let (code, finished) = tokio::join!(stream.end(), server.terminate());
    assert_eq!((code, finished.code), (1001, Some(0)), "{}", finished.stderr);
}

#[tokio::test]
async fn a_run_prints_what_happens_and_its_exit_code_says_how_it_ended() {
    let home = tempfile::tempdir().unwrap();
    let script = json!({"turns": [
        {"match": "fail", "steps": [{"fail": {"code": "provider_error", "message": "no\u{1b}[31m luck"}}]},
        {"match": "tool", "steps": [{"tool_call": {"name": "shell", "input": {"command": "make"}, "result": "all good"}}, {"text": "done"}]},
        {"match": "limit", "steps": [{"rate_limit": {"reset_after_secs": 3600}}]},
        {"match": "crash", "steps": [{"text": "half"}, {"crash": true}]},
    ]});
    fs::write(home.path().join("script.json"), script.to_string()).unwrap();
    fs::write(
        home.path().join("musher.toml"),
        "[profiles.script]\nbackend = \"scripted\"\nscript = \"script.json\"\n",
    )
    .unwrap();
    let run = async |arguments: &[&str]| {
        let mut command = musher(home.path());
        Finished::of(command.arg("run").args(arguments).arg("--config").arg(home.path().join("musher.toml")))
            .await
    };
    let echo = run(&["--profile", "echo", "hello there"]).await;
    assert_eq!(echo.code, Some(0), "{}", echo.stderr);
    assert!(
        echo.stdout.ends_with(
            "> hello there\n- backend.scripted: this worker is scripted: no model runs\nhello there\n"
        ),
        "{}",
        echo.stdout
    );
    let tool = run(&["--profile", "script", "tool"]).await;
    assert!(tool.stdout.ends_with("* shell {\"command\":\"make\"}\n  all good\ndone\n"), "{}", tool.stdout);
    let fail = run(&["--profile", "script", "fail"]).await;
    assert_eq!(fail.code, Some(1));
    assert!(fail.stdout.contains("! provider_error: no␛[31m luck\n"), "{}", fail.stdout);
    let crash = run(&["--profile", "script", "crash"]).await;
    assert_eq!(crash.code, Some(1));
    assert!(crash.stdout.contains("half\n! session_ended: "), "{}", crash.stdout);
    assert_eq!(run(&["--profile", "script", "--max-wait", "1", "limit"]).await.code, Some(3));
    let json = run(&["--profile", "echo", "--json", "hi"]).await;
    let lines: Vec<Value> = json.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (last, events) = lines.split_last().unwrap();
    assert_eq!(
        (last["outcome"]["outcome"].as_str(), last["outcome"]["text"].as_str()),
        (Some("completed"), Some("hi"))
    );
    let events: Vec<Envelope> =
        events.iter().map(|event| serde_json::from_value(event.clone()).unwrap()).collect();
    assert!(matches!(events.last().unwrap().payload, Payload::WorkerStopped(_)));
}

#[tokio::test]
async fn a_run_that_is_interrupted_stops_its_worker() {
    let home = tempfile::tempdir().unwrap();
    let config = home.path().join("musher.toml");
    fs::write(
        home.path().join("hang.json"),
        r#"{"turns": [{"match": "", "steps": [{"text": "working"}, {"hang": true}]}]}"#,
    )
    .unwrap();
    fs::write(&config, "[profiles.hang]\nbackend = \"scripted\"\nscript = \"hang.json\"\n").unwrap();
    let mut command = musher(home.path());
    let mut run = command
        .args(["run", "--profile", "hang", "go", "--config"])
        .arg(&config)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(run.stdout.take().unwrap()).lines();
    while stdout.next_line().await.unwrap().unwrap() != "working" {}
    let pid = Pid::from_raw(i32::try_from(run.id().unwrap()).unwrap()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    let output = tokio::time::timeout(PATIENCE, run.wait_with_output()).await.unwrap().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{stderr}");
    assert!(stderr.ends_with("interrupted\n"), "{stderr}");
}

#[tokio::test]
async fn wrong_words_and_wrong_configs_end_with_two() {
    let home = tempfile::tempdir().unwrap();
    let config = home.path().join("musher.toml");
    fs::write(&config, "[server]\nlisten = \"127.0.0.1:0\"\nport = 7\n").unwrap();
    let bad = Finished::of(musher(home.path()).arg("serve").arg("--config").arg(&config)).await;
    assert_eq!(bad.code, Some(2));
    assert!(
        bad.stderr.contains("musher.toml") && bad.stderr.contains("line 3") && bad.stderr.contains("port"),
        "{}",
        bad.stderr
    );
    let outside = Finished::of(musher(home.path()).args(["serve", "--listen", "0.0.0.0:0"])).await;
    assert_eq!(outside.code, Some(2));
    assert!(outside.stderr.contains("allowed_hosts"), "{}", outside.stderr);
    let store =
        Finished::of(musher(home.path()).args(["serve", "--listen", "127.0.0.1:0", "--store", "redis://x"]))
            .await;
    assert_eq!((store.code, store.stderr.contains("redis://x")), (Some(2), true), "{}", store.stderr);
    let missing = Finished::of(musher(home.path()).args(["run", "hello"]).env("PATH", home.path())).await;
    assert_eq!(missing.code, Some(1));
    assert!(
        missing.stderr.contains("program `claude`") && missing.stderr.contains("without it: musher demo"),
        "{}",
        missing.stderr
    );
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let server = Server::start(ECHO).await;
    let home = tempfile::tempdir().unwrap();
    let runtime = server.client().get("/v1/runtime").await.good();
    assert_eq!(runtime["runtime"]["store"], "sqlite", "what is kept by default outlives the server");
    let port = server.port();
    let second =
        Finished::of(musher(home.path()).args(["serve", "--listen", &format!("127.0.0.1:{port}")])).await;
    assert_eq!(second.code, Some(1));
    let named = format!("error: serve: listen on 127.0.0.1:{port}: Address already in use");
    assert!(second.stderr.contains(&named), "{}", second.stderr);
}
