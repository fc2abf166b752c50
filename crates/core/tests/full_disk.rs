//! Workers with worktrees on a disk that is full.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use musher_core::{Error, MemoryStore, Profile, Runtime, Workspace, WorkspaceIsolation};
use musher_protocol::{Actor, CreateWorker, Intent, WorkerDetail, WorkspaceRef};
use musher_scripted::Scripted;
use musher_testkit::{apart::on_a_disk_of, repository::Repository};

/// More than a disk of theirs has left.
const LARGE: usize = 6 << 20;

/// A runtime over a repository, whose worktrees and whatever it makes for a moment are on this disk, as the repository is.
async fn runtime(repository: &Repository, disk: &Path) -> Runtime {
    let isolation = WorkspaceIsolation::Worktree { setup: None };
    let shop = Workspace { path: repository.path(), children: false, isolation, pass_env: Vec::new() };
    let annex = shop.clone();
    Runtime::builder(MemoryStore::new())
        .backend("scripted", Scripted)
        .profile("echo", Profile::of("scripted"))
        .workspace("shop", shop)
        .workspace("annex", annex)
        .worktrees(disk.join("worktrees"))
        .scratch(disk.join("scratch"))
        .start()
        .await
        .unwrap()
}

async fn create(runtime: &Runtime, workspaces: &[&str]) -> Result<WorkerDetail, Error> {
    let workspace = |name: &&str| WorkspaceRef { name: (*name).to_owned(), reference: (*name).to_owned() };
    let workspace_refs = workspaces.iter().map(workspace).collect();
    let request = CreateWorker { workspace_refs, ..CreateWorker::new(Intent::Assistant { purpose: None }) };
    runtime.create_worker(request, Actor::rule("test")).await
}

/// What is left in the repository and in the place for worktrees.
fn left(repository: &Repository, disk: &Path) -> (Vec<String>, usize, usize) {
    let n_places = fs::read_dir(disk.join("worktrees")).map_or(0, Iterator::count);
    (repository.branches(), repository.n_worktrees(), n_places)
}

fn nothing() -> (Vec<String>, usize, usize) {
    (vec!["main".to_owned()], 0, 0)
}

/// The workspace that there was no space for.
#[track_caller]
fn full(created: Result<WorkerDetail, Error>) -> String {
    match created {
        Err(Error::WorkspaceSpace(workspace)) => workspace,
        other => panic!("{other:?}"),
    }
}

/// Takes all of a disk but so many bytes.
fn fill(disk: &Path, rest: u64) -> PathBuf {
    let ballast = disk.join("ballast");
    let mut file = fs::File::create(&ballast).unwrap();
    // As much as fits.
    while file.write_all(&[1; 4096]).is_ok() {}
    let len = file.metadata().unwrap().len();
    file.set_len(len - rest).unwrap();
    ballast
}

async fn wherever_the_disk_ends(disk: &Path) {
    let repository = Repository::new();
    let runtime = runtime(&repository, disk).await;
    let mut refused = Vec::new();
    for rest in (0..).step_by(8192) {
        let ballast = fill(disk, rest);
        let created = create(&runtime, &["shop", "annex"]).await;
        if created.is_ok() {
            break;
        }
        refused.push(full(created));
        assert_eq!(left(&repository, disk), nothing(), "with {rest} bytes");
        fs::remove_file(ballast).unwrap();
    }
    // Each file of a worktree takes a page at least.
    let n_of = |name: &str| refused.iter().filter(|workspace| *workspace == name).count();
    assert!(n_of("shop") > 3 && n_of("annex") > 3, "{refused:?}");
}

async fn what_is_checked_out_is_too_large(disk: &Path) {
    let repository = Repository::new();
    repository.write("large", &"0123456789abcde\n".repeat(LARGE / 16));
    repository.commit("large");
    fs::remove_file(repository.path().join("large")).unwrap();
    let runtime = runtime(&repository, disk).await;
    let ballast = fill(disk, (LARGE / 2) as u64);
    assert_eq!(full(create(&runtime, &["shop"]).await), "shop");
    assert_eq!(left(&repository, disk), nothing());
    fs::remove_file(ballast).unwrap();
    create(&runtime, &["shop"]).await.unwrap();
}

fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
}

#[test]
fn a_create_on_a_full_disk_is_refused_as_that_wherever_the_disk_ends_and_leaves_nothing() {
    let test = "a_create_on_a_full_disk_is_refused_as_that_wherever_the_disk_ends_and_leaves_nothing";
    if let Some(disk) = on_a_disk_of(12, test) {
        run(wherever_the_disk_ends(&disk));
    }
}

#[test]
fn a_file_that_does_not_fit_is_a_full_disk_though_git_does_not_say_so() {
    let test = "a_file_that_does_not_fit_is_a_full_disk_though_git_does_not_say_so";
    if let Some(disk) = on_a_disk_of(12, test) {
        run(what_is_checked_out_is_too_large(&disk));
    }
}
