use std::{
    fs,
    io::{self, Write},
    path::PathBuf,
    sync::Arc,
};

use musher_backend::Sandbox;
use musher_process::Confinement;
use serde_json::json;

use super::*;
use crate::{
    ToolSet,
    bound::CONTENT_LIMIT,
    scene::{Scene, call, eventually, marked, soon},
};

#[tokio::test]
async fn a_command_answers_with_what_it_wrote_and_how_it_ended() {
    let scene = Scene::new().await;
    scene.write("a.txt", "text\n");
    for (command, told, is_error) in [
        ("cat a.txt", "text\n", false),
        ("echo out; echo err >&2; echo out", "out\nerr\nout\n", false),
        ("true", "[no output]", false),
        ("exit 3", "[exit code 3]", true),
        ("printf partial; exit 1", "partial\n[exit code 1]", true),
        ("kill -9 $$", "[signal 9]", true),
        ("read line || echo nothing to read", "nothing to read\n", false),
        ("cd / && pwd; exit 0", "/\n", false),
        ("printf 'caf\\351\\n'", "caf\u{fffd}\n", false),
    ] {
        let output = scene.call("shell", json!({"command": command})).await;
        assert_eq!((output.content.as_str(), output.is_error), (told, is_error), "{command}");
    }
}

#[tokio::test]
async fn its_environment_is_the_list_that_was_given() {
    let mut environment = Environment::empty();
    environment.set("PATH", "/usr/bin:/bin").unwrap();
    environment.set("FLAVOR", "mint").unwrap();
    let scene = Scene::of(ToolSet::workspace().with_environment(environment), &["shell"]).await;
    let names = scene.ok("shell", json!({"command": "env | cut -d= -f1 | sort | tr '\\n' ' '"})).await;
    // What a shell adds by itself is not a secret.
    let given = names.split(' ').filter(|name| !["PWD", "OLDPWD", "SHLVL", "_", ""].contains(name));
    assert_eq!(given.collect::<Vec<_>>(), ["FLAVOR", "MUSHER_MARKER", "PATH", "TERM", "TMPDIR"]);
    let marker = scene.ok("shell", json!({"command": "printf %s $MUSHER_MARKER"})).await;
    assert!(marker.starts_with(&format!("{}/", scene.marker)), "{marker}");
}

#[tokio::test]
async fn temporary_files_go_with_the_session() {
    let scene = Scene::new().await;
    let directory =
        PathBuf::from(scene.ok("shell", json!({"command": "echo x > $TMPDIR/a; printf %s $TMPDIR"})).await);
    assert_eq!(fs::read_to_string(directory.join("a")).unwrap(), "x\n", "calls of a session share it");
    drop(scene);
    eventually("the directory is gone", || !directory.exists()).await;
}

#[tokio::test]
async fn a_session_that_has_a_directory_for_temporary_files_uses_that() {
    let given = tempfile::tempdir().unwrap();
    let elsewhere = ToolSet::workspace().with_temporary_in("/no/such/directory");
    let scene = Scene::with(elsewhere, &["shell"], &[], Some(given.path().to_owned())).await;
    let told = scene.ok("shell", json!({"command": "echo x > $TMPDIR/a; printf %s $TMPDIR"})).await;
    assert_eq!(told, given.path().to_str().unwrap());
    let shell = Arc::downgrade(&scene.tool("shell"));
    drop(scene);
    eventually("the tool is gone", || shell.strong_count() == 0).await;
    assert_eq!(fs::read_to_string(given.path().join("a")).unwrap(), "x\n", "it is not ours to remove");
}

#[tokio::test]
async fn a_background_process_neither_holds_the_call_nor_survives_it() {
    let scene = Scene::new().await;
    let command = "sleep 1101 & setsid sleep 1102 & (nohup sleep 1103 >/dev/null 2>&1 &) ; echo started";
    assert_eq!(scene.ok("shell", json!({"command": command})).await, "started\n");
    assert_eq!(marked(&scene.marker), Vec::<String>::new());
}

#[tokio::test]
async fn a_command_that_takes_too_long_is_ended_with_its_tree() {
    let scene = Scene::new().await;
    let command = "trap '' TERM; setsid sleep 1104 & echo started; while :; do sleep 1105; done";
    let told = scene.refused("shell", json!({"command": command, "timeout_secs": 3})).await;
    assert_eq!(told, "started\n[ended: it took longer than its limit of 3 s]");
    assert_eq!(marked(&scene.marker), Vec::<String>::new());
    for asked in [0, 601] {
        let told = scene.refused("shell", json!({"command": "true", "timeout_secs": asked})).await;
        assert_eq!(told, format!("`timeout_secs` is {asked}; it may be 1 to 600"));
    }
}

#[tokio::test]
async fn a_command_that_is_no_longer_wanted_is_ended_and_the_one_beside_it_is_not() {
    let scene = Scene::new().await;
    let (unwanted, cancellation) = Cancellation::pair();
    let (_wanted, other) = Cancellation::pair();
    let [shell, beside] = [scene.tool("shell"), scene.tool("shell")];
    let [ready, go] = [scene.path("ready"), scene.path("go")];
    let canceled =
        shell.call(call(json!({"command": "echo started; touch ready; sleep 1106 & wait"}), cancellation));
    let kept =
        beside.call(call(json!({"command": "until [ -e go ]; do sleep 0.01; done; echo done"}), other));
    let cancel = async {
        eventually("the command runs", || ready.exists()).await;
        unwanted.send(true).unwrap();
    };
    let finish = async {
        let (canceled, ()) = tokio::join!(canceled, cancel);
        fs::write(go, "").unwrap();
        canceled
    };
    let (canceled, kept) = soon(async { tokio::join!(finish, kept) }).await;
    assert_eq!(canceled.content, "started\n[ended: the call was canceled]");
    assert_eq!((kept.content.as_str(), kept.is_error), ("done\n", false));
    assert_eq!(marked(&scene.marker), Vec::<String>::new());
}

#[tokio::test]
async fn the_end_of_a_command_is_that_of_all_it_left_and_of_nothing_of_another_one() {
    let scene = Scene::new().await;
    let membership = scene.ok("shell", json!({"command": "cat /proc/self/cgroup"})).await;
    if !membership.contains(&format!("/musher-{}.worker", scene.marker.owner())) {
        // Stderr itself, which no test run hides.
        writeln!(io::stderr(), "NOT SHOWN HERE: no control group is delegated to this process").unwrap();
        return;
    }
    let stray = |seconds: &str| {
        format!("(env -i setsid nohup sleep {seconds} >/dev/null 2>&1 </dev/null &); touch ready{seconds}")
    };
    let first = [scene.path("ready1110"), scene.path("go1110")];
    let second = [scene.path("ready1111"), scene.path("go1111")];
    let shells = [scene.tool("shell"), scene.tool("shell")];
    let wait = |seconds: &str| {
        format!("{}; until [ -e go{seconds} ]; do sleep 0.01; done; echo done", stray(seconds))
    };
    let (_wanted, cancellation) = Cancellation::pair();
    let (_wanted, other) = Cancellation::pair();
    let ended = shells[0].call(call(json!({"command": wait("1110")}), cancellation));
    let kept = shells[1].call(call(json!({"command": wait("1111")}), other));
    let end = async {
        eventually("both run", || first[0].exists() && second[0].exists()).await;
        eventually("both have left something", || sleeping("1110") == 1 && sleeping("1111") == 1).await;
        fs::write(&first[1], "").unwrap();
    };
    let finish = async {
        let (ended, ()) = tokio::join!(ended, end);
        assert_eq!((sleeping("1110"), sleeping("1111")), (0, 1));
        fs::write(&second[1], "").unwrap();
        ended
    };
    let (ended, kept) = soon(async { tokio::join!(finish, kept) }).await;
    assert_eq!((ended.content.as_str(), kept.content.as_str()), ("done\n", "done\n"));
    assert_eq!(sleeping("1111"), 0);
}

/// How many processes sleep so long, whatever they carry.
fn sleeping(seconds: &str) -> usize {
    let wanted = format!("sleep\0{seconds}\0");
    let entries = fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path().join("cmdline"));
    entries.filter(|line| fs::read(line).is_ok_and(|line| line == wanted.as_bytes())).count()
}

#[tokio::test]
async fn a_call_that_is_dropped_leaves_nothing() {
    let scene = Scene::new().await;
    let (_wanted, cancellation) = Cancellation::pair();
    let shell = scene.tool("shell");
    let ready = scene.path("ready");
    let running = shell
        .call(call(json!({"command": "setsid sleep 1107 & sleep 1108 & touch ready; wait"}), cancellation));
    let started = eventually("the command runs", || ready.exists());
    tokio::select! {
        output = running => panic!("nobody ended it: {output:?}"),
        () = started => {}
    }
    eventually("all are gone", || marked(&scene.marker).is_empty()).await;
}

#[tokio::test]
async fn an_endless_output_is_cut_and_ended() {
    let scene = Scene::new().await;
    let output = scene.call("shell", json!({"command": "yes", "timeout_secs": 3})).await;
    assert!(output.content.ends_with("y\n[ended: it took longer than its limit of 3 s]"));
    assert!(output.content.len() <= CONTENT_LIMIT + 200, "{} bytes", output.content.len());
    assert!(output.whole.is_some_and(|whole| whole.starts_with("y\ny\n")));
}

#[tokio::test]
async fn the_sandbox_holds_and_says_its_name() {
    let free = Scene::held_by(Sandbox::None).await;
    assert_eq!(free.kit.sandbox.as_deref(), Some("none"));
    assert_eq!(free.ok("shell", json!({"command": "echo x > ../outside"})).await, "[no output]");

    let held = Scene::new().await;
    if !Confinement::is_available() {
        let codes: Vec<_> = held.kit.diagnostics.iter().map(|diagnostic| diagnostic.code.as_str()).collect();
        assert_eq!((held.kit.sandbox.as_deref(), codes), (Some("none"), vec!["tools.no_sandbox"]));
        return;
    }
    assert_eq!((held.kit.sandbox.as_deref(), held.kit.diagnostics.len()), (Some("landlock"), 0));
    held.ok("shell", json!({"command": "echo x > inside && echo x > $TMPDIR/a && echo x > /dev/null"})).await;
    let told = held.refused("shell", json!({"command": "echo x > ../outside"})).await;
    assert!(told.contains("Permission denied"), "{told}");
    assert_eq!(fs::read_dir(held.outside()).unwrap().count(), 1, "only the workspace");
    let demanded = Scene::held_by(Sandbox::Landlock).await;
    assert_eq!(demanded.kit.sandbox.as_deref(), Some("landlock"));
    demanded.refused("shell", json!({"command": "echo x > ../outside"})).await;
}

#[tokio::test]
async fn a_command_has_the_variables_that_its_workspace_declares() {
    let scene = Scene::passing(&["CARGO_MANIFEST_DIR", "MUSHER_NO_SUCH_VARIABLE"]).await;
    let told = scene.ok("shell", json!({"command": "echo $CARGO_MANIFEST_DIR; env"})).await;
    let expected = env!("CARGO_MANIFEST_DIR");
    assert!(told.starts_with(expected) && !told.contains("MUSHER_NO_SUCH"), "{told}");
}

#[tokio::test]
async fn what_a_worktree_needs_of_its_repository_may_be_written() {
    let scene = Scene::beside(ToolSet::workspace(), &["shell"], &["objects"]).await;
    scene.ok("shell", json!({"command": "echo x > ../objects/a"})).await;
    assert_eq!(fs::read_to_string(scene.outside().join("objects/a")).unwrap(), "x\n");
    // Git removes what is empty, also while somebody works.
    fs::remove_dir_all(scene.outside().join("objects")).unwrap();
    scene.ok("shell", json!({"command": "echo y > ../objects/a"})).await;
    assert_eq!(fs::read_to_string(scene.outside().join("objects/a")).unwrap(), "y\n");
}
