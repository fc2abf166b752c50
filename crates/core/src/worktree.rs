//! Worktrees of workers: a directory and a branch of a repository that belong to one worker, and to nobody else.
//!
//! Each has a place of the runtime's own, private to its user, in which a record is written before anything is changed in
//! the repository. Whatever cuts a life off, the next one reads from the records what there may be.
//!
//! Invariant: what is in a repository because of a worker is named in a record, from before it is there until after it
//! is gone.
//! Invariant: work that is nowhere else is removed only when somebody with the right to said so.

mod removals;
mod saved;

use std::{
    fs::{self, DirBuilder, File},
    io::{self, Write as _},
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use musher_protocol::WorkerId;
use serde::{Deserialize, Serialize};

pub(crate) use self::removals::Removals;
pub use self::saved::Unsaved;
use crate::{
    git::{GitError, Head, Repository, View, ensure_plain},
    temporary,
    workspace::is_for_space,
};

/// The record's file.
const RECORD: &str = "worktree.json";
/// The same while it is written.
const WRITTEN: &str = "worktree.json.new";
/// A file that says that it goes when it has no worker: from the beginning until its worker is there, and from when its
/// removal was decided.
const GOES: &str = "goes";
/// A file that says that the workspace's setup has succeeded in it.
const SET_UP: &str = "set-up";
/// A directory for temporary files of the setup.
const TEMPORARY: &str = "tmp";
/// A file that is written to see whether there is space.
const TRIED: &str = "space";
/// As much as a block of any file system has.
const TRIED_BYTES: usize = 64 << 10;
/// How often a directory may be taken away while something is made in it: each time somebody else has removed theirs, and
/// with this one there it stays.
const ATTEMPTS: u32 = 16;
/// What stands in it where nothing need be asked any more. A mark that was cut off says less.
const WHATEVER: &[u8] = b"whatever\n";
/// Where branches of workers are, among a repository's references.
const BRANCHES: &str = "refs/heads/musher";
/// No value: what a reference is before it is created.
const NOTHING: [&str; 2] = [
    "0000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000000",
];

/// What a worktree is, for as long as it lasts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) worker_id: WorkerId,
    /// Its number among the worker's worktrees, from 0.
    #[serde(default)]
    pub(crate) n: usize,
    /// The server's name for the workspace.
    pub(crate) reference: String,
    /// The part of the repository that all its worktrees share.
    pub(crate) repository: PathBuf,
    /// The commit that it began at.
    pub(crate) base_commit: String,
    /// Where the files are.
    pub(crate) directory: PathBuf,
}

/// A worktree that has a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Worktree {
    place: PathBuf,
    pub(crate) record: Record,
}

impl Record {
    /// What it is called in the repository, where a worker may have several.
    fn name(&self) -> String {
        match self.n {
            0 => self.worker_id.to_string(),
            n => format!("{}-{}", self.worker_id, n + 1),
        }
    }

    /// The branch, by its short name.
    pub(crate) fn branch(&self) -> String {
        format!("musher/{}", self.name())
    }

    fn full_branch(&self) -> String {
        format!("{BRANCHES}/{}", self.name())
    }

    /// What the repository keeps of the worktree.
    fn entry(&self) -> PathBuf {
        self.repository.join("worktrees").join(self.name())
    }

    /// The parts of the repository that a worker's git writes to: objects, its branch, and what is of the worktree alone;
    /// neither hooks nor config. Those of them that are links are left out, for nobody knows whose they are. Blocks.
    pub(crate) fn shared_parts(&self) -> Vec<PathBuf> {
        let entry = format!("worktrees/{}", self.name());
        let ways = ["objects", BRANCHES, &format!("logs/{BRANCHES}"), &entry];
        let parts = ways.into_iter().filter_map(|way| match ensure_plain(&self.repository, way) {
            Ok(part) => Some(part),
            Err(error) => {
                tracing::warn!(worker = %self.worker_id, part = way, %error, "a part of the repository is not the worker's to write");
                None
            }
        });
        parts.collect()
    }
}

/// Where the worktrees of a worker have their places.
pub(crate) fn places(root: &Path, worker: &WorkerId) -> PathBuf {
    root.join(worker.as_str())
}

/// What was decided of a worktree that goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Going {
    /// It goes whatever is in it: nothing is yet, or somebody with the right to said so.
    Whatever,
    /// Its work was somewhere else, too. That may have gone since.
    Saved,
}

impl Worktree {
    /// Writes down what will be, and makes the place for it. Nothing is in the repository yet. Blocks.
    pub(crate) fn plan(place: PathBuf, record: Record) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(&place)?;
        let worktree = Self { place, record };
        worktree.mark_as_going(Going::Whatever)?;
        // There is a whole record, or none.
        let written = worktree.place.join(WRITTEN);
        let mut file = File::create(&written)?;
        file.write_all(&serde_json::to_vec(&worktree.record)?)?;
        file.sync_all()?;
        fs::rename(&written, worktree.place.join(RECORD))?;
        // The names above it must last as well; a worker's directory is new with its first worktree.
        for directory in worktree.place.ancestors().take(3) {
            File::open(directory)?.sync_all()?;
        }
        Ok(worktree)
    }

    /// What a place holds; none when it has no record, and so nothing was in the repository. Blocks.
    pub(crate) fn at(place: PathBuf) -> io::Result<Option<Self>> {
        let text = match fs::read(place.join(RECORD)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            text => text?,
        };
        let record: Record = serde_json::from_slice(&text)?;
        if !record.directory.starts_with(&place) {
            // Somebody moved it. Nothing is right any more of what git was told.
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the record of a worktree is another place's",
            ));
        }
        Ok(Some(Self { place, record }))
    }

    /// Makes the branch and checks it out. What fails leaves what is there to [`Worktree::remove`].
    pub(crate) async fn make(&self, view: &View) -> Result<(), GitError> {
        match self.check_out(view).await {
            // Of a file that it cannot write, git does not say why.
            Err(GitError::Failed { attempt, said, .. }) if self.is_without_space().await => {
                Err(GitError::Space { attempt, said })
            }
            made => made,
        }
    }

    async fn check_out(&self, view: &View) -> Result<(), GitError> {
        let record = &self.record;
        let this = self.clone();
        let attempt = "make a worktree";
        let laid_out = tokio::task::spawn_blocking(move || this.lay_out()).await;
        laid_out.unwrap_or_else(|error| Err(error.into())).map_err(GitError::io(attempt))?;
        let nothing = NOTHING[usize::from(record.base_commit.len() > NOTHING[0].len())];
        let branch = record.full_branch();
        let args =
            ["update-ref", "--create-reflog", "-m", "musher: created", &branch, &record.base_commit, nothing];
        view.call("make a branch", args).output().await?;
        let args = ["read-tree", "-m", "-u", "--no-recurse-submodules", &record.base_commit];
        let index = record.entry().join("index");
        let directory = &record.directory;
        view.call_in("check out", directory, directory, args).with_index(&index).output().await?;
        Ok(())
    }

    /// Whether nothing can be written where its files are, or beside what the repository has of it.
    async fn is_without_space(&self) -> bool {
        let places = [self.place.clone(), self.record.entry()];
        let tried = tokio::task::spawn_blocking(move || places.iter().any(|place| is_full(place)));
        tried.await.unwrap_or(false)
    }

    /// Everything but the branch and the files, as gitrepository-layout(5) says.
    fn lay_out(&self) -> io::Result<()> {
        let record = &self.record;
        for way in [BRANCHES, &format!("logs/{BRANCHES}")] {
            although_others_remove(|| ensure_plain(&record.repository, way))?;
        }
        let entry = record.entry();
        although_others_remove(|| {
            ensure_plain(&record.repository, "worktrees")?;
            fs::create_dir(&entry)
        })?;
        DirBuilder::new().mode(0o700).create(&record.directory)?;
        let line = |start: &[u8], path: &Path| {
            use std::os::unix::ffi::OsStrExt as _;
            [start, path.as_os_str().as_bytes(), b"\n"].concat()
        };
        fs::write(entry.join("locked"), format!("worker {} of musher works here\n", record.worker_id))?;
        fs::write(entry.join("HEAD"), format!("ref: {}\n", record.full_branch()))?;
        fs::write(entry.join("commondir"), "../..\n")?;
        fs::write(entry.join("gitdir"), line(b"", &record.directory.join(".git")))?;
        fs::write(record.directory.join(".git"), line(b"gitdir: ", &entry))
    }

    /// Says, durably, that it goes: a life that finds it without a worker need not ask what is in its files. Blocks.
    pub(crate) fn mark_as_going(&self, going: Going) -> io::Result<()> {
        let mut mark = File::create(self.place.join(GOES))?;
        mark.write_all(match going {
            Going::Whatever => WHATEVER,
            Going::Saved => b"",
        })?;
        mark.sync_all()?;
        File::open(&self.place)?.sync_all()
    }

    /// Takes that back. Blocks.
    pub(crate) fn mark_as_staying(&self) -> io::Result<()> {
        match fs::remove_file(self.place.join(GOES)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }

    /// Whether, and how, it goes when it has no worker. Blocks.
    pub(crate) fn going(&self) -> io::Result<Option<Going>> {
        match fs::read(self.place.join(GOES)) {
            Ok(mark) if mark == WHATEVER => Ok(Some(Going::Whatever)),
            Ok(_) => Ok(Some(Going::Saved)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Says, durably, that the workspace's setup has succeeded. Blocks.
    pub(crate) fn mark_as_set_up(&self) -> io::Result<()> {
        File::create(self.place.join(SET_UP))?.sync_all()?;
        File::open(&self.place)?.sync_all()
    }

    /// Whether the workspace's setup has succeeded. Blocks.
    pub(crate) fn is_set_up(&self) -> bool {
        self.place.join(SET_UP).exists()
    }

    /// Whether it is the one of this number among its worker's.
    pub(crate) fn is_number(&self, n: usize) -> bool {
        self.place.file_name() == Some(n.to_string().as_ref())
    }

    /// Where a setup without a directory for temporary files may have one.
    pub(crate) fn temporary(&self) -> PathBuf {
        self.place.join(TEMPORARY)
    }

    /// Removes its files and what the repository has of it but the branch; its record stays. What fails can be tried again.
    pub(crate) async fn empty(&self) -> Result<(), GitError> {
        let this = self.clone();
        let removed = tokio::task::spawn_blocking(move || this.remove_files().map(drop)).await;
        removed.unwrap_or_else(|error| Err(error.into())).map_err(GitError::io("remove a worktree"))
    }

    /// Removes all of it, whatever is in it: files, then what the repository has of it, then its record. A branch that
    /// somebody else has checked out stays. What fails can be tried again.
    pub(crate) async fn remove(&self, view: Option<&View>) -> Result<(), GitError> {
        let this = self.clone();
        let attempt = "remove a worktree";
        let removed = tokio::task::spawn_blocking(move || this.remove_files()).await;
        let is_used = removed.unwrap_or_else(|error| Err(error.into())).map_err(GitError::io(attempt))?;
        // Without a view there is no repository any more.
        if let Some(view) = view.filter(|_| !is_used) {
            let branch = self.record.full_branch();
            view.call("remove a branch", ["update-ref", "--no-deref", "-d", &branch]).output().await?;
        }
        let place = self.place.clone();
        let removed = tokio::task::spawn_blocking(move || remove_place(&place)).await;
        removed.unwrap_or_else(|error| Err(error.into())).map_err(GitError::io(attempt))
    }

    /// Whether the branch is in use elsewhere.
    fn remove_files(&self) -> io::Result<bool> {
        let record = &self.record;
        temporary::remove_all(&record.directory)?;
        temporary::remove_all(&record.entry())?;
        // Refused while others have theirs in it.
        let _in_use = fs::remove_dir(record.repository.join("worktrees"));
        let branch = Head::Branch(record.full_branch());
        Repository::is_checked_out(&record.repository, &branch, &record.name())
    }
}

/// Whether a disk has no space for what would fit into the rest that a file leaves which did not. Blocks.
fn is_full(directory: &Path) -> bool {
    let tried = directory.join(TRIED);
    let written = File::create(&tried).and_then(|mut file| {
        file.write_all(&[0; TRIED_BYTES])?;
        file.sync_all()
    });
    // It goes with the worktree, at the latest.
    let _removed = fs::remove_file(&tried);
    // What else is wrong there is not this.
    written.is_err_and(|error| is_for_space(&error))
}

/// Removes a place that holds no worktree. Blocks.
pub(crate) fn remove_place(place: &Path) -> io::Result<()> {
    temporary::remove_all(&place.join(TEMPORARY))?;
    for name in [TRIED, WRITTEN, SET_UP, RECORD, GOES] {
        match fs::remove_file(place.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            removed => removed?,
        }
    }
    fs::remove_dir(place)?;
    if let Some(worker) = place.parent() {
        // Refused while others are in it.
        let _in_use = fs::remove_dir(worker);
    }
    Ok(())
}

/// Makes something in a repository's directories. Whoever removes the last other thing in one of them takes it away, also in
/// between, and so does git.
fn although_others_remove<T>(make: impl Fn() -> io::Result<T>) -> io::Result<T> {
    for _ in 1..ATTEMPTS {
        match make() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            made => return made,
        }
    }
    make()
}
