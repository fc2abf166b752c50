//! Workers with git worktrees, through the library surface and with real repositories.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(clippy::wildcard_enum_match_arm, reason = "a test names the few errors that it is about")]

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use musher_core::{
    Builder, Error, MemoryStore, Profile, Retention, Runtime, Store, Unsaved, UnsavedWork, WorkerFilter,
    Workspace, WorkspaceIsolation,
};
use musher_protocol::{
    Actor, CreateWorker, Intent, Isolation, Order, WorkerDetail, WorkerId, WorkerWorkspace, WorkspaceRef,
};
use musher_scripted::Scripted;
use musher_testkit::{
    eventually,
    repository::{EVILS, Repository, commit_in, git_in},
};
use tempfile::TempDir;

/// A repository, a place for worktrees, and runtimes that know both.
struct World {
    repository: Repository,
    scratch: TempDir,
}

impl World {
    fn new() -> Self {
        Self::of(Repository::new())
    }

    fn of(repository: Repository) -> Self {
        Self { repository, scratch: tempfile::tempdir().unwrap() }
    }

    fn worktrees(&self) -> PathBuf {
        self.scratch.path().join("worktrees")
    }

    /// A runtime with a store of its own: one that knows nothing of what an earlier one created.
    async fn runtime(&self) -> Runtime {
        self.runtime_with(self.repository.path(), true).await
    }

    async fn runtime_with(&self, path: PathBuf, has_place: bool) -> Runtime {
        let builder = self.builder(Arc::new(MemoryStore::new()), path);
        let builder = if has_place { builder.worktrees(self.worktrees()) } else { builder };
        builder.start().await.unwrap()
    }

    /// A runtime that begins over what others left in a store.
    async fn runtime_over(&self, store: &Arc<dyn Store>, retention: Retention) -> Runtime {
        let builder = self.builder(store.clone(), self.repository.path());
        builder.worktrees(self.worktrees()).retention(retention).start().await.unwrap()
    }

    fn builder(&self, store: Arc<dyn Store>, path: PathBuf) -> Builder {
        let isolation = WorkspaceIsolation::Worktree { setup: None };
        let shop = Workspace { path, children: false, isolation, pass_env: Vec::new() };
        Runtime::builder_on(store)
            .backend("scripted", Scripted)
            .profile("echo", Profile::of("scripted"))
            .workspace("shop", shop)
            .scratch(self.scratch.path().join("scratch"))
    }

    /// What is left in the repository and in the place for worktrees.
    fn left(&self) -> (Vec<String>, usize, usize) {
        let n_places = fs::read_dir(self.worktrees()).map_or(0, Iterator::count);
        (self.repository.branches(), self.repository.n_worktrees(), n_places)
    }

    fn directory(&self, worker: &WorkerId) -> PathBuf {
        self.worktrees().join(worker.as_str()).join("0/shop")
    }
}

fn nothing() -> (Vec<String>, usize, usize) {
    (vec!["main".to_owned()], 0, 0)
}

async fn create(runtime: &Runtime) -> Result<WorkerDetail, Error> {
    let shop = WorkspaceRef { name: "main".to_owned(), reference: "shop".to_owned() };
    let request =
        CreateWorker { workspace_refs: vec![shop], ..CreateWorker::new(Intent::Assistant { purpose: None }) };
    runtime.create_worker(request, Actor::rule("test")).await
}

/// A worker that has ended.
async fn ended(runtime: &Runtime) -> WorkerId {
    let worker = create(runtime).await.unwrap().worker_id;
    runtime.stop_worker(&worker, None, None, Actor::rule("test")).await.unwrap();
    worker
}

fn write(directory: &Path, path: &str, text: &str) {
    fs::write(directory.join(path), text).unwrap();
}

#[tokio::test]
async fn a_worker_has_a_branch_and_files_of_its_own() {
    for repository in [Repository::new(), Repository::sha256()] {
        let base = repository.git(&["rev-parse", "HEAD"]);
        // What is not committed is not taken along.
        repository.write("README", "changed\n");
        let world = World::of(repository);
        let runtime = world.runtime().await;
        let worker = create(&runtime).await.unwrap();
        let id = &worker.worker_id;
        let shown = WorkerWorkspace {
            name: "main".to_owned(),
            reference: "shop".to_owned(),
            isolation: Isolation::Worktree,
            branch: Some(format!("musher/{id}")),
            base_commit: Some(base.clone()),
        };
        assert_eq!(worker.workspaces, [shown]);
        let directory = world.directory(id);
        assert_eq!(fs::read_to_string(directory.join("README")).unwrap(), "a shop\n");
        assert_eq!(git_in(&directory, &["status", "--porcelain"]), "");
        assert_eq!(git_in(&directory, &["rev-parse", "--abbrev-ref", "HEAD"]), format!("musher/{id}"));
        assert_eq!(git_in(&directory, &["rev-parse", "HEAD"]), base);
        let modes =
            [&world.worktrees(), &directory].map(|path| fs::metadata(path).unwrap().permissions().mode());
        assert_eq!(modes.map(|mode| mode & 0o777), [0o700; 2]);
        assert_eq!(world.repository.git(&["status", "--porcelain"]), " M README");
        assert_eq!(world.repository.git(&["fsck", "--strict"]), "");
        // It stays when somebody tidies up.
        world.repository.git(&["worktree", "prune", "--expire=now"]);
        write(&directory, "new", "new\n");
        let commit = commit_in(&directory, "work");
        assert_eq!(world.repository.git(&["rev-parse", &format!("musher/{id}")]), commit);
    }
}

#[tokio::test]
async fn a_directory_within_a_repository_is_the_same_one_within_the_worktree() {
    let world = World::new();
    let runtime = world.runtime_with(world.repository.path().join("src"), true).await;
    let worker = create(&runtime).await.unwrap();
    assert!(world.directory(&worker.worker_id).join("src/lib.txt").exists());

    fs::create_dir(world.repository.path().join("target")).unwrap();
    let runtime = world.runtime_with(world.repository.path().join("target"), true).await;
    refused(&runtime, "a directory that is in what is checked out").await;
}

async fn refused(runtime: &Runtime, expected: &str) {
    match create(runtime).await.unwrap_err() {
        Error::WorkspaceUnavailable { workspace, missing } => {
            assert_eq!((workspace.as_str(), missing.as_str()), ("shop", expected));
        }
        other => panic!("{other:?}"),
    }
    let listed = runtime.list_workers(&WorkerFilter::default(), Order::Asc, None, 10).await.unwrap();
    assert_eq!(listed.workers, []);
}

#[tokio::test]
async fn what_is_missing_is_named_and_nothing_is_left() {
    let world = World::of(Repository::empty());
    let runtime = world.runtime().await;
    refused(&runtime, "a git repository").await;
    world.repository.git(&["init", "--quiet"]);
    refused(&runtime, "a repository with a commit").await;

    let world = World::new();
    let runtime = world.runtime_with(world.repository.path(), false).await;
    refused(&runtime, "a store that outlives the server, for worktrees do").await;
    assert_eq!(world.left(), nothing());

    let runtime = world.runtime().await;
    let blob = world.repository.git(&["rev-parse", "HEAD:README"]);
    fs::remove_file(world.repository.path().join(".git/objects").join(&blob[..2]).join(&blob[2..])).unwrap();
    refused(&runtime, "a repository that git can use; the server's log says more").await;
    assert_eq!(world.left(), nothing());

    // References that lead elsewhere would be another directory's.
    let world = World::new();
    let (git, elsewhere) = (world.repository.path().join(".git"), world.scratch.path().join("elsewhere"));
    fs::create_dir(&elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, git.join("refs/heads/musher")).unwrap();
    let runtime = world.runtime().await;
    refused(&runtime, "a repository that git can use; the server's log says more").await;
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0);
    assert_eq!(world.left(), nothing());
}

#[tokio::test]
async fn nothing_of_an_evil_repository_is_executed() {
    for evil in EVILS {
        let world = World::new();
        world.repository.plant(evil);
        let runtime = world.runtime().await;
        let created = create(&runtime).await;
        // What is missing is not fetched.
        assert_eq!(created.is_err(), evil.name == "fetching what is missing", "{evil:?}: {created:?}");
        if let Ok(worker) = created {
            let directory = world.directory(&worker.worker_id);
            write(&directory, "README", "changed\n");
            runtime.stop_worker(&worker.worker_id, None, None, Actor::rule("test")).await.unwrap();
            let kept = runtime.delete_worker(&worker.worker_id, UnsavedWork::Keep).await.unwrap_err();
            assert!(matches!(kept, Error::WorkspaceDirty { .. }), "{evil:?}: {kept:?}");
            runtime.delete_worker(&worker.worker_id, UnsavedWork::Discard).await.unwrap();
        }
        assert!(!world.repository.marker().exists(), "{evil:?}");
    }
}

#[tokio::test]
async fn git_itself_would_have_executed_it() {
    // What a user runs, for the evils that this version of git has.
    let seen: Vec<_> = EVILS
        .iter()
        .filter(|evil| {
            let repository = Repository::new();
            repository.plant(evil);
            let worktree = repository.path().with_file_name("worktree");
            let commands = format!(
                "git worktree add -b other {0} main; git status; cd {0} && echo x >> README && git diff && git add . && git commit -m x",
                worktree.display()
            );
            // One that talks to the program waits for an answer.
            let shell = std::process::Command::new("timeout")
                .args(["--kill-after=1", "2", "sh", "-c", &commands])
                .stdin(std::process::Stdio::null())
                .current_dir(repository.path())
                .env("GIT_CONFIG_GLOBAL", "/dev/null")
                .output();
            shell.unwrap();
            repository.marker().exists()
        })
        .map(|evil| evil.name)
        .collect();
    for name in [
        "hooks",
        "hooks path",
        "watcher of files",
        "filters",
        "filter process",
        "external diff",
        "diff driver",
    ] {
        assert!(seen.contains(&name), "{name} is planted in vain; {seen:?}");
    }
}

#[tokio::test]
async fn a_worktree_without_work_goes_with_its_worker() {
    let world = World::new();
    let runtime = world.runtime().await;
    let worker = ended(&runtime).await;
    assert!(world.directory(&worker).exists(), "it outlives the end of its worker");
    runtime.delete_worker(&worker, UnsavedWork::Keep).await.unwrap();
    assert_eq!(world.left(), nothing());

    // What is ignored is nobody's work, and what is merged is somewhere else.
    world.repository.write(".gitignore", "target\n");
    world.repository.commit("ignore");
    let worker = ended(&runtime).await;
    let directory = world.directory(&worker);
    write(&directory, "target", "built\n");
    write(&directory, "new", "new\n");
    commit_in(&directory, "work");
    world.repository.git(&["merge", "--quiet", &format!("musher/{worker}")]);
    world.repository.git(&["pack-refs", "--all"]);
    runtime.delete_worker(&worker, UnsavedWork::Keep).await.unwrap();
    assert_eq!(world.left(), nothing());
}

#[tokio::test]
async fn work_that_is_nowhere_else_stays_until_it_is_discarded() {
    type Work = fn(&Path);
    let cases: [(&str, Work, Unsaved); 9] = [
        ("a change", |at| write(at, "README", "changed\n"), Unsaved::Changes),
        ("a new file", |at| write(at, "new", "new\n"), Unsaved::Changes),
        ("a removed file", |at| fs::remove_file(at.join("README")).unwrap(), Unsaved::Changes),
        (
            "a change that its own index hides",
            |at| {
                git_in(at, &["update-index", "--assume-unchanged", "README"]);
                write(at, "README", "hidden\n");
            },
            Unsaved::Changes,
        ),
        (
            "a change that is only prepared",
            |at| {
                write(at, "README", "prepared\n");
                git_in(at, &["add", "README"]);
                write(at, "README", "a shop\n");
            },
            Unsaved::Changes,
        ),
        (
            "a repository of its own",
            |at| {
                fs::create_dir(at.join("inner")).unwrap();
                git_in(&at.join("inner"), &["init", "--quiet"]);
            },
            Unsaved::Changes,
        ),
        (
            "a commit",
            |at| {
                write(at, "new", "new\n");
                commit_in(at, "work");
            },
            Unsaved::Commits,
        ),
        (
            "a commit on no branch",
            |at| {
                git_in(at, &["checkout", "--quiet", "--detach"]);
                commit_in(at, "work");
            },
            Unsaved::Commits,
        ),
        (
            "a damaged index",
            |at| {
                let index = git_in(at, &["rev-parse", "--git-path", "index"]);
                fs::write(index, "garbage").unwrap();
            },
            Unsaved::Changes,
        ),
    ];
    let world = World::new();
    let runtime = world.runtime().await;
    for (name, work, expected) in cases {
        let worker = ended(&runtime).await;
        let directory = world.directory(&worker);
        work(&directory);
        match runtime.delete_worker(&worker, UnsavedWork::Keep).await.unwrap_err() {
            Error::WorkspaceDirty { workspace, unsaved } => {
                assert_eq!((workspace.as_str(), unsaved), ("shop", expected), "{name}")
            }
            other => panic!("{name}: {other:?}"),
        }
        assert!(directory.exists() && runtime.worker_detail(&worker).await.is_ok(), "{name}");
        runtime.delete_worker(&worker, UnsavedWork::Discard).await.unwrap();
        assert_eq!(world.left(), nothing(), "{name}");
    }
}

/// Waits until there is no such worker any more.
async fn gone(runtime: &Runtime, worker: &WorkerId) {
    let mut feed = runtime.watch_catalog();
    let goes = async {
        while runtime.worker_detail(worker).await.is_ok() {
            feed.ready().await;
            feed.next().await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(60), goes).await.unwrap();
}

#[tokio::test]
async fn retention_keeps_a_worker_whose_work_is_nowhere_else() {
    let world = World::new();
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let runtime = world.runtime_over(&store, Retention::default()).await;
    // The oldest is looked at first: what is said of it is said before the youngest goes.
    let (dirty, running) = (ended(&runtime).await, create(&runtime).await.unwrap().worker_id);
    let clean = ended(&runtime).await;
    write(&world.directory(&dirty), "new", "new\n");
    runtime.shutdown().await;

    let at_once = Retention { delete_terminal_after: Some(Duration::ZERO), ..Retention::default() };
    let runtime = world.runtime_over(&store, at_once).await;
    gone(&runtime, &clean).await;
    let message =
        "it is kept beyond its time: the worktree of workspace `shop` has changes that are not committed";
    let told = ("retention.worktree_kept".to_owned(), message.to_owned(), Some(dirty.clone()));
    assert_eq!(diagnostics(&runtime), [told]);
    for worker in [&dirty, &running] {
        assert!(runtime.worker_detail(worker).await.is_ok(), "{worker}");
    }
    // A worktree goes behind its worker, and is waited for.
    runtime.shutdown().await;
    assert_eq!(fs::read_to_string(world.directory(&dirty).join("new")).unwrap(), "new\n");
    let branches = ["main".to_owned(), format!("musher/{dirty}"), format!("musher/{running}")];
    assert_eq!(world.left(), (branches.to_vec(), 2, 2));

    // Without such work it goes.
    fs::remove_file(world.directory(&dirty).join("new")).unwrap();
    let runtime = world.runtime_over(&store, at_once).await;
    gone(&runtime, &dirty).await;
    assert_eq!(diagnostics(&runtime), []);
    runtime.shutdown().await;
    assert_eq!(world.left(), (vec!["main".to_owned(), format!("musher/{running}")], 1, 1));
}

fn diagnostics(runtime: &Runtime) -> Vec<(String, String, Option<WorkerId>)> {
    runtime.diagnostics().into_iter().map(|told| (told.code, told.message, told.worker_id)).collect()
}

#[tokio::test]
async fn a_branch_that_somebody_has_checked_out_stays() {
    let world = World::new();
    let runtime = world.runtime().await;
    let worker = ended(&runtime).await;
    let branch = format!("musher/{worker}");
    world.repository.git(&["checkout", "--quiet", "--ignore-other-worktrees", &branch]);
    runtime.delete_worker(&worker, UnsavedWork::Keep).await.unwrap();
    assert_eq!(world.left(), (vec!["main".to_owned(), branch], 0, 0));
}

#[tokio::test]
async fn a_repository_that_is_gone_takes_no_work_along() {
    let world = World::new();
    let runtime = world.runtime().await;
    let worker = ended(&runtime).await;
    fs::rename(world.repository.path(), world.scratch.path().join("gone")).unwrap();
    let kept = runtime.delete_worker(&worker, UnsavedWork::Keep).await.unwrap_err();
    assert!(matches!(kept, Error::WorkspaceDirty { unsaved: Unsaved::Unknown, .. }), "{kept:?}");
    runtime.delete_worker(&worker, UnsavedWork::Discard).await.unwrap();
    assert!(!world.directory(&worker).exists());
}

#[tokio::test]
async fn workers_come_and_go_while_worktrees_of_nobody_are_removed() {
    let world = World::new();
    let runtime = world.runtime().await;
    for _ in 0..12 {
        ended(&runtime).await;
    }
    runtime.shutdown().await;

    let runtime = world.runtime().await;
    for _ in 0..6 {
        let worker = ended(&runtime).await;
        runtime.delete_worker(&worker, UnsavedWork::Keep).await.unwrap();
    }
    let worker = ended(&runtime).await;
    eventually("what has no worker goes", || fs::read_dir(world.worktrees()).unwrap().count() == 1).await;
    assert_eq!(world.left(), (vec!["main".to_owned(), format!("musher/{worker}")], 1, 1));
    assert!(world.directory(&worker).join("README").exists());
    assert_eq!(runtime.diagnostics(), []);
}

#[tokio::test]
async fn of_two_that_go_at_once_with_the_same_work_one_stays() {
    for _ in 0..8 {
        let world = World::new();
        let runtime = world.runtime().await;
        let (one, two) = (ended(&runtime).await, ended(&runtime).await);
        write(&world.directory(&one), "new", "work");
        commit_in(&world.directory(&one), "work");
        git_in(&world.directory(&two), &["reset", "-q", "--hard", &format!("musher/{one}")]);
        let (first, second) = tokio::join!(
            runtime.delete_worker(&one, UnsavedWork::Keep),
            runtime.delete_worker(&two, UnsavedWork::Keep)
        );
        let stays = match (&first, &second) {
            (Ok(()), Err(Error::WorkspaceDirty { unsaved: Unsaved::Commits, .. })) => &two,
            (Err(Error::WorkspaceDirty { unsaved: Unsaved::Commits, .. }), Ok(())) => &one,
            both => panic!("{both:?}"),
        };
        assert_eq!(world.repository.git(&["log", "-1", "--format=%s", &format!("musher/{stays}")]), "work");
    }
}

#[tokio::test]
async fn of_two_who_delete_one_worker_one_is_told_that_there_is_none() {
    for _ in 0..8 {
        let world = World::new();
        let runtime = world.runtime().await;
        let worker = ended(&runtime).await;
        let delete = || runtime.delete_worker(&worker, UnsavedWork::Keep);
        let (first, second) = tokio::join!(delete(), delete());
        match (&first, &second) {
            (Ok(()), Err(Error::WorkerNotFound(_))) | (Err(Error::WorkerNotFound(_)), Ok(())) => {}
            both => panic!("{both:?}"),
        }
        assert_eq!((world.left(), runtime.diagnostics()), (nothing(), Vec::new()));
    }
}

#[tokio::test]
async fn what_was_somewhere_else_when_it_was_to_go_and_is_no_more_stays() {
    let world = World::new();
    let runtime = world.runtime().await;
    let worker = ended(&runtime).await;
    write(&world.directory(&worker), "new", "work");
    commit_in(&world.directory(&worker), "work");
    runtime.shutdown().await;
    // Cut off behind the removal of its files.
    fs::write(world.worktrees().join(worker.as_str()).join("0/goes"), "").unwrap();
    fs::remove_dir_all(world.directory(&worker)).unwrap();

    let runtime = world.runtime().await;
    eventually("it is told of", || !diagnostics(&runtime).is_empty()).await;
    assert!(diagnostics(&runtime)[0].0 == "worktree.kept", "{:?}", diagnostics(&runtime));
    assert_eq!(world.repository.git(&["log", "-1", "--format=%s", &format!("musher/{worker}")]), "work");
}

#[tokio::test]
async fn a_start_that_is_ended_at_once_leaves_the_rest_to_the_next() {
    let world = World::new();
    let runtime = world.runtime().await;
    for _ in 0..3 {
        ended(&runtime).await;
    }
    runtime.shutdown().await;
    world.runtime().await.shutdown().await;
    let runtime = world.runtime().await;
    eventually("what has no worker goes", || fs::read_dir(world.worktrees()).unwrap().count() == 0).await;
    assert_eq!((world.left(), runtime.diagnostics()), (nothing(), Vec::new()));
}

#[tokio::test]
async fn what_no_worker_has_goes_at_the_next_start_unless_it_holds_work() {
    let world = World::new();
    let runtime = world.runtime().await;
    let (idle, busy) = (ended(&runtime).await, ended(&runtime).await);
    write(&world.directory(&busy), "new", "new\n");
    runtime.shutdown().await;

    // Its store knows none of them.
    let runtime = world.runtime().await;
    let branch = format!("musher/{busy}");
    eventually("the other is told of", || !diagnostics(&runtime).is_empty()).await;
    eventually("what holds no work goes", || world.left().2 == 1).await;
    assert_eq!(world.left(), (vec!["main".to_owned(), branch.clone()], 1, 1));
    assert!(!world.directory(&idle).exists() && world.directory(&busy).join("new").exists());
    let told = diagnostics(&runtime);
    let message = format!(
        "a worktree of workspace `shop`, on branch `{branch}`, belongs to no worker and stays: it has changes that are not committed"
    );
    assert_eq!(told, [("worktree.kept".to_owned(), message, Some(busy))]);
}

#[tokio::test]
async fn whatever_cuts_a_creation_or_a_removal_off_nothing_is_left() {
    type Cut = fn(&World, &WorkerId);
    let goes = |world: &World, worker: &WorkerId| {
        fs::write(world.worktrees().join(worker.as_str()).join("0/goes"), "").unwrap();
    };
    let cases: [(&str, Cut); 7] = [
        ("before its record was written", |world, worker| {
            without_files(world, worker);
            without_entry(world, worker);
            without_branch(world, worker);
            fs::remove_file(world.worktrees().join(worker.as_str()).join("0/worktree.json")).unwrap();
        }),
        ("while its record was written", |world, worker| {
            without_files(world, worker);
            without_entry(world, worker);
            without_branch(world, worker);
            let place = world.worktrees().join(worker.as_str()).join("0");
            fs::rename(place.join("worktree.json"), place.join("worktree.json.new")).unwrap();
        }),
        ("before anything was in the repository", |world, worker| {
            without_files(world, worker);
            without_entry(world, worker);
            without_branch(world, worker);
        }),
        ("before it had a branch", |world, worker| {
            without_files(world, worker);
            without_branch(world, worker);
        }),
        ("before anything was checked out", |world, worker| {
            fs::remove_dir_all(world.directory(worker)).unwrap();
            fs::create_dir(world.directory(worker)).unwrap();
        }),
        ("while it was checked out, or removed", |world, worker| {
            fs::remove_file(world.directory(worker).join("README")).unwrap();
            let entry = world.repository.path().join(".git/worktrees").join(worker.as_str());
            fs::rename(entry.join("index"), entry.join("index.lock")).unwrap();
        }),
        ("before its branch was removed", |world, worker| {
            without_files(world, worker);
            without_entry(world, worker);
        }),
    ];
    for (name, cut) in cases {
        let world = World::new();
        let runtime = world.runtime().await;
        let worker = ended(&runtime).await;
        runtime.shutdown().await;
        cut(&world, &worker);
        goes(&world, &worker);
        let runtime = world.runtime().await;
        // Its place is the last to go.
        eventually("what has no worker goes", || fs::read_dir(world.worktrees()).unwrap().count() == 0).await;
        assert_eq!(world.left(), nothing(), "{name}");
        assert_eq!(runtime.diagnostics(), [], "{name}");
    }
}

fn without_files(world: &World, worker: &WorkerId) {
    fs::remove_dir_all(world.directory(worker)).unwrap();
}

fn without_entry(world: &World, worker: &WorkerId) {
    fs::remove_dir_all(world.repository.path().join(".git/worktrees").join(worker.as_str())).unwrap();
}

fn without_branch(world: &World, worker: &WorkerId) {
    world.repository.git(&["update-ref", "-d", &format!("refs/heads/musher/{worker}")]);
}

#[tokio::test]
async fn a_place_that_somebody_moved_is_left_alone() {
    let world = World::new();
    let runtime = world.runtime().await;
    let worker = ended(&runtime).await;
    write(&world.directory(&worker), "new", "new\n");
    let moved = world.scratch.path().join("moved");
    fs::rename(world.worktrees(), &moved).unwrap();
    let other = World { repository: Repository::new(), scratch: tempfile::tempdir().unwrap() };
    fs::rename(&moved, other.worktrees()).unwrap();
    let started = other.runtime().await;
    assert!(other.directory(&worker).join("new").exists());
    let told: Vec<_> = started.diagnostics().into_iter().map(|told| (told.code, told.worker_id)).collect();
    assert_eq!(told, [("worktree.left".to_owned(), Some(worker))]);
}
