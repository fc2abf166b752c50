//! Why a tool did not do what it was asked, in words that help the model to do better.

use std::io;

use musher_backend::{Chain, ToolOutput};

/// What a call failed at; the cause is its `source`.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("the arguments do not fit the tool's schema")]
    Arguments {
        #[source]
        source: serde_json::Error,
    },
    #[error(
        "`{path}` is not in the workspace; paths are relative to it, or absolute in a further directory, and cannot lead out, also not through links"
    )]
    Outside { path: String },
    #[error("`{path}` is in a directory that is read-only")]
    ReadOnly { path: String },
    #[error(
        "`{path}` does not exist; paths are relative to the workspace, or absolute in a further directory"
    )]
    Missing { path: String },
    #[error("`{path}` is a directory; list_directory shows what is in it")]
    IsDirectory { path: String },
    #[error("`{path}` is not a directory")]
    NotDirectory { path: String },
    #[error("`{path}` is {kind}, not a file")]
    NotFile { path: String, kind: &'static str },
    #[error("`{path}` is a binary file of {bytes} bytes")]
    Binary { path: String, bytes: u64 },
    #[error("`{path}` has {bytes} bytes, and {limit} is the most that can be edited; use the shell")]
    TooLarge { path: String, bytes: u64, limit: u64 },
    #[error("`{path}` ends at line {n_lines}, before the offset {offset}")]
    PastEnd { path: String, n_lines: u64, offset: u64 },
    #[error(transparent)]
    Edit(#[from] EditRefusal),
    #[error("`{path}` changed while it was written, by something else; nothing was replaced: read it again")]
    Changed { path: String },
    #[error("the pattern is not a regular expression")]
    Pattern {
        #[source]
        source: grep_regex::Error,
    },
    #[error("the glob cannot be read")]
    Glob {
        #[source]
        source: globset::Error,
    },
    #[error("`timeout_secs` is {asked}; it may be 1 to {most}")]
    TimeLimit { asked: u64, most: u64 },
    /// Before anything was changed: work that has begun to change something is not stopped.
    #[error("the call was stopped")]
    Stopped,
    #[error("{attempt} `{path}`")]
    Io {
        attempt: &'static str,
        path: String,
        #[source]
        source: io::Error,
    },
    #[error("{attempt}")]
    Process {
        attempt: &'static str,
        #[source]
        source: musher_process::Error,
    },
}

/// Why a text could not be replaced.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EditRefusal {
    #[error("`old` is empty; write_file writes a whole file")]
    Empty,
    #[error("`old` and `new` are the same")]
    Same,
    #[error("`old` is not in the file; {}", nearest(.0.as_ref()))]
    NotFound(Option<Near>),
    #[error(
        "`old` is in the file {n_matches} times, on line {}; add lines around it until it is there once, or set `replace_all`",
        lines(.first_lines, *n_matches)
    )]
    Ambiguous { n_matches: usize, first_lines: Vec<usize> },
}

/// The line of a file that is most like the first line of what was looked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Near {
    pub(crate) line: usize,
    pub(crate) text: String,
}

impl Refusal {
    /// What the system said about a path; its kind tells what to say.
    pub(crate) fn io(attempt: &'static str, path: &str, source: io::Error) -> Self {
        let path = path.to_owned();
        let kind = source.kind();
        if kind == io::ErrorKind::NotFound {
            Self::Missing { path }
        } else if kind == io::ErrorKind::NotADirectory {
            Self::NotDirectory { path }
        } else if is_escape(&source) {
            Self::Outside { path }
        } else {
            Self::Io { attempt, path, source }
        }
    }

    /// What the model is told: the attempt and its causes, on one line.
    pub(crate) fn output(&self) -> ToolOutput {
        ToolOutput::error(Chain(self).to_string())
    }
}

/// cap-std says with this kind, and no number of the system's, that a path would lead out.
fn is_escape(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied && error.raw_os_error().is_none()
}

fn nearest(near: Option<&Near>) -> String {
    match near {
        Some(Near { line, text }) => format!("it must match exactly, and the nearest line is {line}: {text}"),
        None => "it must match exactly, and no line is like it".to_owned(),
    }
}

fn lines(first: &[usize], n_matches: usize) -> String {
    let mut text = first.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
    if first.len() < n_matches {
        text.push_str(", …");
    }
    text
}
