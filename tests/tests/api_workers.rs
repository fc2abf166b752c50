//! Workers that need no CLI: the loop, its tools and its memory, behind the built binary.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::Path;

use bytes::Bytes;
use hyper::Method;
use musher_e2e::{Client, Finished, Fleet, Home, LOCAL_KEY, Obedient, call, musher, shell, turn};
use musher_protocol::{BlobRef, Envelope, Payload};
use serde_json::{Value, json};

/// A home with a workspace and these lines in the profile.
fn home(api: &Obedient, work: &Path, profile: &str) -> Home {
    api.home(&format!("{profile}\n[workspaces.shop]\npath = \"{}\"", work.display()))
}

async fn worker(client: &Client) -> String {
    let workspace = json!([{"name": "main", "reference": "shop"}]);
    client.create(&json!({"intent": {"kind": "assistant"}, "workspace_refs": workspace})).await
}

/// What came of the log's only call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Came<'a> {
    content: &'a str,
    is_error: bool,
    diff: Option<&'a str>,
    blob: Option<BlobRef>,
}

fn result(log: &[Envelope]) -> Came<'_> {
    let results: Vec<_> = log
        .iter()
        .filter_map(|event| {
            let Payload::ToolResult { content, is_error, diff, blob, .. } = &event.payload else {
                return None;
            };
            Some(Came { content, is_error: *is_error, diff: diff.as_deref(), blob: *blob })
        })
        .collect();
    assert_eq!(results.len(), 1, "{results:?}");
    results[0]
}

/// What tools have told the model, as its last request holds it.
fn told(api: &Obedient) -> Vec<Value> {
    let last = api.requests().pop().unwrap();
    let messages = last.body["messages"].as_array().unwrap().iter();
    messages.filter(|message| message["role"] == "tool").map(|message| message["content"].clone()).collect()
}

#[tokio::test]
async fn a_file_is_written_when_somebody_allowed_it() {
    let (api, work) = (Obedient::start().await, tempfile::tempdir().unwrap());
    let server = home(&api, work.path(), "approval = { mode = \"ask\" }").start().await;
    let client = server.client();
    let worker = worker(&client).await;
    client.say(&worker, r#"call write_file {"path": "a.txt", "content": "mush\n"}"#).await;
    let query = "types=approval_requested&wait=60";
    let page = client.get(&format!("/v1/workers/{worker}/events?{query}")).await.good();
    let asked = &page["events"][0]["payload"];
    assert_eq!((&asked["tool"], &asked["input"]["path"]), (&json!("write_file"), &json!("a.txt")));
    assert!(!work.path().join("a.txt").exists(), "nobody allowed it yet");

    let approval = asked["approval_id"].as_str().unwrap();
    let allow = json!({"decision": "allow"});
    let decided = client.post(&format!("/v1/workers/{worker}/approvals/{approval}"), &allow).await.good();
    assert_eq!(decided["duplicate"], false);
    assert_eq!(client.idle(&worker).await["outcome"]["outcome"], "completed");
    assert_eq!(std::fs::read_to_string(work.path().join("a.txt")).unwrap(), "mush\n");
    let log = client.log(&worker).await;
    let diff = Some("--- /dev/null\n+++ b/a.txt\n@@ -0,0 +1 @@\n+mush\n");
    assert_eq!(result(&log), Came { content: "created a.txt (5 bytes)", is_error: false, diff, blob: None });
    let tools = log.iter().find_map(|event| {
        let Payload::SessionEnvironment(environment) = &event.payload else { return None };
        Some(environment.tools.clone())
    });
    let expected = ["edit_file", "list_directory", "read_file", "search", "shell", "write_file"];
    let mut tools = tools.unwrap();
    tools.sort();
    assert_eq!(tools, expected);
    assert_eq!(api.violations(), []);
}

#[tokio::test]
async fn a_command_of_a_model_leaves_nothing_when_its_worker_is_stopped() {
    let (api, work, fleet) = (Obedient::start().await, tempfile::tempdir().unwrap(), Fleet::new());
    let server = home(&api, work.path(), "approval = { mode = \"allow\" }").start().await;
    let client = server.client();
    let worker = worker(&client).await;
    // The command says itself whose it is, for its environment is not the config's to set.
    let command =
        format!("export {}; echo up; setsid sleep 600 & sleep 601", fleet.env().replace(" = ", "="));
    client.say(&worker, &shell(&command)).await;
    fleet.shows("sleep 600").await;
    fleet.shows("sleep 601").await;
    let stopped = client.post(&format!("/v1/workers/{worker}/stop"), &json!({"grace_secs": 1})).await.good();
    assert_eq!(stopped["ack"]["status"], "stopped");
    assert_eq!(fleet.alive(), Vec::<String>::new());
    let log = client.log(&worker).await;
    let came = result(&log);
    assert!(came.is_error && came.content.contains("up"), "{came:?}");
}

#[tokio::test]
async fn a_long_output_is_whole_for_people_and_for_the_model_what_it_was_told_also_after_a_crash() {
    let (api, work) = (Obedient::start().await, tempfile::tempdir().unwrap());
    let home = home(&api, work.path(), "approval = { mode = \"allow\" }");
    let server = home.start().await;
    let client = server.client();
    let worker = worker(&client).await;
    turn(&client, &worker, &shell("seq 100000")).await;
    let whole = (1..=100_000).map(|n| format!("{n}\n")).collect::<String>();
    let log = client.log(&worker).await;
    let Came { content, is_error: false, diff: None, blob: Some(blob) } = result(&log) else {
        panic!("{:?}", result(&log))
    };
    assert!(content.len() < 50_000 && content.starts_with("1\n2\n") && content.ends_with("\n100000\n"));
    assert_eq!(told(&api), [content]);
    let path = format!("/v1/workers/{worker}/blobs/{}", blob.digest);
    let body = client.try_bytes(Method::GET, &path, &[], Bytes::new()).await.unwrap();
    assert_eq!(body, (200, Bytes::from(whole)));
    let transcript = client.get(&format!("/v1/workers/{worker}/transcript?start=1&limit=1")).await.good();
    let entry = &transcript["transcript"]["items"][0];
    assert_eq!((&entry["result"], &entry["result_blob"]), (&json!(content), &Value::Null));

    server.kill().await;
    let server = home.start().await;
    assert_eq!(turn(&server.client(), &worker, "and now").await, "and now");
    assert_eq!(told(&api), [content]);
    assert_eq!(api.violations(), []);
}

#[tokio::test]
async fn a_worker_whose_mcp_server_says_nothing_is_ended_at_once_and_leaves_nothing() {
    let (api, work, fleet) = (Obedient::start().await, tempfile::tempdir().unwrap(), Fleet::new());
    // What it starts leaves its session, so that only a look for it finds it.
    let mute = format!(
        r#"
        capabilities = ["read", "mcp:mute"]
        [mcp.mute]
        command = "sh"
        args = ["-c", "setsid sleep 600 & sleep 601; :"]
        env = {{ {} }}
        "#,
        fleet.env(),
    );
    let home = home(&api, work.path(), &mute);
    let server = home.start().await;
    let client = server.client();
    let waits = async || {
        let worker = worker(&client).await;
        client.say(&worker, "hello").await;
        fleet.shows("sleep 600").await;
        fleet.shows("sleep 601").await;
        worker
    };
    let stopped = waits().await;
    let ack = client.post(&format!("/v1/workers/{stopped}/stop"), &json!({"grace_secs": 60})).await.good();
    assert_eq!((&ack["ack"]["status"], fleet.alive()), (&json!("stopped"), Vec::new()));
    let interrupted = waits().await;
    let ack = client.post(&format!("/v1/workers/{interrupted}/interrupt"), &json!({})).await.good();
    assert_eq!((&ack["ack"]["status"], fleet.alive()), (&json!("running"), Vec::new()));
    assert_eq!(client.idle(&interrupted).await["outcome"]["outcome"], "interrupted");
    let drained = waits().await;
    let finished = server.terminate().await;
    assert_eq!((finished.code, fleet.alive()), (Some(0), Vec::<String>::new()), "{}", finished.stderr);

    let server = home.start().await;
    for worker in [stopped, interrupted, drained] {
        let log = server.client().log(&worker).await;
        let ends: Vec<_> = log
            .iter()
            .filter_map(|event| {
                let Payload::SessionEnded(ended) = &event.payload else { return None };
                Some((ended.exit_ok, ended.aborted, ended.survivors.clone()))
            })
            .collect();
        assert_eq!(ends, [(true, false, Vec::new())]);
    }
}

#[tokio::test]
async fn a_run_shows_what_a_tool_changed() {
    let (api, work) = (Obedient::start().await, tempfile::tempdir().unwrap());
    std::fs::write(work.path().join("a.txt"), "gee\nhaw\n").unwrap();
    let home = home(&api, work.path(), "approval = { mode = \"allow\" }");
    let edit = json!({"path": "a.txt", "old": "haw\n", "new": "\u{1b}[31mmush\n"});
    let mut command = musher(home.path());
    command.env("LOCAL_KEY", LOCAL_KEY).current_dir(work.path()).arg("run").arg("--config");
    command.arg(home.path().join("musher.toml")).arg(call("edit_file", &edit));
    let run = Finished::of(&mut command).await;
    assert_eq!(run.code, Some(0), "{run:?}");
    let diff = "  --- a/a.txt\n  +++ b/a.txt\n  @@ -1,2 +1,2 @@\n   gee\n  -haw\n  +␛[31mmush\n";
    assert!(run.stdout.contains(diff), "{}", run.stdout);
}

#[tokio::test]
async fn a_model_on_the_machine_itself_is_reached_past_its_proxy() {
    let (api, work) = (Obedient::start().await, tempfile::tempdir().unwrap());
    // Whoever connects to this waits for ever.
    let proxy = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let home = home(&api, work.path(), "approval = { mode = \"allow\" }");
    let home = home.env("http_proxy", format!("http://{}", proxy.local_addr().unwrap()));
    let server = home.start().await;
    let client = server.client();
    let worker = worker(&client).await;
    assert_eq!(turn(&client, &worker, "mush").await, "mush");
    assert_eq!(api.violations(), []);
}

/// What a worker of a profile with this sandbox runs in, what its log has to report, and whether a command of it wrote
/// outside of its workspace; `None` where no such worker can be created, for want of Landlock.
async fn wrote_outside(sandbox: &str) -> Option<(String, Vec<String>, bool)> {
    let (api, work, outside) =
        (Obedient::start().await, tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let profile = format!("approval = {{ mode = \"allow\" }}\nsandbox = \"{sandbox}\"");
    let server = home(&api, work.path(), &profile).start().await;
    let client = server.client();
    let workspace = json!([{"name": "main", "reference": "shop"}]);
    let request = json!({"intent": {"kind": "assistant"}, "workspace_refs": workspace});
    let created = client.post("/v1/workers", &request).await;
    if created.status != 200 {
        assert_eq!(created.error(), (409, "worker_execution_unavailable"));
        let missing = created.body["error"]["missing"][0].as_str().unwrap();
        assert!(missing.starts_with("this kernel has no Landlock"), "{missing}");
        assert_eq!(client.get("/v1/workers").await.good()["workers"], json!([]));
        return None;
    }
    let worker = created.good()["worker"]["worker_id"].as_str().unwrap().to_owned();
    let file = outside.path().join("made");
    let command = format!("echo x > inside; echo x > '{}'", file.display());
    turn(&client, &worker, &shell(&command)).await;
    assert!(work.path().join("inside").exists(), "the workspace is the worker's");
    let log = client.log(&worker).await;
    let Came { content, is_error, .. } = result(&log);
    assert_eq!(
        (is_error, content.contains("Permission denied")),
        (!file.exists(), !file.exists()),
        "{content}"
    );
    let environment = log.iter().find_map(|event| {
        let Payload::SessionEnvironment(environment) = &event.payload else { return None };
        Some(environment.sandbox.clone())
    });
    let diagnostics = log.iter().filter_map(|event| {
        let Payload::Diagnostic { code, .. } = &event.payload else { return None };
        Some(code.clone())
    });
    Some((environment.unwrap(), diagnostics.collect(), file.exists()))
}

#[tokio::test]
async fn a_command_writes_where_the_sandbox_of_its_profile_lets_it() {
    let told = |sandbox: &str, diagnostics: &[&str], wrote: bool| {
        Some((sandbox.to_owned(), diagnostics.iter().map(|code| (*code).to_owned()).collect(), wrote))
    };
    assert_eq!(wrote_outside("none").await, told("none", &[], true));
    match wrote_outside("landlock").await {
        held @ Some(_) => {
            assert_eq!(held, told("landlock", &[], false));
            assert_eq!(wrote_outside("auto").await, held);
        }
        // The refusal has been looked at.
        None => {
            use std::io::Write as _;
            writeln!(std::io::stderr(), "NOT SHOWN HERE: this kernel has no Landlock").unwrap();
            assert_eq!(wrote_outside("auto").await, told("none", &["tools.no_sandbox"], true));
        }
    }
}

#[tokio::test]
async fn what_was_said_outlives_the_server() {
    let (api, work) = (Obedient::start().await, tempfile::tempdir().unwrap());
    let home = home(&api, work.path(), "approval = { mode = \"allow\" }");
    let server = home.start().await;
    let client = server.client();
    let worker = worker(&client).await;
    assert_eq!(turn(&client, &worker, "the word is husky").await, "the word is husky");
    server.kill().await;
    let server = home.start().await;
    let client = server.client();
    assert_eq!(turn(&client, &worker, "which word?").await, "which word?");
    let last = api.requests().pop().unwrap();
    let said: Vec<_> = last.body["messages"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|message| message["role"] != "system" && message["role"] != "developer")
        .map(|message| message["content"].clone())
        .collect();
    assert_eq!(said, ["the word is husky", "the word is husky", "which word?"]);
    assert_eq!(api.violations(), []);
}

#[tokio::test]
async fn a_steer_that_came_too_late_for_its_turn_begins_the_next_and_is_said_once() {
    let (api, work) = (Obedient::start().await, tempfile::tempdir().unwrap());
    let home = home(&api, work.path(), "approval = { mode = \"allow\" }");
    let server = home.start().await;
    let client = server.client();
    let worker = worker(&client).await;
    let mut stream = client.observe(&worker).await;
    stream.snapshot().await;
    client.say(&worker, "hang on a moment").await;
    stream.until(|payload| matches!(payload, Payload::TextDelta { .. })).await;
    let steer = json!({"kind": "user", "content": "gee", "input_id": "gee", "delivery": "steer"});
    let ack = client.post(&format!("/v1/workers/{worker}/input"), &steer).await.good();
    assert_eq!(ack["ack"]["transcript_sequence"], 2, "it joined the running turn");
    let ack = client.post(&format!("/v1/workers/{worker}/interrupt"), &json!({})).await.good();
    assert_eq!(ack["ack"]["status"], "running");
    assert_eq!(client.idle(&worker).await["outcome"]["text"], "gee");
    let log = client.log(&worker).await;
    let of_gee = log.iter().filter(|event| {
        let payload = serde_json::to_value(&event.payload).unwrap();
        payload["input_id"] == "gee" || payload["input_ids"] == json!(["gee"])
    });
    let expected = [
        "input_accepted",
        "input_delivered",
        "user_message",
        "input_delivered",
        "turn_started",
        "input_taken",
    ];
    assert_eq!(of_gee.map(|event| event.payload.type_name()).collect::<Vec<_>>(), expected);

    server.kill().await;
    let server = home.start().await;
    turn(&server.client(), &worker, "haw").await;
    let n_gees = |at: usize| {
        let body = &api.requests()[at].body;
        let messages = body["messages"].as_array().unwrap().iter();
        messages.filter(|message| message["role"] == "user" && message["content"] == "gee").count()
    };
    assert_eq!([n_gees(0), n_gees(1), n_gees(2)], [0, 1, 1]);
    assert_eq!(api.violations(), []);
}

#[tokio::test]
async fn what_is_missing_is_named_before_anything_is_created() {
    let (api, work) = (Obedient::start().await, tempfile::tempdir().unwrap());
    let tickets = "capabilities = [\"read\", \"mcp:tickets\"]\n[mcp.tickets]\ncommand = \"no-such-program\"";
    let server = home(&api, work.path(), tickets).env("LOCAL_KEY", "").start().await;
    let client = server.client();
    let answer = client.post("/v1/workers", &json!({"intent": {"kind": "assistant"}})).await;
    let text = format!("{answer:?}");
    assert_eq!(answer.error(), (409, "worker_execution_unavailable"));
    let program = "the program `no-such-program` of the MCP server `tickets` was not found";
    assert!(text.contains("LOCAL_KEY") && text.contains(program), "{text}");
    assert_eq!(client.get("/v1/workers").await.good()["workers"], json!([]));
}

#[tokio::test]
async fn a_cost_limit_is_refused_where_the_models_price_is_not_known() {
    let (api, work) = (Obedient::start().await, tempfile::tempdir().unwrap());
    let profiles = "limits = { cost_usd = 5.0 }\n\
        [profiles.free]\nbackend = \"local\"\nmodel = \"qwen\"\n\
        [profiles.priced]\nbackend = \"local\"\nmodel = \"gpt-5-mini\"\nlimits = { cost_usd = 5.0 }\n\
        [profiles.any]\nbackend = \"local\"\n";
    let server = home(&api, work.path(), profiles).start().await;
    let client = server.client();
    let create = async |profile: &str, limits: Value| {
        let profile = json!({"kind": "named", "value": profile});
        let request = json!({"intent": {"kind": "assistant"}, "profile": profile, "limits": limits});
        client.post("/v1/workers", &request).await
    };
    let costs = || json!({"cost_usd": 1.0});
    let no_price = "a price of the model `qwen`, without which a limit of `cost_usd` cannot hold";
    let no_model = "a model: neither the profile nor the backend `local` names one";
    for (profile, limits, missing) in [
        ("coder", json!({}), no_price),
        ("free", costs(), no_price),
        ("any", json!({}), no_model),
        ("any", costs(), no_model),
    ] {
        let refused = create(profile, limits).await;
        assert_eq!(refused.error(), (409, "worker_execution_unavailable"), "{refused:?}");
        assert_eq!(refused.body["error"]["missing"], json!([missing]));
    }
    assert_eq!(client.get("/v1/workers").await.good()["workers"], json!([]));
    assert_eq!(create("free", json!({"tokens": 1000})).await.status, 200);
    let worker = create("priced", costs()).await.good()["worker"].clone();
    assert_eq!((&worker["limits"]["cost_usd"], &worker["status"]), (&json!(1.0), &json!("running")));
}
