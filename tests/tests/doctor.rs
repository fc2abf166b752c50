//! `musher doctor stream`: directly, and through proxies that are broken on purpose.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{collections::BTreeSet, path::Path, process::Stdio, time::Duration};

use musher_e2e::{Finished, Home, Proxy, Server, Vice, musher};
use musher_protocol::Frame;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::{
    process::{Child, Command},
    time::timeout,
};

/// Longer than an examination takes before it gives itself up, whatever the machine does.
const PATIENCE: Duration = Duration::from_secs(400);

/// The token's text is `observer-of-workers`.
const CONFIG: &str = r#"
[runtime]
default_profile = "echo"
[[tokens]]
name = "eve"
sha256 = "efe91643c4a3e5d45a49e10e7f9590103d182a94d11f8b8c96e59a19a47d8e9a"
scopes = ["observe"]
"#;

const CHECKS: [&str; 17] = [
    "reachable",
    "token",
    "worker",
    "sse snapshot",
    "socket snapshot",
    "latency",
    "pages",
    "sse is the log",
    "sse resumes",
    "socket is the log",
    "socket resumes",
    "malformed cursor",
    "future cursor",
    "talking",
    "heartbeat",
    "ping",
    "last event",
];

/// What a worker that is only looked at does not show: nobody says anything to it, or stops it.
const OF_OWN: [&str; 2] = ["latency", "last event"];

fn doctor(url: &str, token: &Path, words: &[&str]) -> Command {
    let mut command = musher(token.parent().unwrap());
    command.args(["doctor", "stream", "--json", "--url", url, "--token-file"]).arg(token).args(words);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// How an examination ended, and what it says.
async fn ended(child: Child) -> (Option<i32>, Value) {
    let output = timeout(PATIENCE, child.wait_with_output()).await.expect("an end").unwrap();
    let [stdout, stderr] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    let report = serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout}{stderr}"));
    (output.status.code(), report)
}

/// What the doctor says of a server at this address.
async fn examined(url: &str, token: &Path, words: &[&str]) -> (Option<i32>, Value) {
    ended(doctor(url, token, words).spawn().unwrap()).await
}

fn names(report: &Value, result: &str) -> Vec<String> {
    let checks = report["checks"].as_array().unwrap().iter().filter(|check| check["result"] == result);
    checks.map(|check| check["name"].as_str().unwrap().to_owned()).collect()
}

/// The problems that were named, and the checks that failed.
async fn problems(server: &Server, vice: Vice) -> (Option<i32>, BTreeSet<String>, Vec<String>) {
    let proxy = Proxy::start(server.port(), vice).await;
    let token = server.path().join("token");
    let (code, report) = examined(&proxy.url(), &token, &["--profile", "echo"]).await;
    (code, named(&report), names(&report, "failed"))
}

fn named(report: &Value) -> BTreeSet<String> {
    let named = report["checks"].as_array().unwrap().iter().filter_map(|check| check["problem"].as_str());
    named.map(str::to_owned).collect()
}

/// The workers that are there.
async fn workers(server: &Server) -> Vec<String> {
    let list = server.client().get("/v1/workers").await.good();
    let ids = list["workers"].as_array().unwrap().iter().map(|worker| worker["worker_id"].as_str().unwrap());
    ids.map(str::to_owned).collect()
}

#[tokio::test]
async fn a_deployment_is_proved_or_its_fault_is_named() {
    let server = Home::new(CONFIG).start().await;
    let url = format!("http://127.0.0.1:{}", server.port());
    let token = server.path().join("token");
    let eve = server.path().join("eve");
    std::fs::write(&eve, "observer-of-workers").unwrap();
    let client = server.client();
    let worker = client.create(&json!({"intent": {"kind": "task", "objective": "one two three"}})).await;
    client.idle(&worker).await;
    let before = client.log(&worker).await;

    let only_look = ["--worker", &worker];
    let (direct, looked_at, through, buffers, closes, strips) = tokio::join!(
        examined(&url, &token, &["--profile", "echo"]),
        examined(&url, &eve, &only_look),
        problems(&server, Vice::None),
        problems(&server, Vice::Buffers),
        problems(&server, Vice::ClosesIdle),
        problems(&server, Vice::StripsUpgrade),
    );

    let with_clean_up: Vec<_> = CHECKS.into_iter().chain(["clean up"]).collect();
    assert_eq!(
        (direct.0, names(&direct.1, "ok")),
        (Some(0), with_clean_up.iter().map(|name| (*name).to_owned()).collect()),
        "{}",
        direct.1
    );

    let expected: Vec<_> = CHECKS.into_iter().filter(|name| !OF_OWN.contains(name)).collect();
    assert_eq!(
        (looked_at.0, names(&looked_at.1, "ok")),
        (Some(0), expected.iter().map(|name| (*name).to_owned()).collect()),
        "{}",
        looked_at.1
    );
    assert_eq!(names(&looked_at.1, "skipped"), OF_OWN);
    assert_eq!(client.log(&worker).await, before, "who looks says nothing");

    let found = |code, problem: &[&str], failed: &[&str]| {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        (Some(code), owned(problem).into_iter().collect(), owned(failed))
    };
    assert_eq!(through, found(0, &[], &[]));
    let held_back = ["sse snapshot", "sse is the log", "sse resumes", "heartbeat"];
    assert_eq!(buffers, found(1, &["proxy_buffers"], &held_back));
    assert_eq!(closes, found(1, &["proxy_closes_idle"], &["heartbeat", "ping"]));
    let no_socket = [
        "socket snapshot",
        "socket is the log",
        "socket resumes",
        "malformed cursor",
        "future cursor",
        "talking",
        "ping",
        "last event",
    ];
    assert_eq!(strips, found(1, &["proxy_strips_upgrade"], &no_socket));

    assert_eq!(workers(&server).await, [worker], "the doctor's own workers are deleted");
}

#[tokio::test]
async fn what_was_not_seen_is_not_proved() {
    let server = Home::new(CONFIG).start().await;
    let url = format!("http://127.0.0.1:{}", server.port());
    let token = server.path().join("token");
    let client = server.client();
    let idle = json!({"intent": {"kind": "assistant"}});
    let (silent, over) = tokio::join!(client.create(&idle), client.create(&idle));
    let _ack = client.post(&format!("/v1/workers/{over}/stop"), &json!({})).await.good();

    let (words, over) = (["--worker", &silent], ["--worker", &over]);
    let (silent, over) = tokio::join!(examined(&url, &token, &words), examined(&url, &token, &over));
    assert_eq!(
        (silent.0, named(&silent.1), names(&silent.1, "failed")),
        (Some(1), BTreeSet::from(["nothing_seen".to_owned()]), vec!["pages".to_owned()]),
        "{}",
        silent.1
    );
    assert_eq!(
        (over.0, named(&over.1), names(&over.1, "failed")),
        (Some(1), BTreeSet::from(["worker_ended".to_owned()]), vec!["worker".to_owned()]),
        "{}",
        over.1
    );
}

#[tokio::test]
async fn a_signal_ends_an_examination_and_its_worker() {
    for signal in [Signal::INT, Signal::TERM] {
        let server = Home::new(CONFIG).start().await;
        let url = format!("http://127.0.0.1:{}", server.port());
        let mut catalog = server.client().observe_many().await;
        catalog.send(r#"{"kind":"subscribe","topic":"catalog"}"#).await;
        assert!(matches!(catalog.next().await, Ok(Frame::Subscribed { .. })));

        let child = doctor(&url, &server.path().join("token"), &["--profile", "echo"]).spawn().unwrap();
        let pid = Pid::from_raw(child.id().unwrap().try_into().unwrap()).unwrap();
        let shown = catalog.next().await;
        assert!(matches!(shown, Ok(Frame::Catalog { worker: Some(_), .. })), "{shown:?}");
        kill_process(pid, signal).unwrap();

        let (code, report) = ended(child).await;
        let checks = report["checks"].as_array().unwrap();
        let [.., cut, clean_up] = &checks[..] else { panic!("{report}") };
        assert_eq!((code, &report["ok"]), (Some(130), &json!(false)), "{report}");
        assert_eq!((&cut["name"], &cut["result"]), (&json!("to the end"), &json!("failed")), "{report}");
        assert_eq!((&clean_up["name"], &clean_up["result"]), (&json!("clean up"), &json!("ok")), "{report}");
        assert_eq!(workers(&server).await, [""; 0]);
    }
}

#[tokio::test]
async fn a_worker_whose_creation_was_not_answered_is_deleted_too() {
    let server = Home::new(CONFIG).start().await;
    let (code, named, failed) = problems(&server, Vice::LosesCreation).await;
    assert_eq!((code, named), (Some(1), BTreeSet::from(["no_answer".to_owned()])));
    assert_eq!(failed, ["worker"]);
    assert_eq!(workers(&server).await, [""; 0]);
}

#[tokio::test]
async fn a_worker_that_is_created_after_its_client_gave_up_is_deleted_too() {
    let server = Home::new(CONFIG).start().await;
    let (code, named, failed) = problems(&server, Vice::DelaysCreation).await;
    assert_eq!((code, named), (Some(1), BTreeSet::from(["no_answer".to_owned()])));
    assert_eq!(failed, ["worker"]);
    assert_eq!(workers(&server).await, [""; 0]);
}

#[tokio::test]
async fn a_creation_of_which_nothing_is_known_is_not_called_cleaned_up() {
    let server = Home::new(CONFIG).start().await;
    let proxy = Proxy::start(server.port(), Vice::SwallowsCreation).await;
    let token = server.path().join("token");
    let (code, report) = examined(&proxy.url(), &token, &["--profile", "echo"]).await;
    assert_eq!((code, names(&report, "failed")), (Some(1), vec!["worker".to_owned(), "clean up".to_owned()]));
    let last = report["checks"].as_array().unwrap().last().unwrap();
    let says = last["message"].as_str().unwrap();
    assert!(says.starts_with("a worker labeled musher-doctor="), "{says}");
    assert!(says.contains(" may stay: no answer from the server"), "{says}");
}

#[tokio::test]
async fn what_is_wrong_before_any_stream_is_named_too() {
    let server = Home::new(CONFIG).start().await;
    let url = format!("http://127.0.0.1:{}", server.port());
    let (token, wrong) = (server.path().join("token"), server.path().join("wrong"));
    std::fs::write(&wrong, "some-other-token-of-good-length").unwrap();
    for (url, token, words, name, problem) in [
        (url.as_str(), &wrong, ["--profile", "echo"], "token", "token"),
        (url.as_str(), &token, ["--profile", "nobody"], "worker", "no_worker"),
        (url.as_str(), &token, ["--worker", "wrk_1"], "worker", "no_worker"),
        ("http://127.0.0.1:1", &token, ["--profile", "echo"], "reachable", "no_answer"),
    ] {
        let (code, report) = examined(url, token, &words).await;
        let last = report["checks"].as_array().unwrap().last().unwrap();
        let expected = (Some(1), &json!(name), &json!("failed"), &json!(problem));
        assert_eq!((code, &last["name"], &last["result"], &last["problem"]), expected, "{report}");
    }
    let mut bad = musher(server.path());
    let bad = Finished::of(bad.args(["doctor", "stream", "--url", &url])).await;
    assert_eq!((bad.code, bad.stdout.as_str()), (Some(2), ""), "a subject is required: {}", bad.stderr);
    assert!(bad.stderr.contains("<--worker <WORKER>|--profile <PROFILE>>"), "either: {}", bad.stderr);
}
