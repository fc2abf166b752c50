//! What goes wrong around the real Claude Code, both supported versions, and what the log says of it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(clippy::wildcard_enum_match_arm, reason = "a test names the few events that it is about")]

use std::{fs, path::Path};

use musher_e2e::{ALLOW, Claude, Credential, Kennel, Process, fake_claude, on_both_versions, types};
use musher_protocol::{Envelope, LimitKind, Payload, RunState};
use musher_testkit::messages_api::prompt;
use rustix::process::Signal;
use serde_json::{Value, json};

async fn open(claude: Claude, profile: &str) -> Kennel {
    open_as(claude, profile, Credential::Key).await
}

async fn open_as(claude: Claude, profile: &str, credential: Credential) -> Kennel {
    let profile = format!("approval = {ALLOW}\n{profile}");
    Kennel::open_as(claude.program().to_str().unwrap(), &profile, credential).await
}

fn find<'a, T>(log: &'a [Envelope], pick: impl Fn(&'a Payload) -> Option<T>) -> Vec<T> {
    log.iter().filter_map(|event| pick(&event.payload)).collect()
}

fn states(log: &[Envelope]) -> Vec<RunState> {
    find(
        log,
        |payload| {
            if let Payload::Status { execution, .. } = payload { Some(execution.run_state) } else { None }
        },
    )
}

fn diagnostics(log: &[Envelope]) -> Vec<&str> {
    find(
        log,
        |payload| if let Payload::Diagnostic { code, .. } = payload { Some(code.as_str()) } else { None },
    )
}

/// Removes the files in which the program keeps its sessions.
fn forget_sessions(config: &Path) {
    fs::remove_dir_all(config.join("projects")).unwrap();
}

async fn a_session_that_is_gone_is_replaced_once_and_told_what_was_said(claude: Claude) {
    let kennel = open(claude, "").await;
    let worker = kennel.worker().await;
    let first = kennel.turn(&worker, "remember the number 42").await;
    let kennel = kennel.restarted().await;
    forget_sessions(&kennel.vendor.path().join("config"));
    let second = kennel.turn(&worker, "and now?").await;
    assert_eq!((&second["outcome"], &second["text"]), (&json!("completed"), &json!("FAKE-OK: and now?")));
    assert_ne!(second["session_id"], first["session_id"]);
    let asked = kennel.api.requests().last().unwrap().body["messages"].to_string();
    let told = |role: &str, content: &str| {
        let line = json!({"content": content, "role": role}).to_string();
        let quoted = json!(line).to_string();
        assert!(asked.contains(quoted.trim_matches('"')), "{asked}");
    };
    told("user", "remember the number 42");
    told("assistant", "FAKE-OK: remember the number 42");

    let log = kennel.client.log(&worker).await;
    let sessions = find(&log, |payload| match payload {
        Payload::SessionStarted(started) => Some(if started.resumed { "resumed" } else { "new" }),
        Payload::SessionEnded(ended) => Some(if ended.aborted { "aborted" } else { "ended" }),
        Payload::Diagnostic { code, .. } if code == "session.resume_refused" => Some("refused"),
        Payload::TurnFinished(_) => Some("turn"),
        _ => None,
    });
    assert_eq!(sessions, ["new", "turn", "ended", "resumed", "aborted", "refused", "new", "turn"]);
    // Once: the next turn goes on in the new session, and is not told again.
    assert_eq!(kennel.turn(&worker, "still?").await["session_id"], second["session_id"]);
    kennel.stop(&worker).await;
    kennel.close();
}

async fn a_worker_may_begin_in_a_session_that_is_there_or_is_not(claude: Claude) {
    let kennel = open(claude, "").await;
    let other = kennel.worker().await;
    let there = kennel.turn(&other, "remember the number 42").await["session_id"].clone();
    kennel.stop(&other).await;

    let worker = kennel.worker_with(json!({"resume": {"session_id": there}})).await;
    let outcome = kennel.turn(&worker, "go on").await;
    assert_eq!((&outcome["outcome"], &outcome["session_id"]), (&json!("completed"), &there));
    let asked = kennel.api.requests().last().unwrap().body.to_string();
    assert!(asked.contains("remember the number 42"), "{asked}");
    kennel.stop(&worker).await;

    let gone = "11111111-1111-4111-8111-111111111111";
    let worker = kennel.worker_with(json!({"resume": {"session_id": gone}})).await;
    let outcome = kennel.turn(&worker, "go on").await;
    assert_eq!(outcome["error"]["code"], "resume_refused", "{outcome}");
    kennel.stop(&worker).await;

    let resume = json!({"session_id": gone, "fresh_prompt": "the whole story"});
    let worker = kennel.worker_with(json!({"resume": resume})).await;
    let outcome = kennel.turn(&worker, "go on").await;
    assert_eq!((&outcome["outcome"], &outcome["text"]), (&json!("completed"), &json!("FAKE-OK: go on")));
    let asked = kennel.api.requests().last().unwrap().body.to_string();
    assert!(asked.contains("the whole story"), "{asked}");
    kennel.stop(&worker).await;
    kennel.close();
}

async fn a_usage_limit_parks_the_turn_which_goes_on_by_itself(claude: Claude) {
    let kennel = open_as(claude, "", Credential::Login).await;
    let worker = kennel.worker().await;
    let outcome = kennel.turn(&worker, "@@limit:five_hour,1,2@@").await;
    assert_eq!(outcome["outcome"], "completed", "{outcome}");
    let log = kennel.client.log(&worker).await;
    let limits = find(&log, |payload| {
        if let Payload::RateLimited { scope, reset_at } = payload {
            Some((scope.as_str(), reset_at.is_some()))
        } else {
            None
        }
    });
    assert_eq!(limits, [("five_hour", true)]);
    assert_eq!(
        states(&log),
        [RunState::Busy, RunState::Busy, RunState::Parked, RunState::Busy, RunState::Idle]
    );
    let said = types(&log).iter().filter(|name| **name == "user_message").count();
    assert_eq!(said, 1, "the same input again is no new message");
    kennel.stop(&worker).await;
    kennel.close();
}

async fn a_parked_worker_is_shown_to_people_until_it_waits_no_more(claude: Claude) {
    let kennel = open_as(claude, "", Credential::Login).await;
    let worker = kennel.worker().await;
    let mut stream = kennel.client.observe(&worker).await;
    kennel.client.say(&worker, "@@limit:five_hour,1,600@@").await;
    stream.until(|payload| matches!(payload, Payload::Status { execution, .. } if execution.run_state == RunState::Parked)).await;
    let detail = kennel.client.get(&format!("/v1/workers/{worker}")).await.good();
    let waits = kennel.client.get("/v1/attention").await.good();
    let [item] = &waits["attention"].as_array().unwrap()[..] else { panic!("one thing waits: {waits}") };
    assert_eq!((&item["kind"], &item["worker_id"]), (&json!("parked"), &json!(worker)), "{item}");
    assert!(item["until"].is_string() && item["until"] == detail["worker"]["execution"]["until"], "{item}");

    let interrupted = kennel.client.post(&format!("/v1/workers/{worker}/interrupt"), &json!({})).await;
    assert_eq!(interrupted.status, 200, "{}", interrupted.body);
    assert_eq!(kennel.client.idle(&worker).await["outcome"]["outcome"], "interrupted");
    assert_eq!(kennel.client.get("/v1/attention").await.good()["attention"], json!([]));
    assert_eq!(kennel.turn(&worker, "hello").await["outcome"], "completed");
    kennel.stop(&worker).await;
    kennel.close();
}

async fn a_usage_limit_ends_the_turn_where_the_profile_says_so(claude: Claude) {
    let kennel = open(claude, "on_rate_limit = \"end\"").await;
    let worker = kennel.worker().await;
    let outcome = kennel.turn(&worker, "@@limit:five_hour@@").await;
    assert_eq!((&outcome["outcome"], &outcome["error"]["code"]), (&json!("failed"), &json!("rate_limited")));
    assert_eq!(kennel.turn(&worker, "hello").await["outcome"], "completed", "the session goes on");
    kennel.stop(&worker).await;
    kennel.close();
}

async fn wrong_credentials_end_the_turn_soon(claude: Claude) {
    let kennel = open(claude, "").await;
    let worker = kennel.worker().await;
    let outcome = kennel.turn(&worker, "@@status:401@@").await;
    assert_eq!(outcome["error"]["code"], "authentication_failed", "{outcome}");
    let log = kennel.client.log(&worker).await;
    let attempts = find(&log, |payload| {
        if let Payload::Retrying(retrying) = payload {
            Some((retrying.attempt, retrying.max_attempts))
        } else {
            None
        }
    });
    assert_eq!(attempts, [(1, 10), (2, 10), (3, 10)]);

    let waits = kennel.client.get("/v1/attention").await.good();
    let [item] = &waits["attention"].as_array().unwrap()[..] else { panic!("one thing waits: {waits}") };
    assert_eq!((&item["kind"], &item["worker_id"]), (&json!("login"), &json!(worker)), "{item}");
    assert!(item["message"].as_str().unwrap().starts_with("cannot log in: "), "{item}");
    assert_eq!(kennel.turn(&worker, "hello").await["outcome"], "completed");
    assert_eq!(kennel.client.get("/v1/attention").await.good()["attention"], json!([]));
    kennel.stop(&worker).await;
    kennel.close();
}

async fn a_program_that_is_interrupted_by_others_ends_its_turn_and_its_session(claude: Claude) {
    let kennel = open(claude, "").await;
    let worker = kennel.worker().await;
    let mut stream = kennel.client.observe(&worker).await;
    kennel.client.say(&worker, "@@hang@@").await;
    kennel.api.request_where(|request| prompt(request).contains("@@hang@@")).await;
    let program = kennel.fleet.processes().into_iter().find(Process::is_program).unwrap();
    assert!(program.send(Signal::INT), "it runs");
    let ended = stream.until(|payload| matches!(payload, Payload::SessionEnded(_))).await;
    let Payload::SessionEnded(ended) = ended else { unreachable!("it was waited for") };
    assert_eq!((ended.exit_code, ended.signal), (Some(0), None));

    let outcome = kennel.client.idle(&worker).await["outcome"].clone();
    // Both versions end at once, and only sometimes get to write that the turn was aborted.
    let expected = if ended.exit_ok {
        (json!("interrupted"), Value::Null)
    } else {
        (json!("failed"), json!("session_ended"))
    };
    assert_eq!((&outcome["outcome"], &outcome["error"]["code"]), (&expected.0, &expected.1), "{outcome}");
    assert_eq!(kennel.turn(&worker, "hello").await["outcome"], "completed", "the session is continued");
    kennel.stop(&worker).await;
    kennel.close();
}

#[tokio::test]
async fn an_end_without_a_result_is_no_success_whatever_the_exit_code() {
    let kennel = Kennel::open_with(fake_claude().to_str().unwrap(), ALLOW).await;
    let worker = kennel.worker().await;
    let outcome = kennel.turn(&worker, "@@exit:0@@").await;
    assert_eq!((&outcome["outcome"], &outcome["error"]["code"]), (&json!("failed"), &json!("session_ended")));
    let log = kennel.client.log(&worker).await;
    let ended = find(&log, |payload| {
        if let Payload::SessionEnded(ended) = payload { Some((ended.exit_ok, ended.exit_code)) } else { None }
    });
    assert_eq!(ended, [(false, Some(0))]);
    assert_eq!(kennel.turn(&worker, "hello").await["outcome"], "completed", "the session is continued");
    kennel.stop(&worker).await;
    kennel.close();
}

async fn an_overloaded_vendor_is_tried_again_and_named_in_the_end(claude: Claude) {
    let kennel = open(claude, "").await;
    let worker = kennel.worker().await;
    let outcome = kennel.turn(&worker, "@@status:529@@").await;
    assert_eq!(outcome["error"]["code"], "overloaded", "{outcome}");
    let log = kennel.client.log(&worker).await;
    let attempts =
        find(
            &log,
            |payload| {
                if let Payload::Retrying(retrying) = payload { Some(retrying.attempt) } else { None }
            },
        );
    assert_eq!(attempts, [1, 2]);
    kennel.stop(&worker).await;
    kennel.close();
}

async fn a_turn_that_hangs_is_ended_and_the_next_one_runs(claude: Claude) {
    let kennel = open(claude, "limits = { inactivity_secs = 8 }").await;
    let worker = kennel.worker().await;
    for prompt in ["@@hang@@", "@@hangmid@@"] {
        let outcome = kennel.turn(&worker, prompt).await;
        assert_eq!(
            (&outcome["outcome"], &outcome["limit"]),
            (&json!("limit_reached"), &json!("inactivity_secs"))
        );
        assert_eq!(kennel.turn(&worker, "hello").await["outcome"], "completed");
    }
    kennel.stop(&worker).await;
    kennel.close();
}

async fn a_running_tool_is_no_silence_and_the_wall_ends_it(claude: Claude) {
    let kennel = open(claude, "limits = { inactivity_secs = 10, wall_secs = 25 }").await;
    let worker = kennel.worker().await;
    let outcome = kennel.turn(&worker, "@@bash:true; python3 -c 'import time; time.sleep(600)'@@").await;
    assert_eq!((&outcome["outcome"], &outcome["limit"]), (&json!("limit_reached"), &json!("wall_secs")));
    let log = kennel.client.log(&worker).await;
    let reached =
        find(&log, |payload| if let Payload::LimitReached { which } = payload { Some(*which) } else { None });
    assert_eq!(reached, [LimitKind::WallSecs]);
    let input = json!({"kind": "user", "content": "more"});
    let refused = kennel.client.post(&format!("/v1/workers/{worker}/input"), &input).await;
    assert_eq!(refused.error(), (409, "worker_execution_rejected"));
    assert!(refused.body["error"]["message"].as_str().unwrap().ends_with("its limit of wall_secs"));
    kennel.stop(&worker).await;
    kennel.close();
}

async fn rounds_of_tools_are_limited(claude: Claude) {
    let kennel = open(claude, "limits = { tool_rounds = 2 }").await;
    let worker = kennel.worker().await;
    let outcome = kennel.turn(&worker, "@@loop@@").await;
    assert_eq!((&outcome["outcome"], &outcome["limit"]), (&json!("limit_reached"), &json!("tool_rounds")));
    assert_eq!(kennel.turn(&worker, "hello").await["outcome"], "completed");
    kennel.stop(&worker).await;
    kennel.close();
}

async fn tasks_in_the_background_are_a_state_with_an_end(claude: Claude) {
    let kennel = open(claude, "limits = { background_secs = 5 }").await;
    let worker = kennel.worker().await;
    let mut stream = kennel.client.observe(&worker).await;
    let long = r#"@@tool:Bash|{"command":"sleep 600; echo","run_in_background":true}@@"#;
    // From its beginning on: what is looked at later has an end by then.
    let (outcome, ()) = tokio::join!(kennel.turn(&worker, long), kennel.fleet.shows("sleep 600"));
    assert_eq!(outcome["outcome"], "completed");
    stream.until(|payload| matches!(payload, Payload::SessionEnded(_))).await;
    assert_eq!(states(&stream.seen)[..3], [RunState::Busy, RunState::Busy, RunState::Background]);
    assert_eq!(kennel.fleet.alive(), Vec::<String>::new());
    let log = kennel.client.log(&worker).await;
    assert_eq!(diagnostics(&log).last(), Some(&"background.limit"));
    let survivors = find(&log, |payload| {
        if let Payload::SessionEnded(ended) = payload { Some(ended.survivors.len()) } else { None }
    });
    assert_eq!(survivors, [0]);
    assert_eq!(kennel.turn(&worker, "hello").await["outcome"], "completed", "the session is continued");
    kennel.stop(&worker).await;
    kennel.close();
}

async fn a_worker_has_no_tool_beyond_what_it_asked_for(claude: Claude) {
    let kennel = open(claude, "capabilities = [\"read\", \"shell\"]").await;
    let beyond = json!({"intent": {"kind": "assistant"}, "requested_capabilities": [{"name": "write"}]});
    let refused = kennel.client.post("/v1/workers", &beyond).await;
    assert_eq!(refused.error(), (403, "forbidden"));
    let worker = kennel.worker_with(json!({"requested_capabilities": [{"name": "read"}]})).await;
    let detail = kennel.client.get(&format!("/v1/workers/{worker}")).await.good();
    assert_eq!(detail["worker"]["capabilities"], json!(["read"]));
    kennel.turn(&worker, "@@bash:touch made@@").await;
    assert!(!kennel.work.path().join("made").exists());
    let log = kennel.client.log(&worker).await;
    let refused: Vec<Value> = find(&log, |payload| {
        if let Payload::ToolResult { is_error: true, .. } = payload { Some(json!(payload)) } else { None }
    });
    assert_eq!(refused.len(), 1, "a refused tool call is an event: {refused:?}");
    kennel.stop(&worker).await;
    kennel.close();
}

on_both_versions!(
    a_session_that_is_gone_is_replaced_once_and_told_what_was_said,
    a_worker_may_begin_in_a_session_that_is_there_or_is_not,
    a_usage_limit_parks_the_turn_which_goes_on_by_itself,
    a_parked_worker_is_shown_to_people_until_it_waits_no_more,
    a_usage_limit_ends_the_turn_where_the_profile_says_so,
    wrong_credentials_end_the_turn_soon,
    a_program_that_is_interrupted_by_others_ends_its_turn_and_its_session,
    an_overloaded_vendor_is_tried_again_and_named_in_the_end,
    a_turn_that_hangs_is_ended_and_the_next_one_runs,
    a_running_tool_is_no_silence_and_the_wall_ends_it,
    rounds_of_tools_are_limited,
    tasks_in_the_background_are_a_state_with_an_end,
    a_worker_has_no_tool_beyond_what_it_asked_for,
);
