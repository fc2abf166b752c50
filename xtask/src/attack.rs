//! Builds what attacks, and what is attacked, and lets it run.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    program::{self, wait},
    repo::{self, Workspace},
};

/// The program in `tests` that does it.
const PROGRAM: &str = "attack";
/// The feature that lets walls be taken down, so that the suite can prove that it notices.
const WEAKENED: &str = "weakened";

/// Why nothing was found out, or that something was.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("look at the repository")]
    Repo(#[from] repo::Error),
    #[error(transparent)]
    Program(#[from] program::Error),
}

/// What is attacked.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Takes one wall after the other away, and fails when its class does not notice.
    #[arg(long)]
    weakened: bool,
    /// Prints Markdown, for SECURITY.md.
    #[arg(long)]
    markdown: bool,
}

/// Builds and runs; the table is on stdout, and that something got through is an error.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Error> {
    let target = Workspace::read()?.target_directory;
    for build in builds(arguments, &target) {
        wait(Command::new(repo::cargo()).args(build))?;
    }
    let program = |target: &Path, name: &str| target.join("debug").join(name);
    let flags = [("--weakened", arguments.weakened), ("--markdown", arguments.markdown)];
    wait(
        Command::new(program(&target, PROGRAM))
            .args(flags.iter().filter(|(_, is_set)| *is_set).map(|(flag, _)| flag))
            .env("MUSHER_TEST_BINARY", program(&target, "musher"))
            .env("MUSHER_TEST_WEAKENED", program(&weakened(&target), "musher")),
    )?;
    Ok(())
}

/// The arguments of each cargo that has to run first.
fn builds(arguments: &Arguments, target: &Path) -> Vec<Vec<OsString>> {
    let build = |words: &[&str]| -> Vec<OsString> {
        ["build", "--locked"].iter().chain(words).copied().map(OsString::from).collect()
    };
    let mut builds = vec![build(&["-p", "musher"]), build(&["-p", "musher-e2e", "--bin", PROGRAM])];
    if arguments.weakened {
        // In a directory of its own, for the same name with other features would replace the real one.
        let mut words = build(&["-p", "musher", "--features", WEAKENED, "--target-dir"]);
        words.push(weakened(target).into());
        builds.push(words);
    }
    builds
}

fn weakened(target: &Path) -> PathBuf {
    target.join(WEAKENED)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    #[test]
    fn only_walls_that_are_taken_down_need_a_build_of_their_own() {
        let lines = |weakened| {
            let builds = builds(&Arguments { weakened, markdown: false }, Path::new("t"));
            let line = |words: Vec<OsString>| words.join(OsStr::new(" ")).into_string().expect("plain words");
            builds.into_iter().map(line).collect::<Vec<_>>()
        };
        let plain = ["build --locked -p musher", "build --locked -p musher-e2e --bin attack"];
        assert_eq!(lines(false), plain);
        assert_eq!(lines(true)[2], "build --locked -p musher --features weakened --target-dir t/weakened");
    }
}
