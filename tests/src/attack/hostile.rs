//! Repositories that would have programs of their own run, in every way that a call of git's by a server comes by.
//!
//! What only a user's commands come by (pagers, editors, aliases, diff drivers) is no trap here, for it could not fire.
//! `musher_testkit::repository` has those, too.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use musher_testkit::program::executable;

/// What a repository names in its config, or has for hooks, and when a server would have git run it. The workspace `repo`
/// has all of these; a trap that is sprung is laid out again.
pub(super) const CREATE: &[&str] = &[
    "hook of references",
    "hook of the index",
    "fsmonitor",
    "smudge",
    "process",
    "include",
    "config.worktree",
];
/// The same, when the files of a worker are compared.
pub(super) const DIFF: &[&str] = &["hook of the index", "fsmonitor"];
/// The same, when a worker goes.
pub(super) const DELETE: &[&str] = &["fsmonitor", "clean", "process"];
/// Those of the workspace `partial`, of which a part is missing: no worker can be created there.
pub(super) const PARTIAL: &[&str] = &["hooksPath", "sshCommand"];

/// What a filter has to say before git gives it files; it wants none.
const FILTER: &str = r"printf '0016git-filter-server\n000eversion=2\n00000000'; cat > /dev/null";

/// Whether a trap was sprung since it was looked at last.
pub(super) fn is_sprung(home: &Path, trap: &str) -> bool {
    fs::remove_file(mark(home, trap)).is_ok()
}

fn mark(home: &Path, trap: &str) -> PathBuf {
    home.join(format!("sprung {trap}"))
}

/// A program that tells that it was run, then goes on like this.
fn program(home: &Path, trap: &str, rest: &str) -> String {
    let path = home.join(format!("trap-{}", trap.replace(' ', "-")));
    executable(&path, &format!("#!/bin/sh\ntouch '{}'\n{rest}\n", mark(home, trap).display()));
    path.display().to_string()
}

/// A repository with these files.
struct Repository<'a> {
    home: &'a Path,
    path: PathBuf,
}

impl<'a> Repository<'a> {
    fn new(home: &'a Path, name: &str, files: &[(&str, &str)]) -> Self {
        let repository = Self { home, path: home.join(name) };
        fs::create_dir(&repository.path).unwrap();
        repository.git(&["init", "-q"]);
        for (name, text) in files {
            fs::write(repository.path.join(name), text).unwrap();
        }
        repository.git(&["add", "."]);
        repository.git(&["commit", "-q", "-m", "x"]);
        repository
    }

    fn git(&self, words: &[&str]) -> String {
        let mut command = Command::new("git");
        command.args(["-c", "user.name=x", "-c", "user.email=x@x"]).args(words).current_dir(&self.path);
        command.env("HOME", self.home).env("GIT_CONFIG_NOSYSTEM", "1");
        let output = command.output().unwrap();
        assert!(output.status.success(), "git {words:?}");
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    fn set(&self, key: &str, value: &str) {
        self.git(&["config", key, value]);
    }

    fn hook(&self, directory: &str, event: &str, trap: &str) {
        let directory = self.path.join(directory);
        fs::create_dir_all(&directory).unwrap();
        let text = fs::read_to_string(program(self.home, trap, "exit 0")).unwrap();
        executable(&directory.join(event), &text);
    }
}

/// Lays out both repositories.
pub(super) fn lay_out(home: &Path) {
    let attributes = "smudge filter=smudge\nclean filter=clean\nprocess filter=process\nincluded filter=included\nother filter=other\n";
    let files = ["file", "smudge", "clean", "process", "included", "other"].map(|name| (name, "x\n"));
    let repo = Repository::new(home, "repo", &[&files[..], &[(".gitattributes", attributes)]].concat());
    repo.hook(".git/hooks", "reference-transaction", "hook of references");
    repo.hook(".git/hooks", "post-index-change", "hook of the index");
    repo.set("filter.smudge.smudge", &program(home, "smudge", "cat"));
    repo.set("filter.clean.clean", &program(home, "clean", "cat"));
    repo.set("filter.process.process", &program(home, "process", FILTER));
    let included = format!("[filter \"included\"]\n\tsmudge = {}\n", program(home, "include", "cat"));
    fs::write(home.join("included"), included).unwrap();
    repo.set("include.path", &home.join("included").display().to_string());
    repo.set("extensions.worktreeConfig", "true");
    repo.git(&["config", "--worktree", "filter.other.smudge", &program(home, "config.worktree", "cat")]);
    // The last one: git would run it from here on.
    repo.set("core.fsmonitor", &program(home, "fsmonitor", "exit 0"));

    let partial = Repository::new(home, "partial", &[("file", "x\n")]);
    let blob = partial.git(&["rev-parse", "HEAD:file"]);
    fs::remove_file(partial.path.join(".git/objects").join(&blob[..2]).join(&blob[2..])).unwrap();
    partial.set("core.repositoryFormatVersion", "1");
    partial.set("extensions.partialClone", "origin");
    partial.set("remote.origin.promisor", "true");
    partial.set("remote.origin.url", "ssh://localhost/x");
    partial.set("core.sshCommand", &program(home, "sshCommand", "exit 1"));
    partial.hook(".git/evil", "reference-transaction", "hooksPath");
    partial.set("core.hooksPath", &partial.path.join(".git/evil").display().to_string());
}
