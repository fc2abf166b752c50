//! A model that does a task: it goes on by what its tools tell it, and says so when that is not what it looked for.

use std::path::{Path, PathBuf};

use musher_scripted::model_api::{Reply, Turn};
use serde_json::{Value, json};

/// What it is asked for.
pub(crate) const TASK: &str = "The check of this repository fails. Mend it, and commit.";
/// What it says when it is done.
pub(crate) const DONE: &str =
    "The sum was that of its last number alone; now it is of all, and docs/usage.md names it.";

const CHECK: &str = "sh check.sh";
const COMMIT: &str =
    "git add --all && git commit --quiet --message='sum: add up all numbers' && git log --format=%s";
pub(crate) const WRONG: &str = "total=$n\n";
pub(crate) const RIGHT: &str = "total=$((total + n))\n";
pub(crate) const USAGE: &str = "# Usage\n\n`sum 1 2 3` prints 6.\n";

/// One thing to do, whatever the tool for it is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Run(&'static str),
    Search(&'static str),
    Read(String),
    Edit { path: String, old: &'static str, new: &'static str },
    Write { path: &'static str, content: &'static str },
    Say(String),
}

/// Whose tools it has.
#[derive(Clone, Debug)]
pub(crate) enum Tools {
    /// Musher's own.
    Own,
    /// Those of Claude Code in this directory: it wants whole paths, and searches with the shell.
    OfClaude(PathBuf),
}

impl Step {
    /// All that a task takes, in order.
    pub(crate) fn of_the_task() -> Vec<Self> {
        let sum = || "lib/sum.sh".to_owned();
        vec![
            Self::Run(CHECK),
            Self::Search("^sum"),
            Self::Read(sum()),
            Self::Edit { path: sum(), old: WRONG, new: RIGHT },
            Self::Run(CHECK),
            Self::Write { path: "docs/usage.md", content: USAGE },
            Self::Run(CHECK),
            Self::Run(COMMIT),
        ]
    }

    /// The step behind this one, now that its tool said this.
    fn next(&self, told: &str) -> Self {
        let stuck = || Self::Say(format!("stuck: {self:?} said {told}"));
        match self {
            Self::Run(CHECK) if told.contains("not ok: the sum of") => Self::Search("^sum"),
            Self::Run(CHECK) if told.contains("not ok: docs/usage.md") => {
                Self::Write { path: "docs/usage.md", content: USAGE }
            }
            Self::Run(CHECK) if told.contains("ok: all checks passed") => Self::Run(COMMIT),
            Self::Run(COMMIT) if told.starts_with("sum: add up all numbers\nstart") => {
                Self::Say(DONE.to_owned())
            }
            // `path:line: text`
            Self::Search(_) => match told.split_once(':') {
                Some((path, _)) => Self::Read(path.to_owned()),
                None => stuck(),
            },
            Self::Read(path) if told.contains(WRONG) => {
                Self::Edit { path: path.clone(), old: WRONG, new: RIGHT }
            }
            // Whether that was right the check knows.
            Self::Edit { .. } | Self::Write { .. } => Self::Run(CHECK),
            Self::Run(_) | Self::Read(_) | Self::Say(_) => stuck(),
        }
    }
}

impl Tools {
    /// What the model says in a turn.
    pub(crate) fn reply(&self, turn: &Turn) -> Reply {
        let step = turn.results.iter().fold(Step::Run(CHECK), |step, told| step.next(told));
        let id = format!("call_{}", turn.results.len());
        match self.call(&step) {
            Ok((name, input)) => Reply::calls(&[(&id, name, &input.to_string())]),
            Err(words) => Reply::text(words),
        }
    }

    /// The call of a step, or its words.
    pub(crate) fn call<'a>(&self, step: &'a Step) -> Result<(&'static str, Value), &'a str> {
        Ok(match self {
            Self::Own => match step {
                Step::Run(command) => ("shell", json!({"command": command})),
                Step::Search(pattern) => ("search", json!({"pattern": pattern})),
                Step::Read(path) => ("read_file", json!({"path": path})),
                Step::Edit { path, old, new } => ("edit_file", json!({"path": path, "old": old, "new": new})),
                Step::Write { path, content } => ("write_file", json!({"path": path, "content": content})),
                Step::Say(words) => return Err(words),
            },
            Self::OfClaude(directory) => {
                let whole = |path: &str| Path::new(directory).join(path);
                match step {
                    Step::Run(command) => ("Bash", json!({"command": command})),
                    Step::Search(pattern) => {
                        ("Bash", json!({"command": format!("grep --recursive --line-number '{pattern}' *")}))
                    }
                    Step::Read(path) => ("Read", json!({"file_path": whole(path)})),
                    Step::Edit { path, old, new } => (
                        "Edit",
                        json!({"file_path": whole(path), "old_string": old, "new_string": new, "replace_all": false}),
                    ),
                    Step::Write { path, content } => {
                        ("Write", json!({"file_path": whole(path), "content": content}))
                    }
                    Step::Say(words) => return Err(words),
                }
            }
        })
    }
}
