//! The directories of a session: which it is given besides its own, and in which of all it may change files.
//!
//! Claude Code is told of those that are read-only, and refuses then by itself (`permissions.deny`, tried on both
//! versions): before anybody is asked, for subagents, too, and for links and other spellings that lead there. Its rules
//! have no exceptions, and the oldest version does not look again at an input that a person has changed. So whatever
//! may run is looked at here as well ([`Roots::refusal`]), and that look alone would do: in the permission mode
//! `default` no file is changed before we are asked.

mod place;

use std::{
    fmt,
    path::{Component, Path, PathBuf},
    time::Duration,
};

use musher_backend::{Access, BackendError, Launch, Root};
use serde_json::{Value, json};
use tokio::{task, time::timeout};

use crate::tools;

/// A disk that does not say within this where a path leads will not take the change either.
const LOOK_LIMIT: Duration = Duration::from_secs(5);

/// The keys under which tools are told which file to change.
const FILE_KEYS: [&str; 2] = ["file_path", "notebook_path"];

/// What means something else in a rule of the program's than in a path.
const SPECIAL: [char; 7] = ['*', '?', '[', ']', '(', ')', '\\'];

const NO_TEXT: &str = "a path that is text";
const NOT_WHOLE: &str =
    "a path without control characters and without a space at its end, which Claude Code would leave out";
const NO_RULE: &str = "a path without `*`, `?`, `[`, `]`, `(`, `)` and `\\`, which mean something else in Claude Code's rule that it is read-only";

/// The directories of a session.
#[derive(Clone, Debug)]
pub(crate) struct Roots {
    working_dir: PathBuf,
    further: Vec<Root>,
}

/// Why a tool may not run, in words for the model.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Refusal {
    ReadOnly(PathBuf),
    /// It is in none of the directories in which the worker may change files: these.
    Outside(Vec<PathBuf>),
    Git,
    /// No path of which we know that the program understands the same by it.
    Unclear,
    /// It is not known where the path leads.
    NotFound,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReadOnly(root) => {
                write!(f, "`{}` is read-only: no file in it may be changed", root.display())
            }
            Self::Outside(directories) => {
                let shown: Vec<_> = directories.iter().map(|path| format!("`{}`", path.display())).collect();
                write!(f, "files may be changed in {} only", shown.join(" and "))
            }
            Self::Git => {
                f.write_str("files of git's own may not be changed: git runs commands that they name")
            }
            Self::Unclear => f.write_str("name the file by its absolute path, without `..`"),
            Self::NotFound => f.write_str("it cannot be found out where the path leads"),
        }
    }
}

impl Roots {
    /// The directories of a launch.
    ///
    /// # Errors
    ///
    /// When the program cannot be told of one, or could not keep it as it is.
    pub(crate) fn of(launch: &Launch) -> Result<Self, BackendError> {
        // What is created cannot have such a one; a store may hold older workers, and whoever embeds this may do without
        // the runtime.
        if let Some((root, lacking)) = launch.roots.iter().find_map(|root| Some((root, lacking(root)?))) {
            tracing::error!(path = ?root.path, "a directory cannot be given to Claude Code");
            let message =
                format!("give Claude Code one of the worker's further directories, which lacks {lacking}");
            return Err(BackendError { code: "launch_invalid", message, source: None });
        }
        Ok(Self { working_dir: launch.working_dir.clone(), further: launch.roots.clone() })
    }

    /// The arguments that say which directories there are, and which of them stay as they are.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let given = self.further.iter().map(|root| format!("--add-dir={}", text(&root.path)));
        let rules: Vec<_> = self.read_only().filter_map(|root| self.rule(root)).collect();
        let settings = json!({ "permissions": { "deny": rules } });
        given.chain((!rules.is_empty()).then(|| format!("--settings={settings}"))).collect()
    }

    /// Why a tool may not run with this input; none when it may.
    pub(crate) async fn refusal(&self, tool: &str, input: &Value) -> Option<String> {
        if !self.has_read_only() || !tools::changes_files(tool) {
            return None;
        }
        let Some(paths) = paths(input) else { return Some(Refusal::Unclear.to_string()) };
        let roots = self.clone();
        let looked = task::spawn_blocking(move || {
            let working_dir = place::of(&roots.working_dir)?;
            paths
                .iter()
                .map(|path| place::of(path))
                .map(|place| Ok(roots.judge(&working_dir, &place?)))
                .collect()
        });
        let judged: Result<Vec<_>, std::io::Error> = match timeout(LOOK_LIMIT, looked).await {
            Ok(Ok(judged)) => judged,
            // The look ended badly, or not at all: the same as one that found nothing.
            Ok(Err(_)) | Err(_) => return Some(Refusal::NotFound.to_string()),
        };
        match judged {
            Ok(judged) => judged.into_iter().flatten().next().map(|refusal| refusal.to_string()),
            Err(error) => {
                tracing::debug!(%error, "the place of a file cannot be found");
                Some(Refusal::NotFound.to_string())
            }
        }
    }

    /// Why a file at this place may not be changed. The nearest directory around it decides.
    fn judge(&self, working_dir: &Path, place: &Path) -> Option<Refusal> {
        let own = (working_dir, Access::ReadWrite);
        let all = self.further.iter().map(|root| (root.path.as_path(), root.access)).chain([own]);
        let around = all.clone().filter(|(path, _)| place.starts_with(path));
        let nearest =
            around.max_by_key(|(path, access)| (path.components().count(), *access == Access::ReadOnly));
        match nearest {
            Some((root, Access::ReadOnly)) => Some(Refusal::ReadOnly(root.to_owned())),
            Some((root, Access::ReadWrite)) => {
                let below = place.strip_prefix(root).unwrap_or(place);
                let is_gits = below.iter().any(|name| name.eq_ignore_ascii_case(".git"));
                is_gits.then_some(Refusal::Git)
            }
            None => {
                let changed = all.filter(|(_, access)| *access == Access::ReadWrite);
                Some(Refusal::Outside(changed.map(|(path, _)| path.to_owned()).collect()))
            }
        }
    }

    /// The program's rule that a directory stays as it is; none where a part of it may be changed, for the rule would
    /// hold for that, too.
    fn rule(&self, root: &Path) -> Option<String> {
        let changed = self.further.iter().filter(|root| root.access == Access::ReadWrite);
        let mut changed = changed.map(|root| &root.path).chain([&self.working_dir]);
        let is_around = changed.any(|path| path.starts_with(root));
        // Two slashes: a path from the root of the file system, not from where the settings come from.
        (!is_around).then(|| format!("Edit(/{}/**)", text(root)))
    }

    fn has_read_only(&self) -> bool {
        self.read_only().next().is_some()
    }

    fn read_only(&self) -> impl Iterator<Item = &Path> {
        let roots = self.further.iter().filter(|root| root.access == Access::ReadOnly);
        roots.map(|root| root.path.as_path())
    }
}

/// What a directory lacks for the program to mean the same one by its path, in a rule, too.
pub(crate) fn lacking(Root { path, access }: &Root) -> Option<&'static str> {
    let Some(text) = path.to_str() else { return Some(NO_TEXT) };
    if text.trim_end() != text || text.contains(char::is_control) {
        return Some(NOT_WHOLE);
    }
    let is_special = *access == Access::ReadOnly && text.contains(SPECIAL);
    is_special.then_some(NO_RULE)
}

fn text(path: &Path) -> &str {
    path.to_str().expect("it was checked")
}

/// The files that an input names, by paths that mean one thing only; none when there is no such path, or another one.
fn paths(input: &Value) -> Option<Vec<PathBuf>> {
    let named: Vec<_> = FILE_KEYS.iter().filter_map(|key| input.get(key)).collect();
    let is_clear = |text: &str| {
        let is_straight = Path::new(text).components().all(|part| part != Component::ParentDir);
        text.starts_with('/') && text.trim() == text && is_straight && !text.contains('\0')
    };
    let clear = named.iter().map(|value| value.as_str().filter(|text| is_clear(text)).map(PathBuf::from));
    let clear: Option<Vec<_>> = clear.collect();
    clear.filter(|paths| !paths.is_empty())
}

#[cfg(test)]
mod tests;
