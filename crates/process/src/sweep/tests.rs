use super::*;
use crate::{
    Marker,
    scene::{self, command, eventually, expect, running, shell, soon},
};

const LIMIT: Duration = Duration::from_secs(5);

#[tokio::test]
async fn a_sweep_ends_one_worker_or_one_owner_and_no_other() {
    let owner = scene::owner();
    let mut children = Vec::new();
    for (owner, worker) in [(&owner, "one"), (&owner, "two"), (&scene::owner(), "one")] {
        let mut command = command("sleep", &["1010"]);
        command.marker = Marker::new(owner.clone(), worker).unwrap();
        children.push(soon(command.spawn()).await.unwrap().child);
    }
    let alive =
        || -> Vec<usize> { children.iter().map(|child| scene::family(child.marker(), None).len()).collect() };
    let sweep = |scope| Sweep { scope, root: None, grace: Duration::ZERO, limit: LIMIT }.run();
    assert_eq!(alive(), [1, 1, 1]);

    assert_eq!(soon(sweep(Scope::Worker(children[0].marker().clone()))).await.unwrap(), []);
    assert_eq!(alive(), [0, 1, 1]);

    assert_eq!(soon(sweep(Scope::Owner(owner))).await.unwrap(), []);
    assert_eq!(alive(), [0, 0, 1]);
}

#[tokio::test]
async fn a_root_is_swept_with_its_descendants_whatever_they_carry() {
    let mut stranger = shell("env -i setsid sleep 1011 & env -i sleep 1011 & echo up; wait").await;
    expect(&mut stranger.stdout, "up\n").await;
    let pid = stranger.child.pid();
    let mut tree = Vec::new();
    eventually("the tree has grown", || {
        tree = scene::family(stranger.child.marker(), Some(pid));
        tree.len() == 3
    });

    let nobody = Scope::Owner(scene::owner());
    let survivors =
        Sweep { scope: nobody, root: Some(pid), grace: Duration::ZERO, limit: LIMIT }.run_blocking();
    assert_eq!(survivors.unwrap(), []);
    assert_eq!(running(&tree), []);
    assert_eq!(soon(stranger.child.wait()).await.unwrap().signal, Some(9));
}

#[tokio::test]
async fn with_a_grace_a_process_may_clean_up() {
    let mut spawned = shell("trap 'exit 4' TERM; echo up; while :; do sleep 0.01; done").await;
    expect(&mut spawned.stdout, "up\n").await;
    let scope = Scope::Worker(spawned.child.marker().clone());
    let survivors = soon(Sweep { scope, root: None, grace: LIMIT, limit: LIMIT }.run()).await.unwrap();
    assert_eq!((survivors, soon(spawned.child.wait()).await.unwrap().code), (vec![], Some(4)));
}

#[tokio::test]
async fn what_cannot_be_ended_in_time_is_named() {
    let mut spawned = shell("echo up; exec sleep 1012").await;
    expect(&mut spawned.stdout, "up\n").await;
    let pid = spawned.child.pid();
    let scope = Scope::Worker(spawned.child.marker().clone());
    eventually("the shell has become the sleeper", || {
        let mut family = Family::new(scope.clone(), None);
        family.look().unwrap().iter().map(|stat| stat.command.as_str()).eq(["sleep"])
    });
    let sweep = Sweep { scope, root: None, grace: Duration::ZERO, limit: Duration::ZERO };
    assert_eq!(sweep.run_blocking().unwrap(), [Survivor { pid, command: "sleep".to_owned() }]);
}
