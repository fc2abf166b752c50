//! Whether all work of a worktree is somewhere else, too.

use std::{
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use super::{Record, Worktree};
use crate::git::{GitError, Head, Repository, View};

/// Work that would go with a worktree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unsaved {
    /// Files differ from what is committed.
    Changes,
    /// Commits are on no other branch.
    Commits,
    /// Nobody can tell: its repository is gone, or damaged.
    Unknown,
}

impl Unsaved {
    /// What there is, for a person.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Changes => "changes that are not committed",
            Self::Commits => "commits that are on no other branch",
            Self::Unknown => "work that may be nowhere else: its repository cannot be read",
        }
    }
}

impl Worktree {
    /// Work that is nowhere else; none when it can go.
    pub(crate) async fn unsaved(&self, view: Option<&View>) -> Option<Unsaved> {
        let directory = self.record.directory.clone();
        let is_there = tokio::task::spawn_blocking(move || directory.exists()).await.unwrap_or(true);
        self.look(view, is_there).await
    }

    /// The same of its commits alone: some of its files may have been removed.
    pub(crate) async fn unsaved_commits(&self, view: Option<&View>) -> Option<Unsaved> {
        self.look(view, false).await
    }

    async fn look(&self, view: Option<&View>, is_there: bool) -> Option<Unsaved> {
        let Some(view) = view else { return is_there.then_some(Unsaved::Unknown) };
        match self.record.look(view, is_there).await {
            Ok(unsaved) => unsaved,
            Err(error) => {
                let worker = &self.record.worker_id;
                tracing::warn!(%worker, error = &error as &dyn std::error::Error, "look for unsaved work");
                Some(Unsaved::Unknown)
            }
        }
    }
}

impl Record {
    async fn look(&self, view: &View, is_there: bool) -> Result<Option<Unsaved>, GitError> {
        let (repository, worktree) = (self.repository.clone(), self.name());
        let head = tokio::task::spawn_blocking(move || Repository::head_of(&repository, &worktree)).await;
        let head =
            head.unwrap_or_else(|error| Err(error.into())).map_err(GitError::io("look for unsaved work"))?;
        let branch = view.commit(&self.full_branch()).await?;
        let head = match head.as_ref().map(Head::name) {
            Some(name) => view.commit(name).await?,
            None => None,
        };
        if is_there {
            let at = head.as_deref().unwrap_or(&self.base_commit);
            if self.has_changes(view, at).await? {
                return Ok(Some(Unsaved::Changes));
            }
        }
        let own: Vec<&str> = [&branch, &head].into_iter().filter_map(|commit| commit.as_deref()).collect();
        let is_elsewhere = own.is_empty() || !self.has_commits(view, &own).await?;
        Ok((!is_elsewhere).then_some(Unsaved::Commits))
    }

    /// Whether files, or what was prepared for a commit, differ from a commit. Nothing that the worktree's own index says
    /// of its files is believed: it is the worker's.
    async fn has_changes(&self, view: &View, commit: &str) -> Result<bool, GitError> {
        let top = &self.directory;
        let index = view.beside("index");
        let attempt = "compare files with a commit";
        view.call_in(attempt, top, top, ["read-tree", "--reset", commit]).with_index(&index).output().await?;
        let args = ["ls-files", "-z", "--modified", "--deleted", "--others", "--exclude-standard"];
        let listed = view.call_in(attempt, top, top, args).with_index(&index).at_most(1).beginning().await?;
        if !listed.stdout.is_empty() {
            return Ok(true);
        }
        let entry = self.entry();
        let prepared = entry.join("index");
        let (beside, is_there) = (view.beside(""), prepared.clone());
        let linked = tokio::task::spawn_blocking(move || {
            link_shared(&entry, &beside)?;
            Ok(is_there.exists())
        });
        let linked = linked.await.unwrap_or_else(|error: tokio::task::JoinError| Err(io::Error::from(error)));
        if !linked.map_err(GitError::io(attempt))? {
            return Ok(false);
        }
        let args = ["diff-index", "--cached", "--quiet", commit];
        let said = view.call_in(attempt, top, top, args).with_index(&prepared).run().await?;
        // Anything else than "no difference" is one, or hides one.
        Ok(said.exit.code != Some(0))
    }

    /// Whether one of these commits, or one before it, is neither before the base nor on another branch.
    async fn has_commits(&self, view: &View, own: &[&str]) -> Result<bool, GitError> {
        let exclude = format!("--exclude={}", self.full_branch());
        let mut args = vec!["rev-list", "--max-count=1"];
        args.extend(own);
        args.extend(["--not", &self.base_commit, &exclude, "--all"]);
        let listed = view.call("look for commits that are nowhere else", args).output().await?;
        Ok(!listed.is_empty())
    }
}

/// An index may have a part of itself in a file that git looks for in its own directory.
fn link_shared(entry: &Path, view: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(entry) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for found in entries {
        let name = found?.file_name();
        if name.to_str().is_some_and(|name| name.starts_with("sharedindex.")) {
            let link: PathBuf = view.join(&name);
            match symlink(entry.join(&name), link) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                linked => linked?,
            }
        }
    }
    Ok(())
}
