//! What is said to a worker reaches the model as it is, on the newest and the oldest version.

#[macro_use]
mod stage;

use std::fs;

use musher_backend::{Event, Launch, TurnEnd};
use musher_protocol::InputKind;
use serde_json::{Value, json};

use self::stage::{LATEST, OLD, Run, Stage, run::PATIENCE};

/// The last message of the user in the last request, as the model sees it.
fn last_user_content(stage: &Stage) -> Value {
    let requests = stage.api.requests();
    let messages = requests.last().expect("a request").body["messages"].as_array().cloned();
    let messages = messages.expect("a request has messages");
    messages.into_iter().rfind(|message| message["role"] == "user").expect("a user's message")["content"]
        .clone()
}

/// Whether a block of that is exactly this text, and nothing of `canary` is anywhere.
fn assert_verbatim(stage: &Stage, prompt: &str, canary: &str) {
    let content = last_user_content(stage);
    let is_prompt = |block: &&Value| block["text"] == prompt;
    let n_prompts = content.as_array().expect("blocks").iter().filter(is_prompt).count();
    assert_eq!(n_prompts, 1, "{prompt:?} in {content:#}");
    let body = stage.api.requests().last().expect("a request").body.to_string();
    assert!(!body.contains(canary), "a file was attached for {prompt:?}");
}

async fn nothing_is_a_command(variable: &str) {
    let stage = Stage::of(variable).await;
    let outside = stage.home.path().join("outside.txt");
    fs::write(&outside, "OUTSIDE-CANARY").expect("a file of ours");
    fs::write(stage.work.path().join("inside.txt"), "INSIDE-CANARY").expect("a file of ours");
    let mut run = Run::start(stage.options(), stage.launch());
    let mention = format!("@{} and @inside.txt", outside.display());
    for (n, prompt) in [
        "/cost",
        "/clear",
        "/exit",
        "/nosuch thing",
        "- a list",
        "--help",
        "!echo hi",
        "#remember",
        "@/etc/hostname",
        &mention,
        "a\r\nb\u{2028}c\u{1b}[31m\0d",
        " leading and trailing ",
    ]
    .into_iter()
    .enumerate()
    {
        run.completed(prompt).await;
        assert_eq!(stage.api.requests().len(), n + 1, "one request for {prompt:?}");
        assert_verbatim(&stage, prompt, "-CANARY");
    }
    let outcome = run.end(PATIENCE).await;
    assert!(outcome.exit_ok, "{outcome:?}");
    assert_eq!(stage.api.violations(), []);
}

async fn a_large_prompt_arrives(variable: &str) {
    let stage = Stage::of(variable).await;
    let mut run = Run::start(stage.options(), stage.launch());
    let prompt = "0123456789abcdef".repeat(200 * 1024 / 16);
    run.completed(&prompt).await;
    assert_verbatim(&stage, &prompt, "-CANARY");
    run.end(PATIENCE).await;
}

async fn a_long_answer_arrives_whole(variable: &str) {
    const LENGTH: usize = 1_000_000;
    let stage = Stage::of(variable).await;
    let mut run = Run::start(stage.options(), stage.launch());
    let (mut pieces, mut whole) = (String::new(), String::new());
    for event in run.completed(&format!("@@giant:{LENGTH}@@")).await {
        if let Event::TextDelta { text, .. } = event {
            pieces += &text;
        } else if let Event::TextDone { text, .. } = event {
            whole += &text;
        }
    }
    assert_eq!(whole.len(), LENGTH);
    assert!(pieces == whole);
    run.end(PATIENCE).await;
}

async fn instructions_are_added_to_the_vendors(variable: &str) {
    let stage = Stage::of(variable).await;
    let launch = Launch {
        instructions: Some("Answer like a \"musher\".\n--help".to_owned()),
        model: Some("claude-opus-4-8".to_owned()),
        ..stage.launch()
    };
    let mut run = Run::start(stage.options(), launch);
    run.completed("hello").await;
    let request = &stage.api.requests()[0];
    assert!(request.body["system"].to_string().contains(r#"Answer like a \"musher\".\n--help"#));
    assert_eq!(request.body["model"], "claude-opus-4-8");
    run.end(PATIENCE).await;
}

async fn the_systems_words_are_marked(variable: &str) {
    let stage = Stage::of(variable).await;
    let mut run = Run::start(stage.options(), stage.launch());
    run.send(InputKind::System, "/cost is what you stopped at").await;
    run.until_over().await;
    assert_verbatim(&stage, "<system-message>\n/cost is what you stopped at\n</system-message>", "-CANARY");
    run.end(PATIENCE).await;
}

async fn a_blank_input_is_refused(variable: &str) {
    let stage = Stage::of(variable).await;
    let mut run = Run::start(stage.options(), stage.launch());
    let events = run.turn(" \n").await;
    assert_eq!(events, [Event::TurnEnded(TurnEnd::failed("empty_input", "the input is blank"))]);
    run.completed("hello").await;
    assert_eq!(stage.api.requests().len(), 1);
    run.end(PATIENCE).await;
}

async fn a_session_says_what_it_runs_with(variable: &str) {
    let stage = Stage::of(variable).await;
    let mut run = Run::start(stage.options(), stage.launch());
    let first = run.completed("hello").await;
    let second = run.completed("hello").await;
    let environments = |events: &[Event]| {
        let environment = |event: &Event| {
            if let Event::Environment(environment) = event { Some(environment.clone()) } else { None }
        };
        events.iter().filter_map(environment).collect::<Vec<_>>()
    };
    let [environment] = &environments(&first)[..] else { panic!("{first:#?}") };
    assert_eq!(environments(&second), [], "only when it changes");
    assert_eq!(environment.permission_mode.as_deref(), Some("default"));
    assert!(environment.tools.iter().any(|tool| tool == "Bash"), "{environment:#?}");
    for waking in ["CronCreate", "ScheduleWakeup", "Monitor", "SendMessage", "Workflow"] {
        assert!(!environment.tools.iter().any(|tool| tool == waking), "{waking}");
    }
    assert!(environment.env_keys.iter().any(|key| key == "MUSHER_MARKER"), "{environment:#?}");
    assert_eq!(json!(environment.mcp_servers), json!([]));
    run.end(PATIENCE).await;
}

on_both_versions! {
    nothing_is_a_command
    a_large_prompt_arrives
    a_long_answer_arrives_whole
    instructions_are_added_to_the_vendors
    the_systems_words_are_marked
    a_blank_input_is_refused
    a_session_says_what_it_runs_with
}
