//! What a backend keeps, and how the rules about it are broken.

use std::collections::BTreeMap;

use musher_core::{Commit, Kept, Most, Store as _, StoreError};
use musher_protocol::WorkerId;
use tokio::task::yield_now;

use super::{Fault, Faulty};

const EVERYTHING: Most = Most { events: usize::MAX, bytes: usize::MAX };

impl Faulty {
    /// Makes of what a commit keeps what a fault makes of it before it is written.
    pub(super) async fn spoil_kept(&self, commit: &mut Commit) -> Result<(), StoreError> {
        let Commit { worker, kept, .. } = commit;
        if self.is(Fault::AppendTakesAnyName) {
            kept.retain(|kept| Kept::is_name(&kept.name));
        } else if self.is(Fault::AppendRefusesLongNames) && kept.iter().any(|kept| kept.name.len() > 64) {
            return Err(StoreError::Full);
        } else if self.is(Fault::KeptAreCut) {
            kept.iter_mut().for_each(|kept| kept.bytes.truncate(8 << 20));
        } else if self.is(Fault::KeptAreTheFirstOfACommit) {
            kept.reverse();
        } else if self.is(Fault::KeptLoseEmptyOnes) {
            kept.retain(|kept| !kept.bytes.is_empty());
        } else if self.is(Fault::KeptStayAsTheyWere) {
            let there = self.store.kept(worker, None, EVERYTHING).await?;
            kept.retain(|kept| there.iter().all(|there| there.name != kept.name));
        }
        Ok(())
    }

    /// Remembers what a commit that was written or refused brought to be kept.
    pub(super) async fn note_kept(&self, commit: &Commit, is_written: bool) {
        if is_written || self.is(Fault::KeptOfTheRefused) {
            let kept = commit.kept.iter().map(|kept| (commit.worker.clone(), kept.clone()));
            self.seen().kept.extend(kept);
        }
        if is_written && self.is(Fault::KeptAreTorn) {
            self.seen().late = commit.kept.iter().skip(1).map(|kept| kept.name.clone()).collect();
            yield_now().await;
            self.seen().late.clear();
        }
    }

    pub(super) fn forget_kept(&self, worker: &WorkerId) {
        if !self.is(Fault::KeptOutliveWorkers) {
            self.seen().kept.retain(|(owner, _)| owner != worker);
        }
    }

    /// Answers as a fault answers.
    pub(super) async fn read_kept(
        &self,
        worker: &WorkerId,
        after: Option<&str>,
        most: Most,
    ) -> Result<Vec<Kept>, StoreError> {
        if self.is(Fault::KeptGoWithEvents) && self.seen().has_pruned {
            return Ok(Vec::new());
        }
        if [Fault::KeptAreEverybodys, Fault::KeptOfTheRefused, Fault::KeptOutliveWorkers]
            .contains(&self.fault)
        {
            return Ok(self.remembered(worker, after, most));
        }
        if self.is(Fault::KeptPagesRepeat) {
            let mut kept = self.store.kept(worker, None, EVERYTHING).await?;
            kept.retain(|kept| after.is_none_or(|after| *kept.name >= *after));
            kept.truncate(most.events.max(1));
            return Ok(kept);
        }
        let bytes = if self.is(Fault::KeptOverrunBytes) { usize::MAX } else { most.bytes };
        let events = if self.is(Fault::KeptOverrunCounts) { usize::MAX } else { most.events };
        let mut kept = self.store.kept(worker, after, Most { events, bytes }).await?;
        if self.is(Fault::KeptAreReversed) {
            kept.reverse();
        } else if self.is(Fault::KeptAreSortedByLetters) {
            kept.sort_by_key(|kept| kept.name.replace(|letter: char| !letter.is_alphanumeric(), ""));
        } else if self.is(Fault::KeptStarveAtLargeOnes) {
            kept.retain(|kept| kept.bytes.len() <= most.bytes);
        } else if self.is(Fault::KeptAreTorn) {
            kept.retain(|kept| !self.seen().late.contains(&kept.name));
        }
        Ok(kept)
    }

    /// What commits brought, whether they were taken or not, and whether the worker is there or not.
    fn remembered(&self, worker: &WorkerId, after: Option<&str>, most: Most) -> Vec<Kept> {
        let seen = self.seen();
        let is_of = |owner: &WorkerId| owner == worker || self.is(Fault::KeptAreEverybodys);
        let kept = seen.kept.iter().filter(|(owner, _)| is_of(owner));
        let newest: BTreeMap<_, _> = kept.map(|(_, kept)| (kept.name.as_str(), kept)).collect();
        let behind = newest.into_values().filter(|kept| after.is_none_or(|after| *kept.name > *after));
        behind.take(most.events.max(1)).cloned().collect()
    }
}
