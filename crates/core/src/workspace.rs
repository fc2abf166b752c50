//! Directories that workers may be created in, and what a worker gets of one.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use musher_process::Owner;
use musher_protocol::{Isolation, WorkerId, WorkerWorkspace, WorkspaceRef};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    diff::Versioned,
    git::{Git, GitError, Repository, View},
    temporary::Temporary,
    wall::{Wall, stands},
    worktree::{self, Record, Removals, Worktree},
};

/// A directory that workers may be created in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workspace {
    /// The directory: absolute, and there.
    pub path: PathBuf,
    /// Whether a request may also name one directory directly below it.
    pub children: bool,
    /// How its workers are kept apart.
    pub isolation: WorkspaceIsolation,
    /// Variables of the host's that processes of its workers get, too; one that the host does not have is left out.
    pub pass_env: Vec<String>,
}

/// How workers of a workspace are kept apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WorkspaceIsolation {
    /// Not at all: they work in the directory itself.
    Direct,
    /// Each has a git worktree of its own, on a branch of its own, from what is checked out in the directory.
    Worktree {
        /// What a shell does in a new worktree before its worker's first session, until it has succeeded once.
        setup: Option<String>,
    },
}

impl From<PathBuf> for Workspace {
    /// A directory that workers work in themselves.
    fn from(path: PathBuf) -> Self {
        Self { path, children: false, isolation: WorkspaceIsolation::Direct, pass_env: Vec::new() }
    }
}

/// What a request wants of a workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) name: String,
    pub(crate) reference: String,
    /// The directory that is declared.
    pub(crate) root: PathBuf,
    /// The one directly below it that is meant.
    pub(crate) child: Option<String>,
    pub(crate) isolation: WorkspaceIsolation,
    pub(crate) pass_env: Vec<String>,
}

/// Where a worker works, of a workspace of its.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Workplace {
    /// The directory: absolute.
    pub(crate) directory: PathBuf,
    /// Its worktree, by the number of its place among the worker's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) worktree: Option<usize>,
    /// It is below what is declared, where others may write: whether it is still there, and no link, is looked at again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) is_child: bool,
    /// What its files can be compared with, where it is in a repository and no worktree of the worker's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) versioned: Option<Versioned>,
    /// What is to be done in the worktree first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) setup: Option<String>,
    /// Variables of the host's that processes of the worker get, too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) pass_env: Vec<String>,
}

impl Workplace {
    /// Whether the directory is the one that it was when its worker was created, as far as its path tells. Blocks.
    pub(crate) fn is_there(&self) -> bool {
        !self.is_child || is_as_it_was(&self.directory)
    }
}

/// A local disk answers in milliseconds. A share that is away may never, and whoever waits for it should hear of that.
const LOOK_LIMIT: Duration = Duration::from_secs(5);

/// Looks at the file system, for a bounded time. A look that hangs keeps its thread until the system lets it go.
pub(crate) async fn look<T: Send + 'static>(look: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    match tokio::time::timeout(LOOK_LIMIT, tokio::task::spawn_blocking(look)).await {
        Ok(looked) => looked.map_err(io::Error::other),
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// Whether a directory, by a path without links, is still there without any. Blocks.
pub(crate) fn is_as_it_was(directory: &Path) -> bool {
    directory.canonicalize().is_ok_and(|path| path == directory && path.is_dir())
}

/// Why a worker cannot have a workspace.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotHad {
    #[error("{0}")]
    Missing(&'static str),
    #[error("its directory is not there")]
    Gone,
    #[error("its repository is not there")]
    NoRepository,
    #[error("no directory `{0}` directly below it")]
    NoChild(String),
    #[error("prepare a workspace")]
    Git(#[from] GitError),
    #[error("{attempt}")]
    Io {
        attempt: &'static str,
        #[source]
        source: io::Error,
    },
}

/// What is missing where something is there, and the server's user may not have it.
const NOT_PERMITTED: &str = "permission to use its directory or its repository";

impl Wanted {
    /// The directory, by the path that is declared, where the worker works in it itself.
    pub(crate) fn direct(&self) -> Option<PathBuf> {
        match self.isolation {
            WorkspaceIsolation::Direct => Some(match &self.child {
                Some(child) => self.root.join(child),
                None => self.root.clone(),
            }),
            WorkspaceIsolation::Worktree { .. } => None,
        }
    }

    /// Whether something is to be done in a new worktree first.
    pub(crate) fn has_setup(&self) -> bool {
        matches!(self.isolation, WorkspaceIsolation::Worktree { setup: Some(_) })
    }
}

impl NotHad {
    fn io(attempt: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { attempt, source }
    }

    /// Whether it is for want of space on a disk, and nothing else is missing.
    pub(crate) fn is_for_space(&self) -> bool {
        matches!(self, Self::Git(GitError::Space { .. }))
            || matches!(self, Self::Io { source, .. } | Self::Git(GitError::Io { source, .. }) if is_for_space(source))
    }

    /// What is missing, by name, without a path.
    pub(crate) fn missing(&self) -> &'static str {
        match self {
            Self::Missing(what) => what,
            Self::Gone => "its directory",
            Self::NoRepository => "its repository",
            Self::NoChild(_) => "a directory directly below it",
            Self::Git(GitError::Missing(_)) => "program `git`",
            Self::Git(GitError::Format) => "a repository whose references are files",
            Self::Git(GitError::Time { .. }) => "a repository that answers in time",
            Self::Git(GitError::Space { .. }) => "space on the server's disk",
            Self::Git(GitError::Permission { .. }) => NOT_PERMITTED,
            Self::Io { source, .. } | Self::Git(GitError::Io { source, .. })
                if source.kind() == io::ErrorKind::PermissionDenied =>
            {
                NOT_PERMITTED
            }
            Self::Git(GitError::Long { .. }) => {
                "a repository that is small enough; the server's log says more"
            }
            Self::Git(
                GitError::Run { .. }
                | GitError::Failed { .. }
                | GitError::Killed { .. }
                | GitError::Io { .. },
            ) => "a repository that git can use; the server's log says more",
            Self::Io { .. } => "a directory that can be used; the server's log says more",
        }
    }
}

/// Whether something could not be written because a disk, a quota or a file has its most.
pub(crate) fn is_for_space(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

/// What a request names, among the workspaces that there are.
pub(crate) fn wanted<'a>(
    known: impl Fn(&str) -> Option<&'a Workspace>,
    WorkspaceRef { name, reference }: WorkspaceRef,
) -> Result<Wanted, String> {
    let meant = |workspace: &Workspace, child, name, reference| {
        let Workspace { path, isolation, pass_env, .. } = workspace.clone();
        Wanted { name, reference, root: path, child, isolation, pass_env }
    };
    if let Some(workspace) = known(&reference) {
        return Ok(meant(workspace, None, name, reference));
    }
    let parts = reference.rsplit_once('/').map(|(parent, child)| (known(parent), parent, child));
    match parts {
        Some((Some(workspace), _, child)) if workspace.children && is_child(child) => {
            let child = Some(child.to_owned());
            Ok(meant(workspace, child, name, reference))
        }
        Some((Some(Workspace { children: true, .. }), parent, child)) => {
            Err(format!("`{child}` is no name of a directory directly below workspace `{parent}`"))
        }
        Some((Some(_), parent, _)) => {
            Err(format!("workspace `{parent}` is not declared with `children = true`"))
        }
        Some((None, ..)) | None => Err(format!("no workspace `{reference}` in the server's config")),
    }
}

/// Whether a text names something in a directory. What git keeps there is no place to work in.
fn is_child(name: &str) -> bool {
    let is_name =
        !matches!(name, "" | "." | "..") && !name.eq_ignore_ascii_case(".git") && !name.contains(['/', '\0']);
    is_name || !stands(Wall::ChildName)
}

/// What is needed to look at repositories in the name of a worker.
#[derive(Clone, Debug)]
pub(crate) struct Desk {
    pub(crate) owner: Owner,
    /// Where views are made; the host's place when absent.
    pub(crate) temporary: Option<Arc<Temporary>>,
    /// Where worktrees have their places; there are none when absent.
    pub(crate) worktrees: Option<PathBuf>,
    pub(crate) removals: Removals,
}

/// What a worker has of a workspace: what is shown of it, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Had {
    pub(crate) shown: WorkerWorkspace,
    pub(crate) workplace: Workplace,
}

impl Desk {
    /// A look at the repository whose shared part this is, in the name of a worker.
    pub(crate) async fn view(&self, worker: &WorkerId, common: &Path) -> Result<View, GitError> {
        let git = Git::find(&self.owner, worker)?;
        let directory = match &self.temporary {
            Some(temporary) => {
                let made = temporary.session().map_err(|not_made| not_made.source);
                made.map_err(GitError::io("make a temporary directory"))?
            }
            None => std::env::temp_dir().join(format!("musher-view-{}", Uuid::new_v4().simple())),
        };
        View::of(git, common, directory).await
    }

    /// The same, when there still is such a repository; an error where nobody may look whether it is there.
    pub(crate) async fn view_of(&self, record: &Record) -> Result<Option<View>, GitError> {
        let common = record.repository.clone();
        let looked = tokio::task::spawn_blocking(move || Repository::is_there(&common)).await;
        let looked = looked.unwrap_or_else(|error| Err(error.into()));
        if !looked.map_err(GitError::io("look for a repository"))? {
            return Ok(None);
        }
        self.view(&record.worker_id, &record.repository).await.map(Some)
    }

    /// Gets a worker what it wants. What was made before something failed is for [`Desk::give_back`].
    pub(crate) async fn get(&self, worker: &WorkerId, n: usize, wanted: Wanted) -> Result<Had, NotHad> {
        let Wanted { name, reference, root, child, isolation, pass_env } = wanted;
        let is_child = child.is_some();
        let found = look(move || find(&root, child)).await;
        let (path, repository) = found.unwrap_or_else(|error| Err(NotHad::io("find a workspace")(error)))?;
        match isolation {
            WorkspaceIsolation::Direct => {
                let repository = repository.unwrap_or_else(|error| {
                    // As below.
                    tracing::warn!(%worker, error = &error as &dyn std::error::Error, "find a repository");
                    None
                });
                let base_commit = self.base(worker, repository.as_ref()).await.unwrap_or_else(|error| {
                    // It can be worked in without.
                    tracing::warn!(%worker, error = &error as &dyn std::error::Error, "find what is checked out");
                    None
                });
                let shown = WorkerWorkspace {
                    name,
                    reference,
                    isolation: Isolation::Direct,
                    branch: None,
                    base_commit,
                };
                let versioned = repository.and_then(Repository::versioned);
                let workplace =
                    Workplace { directory: path, worktree: None, is_child, versioned, setup: None, pass_env };
                Ok(Had { shown, workplace })
            }
            WorkspaceIsolation::Worktree { setup } => {
                let repository = repository?.ok_or(NotHad::Missing("a git repository"))?;
                let (worktree, directory) =
                    self.grow(worker, n, reference.clone(), &path, &repository).await?;
                let shown = WorkerWorkspace {
                    name,
                    reference,
                    isolation: Isolation::Worktree,
                    branch: Some(worktree.record.branch()),
                    base_commit: Some(worktree.record.base_commit),
                };
                let workplace = Workplace {
                    directory,
                    worktree: Some(n),
                    is_child: false,
                    versioned: None,
                    setup,
                    pass_env,
                };
                Ok(Had { shown, workplace })
            }
        }
    }

    /// What the files of a worker's directory can be compared with.
    pub(crate) async fn versioned(
        &self,
        worker: &WorkerId,
        workplace: &Workplace,
    ) -> Result<Versioned, NotHad> {
        let Some(n) = workplace.worktree else {
            let place = workplace.clone();
            let is_there = tokio::task::spawn_blocking(move || place.is_there()).await.unwrap_or(false);
            if !is_there {
                return Err(NotHad::Gone);
            }
            return workplace.versioned.clone().ok_or(NotHad::Missing("a git repository"));
        };
        let worktrees = self.worktrees_of(worker).await.map_err(NotHad::io("find worktrees"))?;
        let worktree = worktrees.into_iter().find(|worktree| worktree.is_number(n));
        let record = worktree.ok_or(NotHad::Missing("its worktree"))?.record;
        Ok(Versioned { common: record.repository, top: record.directory, prefix: PathBuf::new() })
    }

    /// The commit that is checked out in a repository.
    async fn base(
        &self,
        worker: &WorkerId,
        repository: Option<&Repository>,
    ) -> Result<Option<String>, GitError> {
        let Some(repository) = repository.filter(|repository| repository.top.is_some()) else {
            return Ok(None);
        };
        let view = self.view(worker, &repository.common).await?;
        checked_out(&view, repository).await
    }

    /// Makes a worktree, and answers with it and the directory in it that the workspace's own stands for.
    async fn grow(
        &self,
        worker: &WorkerId,
        n: usize,
        reference: String,
        path: &Path,
        repository: &Repository,
    ) -> Result<(Worktree, PathBuf), NotHad> {
        let root = self
            .worktrees
            .as_ref()
            .ok_or(NotHad::Missing("a store that outlives the server, for worktrees do"))?;
        let view = self.view(worker, &repository.common).await?;
        let base_commit =
            checked_out(&view, repository).await?.ok_or(NotHad::Missing("a repository with a commit"))?;
        let place = worktree::places(root, worker).join(n.to_string());
        let top = repository.top.as_deref().unwrap_or(path);
        let directory = place.join(top.file_name().unwrap_or("worktree".as_ref()));
        let record = Record {
            worker_id: worker.clone(),
            n,
            reference,
            repository: repository.common.clone(),
            base_commit,
            directory: directory.clone(),
        };
        let planned = tokio::task::spawn_blocking(move || Worktree::plan(place, record)).await;
        let worktree = planned
            .unwrap_or_else(|error| Err(error.into()))
            .map_err(NotHad::io("make a place for a worktree"))?;
        if let Err(error) = worktree.make(&view).await {
            // With the same look at the repository: a full disk may have no space for another.
            if let Err(left) = worktree.remove(Some(&view)).await {
                tracing::warn!(%worker, error = &left as &dyn std::error::Error, "a worktree stays for now");
            }
            return Err(error.into());
        }
        let directory = directory.join(&repository.prefix);
        let works = directory.clone();
        if !tokio::task::spawn_blocking(move || works.is_dir()).await.unwrap_or(false) {
            return Err(NotHad::Missing("a directory that is in what is checked out"));
        }
        Ok((worktree, directory))
    }

    /// Removes what was made for a worker that is not there. What cannot be removed the next life finds.
    pub(crate) async fn give_back(&self, worker: &WorkerId) {
        let gone = async {
            for worktree in self.worktrees_of(worker).await.map_err(GitError::io("find worktrees"))? {
                self.remove(&worktree).await?;
            }
            Ok::<(), GitError>(())
        };
        if let Err(error) = gone.await {
            tracing::error!(%worker, error = &error as &dyn std::error::Error, "a worktree stays for now");
        }
    }

    /// Removes a worktree, whatever is in it.
    pub(crate) async fn remove(&self, worktree: &Worktree) -> Result<(), GitError> {
        // Before anything else: a full disk may have no space for a look at the repository.
        worktree.empty().await?;
        worktree.remove(self.view_of(&worktree.record).await?.as_ref()).await
    }

    /// Says that a worker is there: from now on its worktrees go only when they hold no work.
    pub(crate) async fn keep(&self, worker: &WorkerId) -> io::Result<()> {
        let worktrees = self.worktrees_of(worker).await?;
        let kept = move || worktrees.iter().try_for_each(Worktree::mark_as_staying);
        tokio::task::spawn_blocking(kept).await?
    }

    /// Every worker that has a place for a worktree, with the worktrees that it has, as [`Desk::worktrees_of`].
    pub(crate) async fn all_worktrees(&self) -> io::Result<Vec<(WorkerId, io::Result<Vec<Worktree>>)>> {
        let Some(root) = self.worktrees.clone() else { return Ok(Vec::new()) };
        let look = move || {
            let found = |worker| {
                let worktrees = worktrees_in(&worktree::places(&root, &worker));
                (worker, worktrees)
            };
            Ok(workers_in(&root)?.into_iter().map(found).collect())
        };
        tokio::task::spawn_blocking(look).await?
    }

    /// The worktrees that a worker has. Places whose records were never whole are removed.
    pub(crate) async fn worktrees_of(&self, worker: &WorkerId) -> io::Result<Vec<Worktree>> {
        let Some(root) = &self.worktrees else { return Ok(Vec::new()) };
        let places = worktree::places(root, worker);
        tokio::task::spawn_blocking(move || worktrees_in(&places)).await?
    }
}

fn workers_in(root: &Path) -> io::Result<Vec<WorkerId>> {
    let entries = match std::fs::read_dir(root) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut workers = Vec::new();
    for entry in entries {
        // What has another name is nobody's here.
        workers.extend(entry?.file_name().to_str().and_then(|name| name.parse().ok()));
    }
    Ok(workers)
}

fn worktrees_in(places: &Path) -> io::Result<Vec<Worktree>> {
    let entries = match std::fs::read_dir(places) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let place = entry?.path();
        match Worktree::at(place.clone())? {
            Some(worktree) => found.push(worktree),
            None => worktree::remove_place(&place)?,
        }
    }
    Ok(found)
}

async fn checked_out(view: &View, repository: &Repository) -> Result<Option<String>, GitError> {
    let own = repository.clone();
    let head = tokio::task::spawn_blocking(move || own.head()).await;
    let head =
        head.unwrap_or_else(|error| Err(error.into())).map_err(GitError::io("find what is checked out"))?;
    match head {
        Some(head) => view.commit(head.name()).await,
        None => Ok(None),
    }
}

/// The directory that is meant, by a path without links, and the repository that it is in, where that can be told. What is
/// declared may be a link; what is below it may not.
fn find(
    root: &Path,
    child: Option<String>,
) -> Result<(PathBuf, Result<Option<Repository>, GitError>), NotHad> {
    let attempt = "find a workspace";
    let root = root.canonicalize().map_err(NotHad::io(attempt))?;
    let is_child = child.is_some();
    let directory = match child {
        None => root,
        Some(child) => {
            let below = root.join(&child);
            match below.symlink_metadata() {
                Ok(metadata) if metadata.is_dir() || !stands(Wall::Link) => below,
                Ok(_) => return Err(NotHad::NoChild(child)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(NotHad::NoChild(child)),
                Err(error) => return Err(NotHad::io(attempt)(error)),
            }
        }
    };
    let repository = repository_of(&directory, is_child).map_err(GitError::io("find a repository"));
    Ok((directory, repository))
}

fn repository_of(directory: &Path, is_child: bool) -> io::Result<Option<Repository>> {
    let repository = Repository::of(directory)?;
    Ok(match repository {
        // Workers may have made it, and what it is a part of is nobody's choice but the config's.
        Some(repository) if is_child && !repository.is_own(directory)? => None,
        repository => repository,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn meant(reference: &str) -> Result<(PathBuf, Option<String>), String> {
        let workspace = |path: &str, children| Workspace { children, ..PathBuf::from(path).into() };
        let known = BTreeMap::from([
            ("shop", workspace("/srv/shop", false)),
            ("stories", workspace("/srv/stories", true)),
            ("stories/own", workspace("/srv/own", false)),
        ]);
        let wanted_ref = WorkspaceRef { name: "main".to_owned(), reference: reference.to_owned() };
        wanted(|name| known.get(name), wanted_ref).map(|wanted| (wanted.root, wanted.child))
    }

    #[test]
    fn a_reference_names_what_is_declared_or_one_directory_directly_below() {
        let child = |name: &str| Ok((PathBuf::from("/srv/stories"), Some(name.to_owned())));
        let no_name = |name: &str| {
            Err(format!("`{name}` is no name of a directory directly below workspace `stories`"))
        };
        let unknown = |name: &str| Err(format!("no workspace `{name}` in the server's config"));
        for (reference, expected) in [
            ("shop", Ok(("/srv/shop".into(), None))),
            ("stories", Ok(("/srv/stories".into(), None))),
            ("stories/42", child("42")),
            ("stories/.hidden", child(".hidden")),
            ("stories/own", Ok(("/srv/own".into(), None))),
            ("shop/42", Err("workspace `shop` is not declared with `children = true`".to_owned())),
            ("stories/", no_name("")),
            ("stories/.", no_name(".")),
            ("stories/..", no_name("..")),
            ("stories/.GIT", no_name(".GIT")),
            ("stories/a\0b", no_name("a\0b")),
            ("stories/42/..", unknown("stories/42/..")),
            ("stories//42", unknown("stories//42")),
            ("/srv/shop", unknown("/srv/shop")),
            ("", unknown("")),
        ] {
            assert_eq!(meant(reference), expected, "{reference:?}");
        }
    }
}
