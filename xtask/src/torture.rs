//! Builds what tortures, and what is tortured, and lets it run.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    parts,
    program::{self, wait},
    repo::{self, Workspace},
};

/// The program in `tests` that does it.
const PROGRAM: &str = "torture";
/// The program in the place of Claude Code.
const FAKE: &str = "musher-fake-claude";
/// Where it finds the real ones.
const REAL: [&str; 2] = ["MUSHER_TEST_CLAUDE_LATEST", "MUSHER_TEST_CLAUDE_OLD"];
/// The feature that plants bugs, so that a part can prove that it finds them.
const PLANTED: &str = "planted-bugs";

/// Why nothing was found out, or that something was.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("look at the repository")]
    Repo(#[from] repo::Error),
    #[error("find the parts")]
    Parts(#[from] parts::Error),
    #[error(transparent)]
    Program(#[from] program::Error),
}

/// What is tortured, and how.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Builds with optimizations.
    #[arg(long)]
    release: bool,
    part: Part,
    /// What the part takes; `--help` lists it.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<OsString>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Kills the server again and again under load.
    Kill,
    /// Repeats requests under their idempotency keys while the server is killed.
    Keys,
    /// Cuts the power at any moment of a recorded run.
    Power,
    /// Makes the disk fail, run full and forget.
    Faults,
    /// Lets readers stall and come back.
    Readers,
    /// Interrupts, denies and kills many workers at once.
    Workers,
}

/// Builds and runs; what was found is on stdout, and that something was is an error.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Error> {
    let target = Workspace::read()?.target_directory;
    for build in builds(arguments, &target) {
        wait(Command::new(repo::cargo()).args(build))?;
    }
    let profile = if arguments.release { "release" } else { "debug" };
    let program = |target: &Path, name: &str| target.join(profile).join(name);
    let mut torture = Command::new(program(&target, PROGRAM));
    torture
        .arg(arguments.part.name())
        .args(&arguments.rest)
        .env("MUSHER_TEST_BINARY", program(&target, "musher"))
        .env("MUSHER_TEST_PLANTED", program(&planted(&target), "musher"));
    if arguments.part == Part::Workers {
        torture.env("MUSHER_TEST_FAKE_CLAUDE", program(&target, FAKE));
        torture.envs(real_parts(&target)?);
    }
    wait(&mut torture)?;
    Ok(())
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Keys => "keys",
            Self::Power => "power",
            Self::Faults => "faults",
            Self::Readers => "readers",
            Self::Workers => "workers",
        }
    }
}

/// Where both versions of the real CLI are; what the environment already names is taken.
fn real_parts(target: &Path) -> Result<Vec<(&'static str, PathBuf)>, Error> {
    let mut parts = parts::test_environment(target)?.0;
    parts.retain(|(name, _)| REAL.contains(name) && env::var_os(name).is_none());
    if !parts.is_empty() {
        parts::install_claude(target)?;
    }
    Ok(parts)
}

/// The arguments of each cargo that has to run first.
fn builds(arguments: &Arguments, target: &Path) -> Vec<Vec<OsString>> {
    let build = |words: &[&str]| {
        let release = arguments.release.then_some("--release");
        ["build", "--locked"].iter().chain(words).copied().chain(release).map(OsString::from).collect()
    };
    let mut builds: Vec<Vec<OsString>> =
        vec![build(&["-p", "musher"]), build(&["-p", "musher-e2e", "--bin", PROGRAM])];
    if arguments.part == Part::Workers {
        builds.push(build(&["-p", "musher-testkit", "--bin", FAKE]));
    }
    if arguments.part == Part::Power {
        // In a directory of its own, for the same name with other features would replace the real one.
        let mut words = build(&["-p", "musher", "--features", PLANTED, "--target-dir"]);
        words.insert(words.len() - usize::from(arguments.release), planted(target).into());
        builds.push(words);
    }
    builds
}

fn planted(target: &Path) -> PathBuf {
    target.join("planted")
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
    fn check(line: &str, expected_builds: &[&str], expected_rest: &[&str]) {
        let Line { arguments } = Line::parse_from(["torture"].into_iter().chain(line.split_whitespace()));
        let builds: Vec<_> = builds(&arguments, Path::new("t"))
            .iter()
            .map(|words| words.join(OsStr::new(" ")).into_string().expect("plain words"))
            .collect();
        assert_eq!(
            (builds, arguments.rest),
            (strings(expected_builds), expected_rest.iter().map(OsString::from).collect())
        );
    }

    fn strings(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn a_part_gets_its_builds_and_its_own_words() {
        check(
            "kill --rounds 5",
            &["build --locked -p musher", "build --locked -p musher-e2e --bin torture"],
            &["--rounds", "5"],
        );
        check(
            "--release readers",
            &["build --locked -p musher --release", "build --locked -p musher-e2e --bin torture --release"],
            &[],
        );
        check(
            "workers --fake 5 --real 0",
            &[
                "build --locked -p musher",
                "build --locked -p musher-e2e --bin torture",
                "build --locked -p musher-testkit --bin musher-fake-claude",
            ],
            &["--fake", "5", "--real", "0"],
        );
        check(
            "power --release --seeds 1 --from 7",
            &[
                "build --locked -p musher --release",
                "build --locked -p musher-e2e --bin torture --release",
                "build --locked -p musher --features planted-bugs --target-dir t/planted --release",
            ],
            &["--seeds", "1", "--from", "7"],
        );
    }
}
