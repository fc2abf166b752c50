//! What can fail, by attempt.

use std::{io, path::PathBuf, time::Duration};

use crate::Exit;

/// A failed attempt of this crate; the cause is its `source`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The text cannot be a part of a marker.
    #[error("`{text}` cannot be a {part} in a process marker: it is empty or holds `/` or NUL")]
    InvalidMarker {
        /// `owner` or `worker`.
        part: &'static str,
        /// The refused text.
        text: String,
    },
    /// The variable cannot be handed to a child.
    #[error("`{name}` is not a portable variable name, or its value holds NUL")]
    InvalidVariable {
        /// The variable's name; its value is never shown.
        name: String,
    },
    /// There is no executable file of this name.
    #[error(
        "program `{program}` not found: install it, add its directory to PATH, or name it by absolute path"
    )]
    ProgramMissing {
        /// The name or path as it was asked for.
        program: String,
    },
    /// The system would refuse arguments and environment of this size; nothing was started.
    #[error("arguments of `{}` are too long: {bytes} bytes where {limit} are allowed", program.display())]
    ArgumentsTooLong {
        /// The program.
        program: PathBuf,
        /// The size of the longest one, or of all of them with the environment, whichever is refused.
        bytes: u64,
        /// What the system allows for it.
        limit: u64,
    },
    /// No terminal could be made for the child; nothing was started.
    #[error("open a terminal")]
    Terminal {
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The system refused to start the process; nothing was started.
    #[error("spawn `{}`", program.display())]
    Spawn {
        /// The program.
        program: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The kernel cannot hold a process to where it may write; nothing was started.
    #[error("confine a process to its directories")]
    Confine {
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The process started, but ended before it ran the program; nothing of it is left running.
    #[error("`{}` did not start ({exit}): {output}", program.display())]
    NotStarted {
        /// The program.
        program: PathBuf,
        /// How the process ended.
        exit: Exit,
        /// The tail of what it wrote to its terminal and to stderr.
        output: String,
    },
    /// The process started, but hung before it ran the program; nothing of it is left running.
    #[error("`{}` did not start within {} s: {output}", program.display(), limit.as_secs())]
    StartTimeout {
        /// The program.
        program: PathBuf,
        /// How long it had.
        limit: Duration,
        /// The tail of what the process wrote to its terminal and to stderr.
        output: String,
    },
    /// The process could not be watched.
    #[error("wait for process {pid}")]
    Wait {
        /// The process.
        pid: u32,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The process table could not be read, so nothing is known about survivors.
    #[error("read the process table")]
    Scan {
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The guard could not be started or waited for.
    #[error("run the guard `{}`", program.display())]
    Guard {
        /// The guard's program.
        program: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}
