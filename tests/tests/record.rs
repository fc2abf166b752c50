//! `musher record` with the real Claude Code, and what plays its recording again.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use bytes::Bytes;
use hyper::Method;
use musher_e2e::{ALLOW, Claude, Finished, Fleet, Home, PATIENCE, claude_config, fake_claude, musher};
use musher_testkit::{
    cassette::{Cassette, What},
    eventually,
    fake_claude::CASSETTE,
    messages_api::MessagesApi,
};
use serde_json::json;
use tempfile::TempDir;

/// How often to look again at what tells nobody that it changes.
const LOOK: Duration = Duration::from_millis(20);

/// A home whose coder is this program, which may do everything, with one more variable.
struct Kennel {
    home: TempDir,
    api: MessagesApi,
    fleet: Fleet,
}

impl Kennel {
    async fn open(program: &Path, variable: &str) -> Self {
        let (home, api, fleet) = (tempfile::tempdir().unwrap(), MessagesApi::start().await, Fleet::new());
        let config = format!(
            "[profiles.coder]\nbackend = \"claude-pty\"\napproval = {{ mode = \"allow\" }}\n\
             [backends.claude-pty]\nprogram = \"{}\"\n\
             env = {{ HOME = \"{home}\", CLAUDE_CONFIG_DIR = \"{home}/config\", ANTHROPIC_BASE_URL = \"{}\", ANTHROPIC_API_KEY = \"{}\", {}, {variable} }}\n",
            program.display(),
            api.url(),
            api.api_key(),
            fleet.env(),
            home = home.path().display(),
        );
        fs::write(home.path().join("musher.toml"), config).unwrap();
        fs::create_dir(home.path().join("work")).unwrap();
        Self { home, api, fleet }
    }

    async fn musher(&self, words: &[&str]) -> Finished {
        let mut command = musher(self.home.path());
        command.args(words).arg("--config").arg(self.home.path().join("musher.toml"));
        let finished = Finished::of(command.current_dir(self.home.path().join("work"))).await;
        assert_eq!((self.fleet.alive(), self.api.violations()), (Vec::<String>::new(), Vec::new()));
        finished
    }
}

#[tokio::test]
async fn a_run_that_is_recorded_plays_again_word_for_word() {
    let prompt = "@@bash:touch made; echo $ANTHROPIC_API_KEY@@";
    let kennel = Kennel::open(&Claude::Latest.program(), "A = \"b\"").await;
    let out = kennel.home.path().join("bug.jsonl");
    let recorded = kennel.musher(&["record", "--out", out.to_str().unwrap(), prompt]).await;
    assert_eq!(recorded.code, Some(0), "{}", recorded.stderr);
    let told: Vec<_> = recorded.stderr.lines().skip(1).collect();
    assert_eq!(
        told,
        [
            format!("recorded in {}", out.display()).as_str(),
            "It holds the prompts, all that Claude Code said, and what its tools read and wrote. Read it before you \
             share it.",
        ],
        "{}",
        recorded.stderr
    );
    assert_eq!(fs::metadata(&out).unwrap().permissions().mode() & 0o777, 0o600);
    let text = fs::read_to_string(&out).unwrap();
    assert!(!text.contains(kennel.api.api_key()) && text.contains("[ANTHROPIC_API_KEY]"), "{text}");
    let cassette = Cassette::read(&text).unwrap();
    assert_eq!(cassette.entries.last().unwrap().what, What::Exit { code: Some(0), signal: None });

    let variable = format!("{CASSETTE} = \"{}\"", out.display());
    let replay = Kennel::open(&fake_claude(), &variable).await;
    let played = replay.musher(&["run", prompt]).await;
    assert_eq!(played.code, Some(0), "{}", played.stderr);
    // The first line has ids of the run.
    let said = |run: &Finished| run.stdout.lines().skip(1).collect::<Vec<_>>().join("\n");
    assert!(!recorded.stdout.contains(kennel.api.api_key()), "{}", recorded.stdout);
    // A cassette names a secret in its own way, and what plays it has none.
    let shown = said(&recorded).replace("[redacted:ANTHROPIC_API_KEY]", "[ANTHROPIC_API_KEY]");
    assert_eq!(said(&played), shown);
    assert!(shown.contains("FAKE-DONE bash step=1"), "{shown}");
}

#[tokio::test]
async fn a_recording_without_a_name_is_kept_in_a_place_that_is_told() {
    let kennel = Kennel::open(&fake_claude(), "A = \"b\"").await;
    let recorded = kennel.musher(&["record", "@@crash@@"]).await;
    assert_eq!(recorded.code, Some(1), "{}", recorded.stderr);
    let directory = kennel.home.path().join(".local/share/musher/recordings");
    let files: Vec<_> = fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    let [file] = &files[..] else { panic!("one session, one file: {files:?}") };
    assert!(recorded.stderr.contains(&format!("recorded in {}", file.display())), "{}", recorded.stderr);
    let cassette = Cassette::read(&fs::read_to_string(file).unwrap()).unwrap();
    assert_eq!(cassette.entries.last().unwrap().what, What::Exit { code: None, signal: Some(9) });
}

/// A recording has prompts in it: nobody would look for it where nobody was told that it is.
#[tokio::test]
async fn a_killed_run_leaves_no_half_recording() {
    let kennel = Kennel::open(&fake_claude(), "A = \"b\"").await;
    let temporary = tempfile::tempdir().unwrap();
    let mut command = musher(kennel.home.path());
    command.args(["record", "@@hang@@", "--config"]).arg(kennel.home.path().join("musher.toml"));
    command.env("TMPDIR", temporary.path()).current_dir(kennel.home.path().join("work"));
    let mut run = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    until("the prompt is recorded", || {
        let mut files = files_below(temporary.path()).into_iter();
        files.any(|file| fs::read_to_string(file).is_ok_and(|text| text.contains("@@hang@@")))
    })
    .await;
    run.kill().await.unwrap();
    kennel.fleet.is_gone_within(PATIENCE).await;
    until("nothing of it is left", || fs::read_dir(temporary.path()).unwrap().count() == 0).await;
    assert_eq!(
        files_below(&kennel.home.path().join(".local/share/musher/recordings")),
        Vec::<PathBuf>::new()
    );
}

/// All files in a directory, and in those below it.
fn files_below(directory: &Path) -> Vec<PathBuf> {
    // What goes while we look is gone.
    let entries = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|entry| if entry.is_dir() { files_below(&entry) } else { vec![entry] }).collect()
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while !holds() {
            // There is no event for a file of another process; looking again is all one can do.
            tokio::time::sleep(LOOK).await;
        }
    });
    assert!(waited.await.is_ok(), "{what}");
}

#[tokio::test]
async fn what_cannot_be_recorded_is_refused_before_anything_runs() {
    let kennel = Kennel::open(&fake_claude(), "A = \"b\"").await;
    fs::write(kennel.home.path().join("old"), "kept").unwrap();
    let old = kennel.home.path().join("old");
    for (words, expected) in [
        (
            vec!["record", "--profile", "echo", "hi"],
            "error: profile `echo` runs `scripted`; only sessions of",
        ),
        (vec!["record", "--out", old.to_str().unwrap(), "hi"], "error: `"),
    ] {
        let refused = kennel.musher(&words).await;
        assert_eq!(refused.code, Some(2), "{}", refused.stderr);
        assert!(refused.stderr.starts_with(expected), "{}", refused.stderr);
    }
    assert_eq!(fs::read_to_string(&old).unwrap(), "kept");
}

/// A disk that takes nothing is told in the log, and the work goes on.
#[tokio::test]
async fn a_recording_that_fails_costs_nothing_else() {
    let kennel = Kennel::open(&fake_claude(), "A = \"b\"").await;
    let file = kennel.home.path().join("musher.toml");
    let config = fs::read_to_string(&file).unwrap();
    let record = "[backends.claude-pty]\nrecord = \"/proc/nowhere\"";
    fs::write(&file, config.replace("[backends.claude-pty]", record)).unwrap();
    let ran = kennel.musher(&["run", "--json", "hello"]).await;
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(ran.stdout.matches("claude.recording_failed").count(), 1, "{}", ran.stdout);
    assert!(ran.stdout.contains("FAKE-OK: hello") && !ran.stdout.contains("/proc/nowhere"), "{}", ran.stdout);
}

/// The worker's name is the beginning of a recording's.
#[tokio::test]
async fn a_server_keeps_so_many_recordings_and_none_of_a_deleted_worker() {
    let (api, fleet) = (MessagesApi::start().await, Fleet::new());
    let (vendor, work) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let program = fake_claude();
    let config = claude_config(program.to_str().unwrap(), ALLOW, &api, &fleet, vendor.path(), work.path());
    let record = "[backends.claude-pty]\nrecord = \"recordings\"\nrecord_files = 2";
    let home = Home::new(&config.replace("[backends.claude-pty]", record));
    let server = home.start().await;
    let client = server.client();
    let mut workers = Vec::new();
    for _ in 0..3 {
        let worker = client.create(&json!({"intent": {"kind": "assistant"}})).await;
        client.say(&worker, "hello").await;
        assert_eq!(client.idle(&worker).await["outcome"]["outcome"], "completed");
        let stopped = client.post(&format!("/v1/workers/{worker}/stop"), &json!({})).await;
        assert_eq!(stopped.status, 200, "{}", stopped.body);
        workers.push(worker);
    }
    let left = || {
        let names = files_below(&home.path().join("recordings")).into_iter();
        let names = names.map(|file| file.file_name().unwrap().to_str().unwrap().to_owned());
        let mut owners: Vec<_> = names.map(|name| name.rsplitn(3, '_').last().unwrap().to_owned()).collect();
        owners.sort();
        owners
    };
    workers.sort();
    eventually("the oldest goes, and no other", || left() == workers[1..]).await;
    let deleted =
        client.send(Method::DELETE, &format!("/v1/workers/{}", workers[2]), &[], Bytes::new()).await;
    assert_eq!(deleted.status, 204);
    assert_eq!(left(), workers[1..2]);
}
