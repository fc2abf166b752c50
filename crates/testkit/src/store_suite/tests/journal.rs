//! What was done to a faulty store: its disk.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use musher_core::{Commit, KeyRecord, MemoryStore, NewLife, Prune, Store, StoredBundle};
use musher_protocol::{ConfigBundleRef, WorkerId};
use uuid::Uuid;

use super::{fault::Fault, faulty::Faulty};
use crate::store_suite::Place;

/// A write that a store has taken.
#[derive(Clone, Debug)]
pub(super) enum Act {
    Begin(NewLife),
    Append(Box<Commit>),
    Claim(WorkerId),
    Prune(Prune),
    Delete(WorkerId),
    Remember(Vec<KeyRecord>),
    PutBundle(Box<StoredBundle>, Option<KeyRecord>),
    DeleteBundle(ConfigBundleRef),
}

impl Act {
    fn deletes(&self) -> Option<&WorkerId> {
        match self {
            Self::Delete(worker) => Some(worker),
            Self::Begin(_)
            | Self::Append(_)
            | Self::Claim(_)
            | Self::Prune(_)
            | Self::Remember(_)
            | Self::PutBundle(..)
            | Self::DeleteBundle(_) => None,
        }
    }

    fn be_of_the_first_epoch(&mut self) {
        match self {
            Self::Append(commit) => commit.epoch = Commit::FIRST_EPOCH,
            Self::Prune(prune) => prune.epoch = Commit::FIRST_EPOCH,
            Self::Begin(_)
            | Self::Claim(_)
            | Self::Delete(_)
            | Self::Remember(_)
            | Self::PutBundle(..)
            | Self::DeleteBundle(_) => {}
        }
    }
}

/// All writes, in their order.
#[derive(Debug, Default)]
pub(super) struct Journal(Mutex<Vec<Act>>);

impl Journal {
    pub(super) fn note(&self, act: Act) {
        self.acts().push(act);
    }

    pub(super) fn has(&self, is_it: impl Fn(&Act) -> bool) -> bool {
        self.acts().iter().any(is_it)
    }

    fn acts(&self) -> MutexGuard<'_, Vec<Act>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The acts, as a fault lets them be read again.
    fn read(&self, fault: Fault) -> Vec<Act> {
        let mut acts = self.acts().clone();
        let deleted: Vec<_> = acts.iter().filter_map(Act::deletes).cloned().collect();
        if fault == Fault::ReopeningForgetsOwners {
            acts.retain(|act| !matches!(act, Act::Begin(_)));
        } else if fault == Fault::ReopeningLosesBundles {
            acts.retain(|act| !matches!(act, Act::PutBundle(..)));
        } else if fault == Fault::ReopeningLosesPrunes {
            acts.retain(|act| !matches!(act, Act::Prune(_)));
        } else if fault == Fault::ReopeningFreesIds {
            acts.retain(|act| !matches!(act, Act::Append(commit) if deleted.contains(&commit.worker)));
        } else if fault == Fault::ReopeningLosesCommits
            && let Some(last) = acts.iter().rposition(|act| matches!(act, Act::Append(_)))
        {
            acts.remove(last);
        } else if fault == Fault::ReopeningLosesKeys {
            acts.retain(|act| !matches!(act, Act::Remember(_)));
        } else if fault == Fault::ReopeningForgetsEpochs {
            acts.retain(|act| !matches!(act, Act::Claim(_)));
        }
        for act in &mut acts {
            if fault == Fault::ReopeningForgetsEpochs {
                act.be_of_the_first_epoch();
            } else if let Act::Append(commit) = act
                && fault == Fault::ReopeningForgetsBatches
            {
                commit.batch_id = Uuid::new_v4();
            } else if let Act::Append(commit) = act
                && fault == Fault::ReopeningLosesKept
            {
                commit.kept.clear();
            }
        }
        acts
    }
}

/// A place whose stores break a rule, and keep a journal that they are opened from again.
#[derive(Debug)]
pub(super) struct FaultyPlace {
    fault: Fault,
    journal: Arc<Journal>,
}

impl FaultyPlace {
    pub(super) fn of(fault: Fault) -> Self {
        Self { fault, journal: Arc::default() }
    }
}

#[async_trait]
impl Place for FaultyPlace {
    async fn open(&self) -> Arc<dyn Store> {
        let store = MemoryStore::new();
        for act in self.journal.read(self.fault) {
            let what = format!("{act:?}");
            let done = match act {
                Act::Begin(life) => store.begin(life).await.map(drop),
                Act::Append(commit) => store.append(*commit).await,
                Act::Claim(worker) => store.claim(&worker).await.map(drop),
                Act::Prune(prune) => store.prune(prune).await,
                Act::Delete(worker) => store.delete(&worker).await.map(drop),
                Act::Remember(keys) => store.remember(keys).await,
                Act::PutBundle(bundle, key) => store.put_bundle(*bundle, usize::MAX, key).await.map(drop),
                Act::DeleteBundle(reference) => store.delete_bundle(&reference).await.map(drop),
            };
            done.unwrap_or_else(|refusal| panic!("{refusal:?}: {what}"));
        }
        Arc::new(Faulty::new(store, self.fault, Arc::clone(&self.journal)))
    }
}
