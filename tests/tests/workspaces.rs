//! Workspaces with real repositories, behind the built binary.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    fs,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use hyper::Method;
use musher_e2e::{Answer, Client, Fleet, Home, Obedient, local_home, shell, turn};
use musher_protocol::{Envelope, Payload};
use musher_testkit::{
    eventually,
    program::executable,
    repository::{Repository, commit_in, git_in},
};
use serde_json::{Value, json};

/// A token that may drive, and nothing else.
const DRIVES: &str = "drives";

/// Where there is no model, and none is asked.
const NOWHERE: &str = "http://127.0.0.1:9";

/// The profile's other lines, a token, and the table of `shop`, of which `workspace` are lines.
fn lines(path: &Path, workspace: &str) -> String {
    format!(
        r#"
        approval = {{ mode = "allow" }}
        [[tokens]]
        name = "drives"
        sha256 = "d56a6928b3ed98a44f4ec9e8d50d19038e6a4f88437c2e03ab5e09eaa1e51f3d"
        scopes = ["drive"]
        [workspaces.shop]
        path = "{}"
        {workspace}
        "#,
        path.display(),
    )
}

fn request() -> Value {
    let workspace = json!([{"name": "main", "reference": "shop"}]);
    json!({"intent": {"kind": "assistant"}, "profile": {"kind": "named", "value": "coder"}, "workspace_refs": workspace})
}

/// Where a worker's worktree is.
fn directory(home: &Home, worker: &str) -> PathBuf {
    home.path().join("store/worktrees").join(worker).join("0/shop")
}

/// The text of a turn in which a shell is told this.
async fn run(client: &Client, worker: &str, command: &str) -> String {
    turn(client, worker, &shell(command)).await
}

async fn delete(client: &Client, worker: &str, query: &str) -> Answer {
    client.send(Method::DELETE, &format!("/v1/workers/{worker}{query}"), &[], Bytes::new()).await
}

async fn stop(client: &Client, worker: &str) {
    let stopped = client.post(&format!("/v1/workers/{worker}/stop"), &json!({})).await.good();
    assert_eq!(stopped["ack"]["status"], "stopped");
}

#[tokio::test]
async fn a_worker_commits_in_its_worktree_and_reaches_nothing_else_of_the_repository() {
    let (api, repository) = (Obedient::start().await, Repository::new());
    let base = repository.git(&["rev-parse", "HEAD"]);
    let home = api.home(&lines(&repository.path(), "isolation = \"worktree\""));
    let server = home.start().await;
    let client = server.client();
    let worker = client.post("/v1/workers", &request()).await.good()["worker"].clone();
    let id = worker["worker_id"].as_str().unwrap();
    let branch = format!("musher/{id}");
    let expected = json!([{
        "name": "main", "reference": "shop", "isolation": "worktree", "branch": branch, "base_commit": base,
    }]);
    assert_eq!(worker["workspaces"], expected);

    let identity = "git -c user.name=model -c user.email=model@example.com";
    let commit = format!(
        "echo new > new && git add new && {identity} commit --quiet -m work 2>&1 | grep -v packed-refs; git log --format=%s"
    );
    assert_eq!(run(&client, id, &commit).await, "work\nfirst\n");
    let head = git_in(&directory(&home, id), &["rev-parse", "HEAD"]);
    assert_eq!(repository.git(&["rev-parse", &branch]), head);
    // Also when somebody has tidied up meanwhile.
    repository.git(&["pack-refs", "--all"]);
    assert_eq!(run(&client, id, &commit.replace("new", "newer")).await, "work\nwork\nfirst\n");

    if is_confined(&client, id).await {
        let shared = repository.path().join(".git");
        for attempt in
            ["config --local alias.x '!evil'", "branch other", "tag other", "update-ref refs/heads/main HEAD"]
        {
            let told = run(&client, id, &format!("git {attempt} 2>&1; echo")).await;
            assert!(
                told.contains("ermission denied") || told.contains("could not lock"),
                "{attempt}: {told}"
            );
        }
        for file in ["hooks/pre-commit", "config", "HEAD", "info/attributes"] {
            let told =
                run(&client, id, &format!("echo evil >> {} ; echo", shared.join(file).display())).await;
            assert!(told.contains("ermission denied"), "{file}: {told}");
        }
    }
    assert_eq!(repository.branches(), ["main", &branch]);
    assert_eq!(repository.git(&["rev-parse", "main"]), base);
    assert_eq!(api.violations(), []);
}

#[tokio::test]
async fn what_a_worker_changed_is_shown_while_it_runs_and_after() {
    let (api, repository) = (Obedient::start().await, Repository::new());
    let base = repository.git(&["rev-parse", "HEAD"]);
    let home = api.home(&lines(&repository.path(), "isolation = \"worktree\""));
    let server = home.start().await;
    let client = server.client();
    let worker = client.create(&request()).await;
    let at = format!("/v1/workers/{worker}/diff");
    run(&client, &worker, "echo more >> README; git add README; echo new > new; mkfifo pipe; ln -s /etc out")
        .await;
    let expected = json!({"diff": {
        "workspace": "main", "branch": format!("musher/{worker}"), "base_commit": base, "truncated": false,
        "files": [
            {"path": "README", "change": "modified", "additions": 1, "deletions": 0},
            {"path": "new", "change": "added", "additions": 1, "deletions": 0},
            {"path": "out", "change": "added", "additions": 1, "deletions": 0},
        ],
        "patch": "diff --git a/README b/README\nindex 3394cb7..b5d185a 100644\n--- a/README\n+++ b/README\n\
            @@ -1 +1,2 @@\n a shop\n+more\n\
            diff --git a/new b/new\nnew file mode 100644\nindex 0000000..3e75765\n--- /dev/null\n+++ b/new\n\
            @@ -0,0 +1 @@\n+new\n\
            diff --git a/out b/out\nnew file mode 120000\nindex 0000000..34ed534\n--- /dev/null\n+++ b/out\n\
            @@ -0,0 +1 @@\n+/etc\n\\ No newline at end of file\n",
    }});
    assert_eq!(client.get(&at).await.good(), expected);
    assert_eq!(client.get(&format!("{at}?workspace=main")).await.good(), expected);
    stop(&client, &worker).await;
    assert_eq!(client.get(&at).await.good(), expected);

    let other = client.get(&format!("{at}?workspace=docs")).await;
    let expected = format!("worker `{worker}` has no workspace `docs`");
    assert_eq!((other.status, other.body["error"]["message"].clone()), (400, json!(expected)));
    fs::remove_dir_all(directory(&home, &worker)).unwrap();
    let gone = client.get(&at).await;
    assert_eq!(gone.error(), (409, "worker_execution_unavailable"));
    let missing = (&gone.body["error"]["missing"], &gone.body["error"]["retryable"]);
    assert_eq!(missing, (&json!(["its directory"]), &json!(false)));
    let mut request = request();
    request.as_object_mut().unwrap().remove("workspace_refs");
    let worker = client.create(&request).await;
    let refused = client.get(&format!("/v1/workers/{worker}/diff")).await;
    assert_eq!(
        (refused.status, refused.body["error"]["code"].clone()),
        (409, json!("workspace_not_versioned"))
    );
    assert_eq!(api.violations(), []);
}

/// Whether this kernel holds a worker's commands; where it does not, its log says so.
async fn is_confined(client: &Client, worker: &str) -> bool {
    let log: Vec<Envelope> = client.log(worker).await;
    let sandbox = log.iter().find_map(|event| {
        let Payload::SessionEnvironment(environment) = &event.payload else { return None };
        Some(environment.sandbox.clone())
    });
    sandbox.unwrap() == "landlock"
}

#[tokio::test]
async fn work_is_deleted_only_by_who_may_discard_it() {
    let (api, repository) = (Obedient::start().await, Repository::new());
    let home = api.home(&lines(&repository.path(), "isolation = \"worktree\""));
    let server = home.start().await;
    let client = server.client();
    let worker = client.create(&request()).await;
    assert_eq!(run(&client, &worker, "echo new > new; ls").await, "README\nnew\nsrc\n");
    stop(&client, &worker).await;

    let kept = delete(&client, &worker, "").await;
    assert_eq!(kept.error(), (409, "workspace_dirty"));
    let message = "the worktree of workspace `shop` has changes that are not committed";
    assert_eq!(kept.body["error"]["message"], message);
    let drives = server.client_with(Some(DRIVES));
    assert_eq!(delete(&drives, &worker, "").await.error(), (409, "workspace_dirty"));
    assert_eq!(delete(&drives, &worker, "?discard=true").await.error(), (403, "forbidden"));
    assert_eq!(delete(&client, &worker, "?discard=yes").await.error(), (400, "invalid_query"));
    assert!(directory(&home, &worker).join("new").exists());

    // It outlives the server that its worker was created by.
    let finished = server.terminate().await;
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    let server = home.start().await;
    let client = server.client();
    assert!(directory(&home, &worker).join("new").exists());
    assert_eq!(delete(&client, &worker, "?discard=true").await.status, 204);
    assert_eq!((repository.branches(), repository.n_worktrees()), (vec!["main".to_owned()], 0));
    assert_eq!(fs::read_dir(home.path().join("store/worktrees")).unwrap().count(), 0);
}

#[tokio::test]
async fn a_store_in_memory_has_no_worktrees_and_says_so() {
    let repository = Repository::new();
    let home = local_home(NOWHERE, &lines(&repository.path(), "isolation = \"worktree\""));
    let server = home.env("MUSHER_STORE", "memory").start().await;
    let refused = server.client().post("/v1/workers", &request()).await;
    assert_eq!(refused.error(), (409, "worker_execution_unavailable"));
    assert_eq!(refused.body["error"]["field"], "/workspace_refs");
    assert_eq!(repository.branches(), ["main"]);
}

/// The commands of git that a creation runs, in their order.
const STEPS: [&str; 5] = ["config", "rev-parse", "update-ref", "read-tree", "none"];

#[tokio::test]
async fn a_server_that_is_killed_while_it_creates_leaves_nothing_that_the_next_does_not_know() {
    for step in STEPS {
        let repository = Repository::new();
        let home = local_home(NOWHERE, &lines(&repository.path(), "isolation = \"worktree\""));
        // A git that hangs behind this step.
        let (bin, reached) = (home.path().join("bin"), home.path().join("reached"));
        fs::create_dir(&bin).unwrap();
        let script = format!(
            "#!/bin/sh\nPATH={}\ngit \"$@\"; code=$?\nif [ $1 = {step} ]; then touch {}; exec sleep 600; fi\nexit $code\n",
            std::env::var("PATH").unwrap(),
            reached.display()
        );
        executable(&bin.join("git"), &script);
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
        let server = home.clone().env("PATH", path).start().await;
        let client = server.client();
        let body = request();
        let created = client.try_post("/v1/workers", &body);
        tokio::select! {
            created = created => assert_eq!((step, created.unwrap().status), ("none", 200)),
            () = eventually("a step is reached", || reached.exists()) => {}
        }
        server.kill().await;
        fs::remove_dir_all(&bin).unwrap();

        let server = home.start().await;
        let client = server.client();
        let known = client.get("/v1/workers").await.good()["workers"].as_array().unwrap().len();
        assert_eq!(known, usize::from(step == "none"), "{step}");
        // The place is the last to go, beside everything else.
        let n_places = || fs::read_dir(home.path().join("store/worktrees")).map_or(0, Iterator::count);
        eventually("a start removes what has no worker", || n_places() == known).await;
        let left = (repository.branches().len() - 1, repository.n_worktrees());
        assert_eq!(left, (known, known), "{step}");
    }
}

#[tokio::test]
async fn a_diff_that_git_fails_at_says_whether_another_try_may_succeed() {
    let repository = Repository::new();
    let home = local_home(NOWHERE, &lines(&repository.path(), "isolation = \"direct\""));
    // A git that does first what a file says.
    let (bin, first) = (home.path().join("bin"), home.path().join("first"));
    fs::create_dir(&bin).unwrap();
    let path = std::env::var("PATH").unwrap();
    let script = format!("#!/bin/sh\nPATH={path}\n. {}\nexec git \"$@\"\n", first.display());
    fs::write(&first, "").unwrap();
    executable(&bin.join("git"), &script);
    let server = home.clone().env("PATH", format!("{}:{path}", bin.display())).start().await;
    let client = server.client();
    let worker = client.create(&request()).await;
    repository.write("README", "changed\n");

    let at = format!("/v1/workers/{worker}/diff");
    let index = "echo \"fatal: sha1 file '/tmp/x/index.lock' write error. Out of diskspace\" >&2; exit 128";
    let object = "echo 'fatal: unable to write loose object file: No space left on device' >&2; exit 128";
    let repository_gone = "echo \"fatal: not a git repository: '/tmp/x'\" >&2; exit 128";
    let unusable = json!(["a repository that git can use; the server's log says more"]);
    let killed = "kill -9 $$";
    for (step, fault, status, code, missing, is_retryable) in [
        ("read-tree", index, 507, "store_full", Value::Null, true),
        ("hash-object", object, 507, "store_full", Value::Null, true),
        ("core.protectNTFS=false", index, 507, "store_full", Value::Null, true),
        ("rev-parse", repository_gone, 409, "worker_execution_unavailable", unusable, false),
        ("rev-parse", killed, 500, "internal", Value::Null, false),
        ("read-tree", killed, 500, "internal", Value::Null, false),
    ] {
        fs::write(&first, format!("case \"$1 $2\" in *{step}*) {fault};; esac\n")).unwrap();
        let refused = client.get(&at).await;
        assert_eq!(refused.error(), (status, code), "{step}: {}", refused.body);
        let error = &refused.body["error"];
        assert_eq!((&error["missing"], &error["retryable"]), (&missing, &json!(is_retryable)), "{step}");
    }
    fs::write(&first, "").unwrap();
    assert_eq!(client.get(&at).await.good()["diff"]["files"][0]["path"], "README");
}

#[tokio::test]
async fn what_was_merged_goes_with_its_worker() {
    let (api, repository) = (Obedient::start().await, Repository::new());
    let home = api.home(&lines(&repository.path(), "isolation = \"worktree\""));
    let server = home.start().await;
    let client = server.client();
    let worker = client.create(&request()).await;
    stop(&client, &worker).await;
    fs::write(directory(&home, &worker).join("new"), "new\n").unwrap();
    commit_in(&directory(&home, &worker), "work");
    let kept = delete(&client, &worker, "").await;
    let message = "the worktree of workspace `shop` has commits that are on no other branch";
    assert_eq!(kept.body["error"]["message"], message);
    repository.git(&["merge", "--quiet", &format!("musher/{worker}")]);
    assert_eq!(delete(&client, &worker, "").await.status, 204);
    assert_eq!((repository.branches(), repository.n_worktrees()), (vec!["main".to_owned()], 0));
}

/// What the log says of setups.
fn setups(log: &[Envelope]) -> Vec<(String, String)> {
    let told = log.iter().filter_map(|event| {
        let Payload::Diagnostic { code, message } = &event.payload else { return None };
        code.starts_with("workspace.").then(|| (code.clone(), message.clone()))
    });
    told.collect()
}

/// Without the time that it took.
fn timeless(message: &str) -> String {
    let (before, after) = message.split_once(", after ").unwrap();
    format!("{before}:{}", after.split_once(" s").unwrap().1)
}

#[tokio::test]
async fn a_new_worktree_is_set_up_once() {
    let (api, repository) = (Obedient::start().await, Repository::new());
    let workspace = r#"
        isolation = "worktree"
        setup = "echo $GREETING; basename $PWD; (echo x >> ../outside) 2>/dev/null; echo built > built; echo once >> src/lib.txt"
        pass_env = ["GREETING"]
        "#;
    let home = api.home(&lines(&repository.path(), workspace)).env("GREETING", "hello");
    let server = home.start().await;
    let client = server.client();
    let worker = client.create(&request()).await;
    assert_eq!(setups(&client.log(&worker).await), [], "before the first session");
    assert_eq!(run(&client, &worker, "cat built; echo $GREETING").await, "built\nhello\n");
    let told = setups(&client.log(&worker).await);
    assert_eq!((told.len(), told[0].0.as_str()), (1, "workspace.set_up"));
    let outside = directory(&home, &worker).with_file_name("outside");
    let expected = "the setup of workspace `shop` ended with exit code 0:\nhello\nshop\n";
    assert_eq!(timeless(&told[0].1), expected);
    assert_ne!(outside.exists(), is_confined(&client, &worker).await);

    server.kill().await;
    let server = home.start().await;
    let client = server.client();
    assert_eq!(run(&client, &worker, "grep -c once src/lib.txt").await, "1\n");
    assert_eq!(setups(&client.log(&worker).await).len(), 1);
}

#[tokio::test]
async fn a_setup_is_held_from_writing_as_the_profile_says_and_never_from_reading() {
    for (sandbox, is_held) in [("landlock", true), ("none", false)] {
        let (api, repository) = (Obedient::start().await, Repository::new());
        let setup = "echo x > ../outside; grep -q . $HOME/token && echo reads the token of the admin";
        let workspace = format!("isolation = \"worktree\"\nsetup = \"{setup}\"");
        let profile = format!("sandbox = \"{sandbox}\"");
        let home = api.home(&(profile + &lines(&repository.path(), &workspace)));
        let server = home.start().await;
        let client = server.client();
        let worker = client.create(&request()).await;
        run(&client, &worker, "true").await;
        let outside = directory(&home, &worker).with_file_name("outside");
        assert_eq!(outside.exists(), !is_held, "{sandbox}");
        // What `SECURITY.md` says is not held off.
        let told = setups(&client.log(&worker).await);
        assert!(told[0].1.contains("\nreads the token of the admin\n"), "{sandbox}: {told:?}");
    }
}

#[tokio::test]
async fn a_setup_that_fails_fails_the_turn_and_is_tried_again() {
    let (api, repository) = (Obedient::start().await, Repository::new());
    let fixed = repository.path().join("fixed");
    let workspace =
        format!("isolation = \"worktree\"\nsetup = \"echo installing; test -e {}\"", fixed.display());
    let home = api.home(&lines(&repository.path(), &workspace));
    let server = home.start().await;
    let client = server.client();
    let worker = client.create(&request()).await;
    client.say(&worker, &shell("true")).await;
    let outcome = client.idle(&worker).await["outcome"].clone();
    let error = json!({
        "code": "setup_failed",
        "message": "the setup of workspace `shop` ended with exit code 1; its output is in the log",
    });
    assert_eq!((&outcome["outcome"], &outcome["error"]), (&json!("failed"), &error));
    let told = setups(&client.log(&worker).await);
    assert_eq!((told.len(), told[0].0.as_str()), (1, "workspace.setup_failed"));
    assert!(told[0].1.ends_with(" s\ninstalling\n"), "{told:?}");
    assert_eq!(api.requests().len(), 0, "no model was asked");

    fs::write(fixed, "").unwrap();
    assert_eq!(run(&client, &worker, "echo works").await, "works\n");
}

#[tokio::test]
async fn a_worktree_that_nothing_is_known_of_any_more_is_not_worked_in() {
    let (api, repository) = (Obedient::start().await, Repository::new());
    let workspace = "isolation = \"worktree\"\nsetup = \"touch built\"";
    let home = api.home(&lines(&repository.path(), workspace));
    let server = home.start().await;
    let client = server.client();
    let worker = client.create(&request()).await;
    fs::remove_dir_all(home.path().join("store/worktrees").join(&worker)).unwrap();
    client.say(&worker, &shell("true")).await;
    let outcome = client.idle(&worker).await["outcome"].clone();
    assert_eq!(
        (&outcome["outcome"], &outcome["error"]["code"]),
        (&json!("failed"), &json!("workspace_gone"))
    );
    assert_eq!(api.requests().len(), 0, "no model was asked");
}

#[tokio::test]
async fn a_setup_that_is_cut_off_leaves_nothing_and_runs_again() {
    let (api, repository, fleet) = (Obedient::start().await, Repository::new(), Fleet::new());
    let begun = repository.path().join("begun");
    let workspace = format!(
        "isolation = \"worktree\"\nsetup = \"export {}; test -e {} || exec sleep 600\"",
        fleet.env().replace(" = ", "=").replace('"', "'"),
        begun.display()
    );
    let home = api.home(&lines(&repository.path(), &workspace));
    let server = home.start().await;
    let client = server.client();
    let worker = client.create(&request()).await;
    client.say(&worker, &shell("true")).await;
    fleet.shows("sleep 600").await;
    let interrupted = client.post(&format!("/v1/workers/{worker}/interrupt"), &json!({})).await.good();
    assert_eq!(interrupted["ack"]["status"], "running");
    assert_eq!(client.idle(&worker).await["outcome"]["outcome"], "interrupted");
    assert_eq!(fleet.alive(), Vec::<String>::new());

    client.say(&worker, &shell("echo works")).await;
    fleet.shows("sleep 600").await;
    server.kill().await;
    fs::write(begun, "").unwrap();
    let server = home.start().await;
    let client = server.client();
    // The input that was not taken up is delivered again.
    assert_eq!(client.idle(&worker).await["outcome"]["text"], "works\n");
    assert_eq!(fleet.alive(), Vec::<String>::new());
    assert_eq!(setups(&client.log(&worker).await).len(), 1);
}

#[tokio::test]
async fn a_worker_works_in_a_directory_below_and_in_no_other() {
    let (api, stories) = (Obedient::start().await, tempfile::tempdir().unwrap());
    for name in ["story-1", "story-2"] {
        fs::create_dir(stories.path().join(name)).unwrap();
        fs::write(stories.path().join(name).join("name"), name).unwrap();
    }
    fs::write(stories.path().join("file"), "").unwrap();
    std::os::unix::fs::symlink(stories.path().join("story-1"), stories.path().join("link")).unwrap();
    let home = api.home(&lines(stories.path(), "children = true"));
    let server = home.start().await;
    let client = server.client();
    let create = |reference: &str| {
        let mut body = request();
        body["workspace_refs"][0]["reference"] = json!(reference);
        body
    };
    for reference in ["shop/story-3", "shop/file", "shop/link", "shop/..", "shop/story-1/..", "other/story-1"]
    {
        let refused = client.post("/v1/workers", &create(reference)).await;
        assert_eq!(refused.error(), (400, "invalid_request"), "{reference}");
        assert_eq!(refused.body["error"]["field"], "/workspace_refs");
        assert!(!refused.body.to_string().contains(stories.path().to_str().unwrap()), "{}", refused.body);
    }
    let worker = client.create(&create("shop/story-2")).await;
    assert_eq!(run(&client, &worker, "cat name").await, "story-2");
    if is_confined(&client, &worker).await {
        let told = run(&client, &worker, "echo x > ../story-1/name; echo").await;
        assert!(told.contains("ermission denied"), "{told}");
    }

    // Somebody who may write beside it puts another one in its place.
    let second = client.create(&create("shop/story-1")).await;
    fs::rename(stories.path().join("story-1"), stories.path().join("gone")).unwrap();
    std::os::unix::fs::symlink("/etc", stories.path().join("story-1")).unwrap();
    client.say(&second, &shell("cat passwd")).await;
    let outcome = client.idle(&second).await["outcome"].clone();
    let error = json!({"code": "workspace_gone", "message": "a directory of the worker is gone, or has become a link"});
    assert_eq!((&outcome["outcome"], &outcome["error"]), (&json!("failed"), &error));
}
