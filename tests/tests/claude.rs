//! The real Claude Code, both supported versions, against a fake Messages API: what users come for.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{fs, time::Duration};

use musher_e2e::{
    ALLOW, Claude, DENY, Finished, Fleet, Home, Kennel, PATIENCE, claude_config, musher, on_both_versions,
    types,
};
use musher_protocol::{Envelope, Payload, RunState, TurnOutcome};
use musher_testkit::{
    messages_api::{CACHE_CREATION_INPUT_TOKENS, CACHE_READ_INPUT_TOKENS, INPUT_TOKENS, MessagesApi},
    program::executable,
};
use serde_json::json;

/// How long processes may live on after their server was killed.
const AFTER_KILL: Duration = Duration::from_secs(5);

/// The place of the first event of a type.
fn place(log: &[Envelope], name: &str) -> usize {
    log.iter()
        .position(|event| event.payload.type_name() == name)
        .unwrap_or_else(|| panic!("no {name} in the log"))
}

#[track_caller]
fn assert_order(log: &[Envelope], names: &[&str]) {
    let places: Vec<_> = names.iter().map(|name| place(log, name)).collect();
    assert!(places.is_sorted(), "{names:?} are at {places:?}");
}

async fn a_tool_turn_and_a_second_turn_in_the_same_session(claude: Claude) {
    let kennel = Kennel::open(claude).await;
    let worker = kennel.worker().await;
    let mut stream = kennel.client.observe(&worker).await;
    stream.snapshot().await;
    let file = kennel.work.path().join("made.txt");
    let outcome = kennel.turn(&worker, &format!("@@write:{}@@", file.display())).await;
    assert_eq!(
        (outcome["outcome"].as_str(), outcome["text"].as_str()),
        (Some("completed"), Some("FAKE-DONE write step=1"))
    );
    assert_eq!(fs::read_to_string(&file).unwrap(), "line 1\nline 2\n");
    assert!(
        outcome["usage"]["output_tokens"].as_u64().unwrap() > 0
            && outcome["usage"]["total_cost_usd"].as_f64().unwrap() > 0.0,
        "{outcome}"
    );

    let second = kennel.turn(&worker, "and now?").await;
    assert_eq!(second["text"], "FAKE-OK: and now?");
    assert_eq!(second["session_id"], outcome["session_id"]);
    kennel.stop(&worker).await;
    assert_eq!(stream.end().await, 1000);

    let log = kennel.client.log(&worker).await;
    assert_eq!(stream.seen, log[log.len() - stream.seen.len()..], "the stream is the log");
    assert_order(
        &log,
        &[
            "worker_created",
            "input_accepted",
            "input_delivered",
            "user_message",
            "turn_started",
            "session_started",
            "input_taken",
            "tool_call_started",
            "tool_call_done",
            "approval_requested",
            "approval_resolved",
            "tool_result",
            "text_done",
            "turn_finished",
            "stop_requested",
            "session_ended",
            "worker_stopped",
        ],
    );
    let sessions = log.iter().filter(|event| event.payload.type_name() == "session_started").count();
    assert_eq!(sessions, 1, "both turns ran in one process");
    let ended = log.iter().find_map(|event| {
        let Payload::SessionEnded(ended) = &event.payload else { return None };
        Some(ended)
    });
    let ended = ended.unwrap();
    assert_eq!((ended.exit_ok, ended.aborted, ended.survivors.len()), (true, false, 0), "{ended:?}");
    kennel.close();
}

async fn a_denied_tool_does_not_run(claude: Claude) {
    let kennel = Kennel::open_with(claude.program().to_str().unwrap(), DENY).await;
    let worker = kennel.worker().await;
    let file = kennel.work.path().join("made.txt");
    let outcome = kennel.turn(&worker, &format!("@@write:{}@@", file.display())).await;
    assert_eq!((outcome["outcome"].as_str(), file.exists()), (Some("completed"), false));
    let log = kennel.client.log(&worker).await;
    let refused =
        log.iter().any(|event| matches!(&event.payload, Payload::ToolResult { is_error: true, .. }));
    assert!(refused, "a refused tool call is an event");
    kennel.stop(&worker).await;
    kennel.close();
}

async fn an_interrupt_ends_the_turn_and_keeps_the_session(claude: Claude) {
    let kennel = Kennel::open(claude).await;
    let worker = kennel.worker().await;
    let mut stream = kennel.client.observe(&worker).await;
    kennel.client.say(&worker, "@@slow:200,100@@").await;
    stream.until(|payload| matches!(payload, Payload::TextDelta { .. })).await;
    let ack = kennel
        .client
        .post(&format!("/v1/workers/{worker}/interrupt"), &json!({"reason": "enough"}))
        .await
        .good();
    let detail = kennel.client.get(&format!("/v1/workers/{worker}")).await.good()["worker"].clone();
    assert_eq!(
        (detail["outcome"]["outcome"].as_str(), detail["execution"]["run_state"].as_str()),
        (Some("interrupted"), Some("idle"))
    );
    let log = kennel.client.log(&worker).await;
    let requested = place(&log, "interrupt_requested");
    assert_eq!(json!(log[requested].event_id), ack["ack"]["event_id"]);
    assert!(requested < place(&log, "turn_finished"));
    assert_eq!(kennel.turn(&worker, "still there?").await["text"], "FAKE-OK: still there?");
    kennel.stop(&worker).await;
    kennel.close();
}

async fn a_stop_in_the_middle_of_a_tool_leaves_nothing(claude: Claude) {
    let kennel = Kennel::open(claude).await;
    let worker = kennel.worker().await;
    kennel.client.say(&worker, "@@bash:python3 -c 'import time; time.sleep(600)'@@").await;
    kennel.fleet.shows("time.sleep(600)").await;
    let ack = kennel.stop(&worker).await;
    assert_eq!(ack["ack"]["status"], "stopped");
    let log = kennel.client.log(&worker).await;
    let finished = log.iter().find_map(|event| {
        let Payload::TurnFinished(finished) = &event.payload else { return None };
        Some(finished)
    });
    assert_eq!(finished.unwrap().outcome, TurnOutcome::Interrupted);
    assert_order(
        &log,
        &[
            "tool_call_done",
            "stop_requested",
            "tool_result",
            "turn_finished",
            "session_ended",
            "worker_stopped",
        ],
    );
    kennel.close();
}

async fn a_killed_server_leaves_no_process(claude: Claude) {
    let kennel = Kennel::open(claude).await;
    let worker = kennel.worker().await;
    kennel.client.say(&worker, "@@bash:nohup python3 -c 'import time; time.sleep(600)'@@").await;
    kennel.fleet.shows("time.sleep(600)").await;
    let Kennel { server, fleet, .. } = kennel;
    server.kill().await;
    fleet.is_gone_within(AFTER_KILL).await;
}

async fn a_worker_killed_in_the_middle_of_a_tool_comes_back_in_its_session(claude: Claude) {
    let (api, fleet) = (MessagesApi::start().await, Fleet::new());
    let (vendor, work) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let program = claude.program();
    let config = claude_config(program.to_str().unwrap(), ALLOW, &api, &fleet, vendor.path(), work.path());
    let home = Home::new(&config);
    let server = home.start().await;
    let client = server.client();
    let worker = client.create(&json!({"intent": {"kind": "assistant"}})).await;
    client.say(&worker, "remember the number 42").await;
    let first = client.idle(&worker).await["outcome"].clone();
    assert_eq!(first["outcome"], "completed", "{first}");
    client.say(&worker, "@@bash:python3 -c 'import time; time.sleep(600)'@@").await;
    fleet.shows("time.sleep(600)").await;
    let before = client.log(&worker).await;
    server.kill().await;
    fleet.is_gone_within(AFTER_KILL).await;

    let server = home.start().await;
    let client = server.client();
    let after = client.log(&worker).await;
    assert_eq!(after[..before.len()], before, "what was there stays");
    let truth = &after[before.len()..];
    let expected = [
        "usage",
        "tool_result",
        "turn_finished",
        "session_ended",
        "input_accepted",
        "input_delivered",
        "system_item",
        "turn_started",
    ];
    assert_eq!(types(truth)[..expected.len()], expected);
    let Payload::TurnFinished(cut) = &truth[2].payload else { panic!("{:?}", truth[2]) };
    assert_eq!(
        (cut.outcome, cut.last_tool.as_deref(), cut.tool_may_have_run),
        (TurnOutcome::Interrupted, Some("Bash"), true)
    );
    let one_request = CACHE_CREATION_INPUT_TOKENS + CACHE_READ_INPUT_TOKENS + INPUT_TOKENS;
    assert_eq!(
        (cut.usage.input_tokens, cut.usage.total_cost_usd, cut.usage.known_cost_usd),
        (Some(one_request), None, Some(0.0)),
        "the answer's tokens were told, its cost was not"
    );
    let told = client.idle(&worker).await["outcome"].clone();
    assert_eq!(
        (&told["outcome"], &told["session_id"]),
        (&json!("completed"), &first["session_id"]),
        "{told}"
    );

    client.say(&worker, "and now?").await;
    let next = client.idle(&worker).await["outcome"].clone();
    assert_eq!(
        (next["text"].as_str(), &next["session_id"]),
        (Some("FAKE-OK: and now?"), &first["session_id"])
    );
    let asked = api.requests().last().unwrap().body.to_string();
    assert!(asked.contains("remember the number 42"), "the model knows what was said before the kill");
    let log = client.log(&worker).await;
    let turns: Vec<_> = log.iter().filter_map(|event| cost_of_turn(&event.payload)).collect();
    assert!(matches!(turns[..], [Some(_), None, Some(_), Some(_)]), "{turns:?}");
    let usage = client.get(&format!("/v1/workers/{worker}")).await.good()["worker"]["usage"].clone();
    let known: f64 = turns.into_iter().flatten().sum();
    assert!((usage["known_cost_usd"].as_f64().unwrap() - known).abs() < 1e-9, "{usage} {known}");
    let input = one_request * api.requests().len() as u64;
    assert_eq!(
        (&usage["total_cost_usd"], &usage["input_tokens"]),
        (&json!(null), &json!(input)),
        "counted once"
    );
    let stopped = client.post(&format!("/v1/workers/{worker}/stop"), &json!({})).await;
    assert_eq!(stopped.status, 200, "{}", stopped.body);
    assert_eq!((fleet.alive(), api.violations()), (Vec::<String>::new(), Vec::new()));
}

/// What a turn cost that ended, where that is known.
fn cost_of_turn(payload: &Payload) -> Option<Option<f64>> {
    let Payload::TurnFinished(finished) = payload else { return None };
    Some(finished.usage.total_cost_usd)
}

async fn prompts_reach_the_model_as_they_are(claude: Claude) {
    let kennel = Kennel::open(claude).await;
    let worker = kennel.worker().await;
    let large = format!("{} end", "0123456789abcdef".repeat(200 * 1024 / 16));
    for prompt in
        ["--help", "/cost", "/etc/hosts is broken", "!echo hi", "@/etc/hostname", "# heading", large.as_str()]
    {
        let outcome = kennel.turn(&worker, prompt).await;
        assert_eq!(outcome["outcome"], "completed", "{outcome}");
        assert_eq!(kennel.last_prompt(), prompt);
    }
    kennel.stop(&worker).await;
    kennel.close();
}

async fn a_run_streams_a_tool_turn_readably(claude: Claude) {
    let api = MessagesApi::start().await;
    let (home, work, fleet) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), Fleet::new());
    let file = home.path().join("musher.toml");
    fs::write(
        &file,
        claude_config(claude.program().to_str().unwrap(), ALLOW, &api, &fleet, home.path(), work.path()),
    )
    .unwrap();
    let mut command = musher(home.path());
    let run = Finished::of(
        command.args(["run", "@@bash:echo from the tool@@", "--config"]).arg(&file).current_dir(work.path()),
    )
    .await;
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let lines: Vec<_> = run.stdout.lines().skip(1).collect();
    let tool = r#"* Bash {"command":"echo from the tool","description":"fake command"}"#;
    assert_eq!(
        lines,
        ["> @@bash:echo from the tool@@", "I will run it.", tool, "  from the tool", "FAKE-DONE bash step=1"],
        "{}",
        run.stdout
    );
    assert!(run.stderr.starts_with("done · "), "{}", run.stderr);
    assert_eq!((api.violations(), fleet.alive()), (Vec::new(), Vec::<String>::new()));
}

on_both_versions!(
    a_tool_turn_and_a_second_turn_in_the_same_session,
    a_denied_tool_does_not_run,
    an_interrupt_ends_the_turn_and_keeps_the_session,
    a_stop_in_the_middle_of_a_tool_leaves_nothing,
    a_killed_server_leaves_no_process,
    a_worker_killed_in_the_middle_of_a_tool_comes_back_in_its_session,
    prompts_reach_the_model_as_they_are,
    a_run_streams_a_tool_turn_readably,
);

#[tokio::test]
async fn a_cli_that_dies_before_its_first_event_is_told_with_its_last_words() {
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("claude");
    executable(&program, "#!/bin/sh\necho 'license expired' >&2\nexit 3\n");
    let kennel = Kennel::open_with(program.to_str().unwrap(), ALLOW).await;
    let worker = kennel.worker().await;
    let outcome = kennel.turn(&worker, "hello").await;
    assert_eq!(
        (outcome["outcome"].as_str(), outcome["aborted"].as_bool()),
        (Some("failed"), Some(true)),
        "{outcome}"
    );
    assert!(outcome["error"]["message"].as_str().unwrap().contains("license expired"), "{outcome}");
    let log = kennel.client.log(&worker).await;
    let ended = log.iter().find_map(|event| {
        let Payload::SessionEnded(ended) = &event.payload else { return None };
        Some(ended)
    });
    let ended = ended.unwrap();
    assert_eq!(
        (ended.exit_code, ended.exit_ok, ended.stderr_tail.as_deref()),
        (Some(3), false, Some("license expired"))
    );
    let last_state = log.iter().rev().find_map(|event| {
        let Payload::Status { execution, .. } = &event.payload else { return None };
        Some(execution.run_state)
    });
    assert_eq!(last_state, Some(RunState::Errored));
    kennel.fleet.is_gone_within(PATIENCE).await;
}
