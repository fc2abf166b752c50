//! What can run here, and what is missing where something cannot.

use std::{collections::BTreeSet, sync::Arc};

use musher_backend::{Backend, Capabilities, Sandbox};
use musher_process::Confinement;
use musher_protocol::{BackendCapabilities, BackendSummary, Capability, ProfileSummary, SandboxMode};

use super::Runtime;
use crate::{
    builder::Catalog,
    create::Resolved,
    looks::{Missing, Subject},
    mount,
    profile::Profile,
    workspace::Wanted,
};

/// What is missing for a profile that demands a sandbox for tools that are not ours.
const NOT_HELD: &str = "a sandbox `landlock` for the tools that the backend brings itself: only tools of the runtime can be held";

/// What is missing where nothing keeps commands of a worker from changing what is read-only.
const NOT_KEPT: &str =
    "a sandbox for `shell`, for some mounts are read-only: the profile's is `none`, which holds nothing";
/// The same for the setups of its workspaces.
const SETUP_NOT_KEPT: &str = "a sandbox for the workspace's setup, for some mounts are read-only: the profile's is `none`, which holds nothing";
/// What is missing where a setup has to be held, and cannot.
const SETUP_NOT_HELD: &str =
    "Landlock (Linux 6.2 or later, switched on) for the workspace's setup, which the sandbox holds";
/// What is missing where a backend knows of one directory only.
const ONE_DIRECTORY: &str = "a backend that gives its workers further directories: this one knows of one";

/// What a worker is to have, or any worker of a profile.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    profile: &'a Profile,
    capabilities: &'a BTreeSet<Capability>,
    /// Whether it has directories besides its working directory.
    has_roots: bool,
    /// Whether some of those are read-only.
    read_only: bool,
    /// Whether a command prepares a worktree of its.
    has_setup: bool,
}

impl<'a> Asked<'a> {
    /// A worker that may do all that its profile allows, in one directory.
    pub(super) fn of(profile: &'a Profile) -> Self {
        Self {
            profile,
            capabilities: &profile.capabilities,
            has_roots: false,
            read_only: false,
            has_setup: false,
        }
    }

    fn worker(Resolved { spec, wanted }: &'a Resolved) -> Self {
        Self {
            profile: &spec.profile,
            capabilities: &spec.capabilities,
            has_roots: wanted.len() > 1 || !spec.mounts.is_empty(),
            read_only: spec.has_read_only_mounts(),
            has_setup: wanted.iter().any(Wanted::has_setup),
        }
    }

    /// What has to be looked for before there can be such a worker.
    pub(super) fn needs(self, catalog: &Catalog) -> impl Iterator<Item = Subject> + use<'a> {
        let takes_tools = backend(catalog, self.profile).capabilities().tools;
        let sandbox = mount::sandbox(self.profile.sandbox, self.read_only);
        let tools = self.capabilities.iter().filter_map(move |capability| match capability {
            _ if takes_tools => Some(Subject::Tools(capability.clone(), sandbox)),
            Capability::Mcp(server) => {
                Some(Subject::Server { backend: self.profile.backend.clone(), server: server.clone() })
            }
            Capability::Read | Capability::Write | Capability::Shell | Capability::Network => None,
        });
        [Subject::Backend(self.profile.backend.clone())].into_iter().chain(tools)
    }

    /// What is missing, by name, when this was found.
    pub(super) fn missing(self, catalog: &Catalog, found: &Missing) -> Vec<String> {
        let Self { profile, capabilities, has_roots, read_only, has_setup } = self;
        let backend = backend(catalog, profile);
        let can = backend.capabilities();
        let looked_for = self.needs(catalog).flat_map(|subject| found[&subject].clone());
        let wanted = musher_backend::Wanted {
            model: profile.model.as_deref(),
            cost_limit: profile.limits.cost_usd.is_some(),
            capabilities,
            options: &profile.options,
            read_only,
        };
        let holds_nothing = profile.sandbox == Sandbox::None;
        let has_shell = capabilities.contains(&Capability::Shell);
        let demands = mount::sandbox(profile.sandbox, read_only) == Sandbox::Landlock;
        let lacks = [
            (!can.tools && profile.sandbox == Sandbox::Landlock).then_some(NOT_HELD),
            (!can.tools && has_roots && !can.roots).then_some(ONE_DIRECTORY),
            (can.tools && read_only && has_shell && holds_nothing).then_some(NOT_KEPT),
            (has_setup && read_only && holds_nothing).then_some(SETUP_NOT_KEPT),
            (has_setup && demands && !Confinement::is_available()).then_some(SETUP_NOT_HELD),
        ];
        let lacks = lacks.into_iter().flatten().map(str::to_owned);
        looked_for.chain(backend.missing(&wanted)).chain(lacks).collect()
    }
}

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
            let Capabilities { steer, resume, tools, history: _, roots: _, tool_limit: _ } =
                backend.capabilities();
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
        let needed = catalog.profiles.values().flat_map(|profile| Asked::of(profile).needs(catalog));
        let found = self.0.looks.look(catalog, needed.collect()).await;
        let profiles = catalog.profiles.iter().map(|(name, profile)| {
            let missing = Asked::of(profile).missing(catalog, &found);
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
    pub(super) async fn missing(&self, resolved: &Resolved) -> Vec<String> {
        let (catalog, asked) = (&self.0.catalog, Asked::worker(resolved));
        let found = self.0.looks.look(catalog, asked.needs(catalog).collect()).await;
        asked.missing(catalog, &found)
    }
}

fn backend<'a>(catalog: &'a Catalog, profile: &Profile) -> &'a Arc<dyn Backend> {
    catalog.backends.get(&profile.backend).expect("the builder checked every profile's backend")
}

fn shown(sandbox: Sandbox) -> SandboxMode {
    match sandbox {
        Sandbox::Auto => SandboxMode::Auto,
        Sandbox::Landlock => SandboxMode::Landlock,
        Sandbox::None => SandboxMode::None,
    }
}
