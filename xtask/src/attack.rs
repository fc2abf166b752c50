//! Builds what attacks, and what is attacked, and lets it run.

use std::{
    env,
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    program::{self, wait},
    repo::{self, Workspace},
};

/// The program in `tests` that does it.
const PROGRAM: &str = "attack";
/// Where the build is whose walls can be taken down, so that the suite can prove that it notices.
const WEAKENED: &str = "weakened";
/// What makes it one. No feature does, for `--all-features` must not.
const WEAKENING: &str = "--cfg musher_weakened";
/// What the compiler is told besides what cargo tells it.
const RUSTFLAGS: &str = "RUSTFLAGS";

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
    for mut build in builds(arguments, &target, env::var_os(RUSTFLAGS)) {
        wait(&mut build)?;
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

/// What has to be built first.
fn builds(arguments: &Arguments, target: &Path, rustflags: Option<OsString>) -> Vec<Command> {
    let build = |words: &[&str]| {
        let mut command = Command::new(repo::cargo());
        command.args(["build", "--locked"]).args(words);
        command
    };
    let mut builds = vec![build(&["-p", "musher"]), build(&["-p", "musher-e2e", "--bin", PROGRAM])];
    if arguments.weakened {
        // In a directory of its own, for the same name with other flags would replace the real one.
        let mut weakening = build(&["-p", "musher", "--target-dir"]);
        let rustflags = rustflags.into_iter().chain([WEAKENING.into()]);
        weakening.arg(weakened(target)).env(RUSTFLAGS, rustflags.collect::<Vec<_>>().join(OsStr::new(" ")));
        builds.push(weakening);
    }
    builds
}

fn weakened(target: &Path) -> PathBuf {
    target.join(WEAKENED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_walls_that_are_taken_down_need_a_build_of_their_own() {
        let lines = |weakened, rustflags: Option<&str>| {
            let arguments = Arguments { weakened, markdown: false };
            let line = |build: Command| {
                let set = build
                    .get_envs()
                    .map(|(name, value)| [name, value.unwrap_or_default()].join(OsStr::new("=")));
                let words = set.chain(build.get_args().map(OsString::from)).collect::<Vec<_>>();
                words.join(OsStr::new(" ")).into_string().expect("plain words")
            };
            builds(&arguments, Path::new("t"), rustflags.map(OsString::from))
                .into_iter()
                .map(line)
                .collect::<Vec<_>>()
        };
        let plain = ["build --locked -p musher", "build --locked -p musher-e2e --bin attack"];
        assert_eq!(lines(false, Some("-C debuginfo=0")), plain);
        let weakening = "build --locked -p musher --target-dir t/weakened";
        assert_eq!(lines(true, None)[2], format!("RUSTFLAGS=--cfg musher_weakened {weakening}"));
        let besides = format!("RUSTFLAGS=-C debuginfo=0 --cfg musher_weakened {weakening}");
        assert_eq!(lines(true, Some("-C debuginfo=0"))[2], besides);
    }
}
