use std::{
    env, fs,
    io::BufRead,
    process::Child,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, getsid, kill_process};

use super::*;
use crate::{
    Marker, Sweep,
    linux::Identity,
    scene::{self, eventually, running},
};

/// What the design promises for the processes of a killed server.
const PROMISE: Duration = Duration::from_secs(5);

/// A running `examples/guarded.rs`; nothing of it outlives a test, even one that fails.
struct Guarded {
    process: Child,
    worker: u32,
    guard: u32,
    marker: Marker,
}

impl Guarded {
    fn start(flags: &[&str], script: &str) -> Guarded {
        let marker = Marker::new(scene::owner(), "worker-1").unwrap();
        let mut process = Command::new(example())
            .args(flags)
            .args([marker.owner().as_str(), "sh", "-c", script])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut pids = String::new();
        io::BufReader::new(process.stdout.as_mut().unwrap()).read_line(&mut pids).unwrap();
        let pids: Vec<u32> = pids.split_whitespace().map(|pid| pid.parse().unwrap()).collect();
        let &[_, worker, guard] = pids.as_slice() else { panic!("{pids:?}") };
        Guarded { process, worker, guard, marker }
    }

    fn kill(&mut self) -> Instant {
        let killed = Instant::now();
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        killed
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        self.kill();
        let scope = Scope::Worker(self.marker.clone());
        Sweep { scope, root: None, grace: Duration::ZERO, limit: PROMISE }.run_blocking().unwrap();
    }
}

/// Cargo builds examples next to tests.
fn example() -> PathBuf {
    let example = env::current_exe().unwrap().parent().unwrap().parent().unwrap().join("examples/guarded");
    assert!(example.exists(), "`cargo build --example guarded` first: {}", example.display());
    example
}

#[test]
fn everything_of_a_killed_server_is_gone_in_time() {
    let mut guarded = Guarded::start(
        &[],
        "trap '' HUP TERM; setsid nohup sleep 1020 >/dev/null 2>&1 &
         (setsid sh -c 'trap \"\" HUP TERM; sleep 1020 & wait' &); while :; do sleep 1020; done",
    );
    let mut tree: Vec<Identity> = Vec::new();
    eventually("the tree has grown", || {
        tree = scene::family(&guarded.marker, None);
        tree.len() == 5
    });
    let guard = Pid::from_raw(i32::try_from(guarded.guard).unwrap()).unwrap();
    eventually("the guard leads its own session", || getsid(Some(guard)).unwrap() == guard);
    for signal in [Signal::HUP, Signal::INT, Signal::QUIT, Signal::TERM] {
        kill_process(guard, signal).unwrap();
    }
    tree.push(scene::identity(guarded.guard));

    let killed = guarded.kill();
    eventually("the guard and all processes are gone", || running(&tree).is_empty());
    assert!(killed.elapsed() < PROMISE, "took {:?}", killed.elapsed());
}

#[test]
fn the_terminal_alone_hangs_up_on_the_worker_of_a_killed_server() {
    let directory = tempfile::tempdir().unwrap();
    let note = directory.path().join("note");
    let path = note.display();
    let script =
        format!("trap 'echo hangup >>{path}; exit' HUP; echo up >{path}; while :; do sleep 0.01; done");
    let mut guarded = Guarded::start(&["--unguarded"], &script);
    let worker = [scene::identity(guarded.worker)];
    eventually("the trap is set", || fs::read_to_string(&note).is_ok_and(|text| text == "up\n"));

    let killed = guarded.kill();
    eventually("the worker is gone", || running(&worker).is_empty());
    assert!(killed.elapsed() < PROMISE, "took {:?}", killed.elapsed());
    assert_eq!(fs::read_to_string(note).unwrap(), "up\nhangup\n");
}

#[tokio::test]
async fn a_guard_that_is_told_to_finish_ends_what_is_left_and_says_so() {
    let command = scene::command("sleep", &["1021"]);
    let owner = command.marker.owner().clone();
    let mut guard = Guard::start(&example(), ["--guard"], &owner).unwrap();
    let mut child = scene::soon(command.spawn()).await.unwrap().child;
    assert!(time::timeout(Duration::ZERO, guard.ended()).await.is_err(), "it stands");

    let exit = scene::soon(guard.finish()).await.unwrap();
    assert_eq!(exit, Exit { code: Some(0), signal: None });
    assert_eq!(scene::soon(child.wait()).await.unwrap().signal, Some(9));
}

#[tokio::test]
async fn a_guard_that_was_killed_is_noticed() {
    let mut guard = Guard::start(&example(), ["--guard"], &scene::owner()).unwrap();
    let killed = Exit { code: None, signal: Some(9) };
    kill_process(Pid::from_raw(i32::try_from(guard.pid()).unwrap()).unwrap(), Signal::KILL).unwrap();
    assert_eq!(scene::soon(guard.ended()).await.unwrap(), killed);
    assert_eq!(scene::soon(guard.ended()).await.unwrap(), killed, "it is told again");
    assert_eq!(scene::soon(guard.finish()).await.unwrap(), killed);
}
