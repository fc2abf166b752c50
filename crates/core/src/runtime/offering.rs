//! What can run here, and what is missing where something cannot.

use musher_backend::{Availability, Backend, Sandbox, Wanted};

use super::Runtime;
use crate::profile::WorkerSpec;

/// What is missing for a profile that demands a sandbox for tools that are not ours.
const NOT_HELD: &str = "a sandbox `landlock` for the tools that the backend brings itself: only tools of the runtime can be held";

impl Runtime {
    /// What is missing for a worker of this backend, by name.
    pub(super) async fn missing(&self, spec: &WorkerSpec, backend: &dyn Backend) -> Vec<String> {
        let mut missing = match backend.availability().await {
            Availability::Ready => Vec::new(),
            Availability::Missing(missing) => missing,
        };
        let profile = &spec.profile;
        let wanted =
            Wanted { model: profile.model.as_deref(), cost_limit: profile.limits.cost_usd.is_some() };
        missing.extend(backend.missing(&wanted));
        let (tools, sandbox) = (&self.0.catalog.tools, profile.sandbox);
        let capabilities = spec.capabilities.iter();
        if backend.capabilities().tools {
            missing.extend(capabilities.filter_map(|capability| tools.missing(capability, sandbox)));
        } else {
            missing.extend((sandbox == Sandbox::Landlock).then(|| NOT_HELD.to_owned()));
            missing.extend(capabilities.filter_map(|capability| tools.out_of_reach(capability)));
        }
        missing
    }
}
