//! Removals of worktrees: one worker's at a time in each repository.

use std::{
    collections::{BTreeSet, HashMap},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, Weak},
};

use tokio::sync::OwnedMutexGuard;

use super::Worktree;

/// Whose turn it is to remove something from a repository. Whether work is nowhere else is asked of the repository, and of two
/// that go at the same time each would be told that the other has it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Removals(Arc<Mutex<HashMap<PathBuf, Weak<tokio::sync::Mutex<()>>>>>);

impl Removals {
    /// Waits for the turn in all repositories of these worktrees, which lasts until what is answered is dropped.
    pub(crate) async fn alone(&self, worktrees: &[Worktree]) -> Vec<OwnedMutexGuard<()>> {
        // In one order, so that no two wait for each other.
        let repositories: BTreeSet<_> =
            worktrees.iter().map(|worktree| &worktree.record.repository).collect();
        let mut held = Vec::new();
        for repository in repositories {
            held.push(self.turn_of(repository).lock_owned().await);
        }
        held
    }

    fn turn_of(&self, repository: &Path) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // There are as many as there are removals.
        turns.retain(|_, turn| turn.strong_count() > 0);
        if let Some(turn) = turns.get(repository).and_then(Weak::upgrade) {
            return turn;
        }
        let turn = Arc::default();
        turns.insert(repository.to_owned(), Arc::downgrade(&turn));
        turn
    }
}
