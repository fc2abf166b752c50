//! Programs that the tests need and that this repository does not hold, pinned and kept in the target directory.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
};

use crate::repo::{self, Workspace};

/// The newest Claude Code that is tested.
const CLAUDE_LATEST: &str = "2.1.329";
/// The oldest Claude Code that is tested.
const CLAUDE_OLD: &str = "2.1.197";
/// The cargo-deny that reads `deny.toml`.
const CARGO_DENY: &str = "0.20.2";

/// Why a part is not there.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("look at the repository")]
    Repo(#[from] repo::Error),
    #[error("no Claude Code for {arch} {os}; the tests need one")]
    Platform { os: &'static str, arch: &'static str },
    #[error("start `npm`; install Node.js with npm (`apt-get install npm`) and run this again")]
    Npm(#[source] io::Error),
    #[error("start `{program}`")]
    Start { program: PathBuf, source: io::Error },
    #[error("`{command}` failed ({status}); its output is above")]
    Failed { command: String, status: ExitStatus },
    #[error("`{program}` says that it is `{said}`, not {version}")]
    Version { program: PathBuf, said: String, version: &'static str },
    #[error("write to `{path}`")]
    Write { path: PathBuf, source: io::Error },
}

/// What the tests are told, by environment variable.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TestEnvironment(pub(crate) Vec<(&'static str, PathBuf)>);

/// Prints how the tests find the parts, for `eval "$(cargo xtask parts)"`.
pub(crate) fn run() -> Result<(), Error> {
    let target = Workspace::read()?.target_directory;
    install_claude(&target)?;
    for (name, path) in test_environment(&target)?.0 {
        println!("export {name}='{}'", path.display());
    }
    Ok(())
}

/// Installs both versions of Claude Code, unless they are there.
pub(crate) fn install_claude(target: &Path) -> Result<(), Error> {
    for version in [CLAUDE_LATEST, CLAUDE_OLD] {
        let program = claude(target, version)?;
        if !program.exists() {
            npm_install(target, version)?;
        }
    }
    Ok(())
}

/// Builds cargo-deny, unless it is there, and answers with its path.
///
/// Unoptimized and without the parts that fetch advisories it builds in a third of the time, and one run of it
/// takes a second.
pub(crate) fn install_deny(target: &Path) -> Result<PathBuf, Error> {
    let directory = target.join("parts").join(format!("cargo-deny-{CARGO_DENY}"));
    let program = directory.join("bin").join("cargo-deny");
    if !program.exists() {
        let version = format!("={CARGO_DENY}");
        let mut command = Command::new(repo::cargo());
        command
            .args(["install", "cargo-deny", "--locked", "--debug", "--no-default-features"])
            .args(["--version", &version, "--root"])
            .arg(&directory)
            .current_dir(repo::root())
            // What was compiled on the way is of no use to anybody: cargo removes its own temporary directory.
            .env_remove("CARGO_TARGET_DIR")
            .env("CARGO_PROFILE_DEV_DEBUG", "0");
        let status = wait(&mut command).map_err(|source| Error::Start { program: repo::cargo(), source })?;
        succeeded(&command, status)?;
    }
    Ok(program)
}

/// What the tests are told; all paths are absolute.
pub(crate) fn test_environment(target: &Path) -> Result<TestEnvironment, Error> {
    Ok(TestEnvironment(vec![
        ("MUSHER_TEST_BINARY", target.join("debug").join("musher")),
        ("MUSHER_TEST_FAKE_CLAUDE", target.join("debug").join("musher-fake-claude")),
        ("MUSHER_TEST_CLAUDE_LATEST", claude(target, CLAUDE_LATEST)?),
        ("MUSHER_TEST_CLAUDE_OLD", claude(target, CLAUDE_OLD)?),
    ]))
}

fn claude_directory(target: &Path, version: &str) -> PathBuf {
    target.join("parts").join(format!("claude-{version}"))
}

/// Where the program of a version is.
fn claude(target: &Path, version: &str) -> Result<PathBuf, Error> {
    let package = claude_package(env::consts::OS, env::consts::ARCH)?;
    Ok(claude_directory(target, version).join("node_modules").join(package).join("claude"))
}

/// The npm package with the native program for a platform.
fn claude_package(os: &'static str, arch: &'static str) -> Result<String, Error> {
    let npm_os = match os {
        "linux" => "linux",
        "macos" => "darwin",
        _ => return Err(Error::Platform { os, arch }),
    };
    let npm_arch = match arch {
        "x86_64" => "x64",
        "aarch64" => "arm64",
        _ => return Err(Error::Platform { os, arch }),
    };
    Ok(format!("@anthropic-ai/claude-code-{npm_os}-{npm_arch}"))
}

/// Installs into a directory of its own and renames it at the end, so that what is there is whole.
fn npm_install(target: &Path, version: &'static str) -> Result<(), Error> {
    let done = claude_directory(target, version);
    let partial = done.with_extension("partial");
    for stale in [&done, &partial] {
        match fs::remove_dir_all(stale) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(Error::Write { path: stale.clone(), source }),
        }
    }
    fs::create_dir_all(&partial).map_err(|source| Error::Write { path: partial.clone(), source })?;

    // The platform's package is the program; the package around it only chooses the platform.
    let package = claude_package(env::consts::OS, env::consts::ARCH)?;
    let mut npm = Command::new("npm");
    npm.args(["install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"])
        .arg(&partial)
        .arg(format!("{package}@{version}"))
        .current_dir(&partial);
    let status = wait(&mut npm).map_err(Error::Npm)?;
    succeeded(&npm, status)?;

    let program = partial.join("node_modules").join(package).join("claude");
    let said = version_of(&program, &partial)?;
    if said.split_whitespace().next() != Some(version) {
        return Err(Error::Version { program, said, version });
    }
    fs::rename(&partial, &done).map_err(|source| Error::Write { path: done, source })
}

fn version_of(program: &Path, home: &Path) -> Result<String, Error> {
    let output = Command::new(program)
        .arg("--version")
        .env_clear()
        .env("HOME", home)
        .output()
        .map_err(|source| Error::Start { program: program.to_owned(), source })?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Runs a command whose whole output goes to stderr, for stdout may be for a shell.
fn wait(command: &mut Command) -> io::Result<ExitStatus> {
    command.stdin(Stdio::null()).stdout(io::stderr()).status()
}

fn succeeded(command: &Command, status: ExitStatus) -> Result<(), Error> {
    if status.success() { Ok(()) } else { Err(Error::Failed { command: format!("{command:?}"), status }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_by_platform() {
        let cases = [
            ("linux", "x86_64", Some("@anthropic-ai/claude-code-linux-x64")),
            ("linux", "aarch64", Some("@anthropic-ai/claude-code-linux-arm64")),
            ("macos", "aarch64", Some("@anthropic-ai/claude-code-darwin-arm64")),
            ("linux", "riscv64", None),
            ("freebsd", "x86_64", None),
        ];
        for (os, arch, expected) in cases {
            assert_eq!(claude_package(os, arch).ok().as_deref(), expected, "{os} {arch}");
        }
    }
}
