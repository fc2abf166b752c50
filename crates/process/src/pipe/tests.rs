use std::{fs, time::Duration};

use tokio::io::AsyncWriteExt;

use super::*;
use crate::{
    Ended, Exit, Ladder, Sweep,
    linux::{self, Identity},
    scene::{self, eventually, expect, read, running, soon},
};

fn command(script: &str) -> PipeCommand {
    let environment = Environment::base();
    PipeCommand {
        program: Program::find("sh", &environment).unwrap(),
        args: vec!["-c".into(), script.into()],
        environment,
        directory: "/".into(),
        marker: Marker::new(scene::owner(), "worker").unwrap(),
        confinement: None,
    }
}

/// What a script says until its end, and how that was: the same with a control group and without.
async fn heard(command: PipeCommand) -> (String, String) {
    let with = heard_in(command.clone(), Cgroups::of_this_process()).await;
    let without = heard_in(command, None).await;
    assert_eq!(with, without);
    with
}

async fn heard_in(command: PipeCommand, cgroups: Option<&'static Cgroups>) -> (String, String) {
    let mut overheard = soon(command.overhear_in(cgroups)).await.unwrap();
    let output = read(&mut overheard.output).await;
    let exit = soon(overheard.child.wait()).await.unwrap();
    let ended = soon(overheard.child.kill_now()).await.unwrap();
    assert_eq!(ended, Ended { exit: Some(exit), survivors: vec![] });
    (output, exit.to_string())
}

/// A script that leaves a process without environment, parents and session before anybody looks.
fn straying(seconds: &str) -> String {
    format!("(env -i setsid nohup sleep {seconds} >/dev/null 2>&1 </dev/null &); echo up; exec sleep 1049")
}

/// Waits until that process runs by itself. Nobody else has its arguments.
fn stray(seconds: &str) -> Identity {
    let mut strays = Vec::new();
    eventually("the stray runs by itself", || {
        strays = scene::with_arguments(&["sleep", seconds]);
        strays.len() == 1
            && linux::stat_of(strays[0].pid).is_some_and(|stat| stat.session == stat.identity.pid)
    });
    strays[0]
}

/// The control groups of this process; without them it says that it cannot show this.
fn groups() -> Option<&'static Cgroups> {
    let cgroups = Cgroups::of_this_process();
    if cgroups.is_none() {
        scene::cannot_show("no control group is delegated to this process");
    }
    cgroups
}

#[tokio::test]
async fn both_streams_arrive_in_the_order_they_were_written() {
    let script = "for n in 1 2 3; do echo out $n; echo err $n >&2; done; cat; exit 3";
    let (output, exit) = heard(command(script)).await;
    assert_eq!(output, "out 1\nerr 1\nout 2\nerr 2\nout 3\nerr 3\n", "and stdin is at its end");
    assert_eq!(exit, "exit code 3");
}

#[tokio::test]
async fn three_pipes_are_three_pipes() {
    for cgroups in [Cgroups::of_this_process(), None] {
        let command = command("tr a-z A-Z; echo err >&2");
        let mut spawned = soon(command.spawn_in(cgroups)).await.unwrap();
        spawned.stdin.write_all(b"mush\n").await.unwrap();
        drop(spawned.stdin);
        let said = (read(&mut spawned.stdout).await, read(&mut spawned.stderr).await);
        assert_eq!(said, ("MUSH\n".to_owned(), "err\n".to_owned()));
    }
}

#[tokio::test]
async fn the_program_leads_a_session_without_a_terminal() {
    let script = "cut -d' ' -f1,5-7 /proc/$$/stat; if : 2>/dev/null >/dev/tty; then echo terminal; fi";
    let mut overheard = soon(command(script).overhear()).await.unwrap();
    let pid = overheard.child.pid();
    assert_eq!(
        read(&mut overheard.output).await,
        format!("{pid} {pid} {pid} 0\n"),
        "pid, group, session, tty"
    );
}

#[tokio::test]
async fn its_environment_is_what_it_was_given_and_the_marker() {
    let mut command = command("exec env");
    command.program = Program::find("env", &command.environment).unwrap();
    command.args.clear();
    command.environment = Environment::empty();
    command.environment.set("A", "b").unwrap();
    let marker = command.marker.to_string();
    assert_eq!(heard(command).await.0, format!("A=b\nMUSHER_MARKER={marker}\n"));
}

#[tokio::test]
async fn its_whole_tree_is_ended() {
    let script =
        "trap '' TERM; setsid sleep 1020 & (env -i sleep 1021 &) ; echo up; while :; do sleep 1022; done";
    let mut overheard = soon(command(script).overhear()).await.unwrap();
    expect(&mut overheard.output, "up\n").await;
    let (marker, pid) = (overheard.child.marker().clone(), overheard.child.pid());
    let mut tree = Vec::new();
    eventually("the tree has grown", || {
        tree = scene::family(&marker, Some(pid));
        tree.len() == 4
    });
    let ended = soon(overheard.child.end(Ladder { grace: Duration::from_millis(50) })).await.unwrap();
    let killed = Exit { code: None, signal: Some(9) };
    assert_eq!(ended, Ended { exit: Some(killed), survivors: vec![] });
    assert_eq!(running(&tree), []);
}

#[tokio::test]
async fn dropping_the_child_kills_its_group_and_leaves_no_zombie() {
    let mut overheard = soon(command("sleep 1023 & echo up; wait").overhear()).await.unwrap();
    expect(&mut overheard.output, "up\n").await;
    let (leader, marker) = (scene::identity(overheard.child.pid()), overheard.child.marker().clone());
    drop(overheard.child);
    eventually("all are gone", || !scene::exists(leader) && scene::family(&marker, None).is_empty());
}

#[tokio::test]
async fn what_cannot_start_says_so_and_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("program");
    fs::copy("/bin/true", &program).unwrap();
    let mut nothing = command("exit 0");
    nothing.program = Program::find(program.to_str().unwrap(), &nothing.environment).unwrap();
    fs::remove_file(program).unwrap();
    let mut gone = command("exit 0");
    gone.directory = "/no/such/directory".into();
    for command in [nothing, gone] {
        for cgroups in [Cgroups::of_this_process(), None] {
            let error = soon(command.clone().overhear_in(cgroups)).await.unwrap_err();
            assert!(matches!(error, Error::Spawn { .. }), "{error}");
            assert!(cgroups.is_none_or(|cgroups| !cgroups.group(&command.marker).exists()), "{error}");
        }
    }
    if Confinement::is_available() {
        let root = tempfile::tempdir().unwrap();
        let link = root.path().join("link");
        std::os::unix::fs::symlink("/tmp", &link).unwrap();
        for writable in ["/no/such/directory".into(), link.clone(), link.join("below")] {
            let mut nowhere = command("exit 0");
            nowhere.confinement = Some(Confinement { writable: vec![writable] });
            let error = soon(nowhere.overhear()).await.unwrap_err();
            assert!(matches!(error, Error::Confine { .. }), "{error}");
        }
    }
}

#[tokio::test]
async fn a_control_group_holds_what_dropped_everything_else() {
    let Some(cgroups) = groups() else { return };
    let confinement = Confinement::is_available().then(|| Confinement { writable: vec!["/tmp".into()] });
    for (confinement, seconds) in [(None, "1041"), (confinement, "1042")] {
        let mut command = command(&straying(seconds));
        command.confinement = confinement;
        let mut overheard = soon(command.overhear_in(Some(cgroups))).await.unwrap();
        expect(&mut overheard.output, "up\n").await;
        let stray = stray(seconds);
        let marker = overheard.child.marker().clone();
        assert!(scene::family(&marker, None).contains(&stray));
        let ended = soon(overheard.child.kill_now()).await.unwrap();
        assert_eq!(ended.survivors, []);
        assert_eq!((running(&[stray]), cgroups.group(&marker).exists()), (vec![], false));
    }
}

#[tokio::test]
async fn the_end_of_a_part_is_not_that_of_its_worker_whatever_they_dropped() {
    let Some(cgroups) = groups() else { return };
    let worker = Marker::new(scene::owner(), "worker").unwrap();
    let markers = [worker.part("one").unwrap(), worker.part("two").unwrap(), worker.clone()];
    let mut started = Vec::new();
    for (marker, seconds) in markers.iter().zip(["1044", "1045", "1046"]) {
        let mut command = command(&straying(seconds));
        command.marker = marker.clone();
        let mut overheard = soon(command.overhear_in(Some(cgroups))).await.unwrap();
        expect(&mut overheard.output, "up\n").await;
        started.push((overheard.child, stray(seconds)));
    }
    let alive = |strays: &[Identity]| {
        let groups = markers.each_ref().map(|marker| cgroups.group(marker).exists());
        (running(strays).len(), groups, scene::family(&worker, None).len())
    };
    let strays: Vec<Identity> = started.iter().map(|(_, stray)| *stray).collect();
    assert_eq!(alive(&strays), (3, [true, true, true], 6));

    let (one, _) = &mut started[0];
    assert_eq!(soon(one.end(Ladder { grace: Duration::from_secs(10) })).await.unwrap().survivors, []);
    assert_eq!(running(&strays), strays[1..]);
    assert_eq!(alive(&strays), (2, [false, true, true], 4));

    let scope = Scope::Worker(worker.clone());
    let sweep = Sweep { scope, root: None, grace: Duration::ZERO, limit: Duration::from_secs(10) };
    assert_eq!(soon(sweep.run()).await.unwrap(), []);
    assert_eq!(alive(&strays), (0, [false, false, false], 0));
}

#[tokio::test]
async fn a_child_that_is_dropped_leaves_no_control_group() {
    let Some(cgroups) = groups() else { return };
    let mut overheard = soon(command("echo up; sleep 1043").overhear_in(Some(cgroups))).await.unwrap();
    expect(&mut overheard.output, "up\n").await;
    let group = cgroups.group(overheard.child.marker());
    assert!(group.exists());
    drop(overheard.child);
    eventually("the group is gone", || !group.exists());
}

#[tokio::test]
async fn a_worker_whose_control_group_cannot_be_made_runs_without() {
    let nowhere: &'static Cgroups = Box::leak(Box::new(Cgroups { root: "/no/such/group".into() }));
    let (own, exit) = heard_in(command("cat /proc/self/cgroup; cat"), Some(nowhere)).await;
    assert_eq!((own, exit.as_str()), (fs::read_to_string("/proc/self/cgroup").unwrap(), "exit code 0"));
}

/// Ways to change something outside of the one directory that is allowed, each of which must fail.
const ESCAPES: [&str; 11] = [
    "echo x > ../outside",
    "echo x >> ../kept",
    "truncate -s 0 ../kept",
    "rm ../kept",
    "mv ../kept .",
    "ln ../kept here",
    "mkdir ../outside",
    "ln -s /etc ../outside",
    "mkfifo ../outside",
    "ln -s ../kept link && echo x > link",
    "setsid sh -c 'echo x > ../outside'",
];

#[tokio::test]
async fn a_confined_tree_writes_only_below_its_directories() {
    if !Confinement::is_available() {
        scene::cannot_show("this kernel has no Landlock");
        return;
    }
    for cgroups in [Cgroups::of_this_process(), None] {
        check_confinement(cgroups).await;
    }
}

async fn check_confinement(cgroups: Option<&'static Cgroups>) {
    let root = tempfile::tempdir().unwrap();
    let inside = root.path().join("inside");
    fs::create_dir(&inside).unwrap();
    fs::write(root.path().join("kept"), "kept").unwrap();
    let run = |script: &str| {
        let mut command = command(script);
        command.directory = inside.clone();
        command.confinement = Some(Confinement { writable: vec![inside.clone()] });
        heard_in(command, cgroups)
    };

    let allowed = "cat ../kept && echo in > file && mkdir d && mv file d && rm -r d && echo x >/dev/null && : >/dev/full";
    assert_eq!(run(allowed).await, ("kept".to_owned(), "exit code 0".to_owned()));
    for script in ESCAPES {
        let (output, exit) = run(script).await;
        assert_ne!(exit, "exit code 0", "{script}: {output}");
        assert_eq!(fs::read_to_string(root.path().join("kept")).unwrap(), "kept", "{script}");
        let names: Vec<_> =
            fs::read_dir(root.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names.len(), 2, "{script}: {names:?}");
    }
    fs::write(root.path().join("free"), "this process is free").unwrap();
}
