//! A small repository whose check fails.

use std::{fs, path::PathBuf};

use musher_testkit::repository;

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
    .trim_end()
    .to_owned()
}

/// The repository, and the commit that it starts with.
#[derive(Debug)]
pub(crate) struct Repository {
    real: repository::Repository,
    start: String,
}

impl Repository {
    pub(crate) fn new() -> Self {
        let real = repository::Repository::empty();
        real.git(&["init", "--quiet", "--initial-branch=main"]);
        // Who commits from the worker's shell.
        real.git(&["config", "user.name", "Coder"]);
        real.git(&["config", "user.email", "coder@example.com"]);
        for (path, text) in [("lib/sum.sh", SUM), ("check.sh", CHECK), ("README.md", "# Numbers\n")] {
            real.write(path, text);
        }
        let start = real.commit("start");
        Self { real, start }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.real.path()
    }

    pub(crate) fn text(&self, path: &str) -> String {
        fs::read_to_string(self.path().join(path)).unwrap()
    }

    /// All that differs from the start.
    pub(crate) fn patch(&self) -> String {
        self.git(&["diff", "--no-color", "--no-ext-diff", "--abbrev=7", &self.start])
    }

    /// What is not in a commit.
    pub(crate) fn uncommitted(&self) -> String {
        self.git(&["status", "--porcelain"])
    }

    /// What git says, without the end of its last line.
    pub(crate) fn git(&self, words: &[&str]) -> String {
        self.real.git(words)
    }
}
