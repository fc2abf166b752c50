//! Workspaces that are there, and that the runtime's user may not look into.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use musher_core::{
    Error, MemoryStore, Profile, Runtime, Store, Unsaved, UnsavedWork, Workspace, WorkspaceIsolation,
};
use musher_protocol::{Actor, CreateWorker, Intent, WorkerId, WorkspaceRef};
use musher_scripted::Scripted;
use musher_testkit::{apart::is_a_plain_user, eventually, repository::Repository};
use tempfile::TempDir;

const MISSING: &str = "permission to use its directory or its repository";

/// What of a repository may be closed.
const CLOSED: [&str; 4] = [".git", ".git/objects", ".git/objects/pack", ".git/refs"];

/// A repository, a place for worktrees, and a store that outlives runtimes.
struct World {
    repository: Repository,
    scratch: TempDir,
    store: Arc<dyn Store>,
}

impl World {
    fn new() -> Self {
        let store = Arc::new(MemoryStore::new());
        let repository = Repository::new();
        // Its objects are where they are looked for by a list of names.
        repository.git(&["repack", "-a", "-d", "--quiet"]);
        Self { repository, scratch: tempfile::tempdir().unwrap(), store }
    }

    async fn runtime(&self) -> Runtime {
        let workspace = |isolation| {
            let path = self.repository.path();
            Workspace { path, children: false, isolation, pass_env: Vec::new() }
        };
        Runtime::builder_on(self.store.clone())
            .backend("scripted", Scripted)
            .profile("echo", Profile::of("scripted"))
            .workspace("shop", workspace(WorkspaceIsolation::Worktree { setup: None }))
            .workspace("direct", workspace(WorkspaceIsolation::Direct))
            .worktrees(self.scratch.path().join("worktrees"))
            .scratch(self.scratch.path().join("scratch"))
            .start()
            .await
            .unwrap()
    }

    fn closed(&self, way: &str) -> Closed {
        Closed::of(self.repository.path().join(way))
    }

    /// What is left in the repository and in the place for worktrees.
    fn left(&self) -> (Vec<String>, usize, usize) {
        let n_places = fs::read_dir(self.scratch.path().join("worktrees")).map_or(0, Iterator::count);
        (self.repository.branches(), self.repository.n_worktrees(), n_places)
    }
}

/// A directory that nobody may look into until this is dropped.
struct Closed(PathBuf);

impl Closed {
    fn of(directory: PathBuf) -> Self {
        set_mode(&directory, 0);
        Self(directory)
    }
}

impl Drop for Closed {
    fn drop(&mut self) {
        set_mode(&self.0, 0o755);
    }
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

async fn create(runtime: &Runtime, reference: &str) -> Result<WorkerId, Error> {
    let workspace = WorkspaceRef { name: "main".to_owned(), reference: reference.to_owned() };
    let request = CreateWorker {
        workspace_refs: vec![workspace],
        ..CreateWorker::new(Intent::Assistant { purpose: None })
    };
    Ok(runtime.create_worker(request, Actor::rule("test")).await?.worker_id)
}

async fn creates() {
    let world = World::new();
    let runtime = world.runtime().await;
    for way in CLOSED {
        let closed = world.closed(way);
        match create(&runtime, "shop").await {
            Err(Error::WorkspaceUnavailable { missing, .. }) => assert_eq!(missing, MISSING, "{way}"),
            other => panic!("{way}: {other:?}"),
        }
        // It can be worked in without.
        create(&runtime, "direct").await.unwrap();
        drop(closed);
        assert_eq!(world.left(), (vec!["main".to_owned()], 0, 0), "{way}");
    }
    create(&runtime, "shop").await.unwrap();
}

async fn diffs() {
    let world = World::new();
    let runtime = world.runtime().await;
    for reference in ["shop", "direct"] {
        let worker = create(&runtime, reference).await.unwrap();
        for way in CLOSED {
            let closed = world.closed(way);
            match runtime.worker_diff(&worker, None).await {
                Err(Error::NotComparable { missing, .. }) => {
                    assert_eq!(missing, MISSING, "{reference} {way}")
                }
                other => panic!("{reference} {way}: {other:?}"),
            }
            drop(closed);
            runtime.worker_diff(&worker, None).await.unwrap();
        }
    }
}

async fn deletes() {
    for way in CLOSED {
        let world = World::new();
        let runtime = world.runtime().await;
        let worker = create(&runtime, "shop").await.unwrap();
        runtime.stop_worker(&worker, None, None, Actor::rule("test")).await.unwrap();
        let closed = world.closed(way);
        match runtime.delete_worker(&worker, UnsavedWork::Keep).await {
            Err(Error::WorkspaceDirty { unsaved: Unsaved::Unknown, .. }) => {}
            other => panic!("{way}: {other:?}"),
        }
        runtime.delete_worker(&worker, UnsavedWork::Discard).await.unwrap();
        drop(closed);
        drop(runtime);
        // The branch was not forgotten with the worker.
        let _next = world.runtime().await;
        eventually(way, || world.left().2 == 0).await;
        assert_eq!(world.left(), (vec!["main".to_owned()], 0, 0), "{way}");
    }
}

fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
}

#[test]
fn a_repository_that_is_closed_is_not_one_that_is_missing() {
    if is_a_plain_user("a_repository_that_is_closed_is_not_one_that_is_missing") {
        run(creates());
    }
}

#[test]
fn a_diff_with_a_repository_that_is_closed_says_so() {
    if is_a_plain_user("a_diff_with_a_repository_that_is_closed_says_so") {
        run(diffs());
    }
}

#[test]
fn a_repository_that_is_closed_keeps_nothing_of_a_worker_that_is_deleted() {
    if is_a_plain_user("a_repository_that_is_closed_keeps_nothing_of_a_worker_that_is_deleted") {
        run(deletes());
    }
}
