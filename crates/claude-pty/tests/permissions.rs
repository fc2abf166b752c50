//! What a worker of the real program may do, on the newest and the oldest version.

#[macro_use]
mod stage;

use std::{collections::BTreeSet, fs, time::Duration};

use musher_backend::{Event, Launch};
use musher_protocol::Capability;
use serde_json::{Value, json};

use self::stage::{LATEST, OLD, Run, Stage, run::PATIENCE};

/// A run of a session with these capabilities.
fn with(stage: &Stage, capabilities: &[Capability]) -> Run {
    let capabilities = capabilities.iter().cloned().collect();
    Run::start(stage.options(), Launch { capabilities, ..stage.launch() })
}

/// The names of the tools that the model was offered in the last request.
fn offered(stage: &Stage) -> BTreeSet<String> {
    let requests = stage.api.requests();
    let body = &requests.last().expect("a request").body;
    let tools = body["tools"].as_array().map(Vec::as_slice).unwrap_or_default();
    tools.iter().map(|tool| tool["name"].as_str().expect("a tool has a name").to_owned()).collect()
}

async fn a_model_is_offered_no_tool_beyond_the_capabilities(variable: &str) {
    const OF: [(Capability, &[&str]); 4] = [
        (Capability::Read, &["Read"]),
        (Capability::Write, &["Edit", "Write", "NotebookEdit"]),
        (Capability::Shell, &["Bash"]),
        (Capability::Network, &["WebFetch", "WebSearch"]),
    ];
    let stage = Stage::of(variable).await;
    let sets: [&[Capability]; 5] = [
        &[],
        &[Capability::Read],
        &[Capability::Read, Capability::Write],
        &[Capability::Shell],
        &[Capability::Read, Capability::Write, Capability::Shell, Capability::Network],
    ];
    for capabilities in sets {
        let mut run = with(&stage, capabilities);
        let events = run.completed("hello").await;
        assert!(run.end(PATIENCE).await.exit_ok);
        let offered = offered(&stage);
        for (capability, tools) in OF {
            for tool in tools {
                let may = capabilities.contains(&capability);
                // New versions load some tools only when the model looks for them; what they list they have.
                let listed = has_tool(&events, tool);
                assert_eq!(listed, may, "{tool} with {capabilities:?}: {offered:?}");
                assert!(may || !offered.contains(*tool), "{tool} with {capabilities:?}: {offered:?}");
            }
        }
        if capabilities.is_empty() {
            assert_eq!(offered, BTreeSet::new());
        }
    }
}

fn has_tool(events: &[Event], name: &str) -> bool {
    events.iter().any(|event| {
        matches!(event, Event::Environment(environment) if environment.tools.iter().any(|tool| tool == name))
    })
}

async fn a_tool_beyond_the_capabilities_does_not_run_when_the_model_calls_it(variable: &str) {
    let stage = Stage::of(variable).await;
    let made = stage.work.path().join("made");
    for prompt in ["@@bash:touch made@@".to_owned(), format!("@@write:{}@@", made.display())] {
        let mut run = with(&stage, &[Capability::Read]);
        let events = run.completed(&prompt).await;
        let refused = |event: &Event| matches!(event, Event::ToolResult { output, .. } if output.is_error);
        assert!(events.iter().any(refused), "{prompt}: {events:#?}");
        assert_eq!(run.asked, None, "there is nothing to ask: {prompt}");
        assert!(run.end(PATIENCE).await.exit_ok);
    }
    assert!(!made.exists());
}

/// Writes settings into the repository.
fn settings(stage: &Stage, value: &Value) {
    let file = stage.work.path().join(".claude/settings.json");
    fs::create_dir_all(file.parent().expect("a directory")).expect("a directory of ours");
    fs::write(file, value.to_string()).expect("a file of ours");
}

async fn a_repository_has_a_say_only_where_the_profile_says_so(variable: &str) {
    let stage = Stage::of(variable).await;
    let canary = stage.work.path().join("canary");
    let hook =
        json!([{ "hooks": [{ "type": "command", "command": format!("touch {}", canary.display()) }] }]);
    settings(&stage, &json!({ "hooks": { "UserPromptSubmit": hook } }));
    for (sources, runs) in [(json!([]), false), (json!(["project"]), true)] {
        let options = json!({ "settings_sources": sources }).as_object().expect("an object").clone();
        let mut run = Run::start(stage.options(), Launch { options, ..stage.launch() });
        let events = run.completed("hello").await;
        let shown = events.iter().find_map(|event| {
            if let Event::Environment(environment) = event {
                Some(json!(environment.settings_sources))
            } else {
                None
            }
        });
        assert_eq!((shown, canary.exists()), (Some(sources), runs));
        assert!(run.end(PATIENCE).await.exit_ok);
    }
}

async fn a_refusal_that_nobody_was_asked_about_is_told(variable: &str) {
    let stage = Stage::of(variable).await;
    settings(&stage, &json!({ "permissions": { "deny": ["Bash(touch *)"] } }));
    let options = json!({ "settings_sources": ["project"] }).as_object().expect("an object").clone();
    let mut run = Run::start(stage.options(), Launch { options, ..stage.launch() });
    let told = |events: &[Event]| {
        let is_told = |event: &&Event| {
            matches!(event, Event::Diagnostic { code, message }
                if code == "claude.permission_denied" && message.contains("`Bash`"))
        };
        events.iter().filter(is_told).count()
    };
    let events = run.completed("@@bash:touch made@@").await;
    assert_eq!((told(&events), run.asked.take()), (1, None), "{events:#?}");
    // Each turn tells its own, and what was asked about has its answer in the log already.
    let events = run.completed("@@bash:mkdir made@@").await;
    assert_eq!((told(&events), run.asked.is_some()), (0, true), "{events:#?}");
    assert!(run.end(PATIENCE).await.exit_ok);
}

async fn a_command_ends_when_its_time_is_up(variable: &str) {
    let stage = Stage::of(variable).await;
    let options =
        musher_claude_pty::ClaudeOptions { tool_limit: Some(Duration::from_secs(1)), ..stage.options() };
    let mut run = Run::start(options, stage.launch());
    let events = run.completed("@@bash:true; python3 -c 'import time; time.sleep(3600)'@@").await;
    let timed_out = |event: &Event| matches!(event, Event::ToolResult { output, .. } if output.is_error && output.content.contains("timed out"));
    assert!(events.iter().any(timed_out), "{events:#?}");
    assert!(run.end(PATIENCE).await.exit_ok);
}

on_both_versions! {
    a_model_is_offered_no_tool_beyond_the_capabilities
    a_tool_beyond_the_capabilities_does_not_run_when_the_model_calls_it
    a_repository_has_a_say_only_where_the_profile_says_so
    a_refusal_that_nobody_was_asked_about_is_told
    a_command_ends_when_its_time_is_up
}
