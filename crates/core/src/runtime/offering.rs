//! What can run here, and what is missing where something cannot.

use std::{collections::BTreeSet, sync::Arc};

use musher_backend::{Backend, Capabilities, Sandbox, Wanted};
use musher_protocol::{BackendCapabilities, BackendSummary, Capability, ProfileSummary, SandboxMode};

use super::Runtime;
use crate::{
    builder::Catalog,
    looks::{Missing, Subject},
    profile::{Profile, WorkerSpec},
    tools::out_of_reach,
};

/// What is missing for a profile that demands a sandbox for tools that are not ours.
const NOT_HELD: &str = "a sandbox `landlock` for the tools that the backend brings itself: only tools of the runtime can be held";

impl Runtime {
    /// The backends, by name, and what is missing where one cannot run here.
    ///
    /// It is looked for right now, at all of them side by side. What does not answer within 5 s counts as missing.
    pub async fn list_backends(&self) -> Vec<BackendSummary> {
        let catalog = &self.0.catalog;
        let subjects = catalog.backends.keys().cloned().map(Subject::Backend).collect();
        let found = self.0.looks.look(catalog, subjects).await;
        let backends = catalog.backends.iter().map(|(name, backend)| {
            let missing = found[&Subject::Backend(name.clone())].clone();
            let Capabilities { steer, resume, tools, history: _, tool_limit: _ } = backend.capabilities();
            BackendSummary {
                name: name.clone(),
                kind: backend.kind().to_owned(),
                available: missing.is_empty(),
                missing,
                // The seam asks of every backend that it obeys interrupts and asks for leave.
                capabilities: BackendCapabilities { steer, interrupt: true, approvals: true, resume, tools },
            }
        });
        backends.collect()
    }

    /// The profiles, by name, and what is missing for workers of one that may do all that it allows, within its limits.
    ///
    /// It is looked for as for [`Runtime::list_backends`].
    pub async fn list_profiles(&self) -> Vec<ProfileSummary> {
        let catalog = &self.0.catalog;
        let needed =
            catalog.profiles.values().flat_map(|profile| needs(catalog, profile, &profile.capabilities));
        let found = self.0.looks.look(catalog, needed.collect()).await;
        let profiles = catalog.profiles.iter().map(|(name, profile)| {
            let missing = missing(catalog, profile, &profile.capabilities, &found);
            ProfileSummary {
                name: name.clone(),
                backend: profile.backend.clone(),
                model: profile.model.clone(),
                default: *name == catalog.default_profile,
                ready: missing.is_empty(),
                missing,
                capabilities: profile.capabilities.iter().cloned().collect(),
                limits: profile.limits.shown(),
                approval: profile.approval.shown(),
                sandbox: shown(profile.sandbox),
            }
        });
        profiles.collect()
    }

    /// What is missing for a worker, by name.
    pub(super) async fn missing(&self, spec: &WorkerSpec) -> Vec<String> {
        let catalog = &self.0.catalog;
        let WorkerSpec { profile, capabilities, .. } = spec;
        let found = self.0.looks.look(catalog, needs(catalog, profile, capabilities).collect()).await;
        missing(catalog, profile, capabilities, &found)
    }
}

fn backend<'a>(catalog: &'a Catalog, profile: &Profile) -> &'a Arc<dyn Backend> {
    catalog.backends.get(&profile.backend).expect("the builder checked every profile's backend")
}

/// What has to be looked for before a worker of this profile can be created that may do this.
pub(super) fn needs<'a>(
    catalog: &Catalog,
    profile: &'a Profile,
    capabilities: &'a BTreeSet<Capability>,
) -> impl Iterator<Item = Subject> + use<'a> {
    let takes_tools = backend(catalog, profile).capabilities().tools;
    let tools = capabilities.iter().filter(move |_| takes_tools);
    let tools = tools.map(|capability| Subject::Tools(capability.clone(), profile.sandbox));
    [Subject::Backend(profile.backend.clone())].into_iter().chain(tools)
}

/// What is missing, by name, when this was found.
pub(super) fn missing(
    catalog: &Catalog,
    profile: &Profile,
    capabilities: &BTreeSet<Capability>,
    found: &Missing,
) -> Vec<String> {
    let backend = backend(catalog, profile);
    let wanted = Wanted { model: profile.model.as_deref(), cost_limit: profile.limits.cost_usd.is_some() };
    let brings_tools = !backend.capabilities().tools;
    let looked_for = needs(catalog, profile, capabilities).flat_map(|subject| found[&subject].clone());
    let is_not_held = brings_tools && profile.sandbox == Sandbox::Landlock;
    let not_held = is_not_held.then(|| NOT_HELD.to_owned());
    let capabilities = capabilities.iter().filter(|_| brings_tools);
    let out_of_reach = capabilities.filter_map(out_of_reach);
    looked_for.chain(backend.missing(&wanted)).chain(not_held).chain(out_of_reach).collect()
}

fn shown(sandbox: Sandbox) -> SandboxMode {
    match sandbox {
        Sandbox::Auto => SandboxMode::Auto,
        Sandbox::Landlock => SandboxMode::Landlock,
        Sandbox::None => SandboxMode::None,
    }
}
