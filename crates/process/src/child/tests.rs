use std::collections::HashSet;

use super::*;
use crate::{
    PtyCommand, Spawned, Sweep,
    linux::{self, Cgroups, Identity},
    scene::{self, command, eventually, expect, read, running, shell, soon},
};

const PROMPT: Ladder = Ladder { grace: Duration::from_secs(10) };
const IMPATIENT: Ladder = Ladder { grace: Duration::from_millis(100) };

const KILLED: Exit = Exit { code: None, signal: Some(9) };

#[tokio::test]
async fn the_end_of_a_process_is_told_as_it_was() {
    for (script, exit) in [
        ("exit 0", "exit code 0"),
        ("exit 7", "exit code 7"),
        ("exit 255", "exit code 255"),
        ("kill -TERM $$", "signal 15"),
        ("kill -KILL $$", "signal 9"),
        ("kill -HUP $$", "signal 1"),
    ] {
        let mut child = shell(script).await.child;
        let told = (soon(child.wait()).await.unwrap(), soon(child.wait()).await.unwrap());
        let ended = soon(child.end(PROMPT)).await.unwrap();
        assert_eq!(
            (told.0.to_string(), told.1, Some(told.0)),
            (exit.to_owned(), told.0, ended.exit),
            "{script}"
        );
    }
}

#[tokio::test]
async fn a_process_that_cleans_up_in_time_is_not_killed() {
    let mut spawned = shell("trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 0.01; done").await;
    expect(&mut spawned.stdout, "up\n").await;
    let ended = soon(spawned.child.end(PROMPT)).await.unwrap();
    assert_eq!(ended, Ended { exit: Some(Exit { code: Some(3), signal: None }), survivors: vec![] });
    assert_eq!(read(&mut spawned.stdout).await, "bye\n");
}

/// Ways to outlive a parent: deaf to signals, in a session of one's own, reparented to init, both, and
/// without an environment to be found by.
const STUBBORN: &str = r#"
    trap '' TERM HUP INT
    setsid sh -c 'trap "" TERM HUP; sleep 1001 & sleep 1001; :' &
    nohup sleep 1002 >/dev/null 2>&1 &
    (setsid nohup sleep 1003 >/dev/null 2>&1 &)
    (env -i sleep 1004 &)
    env -i setsid sh -c '(sleep 1005 &) ; sleep 1005; :' &
    echo up
    while :; do sleep 1000; done"#;

/// The shell, three shells' worth of sleepers in sessions, three alone, and the one it waits for.
const N_STUBBORN: usize = 1 + 3 + 3 + 3 + 1;

#[tokio::test]
async fn a_stubborn_tree_is_gone_after_the_ladder() {
    let mut spawned = shell(STUBBORN).await;
    expect(&mut spawned.stdout, "up\n").await;
    let (marker, pid) = (spawned.child.marker().clone(), spawned.child.pid());
    let mut tree = Vec::new();
    eventually("the tree has grown", || {
        tree = scene::family(&marker, Some(pid));
        tree.len() == N_STUBBORN
    });
    let ended = soon(spawned.child.end(IMPATIENT)).await.unwrap();
    assert_eq!(ended, Ended { exit: Some(KILLED), survivors: vec![] });
    assert_eq!(running(&tree), []);
}

#[tokio::test]
async fn what_only_its_parent_led_to_is_ended_though_the_parent_went_first() {
    let mut spawned =
        shell("trap 'exit 0' TERM; env -i setsid sleep 1006 & echo up; while :; do sleep 0.01; done").await;
    expect(&mut spawned.stdout, "up\n").await;
    let mut sleeper = Vec::new();
    eventually("the sleeper leads a session", || {
        let mut family =
            Family::new(Scope::Worker(spawned.child.marker().clone()), Some(spawned.child.pid()));
        let members = family.look().unwrap();
        let in_other_session = members.iter().filter(|stat| stat.session != spawned.child.pid());
        sleeper = in_other_session.filter(|stat| stat.command == "sleep").map(|stat| stat.identity).collect();
        sleeper.len() == 1
    });
    let ended = soon(spawned.child.end(PROMPT)).await.unwrap();
    assert_eq!(ended, Ended { exit: Some(Exit { code: Some(0), signal: None }), survivors: vec![] });
    assert_eq!(running(&sleeper), []);
}

#[tokio::test]
async fn what_a_finished_process_left_behind_is_ended() {
    let mut spawned = shell("trap '' HUP; setsid sleep 1007 >/dev/null 2>&1 & echo up").await;
    expect(&mut spawned.stdout, "up\n").await;
    let exit = soon(spawned.child.wait()).await.unwrap();
    let left = scene::family(spawned.child.marker(), None);
    let ended = soon(spawned.child.end(PROMPT)).await.unwrap();
    assert_eq!((left.len(), &ended), (1, &Ended { exit: Some(exit), survivors: vec![] }));
    assert_eq!(running(&left), []);

    assert_eq!(soon(spawned.child.end(PROMPT)).await.unwrap(), ended, "ending twice is ending once");
}

#[tokio::test]
async fn an_end_that_was_given_up_can_be_taken_up_again() {
    let mut spawned = shell("trap '' TERM; echo up; while :; do sleep 1000; done").await;
    expect(&mut spawned.stdout, "up\n").await;
    let given_up = time::timeout(Duration::from_millis(50), spawned.child.end(PROMPT)).await;
    assert!(given_up.is_err(), "the shell ignores SIGTERM: {given_up:?}");
    let ended = soon(spawned.child.kill_now()).await.unwrap();
    assert_eq!(ended, Ended { exit: Some(KILLED), survivors: vec![] });
}

#[tokio::test]
async fn the_pid_is_held_until_the_end() {
    let mut child = shell("exit 0").await.child;
    let held = scene::identity(child.pid());
    soon(child.wait()).await.unwrap();
    assert!(scene::exists(held));
    soon(child.kill_now()).await.unwrap();
    assert!(!scene::exists(held));
}

#[tokio::test]
async fn dropping_a_child_kills_its_group_and_leaves_no_zombie() {
    // The one in another session lives on and keeps the terminal open.
    let script = "trap '' TERM HUP; setsid sleep 1008 >/dev/tty 2>&1 </dev/null & sleep 1009 & echo up; wait";
    let mut spawned = shell(script).await;
    expect(&mut spawned.stdout, "up\n").await;
    let (leader, marker) = (scene::identity(spawned.child.pid()), spawned.child.marker().clone());
    eventually("the sleeper has left the group", || sessions(&marker).len() == 2);

    drop(spawned.child);
    eventually("the group is gone", || sessions(&marker).len() == 1 && !scene::exists(leader));
    let sweep = Sweep { scope: Scope::Worker(marker), root: None, grace: Duration::ZERO, limit: KILL_LIMIT };
    assert_eq!(soon(sweep.run()).await.unwrap(), []);
}

fn sessions(marker: &Marker) -> HashSet<u32> {
    let mut family = Family::new(Scope::Worker(marker.clone()), None);
    family.look().unwrap().into_iter().map(|stat| stat.session).collect()
}

/// Starts a worker that leaves a process without environment, parents and session before anybody looked, and
/// finds that process, whose arguments nobody else has.
async fn with_a_stray(cgroups: Option<&'static Cgroups>, seconds: &str) -> (Spawned, Identity) {
    let script = format!("(env -i setsid nohup sleep {seconds} >/dev/null 2>&1 </dev/null &); echo up; cat");
    let command: PtyCommand = command("sh", &["-c", &script]);
    let mut spawned = soon(command.spawn_in(cgroups)).await.unwrap();
    expect(&mut spawned.stdout, "up\n").await;
    let mut strays = Vec::new();
    eventually("the stray runs by itself", || {
        strays = scene::with_arguments(&["sleep", seconds]);
        strays.len() == 1
            && linux::stat_of(strays[0].pid).is_some_and(|stat| stat.session == stat.identity.pid)
    });
    (spawned, strays[0])
}

#[tokio::test]
async fn a_control_group_holds_what_dropped_everything_else() {
    let Some(cgroups) = Cgroups::of_this_process() else {
        scene::cannot_show("no control group is delegated to this process");
        return;
    };
    for ladder in [Some(PROMPT), None] {
        let seconds = if ladder.is_some() { "1031" } else { "1032" };
        let (mut spawned, stray) = with_a_stray(Some(cgroups), seconds).await;
        let marker = spawned.child.marker().clone();
        let group = cgroups.group(&marker);
        std::fs::create_dir(group.join("below")).unwrap();
        std::fs::write(group.join("below/cgroup.procs"), stray.pid.to_string()).unwrap();
        assert!(scene::family(&marker, None).contains(&stray));

        let ended = match ladder {
            Some(ladder) => soon(spawned.child.end(ladder)).await,
            None => soon(spawned.child.kill_now()).await,
        };
        assert_eq!(ended.unwrap().survivors, []);
        assert_eq!((running(&[stray]), group.exists()), (vec![], false), "{ladder:?}");
    }
}

#[tokio::test]
async fn the_processes_of_an_owner_are_found_by_their_groups() {
    let Some(cgroups) = Cgroups::of_this_process() else {
        scene::cannot_show("no control group is delegated to this process");
        return;
    };
    let (mut spawned, stray) = with_a_stray(Some(cgroups), "1033").await;
    let marker = spawned.child.marker().clone();
    let group = cgroups.group(&marker);
    let scope = Scope::Owner(marker.owner().clone());
    let sweep = Sweep { scope, root: None, grace: Duration::ZERO, limit: KILL_LIMIT };
    assert_eq!(soon(sweep.run()).await.unwrap(), []);
    assert_eq!((running(&[stray]), group.exists()), (vec![], false));
    soon(spawned.child.kill_now()).await.unwrap();
}

/// This is what nobody can do better: nothing leads from the worker to this process any more.
#[tokio::test]
async fn without_a_control_group_what_dropped_everything_is_not_found() {
    let (mut spawned, stray) = with_a_stray(None, "1034").await;
    let ended = soon(spawned.child.kill_now()).await.unwrap();
    assert_eq!((ended.survivors, running(&[stray])), (vec![], vec![stray]));
    linux::signal(stray, rustix::process::Signal::KILL).unwrap();
}

#[tokio::test]
async fn a_worker_whose_control_group_cannot_be_made_runs_without() {
    let nowhere: &'static Cgroups = Box::leak(Box::new(Cgroups { root: "/no/such/group".into() }));
    let mut spawned = soon(command("cat", &["/proc/self/cgroup"]).spawn_in(Some(nowhere))).await.unwrap();
    assert_eq!(read(&mut spawned.stdout).await, std::fs::read_to_string("/proc/self/cgroup").unwrap());
    assert_eq!(soon(spawned.child.end(PROMPT)).await.unwrap().exit.unwrap().code, Some(0));
}
