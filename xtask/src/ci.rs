//! All that a change must pass, in one command.

use std::{
    env, fmt, io,
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use crate::{
    codegen,
    parts::{self, TestEnvironment},
    program::{self, wait},
    repo::{self, Workspace},
    tidy,
};

/// Why the change does not pass.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("look at the repository")]
    Repo(#[from] repo::Error),
    #[error("find the parts")]
    Parts(#[from] parts::Error),
    #[error("step `{0}` failed")]
    Step(&'static str),
}

/// Why a step did not succeed.
#[derive(Debug, thiserror::Error)]
enum StepError {
    #[error(transparent)]
    Program(#[from] program::Error),
    #[error(transparent)]
    Tidy(#[from] tidy::Error),
    #[error(transparent)]
    Parts(#[from] parts::Error),
    #[error(transparent)]
    Codegen(#[from] codegen::Error),
}

/// What a step does.
enum Work {
    Cargo {
        arguments: &'static [&'static str],
        environment: Vec<(&'static str, PathBuf)>,
    },
    /// In the package of the TypeScript client, with the Node.js that it promises to run with.
    Npm {
        arguments: &'static [&'static str],
        environment: Vec<(&'static str, PathBuf)>,
    },
    Tidy,
    Parts,
    Codegen,
    Wire,
    Deny,
}

/// The package of the TypeScript client, from the root.
const TYPESCRIPT: &str = "clients/typescript";

struct Step {
    name: &'static str,
    work: Work,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Ok(Duration),
    Failed(Duration),
    NotRun,
}

/// Runs the steps up to the first that fails, and prints the table whatever happens.
pub(crate) fn run() -> Result<(), Error> {
    let target = Workspace::read()?.target_directory;
    let steps = steps(parts::test_environment(&target)?);

    let mut rows: Vec<(&'static str, Verdict)> =
        steps.iter().map(|step| (step.name, Verdict::NotRun)).collect();
    let mut failed = None;
    for (step, row) in steps.iter().zip(&mut rows) {
        heading(step);
        let start = Instant::now();
        let done = perform(&step.work, &target);
        let time = start.elapsed();
        row.1 = Verdict::Ok(time);
        if let Err(error) = done {
            eprintln!("{} failed: {}", step.name, crate::chain(&error));
            row.1 = Verdict::Failed(time);
            failed = Some(step.name);
            break;
        }
    }
    print!("\n{}", table(&rows));
    failed.map_or(Ok(()), |name| Err(Error::Step(name)))
}

/// The steps, those first that are quick to say no.
fn steps(tests: TestEnvironment) -> Vec<Step> {
    let plain = |name, arguments| Step { name, work: Work::Cargo { arguments, environment: Vec::new() } };
    let npm = |name, arguments, environment| Step { name, work: Work::Npm { arguments, environment } };
    let node = npm("node", &["test"], tests.0.clone());
    // All that fails, for whoever has to mend it.
    let test = Work::Cargo {
        arguments: &["test", "--workspace", "--locked", "--no-fail-fast"],
        environment: tests.0,
    };
    let doc = Work::Cargo {
        arguments: &["doc", "--no-deps", "--workspace", "--locked"],
        environment: vec![("RUSTDOCFLAGS", "-D warnings".into())],
    };
    vec![
        plain("fmt", &["fmt", "--all", "--check"]),
        Step { name: "tidy", work: Work::Tidy },
        plain("clippy", &["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]),
        Step { name: "parts", work: Work::Parts },
        // Besides what is tested, the fake CLI that tests it.
        plain("build", &["build", "--locked", "-p", "musher", "-p", "musher-testkit"]),
        Step { name: "wire", work: Work::Wire },
        Step { name: "test", work: test },
        npm("npm", &["ci", "--no-audit", "--no-fund", "--ignore-scripts"], Vec::new()),
        node,
        // Short runs of what can go on for hours; by hand with more rounds and seeds.
        plain("kill", &["xtask", "torture", "kill", "--rounds", "5"]),
        plain("keys", &["xtask", "torture", "keys", "--rounds", "60"]),
        plain("power", &["xtask", "torture", "power", "--seeds", "40"]),
        plain("faults", &["xtask", "torture", "faults", "--points", "6", "--bits", "20"]),
        plain(
            "readers",
            &[
                "xtask",
                "torture",
                "readers",
                "--events",
                "12000",
                "--words",
                "300",
                "--stalled",
                "20",
                "--rounds",
                "1",
            ],
        ),
        plain(
            "workers",
            &["xtask", "torture", "workers", "--fake", "20", "--real", "2", "--rounds", "5", "--record"],
        ),
        plain("attack", &["xtask", "attack"]),
        plain("weakened", &["xtask", "attack", "--weakened"]),
        Step { name: "doc", work: doc },
        Step { name: "codegen", work: Work::Codegen },
        Step { name: "deny", work: Work::Deny },
    ]
}

fn perform(work: &Work, target: &Path) -> Result<(), StepError> {
    match work {
        Work::Cargo { arguments, environment } => {
            let mut command = Command::new(repo::cargo());
            command.args(*arguments).envs(environment.iter().map(|(name, value)| (name, value)));
            Ok(wait(&mut command)?)
        }
        Work::Npm { arguments, environment } => {
            let mut path = parts::install_node(target)?.into_os_string();
            path.push(":");
            path.push(env::var_os("PATH").unwrap_or_default());
            let mut command = Command::new("npm");
            command.args(["--prefix", TYPESCRIPT]).args(*arguments).env("PATH", path);
            Ok(wait(command.envs(environment.iter().map(|(name, value)| (name, value))))?)
        }
        Work::Tidy => Ok(tidy::run()?),
        Work::Parts => {
            parts::find_chromium()?;
            parts::install_claude(target)?;
            parts::install_node(target)?;
            parts::install_deny(target)?;
            parts::install_wire(target)?;
            Ok(())
        }
        Work::Codegen => Ok(codegen::run(codegen::Mode::Check)?),
        Work::Wire => {
            let mut command = Command::new(parts::install_wire(target)?);
            command.arg("xtask/wire/check.py").arg(target.join("debug").join("musher"));
            Ok(wait(&mut command)?)
        }
        Work::Deny => {
            let mut command = Command::new(parts::install_deny(target)?);
            command.args(["--locked", "check", "bans", "licenses", "sources"]);
            Ok(wait(&mut command)?)
        }
    }
}

fn heading(step: &Step) {
    println!("\n==> {}: {}", step.name, step.work);
    // The step's program writes to the same output past our buffer. A closed output is noticed by that program.
    drop(io::stdout().flush());
}

fn table(rows: &[(&'static str, Verdict)]) -> String {
    let mut table = format!("{:<10}{:<10}{:>8}\n", "step", "result", "seconds");
    for (name, verdict) in rows {
        let line = match verdict {
            Verdict::Ok(time) => format!("{name:<10}{:<10}{:>8.1}\n", "ok", time.as_secs_f64()),
            Verdict::Failed(time) => format!("{name:<10}{:<10}{:>8.1}\n", "failed", time.as_secs_f64()),
            Verdict::NotRun => format!("{name:<10}not run\n"),
        };
        table.push_str(&line);
    }
    table
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cargo { arguments, .. } => write!(f, "cargo {}", arguments.join(" ")),
            Self::Npm { arguments, .. } => write!(f, "npm {} in {TYPESCRIPT}", arguments.join(" ")),
            Self::Tidy => f.write_str("layers, line budget, names, paths"),
            Self::Parts => f.write_str("the programs that the tests and the last step need"),
            Self::Codegen => f.write_str("docs/reference and clients/python are what the wire types say"),
            Self::Wire => f.write_str("the server answers as docs/reference/openapi.json says"),
            Self::Deny => f.write_str("cargo deny check bans licenses sources"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_says_what_did_not_run() {
        let rows = [
            ("fmt", Verdict::Ok(Duration::from_millis(1240))),
            ("clippy", Verdict::Failed(Duration::from_secs(61))),
            ("test", Verdict::NotRun),
        ];
        let expected = "\
step      result     seconds
fmt       ok             1.2
clippy    failed        61.0
test      not run
";
        assert_eq!(table(&rows), expected);
    }

    #[test]
    fn tests_get_their_environment_and_nothing_else_does() {
        let tests = TestEnvironment(vec![("MUSHER_TEST_BINARY", "target/debug/musher".into())]);
        let with_environment: Vec<_> = steps(tests)
            .into_iter()
            .filter_map(|step| match step.work {
                Work::Cargo { environment, .. } | Work::Npm { environment, .. } => {
                    environment.first().map(|(name, _)| (step.name, *name))
                }
                Work::Tidy | Work::Parts | Work::Codegen | Work::Wire | Work::Deny => None,
            })
            .collect();
        assert_eq!(
            with_environment,
            [("test", "MUSHER_TEST_BINARY"), ("node", "MUSHER_TEST_BINARY"), ("doc", "RUSTDOCFLAGS")]
        );
    }
}
