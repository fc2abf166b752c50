//! What a worker changed in one of its directories.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The files of a directory of a worker's, compared with the commit that the worker began at: committed or not, also
/// those that are new, but not those that `.gitignore` names.
///
/// Paths are those of the repository. One with a control character, a quote, a backslash or bytes that are no UTF-8 is
/// written as git writes it: in quotes, with escapes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WorkspaceDiff {
    /// The request's name for the directory.
    pub workspace: String,
    /// The branch of its worktree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// The commit that is compared with.
    pub base_commit: String,
    /// What differs, by path.
    pub files: Vec<ChangedFile>,
    /// The differences, as git writes them: what is no text, or too long, is named only. Bytes that are no UTF-8 are
    /// replaced.
    pub patch: String,
    /// Whether something was left out for its size: files of the list, or text of the patch.
    pub truncated: bool,
}

/// A file that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChangedFile {
    /// Its path; a repository within, which is not looked into, ends with `/`.
    pub path: String,
    /// The path that it had, when it was renamed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_path: Option<String>,
    /// What became of it.
    pub change: FileChange,
    /// Lines that are new; absent where nobody counted them: it is no text, too long, or not readable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub additions: Option<u64>,
    /// Lines that are gone; absent as above.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletions: Option<u64>,
}

/// What became of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FileChange {
    /// It is new.
    Added,
    /// Its content, its mode or its kind is another one.
    Modified,
    /// It is gone.
    Deleted,
    /// It has another path, and much of its content.
    Renamed,
    /// A change that this version does not know.
    #[serde(other)]
    Unknown,
}

/// Answer to a request for a diff.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DiffReply {
    /// The diff.
    pub diff: WorkspaceDiff,
}
