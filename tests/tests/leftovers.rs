//! Nothing of a worker is left behind, however it ends: the real Claude Code, both supported versions, with tools that
//! do what they can to stay.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    time::Duration,
};

use musher_e2e::{Claude, Client, Home, PATIENCE, Process, Server, on_both_versions};
use musher_protocol::Payload;
use musher_testkit::messages_api::MessagesApi;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tempfile::TempDir;
use uuid::Uuid;

/// How long processes may live on after their server was killed.
const AFTER_KILL: Duration = Duration::from_secs(5);
/// How often to look again at what tells nobody that it changes.
const LOOK: Duration = Duration::from_millis(20);

/// A server in a home of its own, and a worker whose tools have left processes behind in every way there is.
struct Scene {
    home: Home,
    server: Server,
    client: Client,
    worker: String,
    api: MessagesApi,
    /// What nobody else's command line holds.
    word: String,
    /// The host's temporary directory, as the server sees it.
    temporary: TempDir,
    _work: TempDir,
}

impl Scene {
    async fn open(claude: Claude) -> Self {
        let (api, work) = (MessagesApi::start().await, tempfile::tempdir().unwrap());
        let temporary = tempfile::tempdir().unwrap();
        let config = format!(
            "[profiles.coder]\nbackend = \"claude-pty\"\napproval = {{ mode = \"allow\" }}\n\
             [workspaces.shop]\npath = \"{work}\"\n\
             [backends.claude-pty]\nprogram = \"{}\"\n\
             env = {{ HOME = \"{work}\", CLAUDE_CONFIG_DIR = \"{work}/.claude\", ANTHROPIC_BASE_URL = \"{}\", ANTHROPIC_API_KEY = \"{}\" }}\n",
            claude.program().display(),
            api.url(),
            api.api_key(),
            work = work.path().display(),
        );
        let home = Home::new(&config).env("TMPDIR", temporary.path());
        let server = home.start().await;
        let client = server.client();
        let shop = json!([{"name": "main", "reference": "shop"}]);
        let worker = client.create(&json!({"intent": {"kind": "assistant"}, "workspace_refs": shop})).await;
        // A number of seconds, as an argument of `sleep`.
        let word = format!("9{:06}", Uuid::new_v4().as_u128() % 1_000_000);
        let scene = Self { home, server, client, worker, api, word, temporary, _work: work };
        scene.litter().await;
        scene
    }

    /// Lets a tool leave processes behind, and waits until they run; the tool itself runs, too.
    async fn litter(&self) {
        let word = &self.word;
        let quiet = ">/dev/null 2>&1 </dev/null";
        let script = format!(
            "touch \"$TMPDIR/of-a-tool\"; \
             nohup sleep {word}1 {quiet} & setsid sleep {word}2 {quiet} & (setsid nohup sleep {word}3 {quiet} &); \
             env -i setsid nohup sleep {word}4 {quiet} & (env -i setsid nohup sleep {word}5 {quiet} &); \
             exec python3 -c 'import time; time.sleep({word}6)'"
        );
        self.client.say(&self.worker, &format!("@@bash:{script}@@")).await;
        let all = |found: &[Process]| {
            (1..=6).all(|n| found.iter().any(|process| runs(process, &format!("{word}{n}"))))
        };
        self.until(PATIENCE, "every process runs", all).await;
        let directory = self.session_directories();
        assert_eq!(directory.len(), 1, "{directory:?}");
        assert!(directory[0].join("of-a-tool").exists(), "tools get the session's directory");
        if !self.has_groups() {
            cannot_show("no control group: a process without environment, parents and session is not found");
            self.kill(&format!("{word}5"));
        }
    }

    /// Whether the host lets the server have control groups.
    fn has_groups(&self) -> bool {
        let groups = fs::read_to_string(format!("/proc/{}/cgroup", self.cli().pid)).unwrap();
        groups.lines().any(|line| line.starts_with("0::") && line.contains("/musher-"))
    }

    fn cli(&self) -> Process {
        Process::of(&self.worker).into_iter().find(Process::is_program).expect("the CLI runs")
    }

    fn kill(&self, word: &str) {
        let found = self.found().into_iter().find(|process| runs(process, word)).unwrap();
        assert!(found.send(Signal::KILL));
    }

    /// Processes that the tool started, whatever else they carry.
    fn found(&self) -> Vec<Process> {
        // The shells of the tool have the whole script in their command lines.
        Process::all().into_iter().filter(|process| process.command.contains(&self.word)).collect()
    }

    async fn until(&self, limit: Duration, what: &str, holds: impl Fn(&[Process]) -> bool) {
        let found = tokio::time::timeout(limit, async {
            while !holds(&self.found()) {
                // There is no event for another process's life; looking again is all one can do.
                tokio::time::sleep(LOOK).await;
            }
        });
        assert!(found.await.is_ok(), "{what}: after {limit:?} there are {:?}", self.found());
    }

    /// The directories of sessions, of every life of the server.
    fn session_directories(&self) -> Vec<PathBuf> {
        let lives = entries(&temporary_in(&self.home));
        lives.iter().flat_map(|life| entries(life)).filter(|entry| entry.is_dir()).collect()
    }

    /// What the log says about survivors, once the session has ended.
    async fn survivors(&self) -> Vec<musher_protocol::Survivor> {
        let mut stream = self.client.observe_from(&self.worker, "").await;
        stream.snapshot().await;
        loop {
            let log = self.client.log(&self.worker).await;
            let ended = log.into_iter().find_map(|event| {
                let Payload::SessionEnded(ended) = event.payload else { return None };
                Some(ended.survivors)
            });
            if let Some(survivors) = ended {
                return survivors;
            }
            stream.until(|payload| matches!(payload, Payload::SessionEnded(_))).await;
        }
    }

    /// Nothing is left, now.
    fn assert_clean(&self) {
        assert!(self.found().is_empty(), "{:?}", self.found());
        assert_eq!(self.session_directories(), Vec::<PathBuf>::new());
        assert_eq!(
            entries(self.temporary.path()),
            Vec::<PathBuf>::new(),
            "nothing is in the host's directory"
        );
        assert_eq!(self.api.violations(), []);
    }
}

/// Whether this is the process itself, and no shell on the way to it.
fn runs(process: &Process, word: &str) -> bool {
    process.command == format!("sleep {word} ")
        || process.command.ends_with(&format!("python3 -c import time; time.sleep({word}) "))
}

/// Says where the tester sees it that the host cannot show something.
#[expect(clippy::explicit_write, reason = "a test run hides what is printed in any other way")]
fn cannot_show(what: &str) {
    writeln!(std::io::stderr(), "NOT SHOWN HERE: {what}").unwrap();
}

/// Where the servers of a home have the directories of their lives.
fn temporary_in(home: &Home) -> PathBuf {
    home.path().join(".local/share/musher/scratch/tmp")
}

/// What is in a directory; nothing where there is none.
fn entries(directory: &Path) -> Vec<PathBuf> {
    fs::read_dir(directory)
        .map_or_else(|_none| Vec::new(), |entries| entries.map(|entry| entry.unwrap().path()).collect())
}

async fn a_stop_or_a_cancel_leaves_nothing(claude: Claude) {
    for way in ["stop", "cancel"] {
        let scene = Scene::open(claude).await;
        let path = format!("/v1/workers/{}/{way}", scene.worker);
        let reply = scene.client.post(&path, &json!({"reason": "enough"})).await;
        assert_eq!(reply.status, 200, "{way}: {}", reply.body);
        scene.assert_clean();
        assert_eq!(scene.survivors().await, []);
        let Scene { home, server, .. } = scene;
        assert_eq!(server.terminate().await.code, Some(0));
        assert!(!temporary_in(&home).exists(), "a server that ends in order takes its own directory with it");
    }
}

async fn a_killed_cli_leaves_nothing(claude: Claude) {
    let scene = Scene::open(claude).await;
    assert!(scene.cli().send(Signal::KILL));
    assert_eq!(scene.survivors().await, []);
    scene.assert_clean();
}

async fn a_killed_server_leaves_no_process_and_the_next_one_no_file(claude: Claude) {
    let mut scene = Scene::open(claude).await;
    let group = scene.has_groups().then(|| group_of(scene.cli().pid));
    kill_process(Pid::from_raw(scene.server.pid()).unwrap(), Signal::KILL).unwrap();
    scene.until(AFTER_KILL, "all is gone", <[Process]>::is_empty).await;

    let before = scene.session_directories();
    assert_eq!(before.len(), 1, "its directory waits for the next start");
    let left = &before[0];
    // What begins with the next server is another session, in another directory.
    scene.server = scene.home.start().await;
    assert!(!left.exists() && !left.parent().unwrap().exists(), "{}", left.display());
    scene.client = scene.server.client();
    let stopped = scene.client.post(&format!("/v1/workers/{}/stop", scene.worker), &json!({})).await;
    assert_eq!(stopped.status, 200, "{}", stopped.body);
    scene.assert_clean();
    if let Some(group) = group {
        assert!(!group.exists(), "{}", group.display());
    }
}

/// Where the control group of a process is, on a host where the server has found it.
fn group_of(pid: i32) -> PathBuf {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mount = mounts.lines().find(|line| line.contains(" - cgroup2 ")).unwrap();
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let group = groups.lines().find_map(|line| line.strip_prefix("0::/")).unwrap();
    Path::new(mount.split(' ').nth(4).unwrap()).join(group)
}

on_both_versions!(
    a_stop_or_a_cancel_leaves_nothing,
    a_killed_cli_leaves_nothing,
    a_killed_server_leaves_no_process_and_the_next_one_no_file,
);
