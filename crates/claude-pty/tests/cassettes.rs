//! What was recorded of the real program plays again, and the same comes out of it.
//!
//! `MUSHER_TEST_KEEP_CASSETTES=DIR` keeps what the first test records, trimmed as those in `tests/cassettes` are.

mod marked;
#[macro_use]
mod stage;

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process,
};

use musher_backend::{Command, Event, Input, SessionOutcome, Verdict};
use musher_claude_pty::{ClaudeOptions, TESTED_VERSIONS};
use musher_testkit::{cassette::Cassette, fake_claude};
use serde_json::{Value, json};
use tempfile::TempDir;

use self::{
    marked::marked,
    stage::{LATEST, OLD, Run, Stage, run::PATIENCE},
};

/// Where cassettes are kept, and what becomes of them.
const CASSETTES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cassettes");

/// What happens in a session that is recorded.
#[derive(Clone, Copy, Debug)]
struct Scenario {
    name: &'static str,
    prompts: &'static [&'static str],
    is_allowed: bool,
    /// What happens at the first words of the first turn.
    meanwhile: Meanwhile,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meanwhile {
    Nothing,
    Interrupt,
    /// The program is killed; one that plays a cassette does it itself.
    Kill,
}

const SCENARIOS: [Scenario; 5] = [
    scenario("text", &["hello", "@@text:h\u{e9}llo \u{4e16}\u{754c} \u{1f469}\u{200d}\u{1f467}@@"]),
    scenario("tool", &["@@bash:echo made > made; echo h\u{e9}llo@@", "and now?"]),
    Scenario { is_allowed: false, ..scenario("denied", &["@@bash:touch made@@", "and now?"]) },
    Scenario {
        meanwhile: Meanwhile::Interrupt,
        ..scenario("interrupted", &["@@slow:1000,20@@", "still here?"])
    },
    Scenario { meanwhile: Meanwhile::Kill, ..scenario("killed", &["@@slow:1000,20@@"]) },
];

const fn scenario(name: &'static str, prompts: &'static [&'static str]) -> Scenario {
    Scenario { name, prompts, is_allowed: true, meanwhile: Meanwhile::Nothing }
}

/// All that comes out of a session, but for what differs between any two.
#[derive(Debug, PartialEq)]
struct Told {
    events: Vec<Event>,
    outcome: SessionOutcome,
}

async fn a_recorded_session_plays_as_it_went(variable: &str) {
    for scenario in SCENARIOS {
        let stage = Stage::of(variable).await;
        let directory = TempDir::with_prefix("musher-cassettes-").expect("a temporary directory");
        let record = Some(directory.path().to_owned());
        let recorded = live(&stage, ClaudeOptions { record, ..stage.options() }, scenario, true).await;
        let file = only_file(directory.path());
        let text = fs::read_to_string(&file).expect("it is recorded");
        let cassette = Cassette::read(&text).expect("a cassette");
        assert!(cassette.session_id().is_some(), "{:?}", cassette.args);
        let first = text.lines().next().expect("a header");
        assert!(
            TESTED_VERSIONS.iter().any(|version| first.contains(&format!("\"cli_version\":\"{version}\"")))
        );
        keep(scenario.name, &text);

        let played = live(&stage, playing(&stage, &file), scenario, false).await;
        assert_eq!(played, recorded, "{}", scenario.name);
    }
}

on_both_versions! {
    a_recorded_session_plays_as_it_went
}

/// A bug report is this: a cassette, and what should come out of it.
#[tokio::test]
async fn the_cassettes_that_are_kept_play_as_they_should() {
    let mut files: Vec<PathBuf> =
        fs::read_dir(CASSETTES).expect("they are kept").map(|entry| entry.expect("a file").path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "jsonl"));
    files.sort_unstable();
    assert!(!files.is_empty());
    for file in files {
        let name = file.file_stem().and_then(|name| name.to_str()).expect("a name");
        let scenario = name
            .split_once('_')
            .and_then(|(_version, name)| SCENARIOS.into_iter().find(|scenario| scenario.name == name));
        let stage = Stage::of(fake_claude::PROGRAM).await;
        let scenario = scenario.unwrap_or_else(|| panic!("{name} is named by its version and scenario"));
        let Told { events, outcome } = live(&stage, playing(&stage, &file), scenario, false).await;
        let told = events.iter().map(|event| format!("{event:?}\n")).collect::<String>();
        insta::with_settings!({ snapshot_path => format!("{CASSETTES}/outputs"), prepend_module_to_snapshot => false,
                                omit_expression => true }, {
            insta::assert_snapshot!(name, format!("{told}{outcome:?}\n"));
        });
    }
}

/// The program ends with a sentence when it is told something else than the recorded one was.
#[tokio::test]
async fn a_session_that_goes_another_way_is_noticed() {
    let stage = Stage::of(fake_claude::PROGRAM).await;
    let file = Path::new(CASSETTES).join("v329_denied.jsonl");
    let allowing = Run::start(playing(&stage, &file), stage.launch());
    allowing.say("@@bash:touch made@@").await;
    let outcome = allowing.ended().await.expect("an outcome");
    let said = outcome.stderr_tail.unwrap_or_default();
    assert_eq!(outcome.exit_code, Some(fake_claude::MISFIT.into()), "{said}");
    // What a denial has comes first: without it nothing else is looked at.
    assert!(said.contains("/response/response/message is missing"), "{said}");
}

/// What a tool shows of a secret stands as its name in the recording, and so does what the model says of it, which
/// comes in pieces.
#[tokio::test]
async fn a_secret_of_the_environment_is_not_recorded() {
    let stage = Stage::of(LATEST).await;
    let directory = TempDir::with_prefix("musher-cassettes-").expect("a temporary directory");
    let record = Some(directory.path().to_owned());
    let options = ClaudeOptions { record, ..stage.options() };
    let mut run = Run::start(options, stage.launch());
    let events = run.completed("@@bash:touch made; echo the key is $ANTHROPIC_API_KEY@@").await;
    let shows_key = |event: &Event| matches!(event, Event::ToolResult { output, .. } if output.content.contains(stage.api.api_key()));
    assert!(events.iter().any(shows_key), "the tool shows it: {events:#?}");
    let (key, rest) = (stage.api.api_key(), "and that is all");
    let events = run.completed(&format!("@@text:the key is {key}, {rest}@@")).await;
    let pieces = |event: &Event| matches!(event, Event::TextDelta { text, .. } if !text.contains(key));
    assert!(events.iter().filter(|event| pieces(event)).count() > 1, "it comes in pieces: {events:#?}");
    assert!(run.end(PATIENCE).await.exit_ok);
    let text = fs::read_to_string(only_file(directory.path())).expect("it is recorded");
    assert!(!text.contains(stage.api.api_key()), "the key is in the recording");
    assert!(text.contains("the key is [ANTHROPIC_API_KEY]"));
    let said: String = text
        .lines()
        .filter_map(|line| {
            let entry: Value = serde_json::from_str(line).expect("lines of JSON");
            let said: Value = serde_json::from_str(entry["stdout"].as_str()?).ok()?;
            Some(said["event"]["delta"]["text"].as_str()?.to_owned())
        })
        .collect();
    assert!(said.contains(&format!("the key is [ANTHROPIC_API_KEY], {rest}")), "{said}");
}

/// Options for the fake that plays this.
fn playing(stage: &Stage, cassette: &Path) -> ClaudeOptions {
    let program = env::var(fake_claude::PROGRAM)
        .unwrap_or_else(|_absent| panic!("{} is not set; see `cargo xtask parts`", fake_claude::PROGRAM));
    let options = stage.options();
    let file = cassette.to_str().expect("a test's path is text").to_owned();
    let env = options.env.into_iter().chain([(fake_claude::CASSETTE.to_owned(), file)]);
    ClaudeOptions { program, env: env.collect::<BTreeMap<_, _>>(), ..options }
}

/// Lives through a scenario.
async fn live(stage: &Stage, options: ClaudeOptions, scenario: Scenario, is_real: bool) -> Told {
    let launch = stage.launch();
    let marker = launch.marker.clone();
    let mut run = Run::start(options, launch);
    if !scenario.is_allowed {
        run.verdict = Verdict::deny("not today");
    }
    let mut events = Vec::new();
    for (number, prompt) in (0..).zip(scenario.prompts) {
        let input_id = format!("input-{number}").parse().expect("an id");
        run.tell(Command::Input(Input { input_id, ..Input::user(prompt) })).await;
        let meanwhile = if number == 0 { scenario.meanwhile } else { Meanwhile::Nothing };
        if meanwhile != Meanwhile::Nothing {
            events.extend(run.until(|event| matches!(event, Event::TextDelta { .. })).await);
        }
        match meanwhile {
            Meanwhile::Nothing => {}
            Meanwhile::Interrupt => run.tell(Command::Interrupt).await,
            Meanwhile::Kill => {
                if is_real {
                    kill(&marker);
                }
                break;
            }
        }
        events.extend(run.until_over().await);
    }
    if scenario.meanwhile != Meanwhile::Kill {
        run.tell(Command::End { grace: PATIENCE }).await;
    }
    let (rest, outcome) = run.rest().await;
    events.extend(rest);
    events.retain(|event| *event != Event::Alive);
    for event in &mut events {
        if let Event::Environment(environment) = event {
            // The fake has a variable more.
            environment.env_keys.clear();
        }
    }
    Told { events, outcome: outcome.expect("an outcome") }
}

/// Kills the program with this marker as somebody at a terminal would.
fn kill(marker: &str) {
    let is_it = |(_, command): &(u32, String)| command.contains("--session-id=");
    let (pid, _) = marked(marker).into_iter().find(is_it).expect("it runs");
    let killed = process::Command::new("kill").args(["-9", &pid.to_string()]).status().expect("kill starts");
    assert!(killed.success());
}

fn only_file(directory: &Path) -> PathBuf {
    let files: Vec<_> =
        fs::read_dir(directory).expect("it is there").map(|entry| entry.expect("a file").path()).collect();
    let [file] = &files[..] else { panic!("one session, one file: {files:?}") };
    file.clone()
}

/// Keeps a cassette where somebody wants it, without what nobody reads.
fn keep(scenario: &str, text: &str) {
    let Some(directory) = env::var_os("MUSHER_TEST_KEEP_CASSETTES") else { return };
    let mut version = None;
    let lines: Vec<String> = text
        .lines()
        .map(|line| {
            let mut entry: Value = serde_json::from_str(line).expect("lines of JSON");
            let said = entry["stdout"].as_str().and_then(|said| serde_json::from_str::<Value>(said).ok());
            let Some(mut said) = said else { return line.to_owned() };
            if let Some(found) = said["claude_code_version"].as_str() {
                version = Some(found.rsplit('.').next().expect("a part").to_owned());
            }
            trim(&mut said);
            entry["stdout"] = format!("{said}\n").into();
            entry.to_string()
        })
        .collect();
    let version = version.expect("each scenario has a turn");
    let file = Path::new(&directory).join(format!("v{version}_{scenario}.jsonl"));
    fs::write(file, lines.join("\n") + "\n").expect("a directory of somebody's own");
}

/// The program lists all that it can do, at length.
fn trim(said: &mut Value) {
    if said["response"]["request_id"] == "initialize" {
        said["response"]["response"] = json!({ "commands": [] });
    }
    if said["subtype"] == "init" {
        for list in ["slash_commands", "terminal_slash_commands", "skills", "plugins", "agents"] {
            if said.get(list).is_some() {
                said[list] = json!([]);
            }
        }
    }
}
