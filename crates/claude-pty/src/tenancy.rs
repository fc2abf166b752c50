//! Which sessions run: the program lets two of its processes work on one, which then overwrite each other.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use musher_protocol::SessionId;

/// The sessions that run. Protects the set for one insertion or removal; nothing awaits under it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tenancy(Arc<Mutex<HashSet<SessionId>>>);

/// The right to run a session, until it is dropped.
#[derive(Debug)]
pub(crate) struct Tenant {
    session_id: SessionId,
    tenancy: Tenancy,
}

impl Tenancy {
    /// Takes a session; none when it runs already.
    pub(crate) fn take(&self, session_id: &SessionId) -> Option<Tenant> {
        let is_free = self.sessions().insert(session_id.clone());
        is_free.then(|| Tenant { session_id: session_id.clone(), tenancy: self.clone() })
    }

    fn sessions(&self) -> MutexGuard<'_, HashSet<SessionId>> {
        // Nothing can fail between the lock and the one change, so a poisoned set is whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Tenant {
    fn drop(&mut self) {
        self.tenancy.sessions().remove(&self.session_id);
    }
}
