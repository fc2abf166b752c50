//! What the binary does where its surroundings fail it: pipes, guard, scratch directory, token file.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use musher_e2e::{Finished, PATIENCE, Server, musher};
use rustix::{
    io::ioctl_fionread,
    process::{Pid, Signal, kill_process, test_kill_process},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    process::{Child, Command},
    time::timeout,
};

/// How often to look again at what tells nobody that it changes.
const LOOK: Duration = Duration::from_millis(20);

/// A home with a profile `script` that plays this.
fn home(turns: &Value) -> TempDir {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("script.json"), json!({"turns": turns}).to_string()).unwrap();
    let config = "[profiles.script]\nbackend = \"scripted\"\nscript = \"script.json\"\n";
    fs::write(home.path().join("musher.toml"), config).unwrap();
    home
}

fn run(home: &Path, arguments: &[&str]) -> Command {
    let mut command = musher(home);
    command.args(["run", "--config"]).arg(home.join("musher.toml")).args(arguments).stdin(Stdio::null());
    command
}

fn signal(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

fn pid(process: &Child) -> i32 {
    i32::try_from(process.id().unwrap()).unwrap()
}

async fn code(process: &mut Child) -> Option<i32> {
    timeout(PATIENCE, process.wait()).await.expect("the program ends").unwrap().code()
}

async fn eventually<T>(what: &str, look: impl Fn() -> Option<T>) -> T {
    let found = timeout(PATIENCE, async {
        loop {
            if let Some(found) = look() {
                return found;
            }
            tokio::time::sleep(LOOK).await;
        }
    });
    found.await.unwrap_or_else(|_elapsed| panic!("{what}"))
}

/// The scratch directory that the program made in here.
async fn scratch(temporary: &Path) -> PathBuf {
    eventually("a scratch directory", || {
        let mut entries = fs::read_dir(temporary).unwrap().flatten().map(|entry| entry.path());
        entries.find(|path| path.file_name().unwrap().to_str().unwrap().starts_with("musher-"))
    })
    .await
}

#[tokio::test]
async fn a_run_whose_stdout_and_stderr_are_stalled_hears_a_signal() {
    let text = format!("{} ", "x".repeat(1023)).repeat(1024);
    let home = home(&json!([{"match": "", "steps": [{"text": text}, {"hang": true}]}]));
    for (arguments, both) in [(&[][..], false), (&["--json"], false), (&["--json"], true)] {
        let (reader, writer) = std::io::pipe().unwrap();
        let stderr = if both { Stdio::from(writer.try_clone().unwrap()) } else { Stdio::piped() };
        let mut command = run(home.path(), &["--profile", "script", "talk"]);
        let mut process = command.args(arguments).stdout(writer).stderr(stderr).spawn().unwrap();
        // More is coming than the pipe holds, and nobody reads it.
        eventually("most of a pipe", || (ioctl_fionread(&reader).unwrap() > 48 << 10).then_some(())).await;
        signal(pid(&process), Signal::TERM);
        assert_eq!(code(&mut process).await, Some(130), "{arguments:?}, both: {both}");
    }
}

#[tokio::test]
async fn a_closed_pipe_does_not_change_how_a_run_ends() {
    let home = home(&json!([{"match": "limit", "steps": [{"rate_limit": {"reset_after_secs": 3600}}]}]));
    let cases: [(&[&str], i32); 4] = [
        (&["--profile", "echo", "--json", "hi"], 0),
        (&["--profile", "echo", "hi"], 0),
        (&["--profile", "script", "--json", "--max-wait", "1", "limit"], 3),
        (&["--profile", "nobody", "hi"], 2),
    ];
    for (arguments, expected) in cases {
        let mut command = run(home.path(), arguments);
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop((process.stdout.take(), process.stderr.take()));
        assert_eq!(code(&mut process).await, Some(expected), "{arguments:?}");
    }
}

#[tokio::test]
async fn a_server_whose_stderr_is_closed_serves_and_ends_in_order() {
    let home = home(&json!([]));
    let ready = home.path().join("ready.json");
    let mut command = musher(home.path());
    command.args(["serve", "--listen", "127.0.0.1:0", "--ready-file"]).arg(&ready).env("MUSHER_LOG", "debug");
    let mut process = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    drop(process.stderr.take());
    eventually("a ready file", || ready.exists().then_some(())).await;
    signal(pid(&process), Signal::TERM);
    assert_eq!(code(&mut process).await, Some(0));
}

#[tokio::test]
async fn a_guard_that_was_killed_is_followed_by_another() {
    let server = Server::start("[runtime]\ndefault_profile = \"echo\"\n").await;
    let mut guard = None;
    for _ in 0..3 {
        let standing = server.guard_other_than(guard).await;
        signal(standing, Signal::KILL);
        let gone = || test_kill_process(Pid::from_raw(standing).unwrap()).is_err().then_some(());
        eventually("the killed guard is reaped", gone).await;
        guard = Some(standing);
    }
    server.guard_other_than(guard).await;
    let finished = server.terminate().await;
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert!(finished.stderr.contains("the guard ended before its server"), "{}", finished.stderr);
}

#[tokio::test]
async fn a_killed_server_leaves_no_scratch_directory() {
    let temporary = tempfile::tempdir().unwrap();
    let server = Server::start_with("[store]\nurl = \"memory\"\n", Some(temporary.path())).await;
    let scratch = scratch(temporary.path()).await;
    fs::write(scratch.join("left"), "x").unwrap();
    server.kill().await;
    eventually("the scratch directory is gone", || (!scratch.exists()).then_some(())).await;
}

#[tokio::test]
async fn a_scratch_directory_that_cannot_be_removed_does_not_change_how_a_run_ends() {
    let home = home(&json!([{"match": "", "steps": [{"text": "working"}, {"hang": true}]}]));
    let temporary = tempfile::tempdir().unwrap();
    let mut command = run(home.path(), &["--profile", "script", "go"]);
    command.env("TMPDIR", temporary.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = command.spawn().unwrap();
    let mut stdout = process.stdout.take().unwrap();
    eventually("it works", || (ioctl_fionread(&stdout).unwrap() > 0).then_some(())).await;
    let scratch = scratch(temporary.path()).await;
    fs::remove_dir_all(&scratch).unwrap();
    fs::write(&scratch, "no directory").unwrap();
    signal(pid(&process), Signal::INT);
    tokio::io::copy(&mut stdout, &mut tokio::io::sink()).await.unwrap();
    let output = timeout(PATIENCE, process.wait_with_output()).await.unwrap().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{stderr}");
    assert!(stderr.contains("the scratch directory stays"), "{stderr}");
}

#[tokio::test]
async fn a_wrong_profile_is_a_usage_fault_and_a_cause_is_said_once() {
    let home = home(&json!([]));
    let wrong = Finished::of(&mut run(home.path(), &["--profile", "nobody", "hi"])).await;
    let expected = "error: no profile `nobody`; there are `coder`, `echo`, `script`\n";
    assert_eq!((wrong.code, wrong.stderr.as_str()), (Some(2), expected));
    let missing = Finished::of(run(home.path(), &["hi"]).env("PATH", home.path())).await;
    assert_eq!(missing.code, Some(1));
    assert_eq!(missing.stderr.matches("`claude`").count(), 1, "{}", missing.stderr);
    let next = "\nto see Musher work without it: musher demo\n";
    assert!(missing.stderr.ends_with(next), "{}", missing.stderr);
}

#[tokio::test]
async fn a_token_file_that_others_can_read_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("token");
    fs::write(&file, "a-token-of-good-length\n").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let mut command = musher(home.path());
    command.args(["serve", "--listen", "127.0.0.1:0", "--token-file"]).arg(&file);
    let refused = Finished::of(&mut command).await;
    assert_eq!(refused.code, Some(1), "{}", refused.stderr);
    assert!(refused.stderr.contains(&format!("chmod 600 {}", file.display())), "{}", refused.stderr);
}
