//! What workers changed, through the library surface and with real repositories.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    ffi::OsStr,
    fs::{self, File},
    os::unix::{
        ffi::OsStrExt as _,
        fs::{PermissionsExt as _, symlink},
        net::UnixListener,
    },
    path::{Path, PathBuf},
    process::Command,
    time::SystemTime,
};

use musher_core::{Error, MemoryStore, Profile, Runtime, Workspace, WorkspaceIsolation};
use musher_protocol::{
    Actor, ChangedFile, CreateWorker, FileChange, Intent, WorkerId, WorkspaceDiff, WorkspaceRef,
};
use musher_scripted::Scripted;
use musher_testkit::repository::{EVILS, Repository, commit_in, git_in};
use tempfile::TempDir;

/// A worker of a workspace.
struct World {
    runtime: Runtime,
    worker: WorkerId,
    scratch: TempDir,
    /// Where it works.
    directory: PathBuf,
}

impl World {
    async fn direct(path: &Path) -> Self {
        let world = Self::of(path, WorkspaceIsolation::Direct).await;
        Self { directory: path.to_owned(), ..world }
    }

    async fn worktree(path: &Path) -> Self {
        let world = Self::of(path, WorkspaceIsolation::Worktree { setup: None }).await;
        let place = world.scratch.path().join("worktrees").join(world.worker.as_str());
        Self { directory: place.join("0/shop"), ..world }
    }

    async fn of(path: &Path, isolation: WorkspaceIsolation) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let shop = Workspace { isolation, ..path.to_owned().into() };
        let runtime = Runtime::builder(MemoryStore::new())
            .backend("scripted", Scripted)
            .profile("echo", Profile::of("scripted"))
            .workspace("shop", shop)
            .scratch(scratch.path().join("scratch"))
            .worktrees(scratch.path().join("worktrees"))
            .start()
            .await
            .unwrap();
        let shop = WorkspaceRef { name: "main".to_owned(), reference: "shop".to_owned() };
        let request = CreateWorker {
            workspace_refs: vec![shop],
            ..CreateWorker::new(Intent::Assistant { purpose: None })
        };
        let worker = runtime.create_worker(request, Actor::rule("test")).await.unwrap().worker_id;
        Self { runtime, worker, scratch, directory: PathBuf::new() }
    }

    async fn diff(&self) -> WorkspaceDiff {
        self.runtime.worker_diff(&self.worker, None).await.unwrap()
    }

    /// What is missing for a diff.
    async fn missing(&self) -> String {
        match self.runtime.worker_diff(&self.worker, None).await {
            Err(Error::NotVersioned { missing, .. }) => missing,
            other => panic!("{other:?}"),
        }
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.directory.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

/// The files of a diff, each in one line.
fn files(diff: &WorkspaceDiff) -> Vec<String> {
    diff.files.iter().map(file).collect()
}

fn file(file: &ChangedFile) -> String {
    let ChangedFile { path, previous_path, change, additions, deletions } = file;
    let sign = match change {
        FileChange::Added => "A",
        FileChange::Modified => "M",
        FileChange::Deleted => "D",
        FileChange::Renamed => "R",
        FileChange::Unknown => "?",
    };
    let number = |n: &Option<u64>| n.map_or("-".to_owned(), |n| n.to_string());
    let previous = previous_path.as_ref().map_or(String::new(), |path| format!("{path} > "));
    format!("{sign} {previous}{path} {} {}", number(additions), number(deletions))
}

/// A repository with a file of each kind.
fn repository() -> Repository {
    let repository = Repository::new();
    repository.write("old", &(0..20).map(|n| format!("line {n}\n")).collect::<String>());
    repository.write("script", "#!/bin/sh\n");
    repository.write("binary", "a\0b");
    repository.write("gone", "gone\n");
    repository.write(".gitignore", "target\n");
    symlink("README", repository.path().join("link")).unwrap();
    repository.commit("files");
    repository
}

/// Everything below a directory, and when it changed.
fn state(directory: &Path) -> Vec<(PathBuf, SystemTime)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let metadata = path.symlink_metadata().unwrap();
        found.push((path.clone(), metadata.modified().unwrap()));
        if metadata.is_dir() {
            found.extend(state(&path));
        }
    }
    found.sort();
    found
}

#[tokio::test]
async fn a_diff_says_what_became_of_each_file() {
    for is_direct in [true, false] {
        let repository = repository();
        let base = repository.git(&["rev-parse", "HEAD"]);
        let world = if is_direct {
            World::direct(&repository.path()).await
        } else {
            World::worktree(&repository.path()).await
        };
        assert_eq!(files(&world.diff().await), [""; 0]);
        let at = |path: &str| world.directory.join(path);
        // Committed, staged or neither: what counts is what is there.
        world.write("README", "a shop\nand more\n");
        commit_in(&world.directory, "work");
        world.write("src/lib.txt", "one\n2\nthree\n");
        git_in(&world.directory, &["add", "--all"]);
        fs::rename(at("old"), at("new")).unwrap();
        fs::set_permissions(at("script"), fs::Permissions::from_mode(0o755)).unwrap();
        world.write("binary", "a\0c");
        fs::remove_file(at("gone")).unwrap();
        fs::remove_file(at("link")).unwrap();
        symlink("/etc/passwd", at("link")).unwrap();
        world.write("target", "ignored\n");
        world.write("deep/within/it", "new");
        let git = repository.path().join(".git");
        let before = state(&git);
        let diff = world.diff().await;
        let after = state(&git);
        let written: Vec<_> = after.iter().filter(|file| !before.contains(file)).collect();
        assert_eq!((written, after.len()), (Vec::new(), before.len()), "nothing is written there");
        let expected = [
            "M README 1 0",
            "M binary - -",
            "A deep/within/it 1 0",
            "D gone 0 1",
            "M link 1 1",
            "R old > new 0 0",
            "M script 0 0",
            "M src/lib.txt 1 1",
        ];
        assert_eq!(files(&diff), expected);
        for part in [
            "@@ -1 +1,2 @@\n a shop\n+and more\ndiff --git a/binary b/binary\n",
            "Binary files a/binary and b/binary differ\n",
            "+new\n\\ No newline at end of file\n",
            "-README\n\\ No newline at end of file\n+/etc/passwd\n",
            "similarity index 100%\nrename from old\nrename to new\n",
            "old mode 100644\nnew mode 100755\n",
            " one\n-two\n+2\n three\n",
        ] {
            assert!(diff.patch.contains(part), "{part} in {}", diff.patch);
        }
        assert!(!diff.patch.contains("root:"), "no link is followed");
        let branch = (!is_direct).then(|| format!("musher/{}", world.worker));
        let rest = (diff.workspace.as_str(), diff.branch, diff.base_commit, diff.truncated);
        assert_eq!(rest, ("main", branch, base, false));

        // It is there as long as the worker.
        world.runtime.cancel_worker(&world.worker, None, Actor::rule("test")).await.unwrap();
        assert_eq!(files(&world.diff().await), expected);
    }
}

#[tokio::test]
async fn a_patch_can_be_applied_to_the_base() {
    for repository in [repository(), Repository::sha256()] {
        let world = World::worktree(&repository.path()).await;
        world.write("README", "changed\n");
        world.write("src/lib.txt", "one\ntwo\n3\n");
        world.write("a \"new\"\tfile", "new\n");
        world.write("schön", "new");
        let patch = world.scratch.path().join("patch");
        fs::write(&patch, world.diff().await.patch).unwrap();
        repository.git(&["apply", "--index", patch.to_str().unwrap()]);
        let applied = repository.git(&["write-tree"]);
        commit_in(&world.directory, "work");
        assert_eq!(applied, git_in(&world.directory, &["rev-parse", "HEAD^{tree}"]));
    }
}

#[tokio::test]
async fn what_is_below_a_directory_is_all_that_its_workers_changed() {
    let repository = Repository::new();
    let world = World::direct(&repository.path().join("src")).await;
    repository.write("README", "changed by another\n");
    repository.write("src/lib.txt", "one\n");
    repository.write("src/new", "new\n");
    repository.write("new", "new\n");
    assert_eq!(files(&world.diff().await), ["M src/lib.txt 0 2", "A src/new 1 0"]);
}

#[tokio::test]
async fn what_cannot_be_compared_is_told() {
    let repository = Repository::empty();
    let world = World::direct(&repository.path()).await;
    assert_eq!(world.missing().await, "a git repository with a commit");
    repository.git(&["init", "--quiet"]);
    let world = World::direct(&repository.path()).await;
    assert_eq!(world.missing().await, "a git repository with a commit");

    let repository = Repository::new();
    let world = World::direct(&repository.path()).await;
    match world.runtime.worker_diff(&world.worker, Some("docs")).await {
        Err(Error::NoWorkspace { workspace, .. }) => assert_eq!(workspace, "docs"),
        other => panic!("{other:?}"),
    }
    // Another repository in its place has no such commit.
    let other = Repository::new();
    other.write("README", "secret\n");
    other.commit("secret");
    fs::rename(repository.path().join(".git"), world.scratch.path().join("git")).unwrap();
    fs::rename(other.path().join(".git"), repository.path().join(".git")).unwrap();
    repository.git(&["checkout", "--quiet", "--orphan", "none"]);
    repository.git(&["commit", "--quiet", "-m", "none"]);
    repository.git(&["branch", "--quiet", "-D", "main"]);
    repository.git(&["reflog", "expire", "--expire=now", "--all"]);
    repository.git(&["gc", "--quiet", "--prune=now"]);
    assert_eq!(world.missing().await, "the commit that the worker began at");
}

#[tokio::test]
async fn what_keeps_a_directory_from_being_looked_at_is_told() {
    let not_comparable = async |world: &World| match world.runtime.worker_diff(&world.worker, None).await {
        Err(Error::NotComparable { workspace, missing }) => {
            assert_eq!(workspace, "main");
            missing
        }
        other => panic!("{other:?}"),
    };
    let repository = Repository::new();
    let world = World::direct(&repository.path()).await;
    fs::remove_dir_all(repository.path()).unwrap();
    assert_eq!(not_comparable(&world).await, "its directory");

    let repository = Repository::new();
    let world = World::worktree(&repository.path()).await;
    fs::remove_dir_all(&world.directory).unwrap();
    assert_eq!(not_comparable(&world).await, "its directory");

    // A repository that is moved or not mounted comes back.
    for is_direct in [true, false] {
        let repository = Repository::new();
        let world = if is_direct {
            World::direct(&repository.path()).await
        } else {
            World::worktree(&repository.path()).await
        };
        world.write("README", "changed\n");
        let (own, away) = (repository.path().join(".git"), world.scratch.path().join("git"));
        fs::rename(&own, &away).unwrap();
        assert_eq!(not_comparable(&world).await, "its repository");
        // Another one is none that the worker began in.
        let other = Repository::new();
        fs::write(&own, format!("gitdir: {}/.git\n", other.path().display())).unwrap();
        assert_eq!(not_comparable(&world).await, "its repository");
        fs::remove_file(&own).unwrap();
        fs::rename(&away, &own).unwrap();
        assert_eq!(files(&world.diff().await), ["M README 1 1"]);

        // It borrows objects from where nothing is mounted now.
        let (objects, lent) = (own.join("objects"), world.scratch.path().join("lent"));
        fs::rename(&objects, &lent).unwrap();
        fs::create_dir_all(objects.join("info")).unwrap();
        fs::write(objects.join("info/alternates"), format!("{}\n", lent.display())).unwrap();
        assert_eq!(files(&world.diff().await), ["M README 1 1"]);
        fs::rename(&lent, &away).unwrap();
        let missing = not_comparable(&world).await;
        assert_eq!(missing, "a repository that git can use; the server's log says more");
    }

    // A tree that the base has, and the repository no longer.
    let repository = Repository::new();
    let world = World::direct(&repository.path()).await;
    let tree = repository.git(&["rev-parse", "HEAD^{tree}"]);
    fs::remove_file(repository.path().join(".git/objects").join(&tree[..2]).join(&tree[2..])).unwrap();
    let missing = not_comparable(&world).await;
    assert_eq!(missing, "a repository that git can use; the server's log says more");
}

#[tokio::test]
async fn nothing_of_an_evil_repository_is_executed_for_a_diff() {
    for evil in EVILS {
        let repository = Repository::new();
        repository.plant(evil);
        let world = World::direct(&repository.path()).await;
        repository.write("README", "changed\n");
        repository.write("new", "new\n");
        let diff = world.runtime.worker_diff(&world.worker, None).await;
        assert!(!repository.marker().exists(), "{evil:?}");
        match diff {
            Ok(diff) => {
                let mut expected = vec!["M README 1 1", "A new 1 0"];
                if evil.name == "submodule" {
                    // Whatever is in it, nobody looks.
                    expected.insert(1, "M inner - -");
                }
                assert_eq!(files(&diff), expected, "{evil:?}");
                assert!(diff.patch.contains("-a shop\n+changed\n"), "{evil:?}: {}", diff.patch);
            }
            // What is missing is not fetched.
            Err(error) => assert_eq!(evil.name, "fetching what is missing", "{error:?}"),
        }
    }
}

#[tokio::test]
async fn no_attribute_hides_a_change() {
    for attributes in [
        "code -diff",
        "code binary",
        "code diff=evil",
        "code -text diff=html",
        "code ident",
        "code text eol=crlf",
        "code working-tree-encoding=UTF-16",
        "code filter=evil",
        "[attr]evil -diff\ncode evil",
    ] {
        for is_committed in [true, false] {
            let repository = Repository::new();
            let text = format!("{attributes}\n");
            let before = "text\n$Id: good $\n";
            if is_committed {
                fs::write(repository.path().join("code"), before).unwrap();
                repository.commit("code");
                repository.write(".gitattributes", &text);
                git_in(&repository.path(), &["add", ".gitattributes"]);
                git_in(&repository.path(), &["commit", "--quiet", "-m", "attributes"]);
            } else {
                repository.write("code", before);
                repository.commit("code");
            }
            let world = World::direct(&repository.path()).await;
            repository.write(".gitattributes", &text);
            fs::write(repository.path().join(".git/info/attributes"), &text).unwrap();
            repository.write("code", "text\n$Id: evil $\n");
            let diff = world.diff().await;
            let mut expected = vec!["M code 1 1"];
            if !is_committed {
                expected.insert(
                    0,
                    if attributes.contains('\n') { "A .gitattributes 2 0" } else { "A .gitattributes 1 0" },
                );
            }
            assert_eq!(files(&diff), expected, "{attributes}");
            let change = " text\n-$Id: good $\n+$Id: evil $\n";
            assert!(diff.patch.contains(change), "{attributes}: {}", diff.patch);
        }
    }
}

#[tokio::test]
async fn what_is_no_file_leads_nowhere_and_holds_nobody_up() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("lib.txt"), "secret\n").unwrap();
    let repository = repository();
    let world = World::direct(&repository.path()).await;
    let at = |path: &str| world.directory.join(path);
    fs::remove_dir_all(at("src")).unwrap();
    symlink(outside.path(), at("src")).unwrap();
    for pipe in ["README", "pipe"] {
        drop(fs::remove_file(at(pipe)));
        assert!(Command::new("mkfifo").arg(at(pipe)).status().unwrap().success());
    }
    let _socket = UnixListener::bind(at("socket")).unwrap();
    // A file is a directory now, and a repository is in another.
    fs::remove_file(at("gone")).unwrap();
    world.write("gone/new", "new\n");
    fs::create_dir(at("inner")).unwrap();
    git_in(&at("inner"), &["init", "--quiet"]);
    world.write("inner/file", "inner\n");
    // Names that git keeps for itself, or would on other systems.
    world.write(".GIT/config", "evil\n");
    world.write("git~1", "short\n");
    symlink("README", at(".gitmodules")).unwrap();
    let diff = world.diff().await;
    let link = outside.path().display().to_string();
    assert_eq!(
        files(&diff),
        [
            "A .GIT/config - -",
            "A .gitmodules - -",
            "D README 0 1",
            "A git~1 1 0",
            "D gone 0 1",
            "A gone/new 1 0",
            "A inner/ - -",
            "A src 1 0",
            "D src/lib.txt 0 3",
        ]
    );
    assert!(diff.patch.contains(&format!("+{link}\n")) && !diff.patch.contains("secret"), "{}", diff.patch);
    assert!(diff.truncated, "two names have no text");
}

#[tokio::test]
async fn names_are_written_as_git_writes_them() {
    let repository = Repository::new();
    let world = World::direct(&repository.path()).await;
    world.write("line\nbreak", "1\n");
    world.write("schön", "2\n");
    let diff = world.diff().await;
    assert_eq!(files(&diff), [r#"A "line\nbreak" 1 0"#, "A schön 1 0"]);
    assert!(diff.patch.contains("+++ \"b/line\\nbreak\"\n"), "{}", diff.patch);
    assert!(diff.patch.contains("+++ b/schön\n"), "{}", diff.patch);
    fs::write(world.directory.join(OsStr::from_bytes(b"\xff")), "3\n").unwrap();
    let diff = world.diff().await;
    assert_eq!(files(&diff)[2], r#"A "\377" 1 0"#);
    assert!(diff.patch.contains("+++ \"b/\\377\"\n"), "{}", diff.patch);
}

#[tokio::test]
async fn what_is_too_large_is_named() {
    let repository = Repository::new();
    let long = "0123456789abcde\n".repeat(64 << 10);
    repository.write("long", &long);
    repository.write("still", &"x".repeat((16 << 20) + 1));
    repository.write("grows", "1\n");
    let file = File::create(repository.path().join("changes")).unwrap();
    file.set_len((16 << 20) + 1).unwrap();
    repository.commit("large");
    let world = World::direct(&repository.path()).await;
    let at = |path: &str| world.directory.join(path);
    world.write("long", &long.replacen("0123", "3210", 1));
    world.write("README", "changed\n");
    // As long as before, and another one.
    let mut changed = vec![0; (16 << 20) + 1];
    changed[1 << 20] = 1;
    fs::write(at("changes"), changed).unwrap();
    for name in ["grows", "new"] {
        File::create(at(name)).unwrap().set_len(1 << 40).unwrap();
    }
    let diff = world.diff().await;
    assert_eq!(files(&diff), ["M README 1 1", "M changes - -", "M grows - -", "M long 1 1", "A new - -"]);
    assert!(diff.patch.contains("Binary files a/long and b/long differ\n"), "{}", diff.patch);
    assert!(diff.truncated);
}

#[tokio::test]
async fn of_many_files_the_first_are_listed_and_of_much_text_the_first_files_are_shown() {
    let repository = Repository::new();
    let world = World::direct(&repository.path()).await;
    for n in 0..3000 {
        world.write(&format!("many/{n:04}"), "new\n");
    }
    let diff = world.diff().await;
    assert_eq!((diff.files.len(), diff.truncated), (2000, true));
    assert_eq!(file(&diff.files[1999]), "A many/1999 1 0");
    fs::remove_dir_all(world.directory.join("many")).unwrap();
    for n in 0..10 {
        world.write(&format!("{n}"), &"0123456789abcde\n".repeat(24 << 10));
    }
    let diff = world.diff().await;
    assert_eq!((diff.files.len(), diff.truncated), (10, true));
    let shown: Vec<_> = diff.patch.lines().filter(|line| line.starts_with("diff ")).collect();
    assert_eq!(shown.last(), Some(&"diff --git a/4 b/4"));
    assert!(diff.patch.ends_with("+0123456789abcde\n") && diff.patch.len() <= 2 << 20);
}
