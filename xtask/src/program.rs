//! Programs that a chore runs, on our own output.

use std::{
    ffi::OsStr,
    io,
    path::PathBuf,
    process::{Command, ExitStatus},
};

use crate::repo;

/// Why a program did not do its work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("start `{program}`")]
    Start { program: PathBuf, source: io::Error },
    #[error("`{command}` failed ({status}); its output is above")]
    Failed { command: String, status: ExitStatus },
}

/// Runs a program that says itself what it thinks, at the root of the repository.
pub(crate) fn wait(command: &mut Command) -> Result<(), Error> {
    let status = command.current_dir(repo::root()).status().map_err(|source| not_started(command, source))?;
    succeeded(command, status)
}

pub(crate) fn not_started(command: &Command, source: io::Error) -> Error {
    Error::Start { program: command.get_program().into(), source }
}

pub(crate) fn succeeded(command: &Command, status: ExitStatus) -> Result<(), Error> {
    if status.success() {
        return Ok(());
    }
    let words: Vec<_> =
        [command.get_program()].into_iter().chain(command.get_args()).map(OsStr::to_string_lossy).collect();
    Err(Error::Failed { command: words.join(" "), status })
}
