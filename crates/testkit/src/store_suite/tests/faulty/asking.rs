//! What a log says of an approval, and how the rules about it are broken.

use musher_core::{Store as _, StoreError, StoredEvent};
use musher_protocol::{ApprovalId, WorkerId};

use super::{Fault, Faulty};
use crate::store_suite::draft::{ASKED, approval_of};

impl Faulty {
    /// Answers as a fault answers.
    pub(super) async fn read_approval(
        &self,
        worker: &WorkerId,
        approval: &ApprovalId,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        let mut events = self.store.approval_events(worker, approval).await?;
        let seen = self.seen();
        let is_deleted = seen.deleted.contains(worker);
        let of = |is_its: &dyn Fn(&WorkerId) -> bool| {
            let about = seen.about.iter().filter(|(owner, _)| is_its(owner)).map(|(_, event)| event);
            about.filter(|event| approval_of(event).as_ref() == Some(approval)).take(2).cloned().collect()
        };
        if self.is(Fault::ApprovalsAreEverybodys) {
            return Ok(of(&|_owner| true));
        } else if (self.is(Fault::ApprovalsOutliveEvents) && !is_deleted)
            || (self.is(Fault::ApprovalsOutliveWorkers) && is_deleted)
        {
            return Ok(of(&|owner| owner == worker));
        } else if self.is(Fault::ApprovalsAreNotResolved) {
            events.retain(|event| event.type_name == ASKED);
        } else if self.is(Fault::ReopeningForgetsApprovals) {
            events.retain(|event| seen.about.iter().any(|(owner, about)| owner == worker && about == event));
        }
        Ok(events)
    }
}
