//! Real git repositories, good and evil, in directories that go with them.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use crate::program::executable;

/// A repository with one commit on `main`: `README` and `src/lib.txt`.
#[derive(Debug)]
pub struct Repository {
    directory: TempDir,
}

/// What an evil repository can do to have a program of its own executed.
pub const EVILS: &[Evil] = &[
    Evil { name: "hooks", plant: hooks },
    Evil { name: "hooks path", plant: hooks_path },
    Evil { name: "hooks in the config", plant: configured_hooks },
    Evil { name: "watcher of files", plant: watcher },
    Evil { name: "filters", plant: filters },
    Evil { name: "filter process", plant: filter_process },
    Evil { name: "external diff", plant: external_diff },
    Evil { name: "diff driver", plant: diff_driver },
    Evil { name: "fetching what is missing", plant: promisor },
    Evil { name: "alternate references", plant: alternates },
    Evil { name: "included config", plant: included },
    Evil { name: "config of the worktree", plant: worktree_config },
    Evil { name: "pagers and editors", plant: pagers },
    Evil { name: "aliases", plant: aliases },
    Evil { name: "another worktree", plant: elsewhere },
    Evil { name: "submodule", plant: submodule },
];

/// One of them.
#[derive(Clone, Copy, Debug)]
pub struct Evil {
    /// What it is.
    pub name: &'static str,
    plant: fn(&Repository),
}

impl Default for Repository {
    fn default() -> Self {
        Self::new()
    }
}

impl Repository {
    /// A repository.
    #[must_use]
    pub fn new() -> Self {
        Self::with(&["init", "--quiet", "--initial-branch=main"])
    }

    /// One whose objects have longer names.
    #[must_use]
    pub fn sha256() -> Self {
        Self::with(&["init", "--quiet", "--initial-branch=main", "--object-format=sha256"])
    }

    fn with(init: &[&str]) -> Self {
        let repository = Self::empty();
        repository.git(init);
        repository.write("README", "a shop\n");
        repository.write("src/lib.txt", "one\ntwo\nthree\n");
        repository.commit("first");
        repository
    }

    /// A directory that is no repository yet.
    #[must_use]
    pub fn empty() -> Self {
        let directory = tempfile::Builder::new().prefix("shop").tempdir().expect("a directory");
        fs::create_dir(directory.path().join("shop")).expect("a directory");
        Self { directory }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.directory.path().join("shop")
    }

    /// A file that is there as soon as something of the repository's own was executed.
    #[must_use]
    pub fn marker(&self) -> PathBuf {
        self.directory.path().join("executed")
    }

    /// Runs git here, as its user would.
    ///
    /// # Panics
    ///
    /// When it fails.
    pub fn git(&self, args: &[&str]) -> String {
        git_in(&self.path(), args)
    }

    /// Writes a file here.
    ///
    /// # Panics
    ///
    /// When it cannot be written.
    pub fn write(&self, path: &str, text: &str) {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        fs::write(path, text).expect("a file");
    }

    /// Commits all that is here, and answers with the commit.
    pub fn commit(&self, message: &str) -> String {
        commit_in(&self.path(), message)
    }

    /// All its branches.
    #[must_use]
    pub fn branches(&self) -> Vec<String> {
        let text = self.git(&["for-each-ref", "--format=%(refname:short)", "refs/heads"]);
        text.lines().map(str::to_owned).collect()
    }

    /// How many worktrees it knows besides its own.
    #[must_use]
    pub fn n_worktrees(&self) -> usize {
        fs::read_dir(self.path().join(".git/worktrees")).map_or(0, Iterator::count)
    }

    /// Makes it evil.
    ///
    /// # Panics
    ///
    /// When that executed something which cannot be forgotten.
    pub fn plant(&self, evil: &Evil) {
        (evil.plant)(self);
        // Planting runs git as a user would, who has to live with it.
        if self.marker().exists() {
            fs::remove_file(self.marker()).expect("a marker");
        }
    }

    /// A program that marks that it was executed, then behaves like `cat`.
    fn program(&self) -> String {
        let path = self.directory.path().join("evil.sh");
        let text = format!("#!/bin/sh\ntouch {}\ncat\n", self.marker().display());
        executable(&path, &text);
        path.display().to_string()
    }

    fn sets(&self, key: &str) {
        self.git(&["config", key, &self.program()]);
    }
}

/// Runs git in a directory, as its user would.
///
/// # Panics
///
/// When it fails.
pub fn git_in(directory: &Path, args: &[&str]) -> String {
    let output = command(directory, args).output().expect("git");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {args:?} in {}: {said}", directory.display());
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

/// Commits all that is in a worktree, and answers with the commit.
pub fn commit_in(directory: &Path, message: &str) -> String {
    git_in(directory, &["add", "--all"]);
    git_in(directory, &["commit", "--quiet", "--allow-empty", "-m", message]);
    git_in(directory, &["rev-parse", "HEAD"])
}

fn command(directory: &Path, args: &[&str]) -> Command {
    let mut command = Command::new("git");
    command.current_dir(directory).args(args).env_clear();
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
    for who in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{who}_NAME"), "Ada").env(format!("GIT_{who}_EMAIL"), "ada@example.com");
    }
    command
}

const EVENTS: [&str; 5] =
    ["post-checkout", "reference-transaction", "post-index-change", "pre-commit", "fsmonitor-watchman"];

fn hooks_in(repository: &Repository, directory: &Path) {
    let program = repository.program();
    fs::create_dir_all(directory).expect("a directory");
    for event in EVENTS {
        symlink(&program, directory.join(event)).expect("a hook");
    }
}

fn hooks(repository: &Repository) {
    hooks_in(repository, &repository.path().join(".git/hooks"));
}

fn hooks_path(repository: &Repository) {
    let directory = repository.path().join(".git/evil");
    hooks_in(repository, &directory);
    repository.git(&["config", "core.hooksPath", &directory.display().to_string()]);
}

fn configured_hooks(repository: &Repository) {
    for event in EVENTS {
        repository.git(&["config", &format!("hook.{event}x.event"), event]);
        repository.sets(&format!("hook.{event}x.command"));
    }
}

fn watcher(repository: &Repository) {
    repository.sets("core.fsmonitor");
}

fn elsewhere(repository: &Repository) {
    repository.git(&["config", "core.worktree", "/etc"]);
}

fn filters(repository: &Repository) {
    repository.write(".gitattributes", "* filter=evil diff=evil merge=evil\n");
    repository.commit("attributes");
    fs::write(repository.path().join(".git/info/attributes"), "* filter=evil\n").expect("attributes");
    for key in ["smudge", "clean"] {
        repository.sets(&format!("filter.evil.{key}"));
    }
    repository.git(&["config", "filter.evil.required", "true"]);
}

fn filter_process(repository: &Repository) {
    repository.write(".gitattributes", "* filter=evil\n");
    repository.commit("attributes");
    repository.sets("filter.evil.process");
}

fn external_diff(repository: &Repository) {
    repository.sets("diff.external");
}

fn diff_driver(repository: &Repository) {
    repository.write(".gitattributes", "* diff=evil\n");
    repository.commit("attributes");
    repository.sets("diff.evil.command");
    repository.sets("diff.evil.textconv");
}

/// A file is missing, and would be fetched with a program.
fn promisor(repository: &Repository) {
    let program = repository.program();
    repository.git(&["config", "core.sshCommand", &program]);
    repository.git(&["config", "core.gitProxy", &program]);
    repository.git(&["config", "protocol.ext.allow", "always"]);
    repository.git(&["config", "remote.origin.url", &format!("ext::{program}")]);
    repository.git(&["config", "remote.origin.promisor", "true"]);
    repository.git(&["config", "remote.origin.uploadpack", &program]);
    repository.git(&["config", "extensions.partialClone", "origin"]);
    repository.git(&["config", "core.repositoryFormatVersion", "1"]);
    let blob = repository.git(&["rev-parse", "HEAD:README"]);
    let object = format!(".git/objects/{}/{}", &blob[..2], &blob[2..]);
    fs::remove_file(repository.path().join(object)).expect("an object");
}

fn alternates(repository: &Repository) {
    repository.sets("core.alternateRefsCommand");
    let alternates = repository.path().join(".git/objects/info/alternates");
    let other = repository.directory.path().join("objects");
    fs::create_dir(&other).expect("a directory");
    fs::write(alternates, format!("{}\n", other.display())).expect("alternates");
}

fn included(repository: &Repository) {
    let program = repository.program();
    let text =
        format!("[core]\n\tfsmonitor = {program}\n\thooksPath = {program}\n[diff]\n\texternal = {program}\n");
    fs::write(repository.path().join(".git/more"), text).expect("a config");
    repository.git(&["config", "include.path", "more"]);
    repository.git(&["config", "includeIf.onbranch:musher/**.path", "more"]);
}

fn worktree_config(repository: &Repository) {
    repository.git(&["config", "extensions.worktreeConfig", "true"]);
    repository.git(&["config", "--worktree", "core.fsmonitor", &repository.program()]);
}

fn pagers(repository: &Repository) {
    for key in
        ["core.pager", "core.editor", "core.askPass", "sequence.editor", "gpg.program", "credential.helper"]
    {
        repository.sets(key);
    }
    repository.git(&["config", "commit.gpgSign", "true"]);
    for command in ["diff", "rev-list", "ls-files"] {
        repository.sets(&format!("pager.{command}"));
    }
}

fn aliases(repository: &Repository) {
    for name in ["update-ref", "read-tree", "rev-parse", "ls-files", "rev-list", "diff-index", "config"] {
        repository.git(&["config", &format!("alias.{name}"), &format!("!{}", repository.program())]);
    }
}

/// A repository within, whose own config is as evil.
fn submodule(repository: &Repository) {
    let inner = repository.path().join("inner");
    fs::create_dir(&inner).expect("a directory");
    git_in(&inner, &["init", "--quiet"]);
    fs::write(inner.join("file"), "inner\n").expect("a file");
    commit_in(&inner, "inner");
    repository
        .write(".gitmodules", "[submodule \"inner\"]\n\tpath = inner\n\turl = ./inner\n\tupdate = !evil\n");
    repository.commit("a submodule");
    git_in(&inner, &["config", "core.fsmonitor", &repository.program()]);
    repository.git(&["config", "submodule.inner.update", &format!("!{}", repository.program())]);
    repository.git(&["config", "submodule.recurse", "true"]);
    fs::write(inner.join("file"), "changed\n").expect("a file");
}
