//! What a worker changed: its files, compared with the commit that it began at.
//!
//! The files are read here. git says what the commit has and which files are new, and compares contents that it is
//! given: so nothing that a worker names, links to or puts into attributes decides what is read or shown.
//! What its `.gitignore` leaves out is left out of new files, as in git: that list is the worker's, too.
//!
//! Invariant: nothing is written but to a view, which goes with the comparison; nobody's lock is taken.
//! Invariant: whatever a worker leaves, a comparison has limits of time, files, bytes read and bytes answered.

mod blob;
mod compare;
mod files;
mod said;

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs, io,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use musher_protocol::{ChangedFile, FileChange, WorkerId};
use serde::{Deserialize, Serialize};
use tokio::time;

use self::{
    blob::Naming,
    compare::{Change, Compared, Comparison, Long, Now},
    said::Entry,
};
use crate::{
    git::{Call, GitError, Repository, View},
    workspace::{Desk, NotHad},
};

/// Whoever asks waits this long at most. A repository of a hundred thousand files takes some seconds.
const LIMIT: Duration = Duration::from_secs(60);
/// A list of all names in a commit: half a million of them.
const MOST_LISTED: usize = 64 << 20;
/// A list of new names, far more than are shown.
const MOST_NEW: usize = 4 << 20;
/// A patch that a person still scrolls through.
const MOST_PATCH: usize = 2 << 20;
/// Longer files are named in a patch, and have no text there. git takes it for its limit of what it compares as text.
const LONG_FOR_A_PATCH: &str = "core.bigFileThreshold=512k";
/// The lines of longer files are not counted.
const LONG_FOR_COUNTING: &str = "core.bigFileThreshold=16m";
/// Stands before all attributes of the files': whether something is text is seen in it.
const ATTRIBUTES: &str = "* !diff !text !eol !ident !filter !working-tree-encoding\n";
const ATTEMPT: &str = "compare files with a commit";

/// What the files of a directory can be compared with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Versioned {
    /// The part of the repository that all its worktrees share.
    pub(crate) common: PathBuf,
    /// The root of the worktree.
    pub(crate) top: PathBuf,
    /// The way from there to the directory; what is not below it is not looked at.
    pub(crate) prefix: PathBuf,
}

/// How files differ from a commit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Difference {
    pub(crate) files: Vec<ChangedFile>,
    pub(crate) patch: String,
    pub(crate) is_cut: bool,
}

impl Desk {
    /// Compares files of a worker's with a commit. Dropping it ends it.
    pub(crate) async fn diff(
        &self,
        worker: &WorkerId,
        versioned: &Versioned,
        base: &str,
    ) -> Result<Difference, NotHad> {
        let compared = time::timeout(LIMIT, self.compare(worker, versioned, base)).await;
        compared.unwrap_or(Err(GitError::Time { attempt: ATTEMPT, limit: LIMIT }.into()))
    }

    async fn compare(
        &self,
        worker: &WorkerId,
        Versioned { common, top, prefix }: &Versioned,
        base: &str,
    ) -> Result<Difference, NotHad> {
        let directory = top.join(prefix);
        if !is_there(directory.clone()).await? {
            return Err(NotHad::Gone);
        }
        // Through a view a repository that is gone for now looks like one that has no commit.
        let shared = common.clone();
        if !blocking(move || Repository::is_there(&shared)).await? {
            return Err(NotHad::NoRepository);
        }
        let view = self.view(worker, common).await?;
        if view.commit(base).await?.is_none() {
            return Err(NotHad::Missing("the commit that the worker began at"));
        }
        let index = Index { path: view.beside("index"), view: &view, top, directory: &directory };
        index.call(["read-tree", "--reset", base]).output().await?;
        let listed = index.call(["ls-files", "-z", "--stage", "--full-name"]);
        let listed = listed.at_most(MOST_LISTED).output().await?;
        let entries = said::entries(&listed).ok_or_else(unheard)?;
        let new = ["ls-files", "-z", "--others", "--exclude-standard", "--full-name"];
        let new = index.call(new).at_most(MOST_NEW).beginning().await?;
        let others = said::paths(&new.stdout);
        let wanted = Arc::new(());
        let comparison = Comparison {
            top: top.clone(),
            naming: Naming::of(base),
            contents: view.beside("contents"),
            wanted: Arc::downgrade(&wanted),
        };
        let (comparison, mut compared) = blocking(move || {
            let compared = comparison.run(entries, others)?;
            Ok((comparison, compared))
        })
        .await?;
        compared.is_cut |= new.is_cut;
        let long = std::mem::take(&mut compared.long);
        compared.changes.extend(index.compare_long(comparison, long).await?);
        drop(wanted);
        index.difference(base, compared).await
    }
}

/// An index of ours over a worker's files.
struct Index<'a> {
    path: PathBuf,
    view: &'a View,
    top: &'a Path,
    directory: &'a Path,
}

impl Index<'_> {
    /// A run about the names in the worker's directory.
    fn call(&self, args: impl IntoIterator<Item = impl Into<OsString>>) -> Call<'_> {
        self.view.call_in(ATTEMPT, self.top, self.directory, args).with_index(&self.path)
    }

    /// A run about contents: the directory of those is all that git sees of files then.
    fn call_beside<'a>(
        &'a self,
        contents: &'a Path,
        args: impl IntoIterator<Item = impl Into<OsString>>,
    ) -> Call<'a> {
        self.view.call_in(ATTEMPT, contents, contents, args).with_index(&self.path)
    }

    /// Compares long files with what the commit has: what is not as long is another one.
    async fn compare_long(&self, comparison: Comparison, long: Vec<Long>) -> Result<Vec<Change>, NotHad> {
        if long.is_empty() {
            return Ok(Vec::new());
        }
        let names = long.iter().map(|Long { entry, .. }| entry.object.as_str());
        let asked = self.view.call(ATTEMPT, ["cat-file", "--batch-check=%(objectsize)"]);
        let said = asked.with_input(lines(names)).output().await?;
        let said = String::from_utf8_lossy(&said).into_owned();
        blocking(move || {
            let mut changes = Vec::new();
            for (long, length) in long.into_iter().zip(said.lines()) {
                if length.parse() == Ok(long.length) {
                    changes.extend(comparison.run_long(long)?);
                } else {
                    let Entry { path, .. } = long.entry;
                    changes.push(Change { path, was_there: true, now: Now::Unknown });
                }
            }
            Ok(changes)
        })
        .await
    }

    /// Has git compare what was found.
    async fn difference(&self, base: &str, compared: Compared) -> Result<Difference, NotHad> {
        let Compared { changes, long: _, n_contents, is_cut } = compared;
        if changes.is_empty() {
            return Ok(Difference { is_cut, ..Difference::default() });
        }
        let contents = self.view.beside("contents");
        // Where the repository has an object already, git would renew it there.
        let written = self.view.beside("written");
        let mut objects = Vec::new();
        if n_contents > 0 {
            let args = ["hash-object", "-w", "--no-filters", "--stdin-paths"];
            let numbers: Vec<_> = (0..n_contents).map(|n| n.to_string()).collect();
            let numbers = lines(numbers.iter().map(String::as_str));
            let place = written.clone();
            blocking(move || fs::create_dir(place)).await?;
            let call = self.call_beside(&contents, args).writing_objects_to(&written);
            let said = call.with_input(numbers).output().await?;
            objects.extend(String::from_utf8_lossy(&said).lines().map(str::to_owned));
        }
        let nothing = Naming::of(base).nothing();
        let mut told = Vec::new();
        let mut unknown = BTreeMap::new();
        for Change { path, was_there, now } in changes {
            let (mode, object) = match &now {
                Now::Nothing => ("0", &nothing),
                Now::Content(n, kind) => (kind.mode(), objects.get(*n).ok_or_else(unheard)?),
                Now::Same(object, kind) => (kind.mode(), object),
                Now::Unknown => {
                    let change = if was_there { FileChange::Modified } else { FileChange::Added };
                    let file = ChangedFile {
                        path: said::shown(path.as_os_str().as_bytes()),
                        previous_path: None,
                        change,
                        additions: None,
                        deletions: None,
                    };
                    unknown.insert(path, file);
                    continue;
                }
            };
            told.extend(format!("{mode} {object}\t").into_bytes());
            told.extend(path.as_os_str().as_bytes());
            told.push(0);
        }
        // Names that other systems would take for something else are names here.
        let args = [
            "-c",
            "core.protectNTFS=false",
            "-c",
            "core.protectHFS=false",
            "update-index",
            "-z",
            "--index-info",
        ];
        self.call_beside(&contents, args).with_input(told).output().await?;
        let attributes = self.view.beside("info");
        blocking(move || {
            fs::create_dir(&attributes)?;
            fs::write(attributes.join("attributes"), ATTRIBUTES)
        })
        .await?;
        let compare = ["diff-index", "--cached", "--find-renames", "--no-ext-diff", "--no-textconv"];
        let args = ["-c", LONG_FOR_COUNTING].into_iter().chain(compare);
        let args = args.chain(["--raw", "--numstat", "-z", base]);
        let call = self.call_beside(&contents, args).with_objects_of(&written);
        let said = call.output().await?;
        let mut files = said::changes(&said).ok_or_else(unheard)?;
        let n_binary = files.values().filter(|file| file.additions.is_none()).count();
        let is_text = files.keys().all(|path| path.to_str().is_some());
        let quoting = format!("core.quotePath={}", !is_text);
        let args = ["-c", LONG_FOR_A_PATCH, "-c", &quoting].into_iter().chain(compare);
        let args = args.chain(["--patch", "--no-color", "--src-prefix=a/", "--dst-prefix=b/", base]);
        let call = self.call_beside(&contents, args).with_objects_of(&written);
        let patch = call.at_most(MOST_PATCH).beginning().await?;
        let text = if patch.is_cut { said::whole_files(&patch.stdout) } else { &patch.stdout };
        // A repository within has no text at all.
        let is_left_out = unknown.keys().any(|path| !path.as_os_str().as_bytes().ends_with(b"/"));
        let is_cut = is_cut || patch.is_cut || is_left_out || said::only_named(text) > n_binary;
        files.append(&mut unknown);
        Ok(Difference {
            files: files.into_values().collect(),
            patch: String::from_utf8_lossy(text).into_owned(),
            is_cut,
        })
    }
}

/// Lines for git to read.
fn lines<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<u8> {
    texts.flat_map(|text| [text.as_bytes(), b"\n"]).flatten().copied().collect()
}

/// git said something else than it says.
fn unheard() -> NotHad {
    NotHad::Io { attempt: ATTEMPT, source: io::ErrorKind::InvalidData.into() }
}

/// Whether a directory is there.
async fn is_there(directory: PathBuf) -> Result<bool, NotHad> {
    let looked = blocking(move || match fs::metadata(directory) {
        Ok(metadata) => Ok(metadata.is_dir()),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(false)
        }
        Err(error) => Err(error),
    });
    looked.await
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, NotHad> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(error.into())).map_err(|source| NotHad::Io { attempt: ATTEMPT, source })
}
