//! What the tests of this crate share: commands to run, a bound for waiting, a look at processes.

use std::{
    ffi::OsStr,
    future::Future,
    process,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use tokio::{io::AsyncReadExt, net::unix::pipe::Receiver, time};

use crate::{
    Environment, Marker, Owner, Program, PtyCommand, Scope, Spawned,
    family::Family,
    linux::{self, Identity},
};

/// Longer than anything here takes on a loaded machine; a test that waits this long fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// An owner that no other test has, nor an earlier run of this one.
pub(crate) fn owner() -> Owner {
    static N_OWNERS: AtomicU32 = AtomicU32::new(0);
    let n = N_OWNERS.fetch_add(1, Ordering::Relaxed);
    let nanos = std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos();
    Owner::new(format!("test-{}-{n}-{nanos}", process::id())).unwrap()
}

/// A program of the host with arguments, for a worker of its own.
pub(crate) fn command(program: &str, args: &[impl AsRef<OsStr>]) -> PtyCommand {
    let environment = Environment::base();
    PtyCommand {
        program: Program::find(program, &environment).unwrap(),
        args: args.iter().map(|arg| arg.as_ref().to_owned()).collect(),
        environment,
        directory: "/".into(),
        marker: Marker::new(owner(), "worker").unwrap(),
    }
}

pub(crate) async fn shell(script: &str) -> Spawned {
    soon(command("sh", &["-c", script]).spawn()).await.unwrap()
}

/// Everything until the end of a pipe.
pub(crate) async fn read(pipe: &mut Receiver) -> String {
    let mut bytes = Vec::new();
    soon(pipe.read_to_end(&mut bytes)).await.unwrap();
    String::from_utf8(bytes).unwrap()
}

/// Waits until a script has said so much.
pub(crate) async fn expect(pipe: &mut Receiver, text: &str) {
    let mut bytes = vec![0; text.len()];
    soon(pipe.read_exact(&mut bytes)).await.unwrap();
    assert_eq!(String::from_utf8(bytes).unwrap(), text);
}

pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    time::timeout(PATIENCE, future).await.expect("nothing here takes so long")
}

/// Looks until a condition holds.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "never came true: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The processes of a marker now, with a root or without.
pub(crate) fn family(marker: &Marker, root: Option<u32>) -> Vec<Identity> {
    let mut family = Family::new(Scope::Worker(marker.clone()), root);
    family.look().unwrap().into_iter().map(|stat| stat.identity).collect()
}

/// Processes with exactly these arguments, found without anything that the crate looks for.
pub(crate) fn with_arguments(arguments: &[&str]) -> Vec<Identity> {
    let wanted: Vec<u8> = arguments.iter().flat_map(|text| text.bytes().chain([0])).collect();
    let pids = std::fs::read_dir("/proc").unwrap();
    pids.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse::<u32>().ok())
        .filter(|pid| std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line == wanted))
        .filter_map(|pid| Some(linux::stat_of(pid)?.identity))
        .collect()
}

/// Says where the tester sees it that the host cannot show something; stderr itself, which no test run hides.
pub(crate) fn cannot_show(what: &str) {
    use std::io::Write as _;
    writeln!(std::io::stderr(), "NOT SHOWN HERE: {what}").unwrap();
}

/// Those of them that still run. Zombies do not: when init reaps them is its own affair.
pub(crate) fn running(processes: &[Identity]) -> Vec<Identity> {
    let runs = |id: &Identity| linux::stat_of(id.pid).is_some_and(|stat| stat.identity == *id && !stat.ended);
    processes.iter().copied().filter(runs).collect()
}

/// Whether a process is there, as a zombie or not.
pub(crate) fn exists(process: Identity) -> bool {
    linux::stat_of(process.pid).is_some_and(|stat| stat.identity == process)
}

/// The process that has this pid now.
pub(crate) fn identity(pid: u32) -> Identity {
    linux::stat_of(pid).expect("it is held").identity
}
