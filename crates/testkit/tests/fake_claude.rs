//! The program in the place of Claude Code, as whoever starts it sees it.

use std::{
    fs,
    io::Write as _,
    os::unix::process::ExitStatusExt as _,
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use musher_testkit::fake_claude::{CASSETTE, MISFIT, PACE};
use serde_json::json;
use uuid::Uuid;

const THEN: &str = "11111111-1111-4111-8111-111111111111";
const NOW: &str = "22222222-2222-4222-8222-222222222222";

/// Plays these entries to a program that is told this, and then nothing more.
fn play(entries: &[serde_json::Value], told: &str, pace: Option<&str>) -> Output {
    let header = json!({ "musher_cassette": 1, "args": [format!("--session-id={THEN}")], "env_keys": [] });
    let lines = [&header].into_iter().chain(entries).map(|line| format!("{line}\n"));
    let file = std::env::temp_dir().join(format!("musher-fake-{}.jsonl", Uuid::new_v4().simple()));
    fs::write(&file, lines.collect::<String>()).expect("a file of ours");
    let mut command = Command::new(env!("CARGO_BIN_EXE_musher-fake-claude"));
    command.arg(format!("--session-id={NOW}")).env(CASSETTE, &file).env_remove(PACE);
    command.envs(pace.map(|pace| (PACE, pace)));
    let ended = run(&mut command, told);
    fs::remove_file(&file).expect("a file of ours");
    ended
}

fn run(command: &mut Command, told: &str) -> Output {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    // One that has ended already does not read what it is told.
    let _unread = stdin.write_all(told.as_bytes());
    drop(stdin);
    child.wait_with_output().expect("it ends")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

#[test]
fn a_cassette_plays_to_its_own_end() {
    let said = json!({ "at_ms": 3_600_000, "stdout": format!("{THEN}\n") });
    let complained = json!({ "at_ms": 3_600_000, "stderr": "oh\n" });
    let heard = json!({ "at_ms": 0, "stdin": "{\"type\":\"user\"}\n" });
    let closed = json!({ "at_ms": 1, "closed": "stdin" });
    let exit = json!({ "at_ms": 3_600_001, "exit": { "code": 3, "signal": null } });
    let ended = play(&[heard.clone(), closed, said.clone(), complained, exit], "{\"type\":\"user\"}\n", None);
    assert_eq!(
        (ended.status.code(), text(&ended.stdout), text(&ended.stderr)),
        (Some(3), format!("{NOW}\n"), "oh\n".to_owned())
    );
    let killed = json!({ "at_ms": 3_600_001, "exit": { "code": null, "signal": 9 } });
    let ended = play(&[heard, said, killed], "{\"type\":\"user\"}\n", None);
    assert_eq!((ended.status.signal(), text(&ended.stdout)), (Some(9), format!("{NOW}\n")));
}

#[test]
fn the_pace_scales_the_times_of_the_cassette() {
    let said = json!({ "at_ms": 3_600_000, "stdout": "late\n" });
    let exit = json!({ "at_ms": 3_600_000, "exit": { "code": 0, "signal": null } });
    let begun = Instant::now();
    let ended = play(&[said, exit], "", Some("0.0001"));
    assert_eq!((ended.status.code(), text(&ended.stdout)), (Some(0), "late\n".to_owned()));
    assert!(begun.elapsed() >= Duration::from_millis(360), "{:?}", begun.elapsed());
}

#[test]
fn what_does_not_fit_ends_it_with_its_own_code_and_a_sentence() {
    let exit = json!({ "at_ms": 1, "exit": { "code": 0, "signal": null } });
    let heard = json!({ "at_ms": 0, "stdin": "{\"type\":\"user\"}\n" });
    for (entries, told, pace, expected) in [
        (
            vec![heard.clone(), exit.clone()],
            "{\"type\":\"keep_alive\"}\n",
            None,
            "/type was `user` and is `keep_alive`",
        ),
        (vec![heard, exit.clone()], "", None, "the input ends where it had {\"type\":\"user\"}"),
        (vec![json!({ "at_ms": 0, "closed": "stdin" }), exit.clone()], "{}\n", None, "not to go on with {}"),
        (vec![json!({ "at_ms": 0, "cut": "full" })], "", None, "the recording ends here: full"),
        (vec![], "", None, "the cassette has no end"),
        (vec![json!({ "at_ms": 0 })], "", None, "line 2 of the cassette"),
        (vec![exit.clone()], "", Some("fast"), "MUSHER_FAKE_PACE is a factor, not `fast`"),
        (vec![exit], "", Some("-1"), "MUSHER_FAKE_PACE is a factor, not `-1`"),
    ] {
        let ended = play(&entries, told, pace);
        let said = text(&ended.stderr);
        assert_eq!(ended.status.code(), Some(MISFIT.into()), "{said}");
        assert!(said.starts_with("musher-fake-claude: ") && said.contains(expected), "{said}");
    }
}

#[test]
fn without_a_cassette_it_does_what_it_is_told_and_ends_with_its_input() {
    let session = format!("--session-id={NOW}");
    let options = ["-p", "--input-format", "stream-json", "--output-format", "stream-json"];
    let mut command = Command::new(env!("CARGO_BIN_EXE_musher-fake-claude"));
    command.args(options).args(["--permission-prompt-tool", "stdio", &session]).env_remove(CASSETTE);
    let request = |id: &str, subtype: &str| {
        format!(
            "{}\n",
            json!({ "type": "control_request", "request_id": id, "request": { "subtype": subtype } })
        )
    };
    let ended = run(&mut command, &request("i", "initialize"));
    assert_eq!((ended.status.code(), text(&ended.stderr).as_str()), (Some(0), ""));
    let answer: serde_json::Value = serde_json::from_slice(&ended.stdout).expect("one line of JSON");
    assert_eq!(
        (&answer["type"], &answer["response"]["request_id"]),
        (&json!("control_response"), &json!("i"))
    );

    let ended = run(&mut command, &request("i", "interrupt"));
    assert_eq!(ended.status.code(), Some(MISFIT.into()), "it was not asked to begin");
    let ended = run(&mut Command::new(env!("CARGO_BIN_EXE_musher-fake-claude")), "");
    assert_eq!(ended.status.code(), Some(MISFIT.into()), "its arguments are missing");
}
