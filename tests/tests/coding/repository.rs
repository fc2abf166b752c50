//! A small repository whose check fails.

use std::{fs, path::Path};

use musher_e2e::Finished;
use tempfile::TempDir;
use tokio::process::Command;

/// A file with a mistake.
pub(crate) const SUM: &str = r#"# Adds up its arguments.
sum() {
    total=0
    for n in "$@"; do
        total=$n
    done
    echo "$total"
}
"#;
const CHECK: &str = r#"#!/bin/sh
. ./lib/sum.sh
failed=0
fail() { echo "not ok: $1"; failed=1; }
got=$(sum 1 2 3)
[ "$got" = 6 ] || fail "the sum of 1 2 3 is $got, not 6"
grep -qs sum docs/usage.md || fail "docs/usage.md does not name sum"
[ $failed = 1 ] || echo "ok: all checks passed"
exit $failed
"#;

/// What mends the sum, to the last byte.
pub(crate) const SUM_PATCH: &str = r#"--- a/lib/sum.sh
+++ b/lib/sum.sh
@@ -2,7 +2,7 @@
 sum() {
     total=0
     for n in "$@"; do
-        total=$n
+        total=$((total + n))
     done
     echo "$total"
 }
"#;
/// What a usage text adds.
pub(crate) const USAGE_PATCH: &str = "--- /dev/null
+++ b/docs/usage.md
@@ -0,0 +1,3 @@
+# Usage
+
+`sum 1 2 3` prints 6.
";

/// All that a task that is done has changed, as git says it.
pub(crate) fn patch() -> String {
    format!(
        "diff --git a/docs/usage.md b/docs/usage.md\nnew file mode 100644\nindex 0000000..36b18fd\n{USAGE_PATCH}\
         diff --git a/lib/sum.sh b/lib/sum.sh\nindex 9c87978..5478681 100644\n{SUM_PATCH}"
    )
}

/// A repository with one commit.
#[derive(Debug)]
pub(crate) struct Repository {
    directory: TempDir,
    start: String,
}

impl Repository {
    pub(crate) async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("lib")).unwrap();
        for (path, text) in [("lib/sum.sh", SUM), ("check.sh", CHECK), ("README.md", "# Numbers\n")] {
            fs::write(directory.path().join(path), text).unwrap();
        }
        let mut repository = Self { directory, start: String::new() };
        for words in [
            &["init", "--quiet", "--initial-branch=main"][..],
            &["config", "user.name", "Coder"],
            &["config", "user.email", "coder@example.com"],
            &["add", "--all"],
            &["commit", "--quiet", "--message=start"],
        ] {
            repository.git(words).await;
        }
        repository.start = repository.git(&["rev-parse", "HEAD"]).await.trim().to_owned();
        repository
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn text(&self, path: &str) -> String {
        fs::read_to_string(self.path().join(path)).unwrap()
    }

    /// All that differs from the start.
    pub(crate) async fn patch(&self) -> String {
        self.git(&["diff", "--no-color", "--no-ext-diff", "--abbrev=7", &self.start]).await
    }

    /// What is not in a commit.
    pub(crate) async fn uncommitted(&self) -> String {
        self.git(&["status", "--porcelain"]).await
    }

    /// What this repository says, whatever is in the tester's own settings.
    pub(crate) async fn git(&self, words: &[&str]) -> String {
        let mut git = Command::new("git");
        git.args(words).current_dir(self.path());
        git.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
        let Finished { code, stdout, stderr } = Finished::of(&mut git).await;
        assert_eq!(code, Some(0), "{words:?}: {stderr}");
        stdout
    }
}
