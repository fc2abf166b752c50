//! The rules that no compiler knows.

mod budget;
mod docs_paths;
mod docs_tests;
mod layers;
mod leftovers;
mod names;
mod places;
mod rust;

use std::fmt;

use crate::repo::{self, Tree, Workspace};

/// Why the repository is not tidy, or could not be looked at.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("look at the repository")]
    Repo(#[from] repo::Error),
    #[error("tidy found {0} problem(s)")]
    Problems(usize),
}

/// A broken rule, and where.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Problem {
    path: String,
    line: usize,
    message: String,
}

impl Problem {
    fn new(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, message: message.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.message)
    }
}

/// Runs all checks and prints every problem that any of them finds.
pub(crate) fn run() -> Result<(), Error> {
    let tree = Tree::read()?;
    let workspace = Workspace::read()?;

    let crates = layers::crates(&workspace, repo::root(), &tree.files);
    let lines = budget::measure(&tree.files);
    let mut problems = layers::check(layers::LAYERS, &crates);
    problems.extend(budget::check(&lines));
    problems.extend(names::check(&tree.files, names::ALLOWED));
    problems.extend(docs_paths::check(&tree.files, &tree.paths));
    problems.extend(docs_tests::check(&tree.files));
    problems.extend(leftovers::check(&tree.files));
    problems.extend(places::check(&tree.files));
    problems.sort();

    println!("{}", budget::summary(&lines));
    for problem in &problems {
        println!("{problem}");
    }
    if problems.is_empty() { Ok(()) } else { Err(Error::Problems(problems.len())) }
}
