use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use super::*;

fn recording(directory: &Path) -> Recording {
    let header = Header::new([b"-p".to_vec()].into_iter(), &["PATH".to_owned()], Timestamp::UNIX_EPOCH);
    Recording {
        directory: directory.to_owned(),
        file: "a.jsonl".to_owned(),
        header,
        secrets: Secrets::of(std::iter::empty()),
    }
}

#[tokio::test]
async fn a_recording_is_a_file_of_the_users_own_with_all_that_was_taken() {
    let home = tempfile::tempdir().unwrap();
    let directory = home.path().join("deep/down");
    let recorder = Recorder::start(recording(&directory));
    let tap = recorder.tap();
    tap.bytes(Track::Stderr, b"oh\n");
    tap.bytes(Track::Stderr, b"");
    tap.bytes(Track::Stdout, b"{\"claude_code_version\":\"2.1.329\"}\n");
    recorder.finish(Some(Exit { code: None, signal: Some(9) })).await.unwrap();
    let file = directory.join("a.jsonl");
    let text = fs::read_to_string(&file).unwrap();
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        text.lines().next().map(str::trim_end),
        Some(
            r#"{"musher_cassette":1,"cli_version":"2.1.329","args":["-p"],"env_keys":["PATH"],"recorded_at":"1970-01-01T00:00:00Z"}"#
        )
    );
    assert_eq!(
        (&lines[1]["stderr"], &lines[3]["exit"], lines.len()),
        (&"oh\n".into(), &serde_json::json!({ "code": null, "signal": 9 }), 4)
    );
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&file), mode(&directory)), (0o600, 0o700));
}

#[tokio::test]
async fn a_recording_that_cannot_be_made_says_why_and_holds_nobody_up() {
    let recorder = Recorder::start(recording(Path::new("/proc/nowhere")));
    let tap = recorder.tap();
    // More than fits, whether the task has ended already or not.
    for _ in 0..2 * QUEUE {
        tap.bytes(Track::Stdout, b"x\n");
    }
    let error = recorder.finish(None).await.unwrap_err();
    assert!(matches!(error, RecordingError::Create(_)), "{error:?}");
    assert!(!error.to_string().contains("nowhere"), "no path goes into the log");
}

// On one thread the task writes nothing while the taps take.
#[tokio::test(flavor = "current_thread")]
async fn a_disk_that_is_behind_costs_the_recording_its_end_and_leaves_no_gap() {
    let home = tempfile::tempdir().unwrap();
    let recorder = Recorder::start(recording(home.path()));
    let tap = recorder.tap();
    for n in 0..QUEUE + 10 {
        tap.bytes(Track::Stdout, format!("{n}\n").as_bytes());
    }
    let error = recorder.finish(None).await.unwrap_err();
    assert!(matches!(error, RecordingError::Cut(Cut::Behind)), "{error:?}");
    let text = fs::read_to_string(home.path().join("a.jsonl")).unwrap();
    let said: Vec<String> = text
        .lines()
        .filter_map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            line["stdout"].as_str().map(str::to_owned)
        })
        .collect();
    assert_eq!(said, (0..QUEUE).map(|n| format!("{n}\n")).collect::<Vec<_>>());
    assert!(text.ends_with("\"cut\":\"the disk was slower than the session\"}\n"), "{text}");
}

#[tokio::test]
async fn a_session_that_nobody_ends_leaves_a_recording_that_says_so() {
    let home = tempfile::tempdir().unwrap();
    let recorder = Recorder::start(recording(home.path()));
    let tap = recorder.tap();
    tap.bytes(Track::Stdout, b"x\n");
    drop((recorder, tap));
    let file = home.path().join("a.jsonl");
    // Nobody is told when the file is whole.
    let ended = async {
        loop {
            let text = fs::read_to_string(&file).unwrap_or_default();
            if text.contains("cut") {
                return text;
            }
            tokio::task::yield_now().await;
        }
    };
    let text = timeout(Duration::from_secs(60), ended).await.expect("it ends");
    let lines: Vec<_> = text.lines().skip(1).map(|line| line.split_once(',').unwrap().1).collect();
    assert_eq!(lines, [r#""stdout":"x\n"}"#, r#""cut":"the session ended without a word"}"#]);
}
