//! Builds what measures and what is measured, and lets it run.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{
    program::{self, not_started, succeeded, wait},
    repo::{self, Workspace},
};

/// The program in `tests` that measures.
const PROGRAM: &str = "bench";
/// The part that the store measures itself.
const APPEND: &str = "append";

/// Why there are no figures.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("look at the repository")]
    Repo(#[from] repo::Error),
    #[error(transparent)]
    Program(#[from] program::Error),
    #[error("write `{path}`")]
    Write { path: PathBuf, source: io::Error },
}

/// What is measured, and how.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Only these parts: append, rest, workers, fan-out, sealing, readers, resume, start, api; all without any.
    parts: Vec<String>,
    /// Fewer of everything: shows that it runs, not how fast.
    #[arg(long)]
    quick: bool,
    /// How often everything is measured; 3 at least.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// The store of the servers.
    #[arg(long)]
    store: Option<String>,
    /// Writes all rounds to a file too; a relative path begins at the root of the repository.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// Builds and runs; the table is on stdout. That a target is missed is no error.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Error> {
    let target = Workspace::read()?.target_directory;
    for package in [&["-p", "musher"][..], &["-p", "musher-e2e", "--bin", PROGRAM]] {
        let mut build = Command::new(repo::cargo());
        wait(build.args(["build", "--locked", "--release"]).args(package))?;
    }
    let appends = target.join(PROGRAM).join("append.jsonl");
    if arguments.wants(APPEND) {
        measure_appends(&appends, arguments.rounds)?;
    }
    let release = |name: &str| target.join("release").join(name);
    wait(
        Command::new(release(PROGRAM))
            .args(arguments.words(&commit()?, &appends))
            .env("MUSHER_TEST_BINARY", release("musher")),
    )?;
    Ok(())
}

impl Arguments {
    fn wants(&self, part: &str) -> bool {
        self.parts.is_empty() || self.parts.iter().any(|name| name == part)
    }

    /// What the program is told.
    fn words(&self, commit: &str, appends: &Path) -> Vec<OsString> {
        let Self { parts, quick, rounds, store, json } = self;
        let rounds = rounds.to_string();
        let mut words: Vec<OsString> =
            ["run", "--commit", commit, "--rounds", &rounds].map(OsString::from).into();
        words.extend(quick.then(|| "--quick".into()));
        let named = [
            ("--store", store.as_ref().map(OsString::from)),
            ("--json", json.as_ref().map(OsString::from)),
            ("--appends", self.wants(APPEND).then(|| appends.into())),
        ];
        for (name, value) in named {
            words.extend(value.map(|value: OsString| [name.into(), value]).into_iter().flatten());
        }
        words.extend(parts.iter().map(OsString::from));
        words
    }
}

/// Runs the bench of the store so many times, which prints a JSON object a line, and shows and keeps what it prints.
fn measure_appends(file: &Path, rounds: usize) -> Result<(), Error> {
    let write = |source| Error::Write { path: file.to_owned(), source };
    fs::create_dir_all(file.parent().expect("it is in a directory")).map_err(write)?;
    let mut lines = File::create(file).map_err(write)?;
    for _ in 0..rounds {
        let mut bench = Command::new(repo::cargo());
        bench.args(["bench", "--locked", "-p", "musher-store-sqlite", "--bench", APPEND]);
        let ended = bench.current_dir(repo::root()).stderr(Stdio::inherit()).output();
        let output = ended.map_err(|source| not_started(&bench, source))?;
        eprint!("{}", String::from_utf8_lossy(&output.stdout));
        succeeded(&bench, output.status)?;
        lines.write_all(&output.stdout).map_err(write)?;
    }
    Ok(())
}

/// Which sources these are.
fn commit() -> Result<String, Error> {
    // A checkout may belong to another user than the one who measures, in containers above all.
    let safe = format!("safe.directory={}", repo::root().display());
    let mut git = Command::new("git");
    git.args(["-c", &safe, "describe", "--always", "--dirty"]).current_dir(repo::root());
    let output = git.output().map_err(|source| not_started(&git, source))?;
    succeeded(&git, output.status)?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    #[track_caller]
    fn check(line: &str, expected: &str) {
        let Line { arguments } = Line::parse_from(["bench"].into_iter().chain(line.split_whitespace()));
        let words = arguments.words("abc", Path::new("a.jsonl"));
        assert_eq!(words.join(OsStr::new(" ")).to_string_lossy(), expected, "{line}");
    }

    #[test]
    fn the_program_gets_what_it_was_asked_for_and_the_appends_where_they_are_wanted() {
        check("", "run --commit abc --rounds 3 --appends a.jsonl");
        check("--quick start rest", "run --commit abc --rounds 3 --quick start rest");
        check(
            "--rounds 5 --json f.json --store memory append",
            "run --commit abc --rounds 5 --store memory --json f.json --appends a.jsonl append",
        );
    }
}
