//! `musher run` and a worker that asks: the person at the terminal, and where there is none.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;

use musher_e2e::{Finished, Terminal, musher};
use serde_json::{Value, json};
use tempfile::TempDir;

const PROMPT: &str = "end the turn > ";

/// A home with a profile `asks` that plays these steps.
fn home(steps: &Value, deadline_secs: u32) -> TempDir {
    let home = tempfile::tempdir().unwrap();
    let script = json!({"turns": [{"match": "", "steps": steps}]});
    fs::write(home.path().join("script.json"), script.to_string()).unwrap();
    let config = format!(
        "[profiles.asks]\nbackend = \"scripted\"\nscript = \"script.json\"\n\
         approval = {{ mode = \"ask\", deadline_secs = {deadline_secs} }}\n"
    );
    fs::write(home.path().join("musher.toml"), config).unwrap();
    home
}

fn run(home: &TempDir, arguments: &[&str]) -> Terminal {
    let config = home.path().join("musher.toml");
    let words = ["run", "--profile", "asks", "--config", config.to_str().unwrap()];
    Terminal::musher(home.path(), &[&words, arguments, &["go"]].concat())
}

fn shell(command: &str) -> Value {
    json!({"approval": {"tool": "shell", "input": {"command": command}}})
}

/// The decisions of a run that printed its events.
fn decisions(printed: &str) -> Vec<Value> {
    let lines = printed.lines().filter_map(|line| line.find("{\"cursor\"").map(|place| &line[place..]));
    let events = lines.map(|line| serde_json::from_str::<Value>(line).unwrap());
    let payloads = events.map(|event| event["payload"].clone());
    let mut resolved: Vec<_> = payloads.filter(|payload| payload["type"] == "approval_resolved").collect();
    for payload in &mut resolved {
        let payload = payload.as_object_mut().unwrap();
        payload.retain(|key, _| key != "type" && key != "approval_id" && key != "message");
    }
    resolved
}

#[test]
fn a_letter_decides_and_the_log_says_so() {
    let by = json!({"token": "run"});
    let remembered = json!({"decision": "allow", "by": {"token": "remembered"}});
    let allowed = json!({"decision": "allow", "by": by});
    let make = || shell("make");
    let push = || shell("make push");
    let cases: &[(Value, &[&str], Vec<Value>, u32)] = &[
        (json!([make()]), &["y"], vec![allowed.clone()], 0),
        (json!([make()]), &["what?", "y"], vec![allowed.clone()], 0),
        (json!([make(), push()]), &["y", "n"], vec![allowed, json!({"decision": "deny", "by": by})], 0),
        (
            json!([make(), make()]),
            &["a"],
            vec![json!({"decision": "allow", "remember": "input", "by": by}), remembered.clone()],
            0,
        ),
        (
            json!([make(), push()]),
            &["t"],
            vec![json!({"decision": "allow", "remember": "tool", "by": by}), remembered],
            0,
        ),
        (
            json!([make(), push()]),
            &["i"],
            vec![json!({"decision": "deny", "interrupt": true, "by": by})],
            130,
        ),
    ];
    for (steps, lines, expected, code) in cases {
        let home = home(steps, 600);
        let mut terminal = run(&home, &["--json"]);
        let mut printed = String::new();
        for line in *lines {
            printed += &terminal.until(PROMPT);
            terminal.types(&format!("{line}\n"));
        }
        let (ended, rest) = terminal.ends();
        printed += &rest;
        assert_eq!((decisions(&printed), ended), (expected.clone(), *code), "{lines:?}: {printed}");
    }
}

#[test]
fn a_person_sees_what_is_asked_and_nothing_that_steers_the_terminal() {
    let asked = json!({"approval": {"tool": "she\u{1b}[31mll", "input": {"command": "make"}}});
    let home = home(&json!([{"text": "on it"}, asked, {"text": "done"}]), 600);
    let mut terminal = run(&home, &[]);
    let shown = terminal.until(PROMPT);
    assert!(!shown.contains("\u{1b}[31m"), "{shown:?}");
    let question = shown.split("on it\r\n").nth(1).unwrap();
    assert!(question.starts_with("? may `she␛[31mll` run with this? (denied at "), "{question:?}");
    assert!(
        question.contains("\r\n    {\r\n      \"command\": \"make\"\r\n    }\r\ny yes · "),
        "{question:?}"
    );
    terminal.types("n\n");
    let (code, rest) = terminal.ends();
    assert_eq!(code, 0, "{rest}");
    assert!(
        rest.contains("! not allowed by the run: the user at the terminal denied it\r\ndone\r\n"),
        "{rest:?}"
    );
}

#[test]
fn what_was_typed_before_a_question_was_shown_does_not_answer_it() {
    let home = home(&json!([shell("make"), shell("make push")]), 600);
    let mut terminal = run(&home, &["--json"]);
    let mut printed = terminal.until(PROMPT);
    terminal.types("y\ny\ny");
    printed += &terminal.until(PROMPT);
    terminal.types("n\n");
    let (_, rest) = terminal.ends();
    printed += &rest;
    let decided: Vec<_> = decisions(&printed)
        .iter()
        .map(|decision| decision["decision"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(decided, ["allow", "deny"], "{printed}");
}

#[test]
fn questions_are_answered_by_number_or_in_own_words() {
    let question = |text: &str, multi_select: bool| json!({"question": text, "options": [{"label": "Red"}, {"label": "Blue"}], "multi_select": multi_select});
    let questions = [question("Which?", false), question("What else?", true), question("Why?", false)];
    let home = home(&json!([{"approval": {"tool": "ask", "input": {}, "questions": questions}}]), 600);
    let mut terminal = run(&home, &["--json"]);
    let mut printed = String::new();
    for (asked, line) in [("? Which?", "2"), ("? What else?", "1,2"), ("? Why?", "because I say so")] {
        printed += &terminal.until(asked);
        printed += &terminal.until("for no answer > ");
        terminal.types(&format!("{line}\n"));
    }
    let (code, rest) = terminal.ends();
    printed += &rest;
    let answers = json!({"Which?": ["Blue"], "What else?": ["Red", "Blue"], "Why?": ["because I say so"]});
    let expected = json!({"decision": "allow", "answers": answers, "by": {"token": "run"}});
    assert_eq!((decisions(&printed), code), (vec![expected], 0), "{printed}");
}

#[test]
fn ctrl_c_at_a_question_stops_the_worker() {
    let home = home(&json!([shell("make")]), 600);
    let mut terminal = run(&home, &[]);
    terminal.until(PROMPT);
    terminal.types("\u{3}");
    let (code, rest) = terminal.ends();
    assert_eq!(code, 130, "{rest}");
    assert!(rest.contains("stopping; once more ends the worker at once"), "{rest}");
}

#[test]
fn a_person_who_leaves_is_not_waited_for() {
    let home = home(&json!([shell("make"), {"text": "done"}]), 5);
    let mut terminal = run(&home, &[]);
    terminal.until(PROMPT);
    terminal.types("\u{4}");
    let (code, rest) = terminal.ends();
    assert_eq!(code, 0, "{rest}");
    assert!(rest.contains("and is denied then: nobody can be asked here"), "{rest}");
    assert!(rest.contains("! not allowed by the deadline: nobody decided in time"), "{rest}");
}

#[tokio::test]
async fn where_nobody_sits_it_is_said_what_waits_and_until_when() {
    let home = home(&json!([shell("make"), {"text": "done"}]), 1);
    let mut command = musher(home.path());
    command.args(["run", "--profile", "asks", "go", "--config"]).arg(home.path().join("musher.toml"));
    let run = Finished::of(&mut command).await;
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let said = run.stderr.lines().next().unwrap();
    assert!(said.starts_with("? a tool (`shell`) waits for a decision until 2"), "{said}");
    assert!(said.ends_with(" and is denied then: nobody can be asked here"), "{said}");
    assert!(
        run.stdout.ends_with("! not allowed by the deadline: nobody decided in time\ndone\n"),
        "{}",
        run.stdout
    );
}
