//! What a create request comes to: checked, resolved, or refused by name.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use musher_protocol::{
    Actor, Capability, CapabilityRequest, CreateWorker, Delivery, InputId, InputKind, Intent, MountRef,
    ProfileSelector, ResumeRequest, WorkerId, WorkerLimits, WorkspaceRef,
    bounds::{MAX_DIRECTORIES, MAX_INPUT_BYTES, MAX_LABELS, MAX_LINE_BYTES},
};
use sha2::{Digest as _, Sha256};

use crate::{
    builder::Catalog,
    bundle::{Bundle, BundleError},
    error::Error,
    machine::NewInput,
    mount::{self, Mounted},
    profile::{Profile, WorkerSpec},
    wall::{Wall, stands},
    workspace::{self, Wanted},
};

/// The name under which every server has its default coding profile.
const BUILTIN_CODER: &str = "coder";

/// A worker that was asked for: all that is known of it before it has its workspaces, and those.
#[derive(Debug)]
pub(crate) struct Resolved {
    pub(crate) spec: WorkerSpec,
    pub(crate) wanted: Vec<Wanted>,
}

/// Resolves a request. Nothing is created and nothing is written.
pub(crate) fn resolve(
    catalog: &Catalog,
    request: CreateWorker,
    bundle: Option<&Bundle>,
    worker: &WorkerId,
) -> Result<Resolved, Error> {
    let (name, profile) = match bundle {
        Some(bundle) => of_bundle(catalog, bundle, request.profile)?,
        None => of_catalog(catalog, request.profile)?,
    };
    let capabilities = capabilities(&profile, request.requested_capabilities)?;
    let profile = limited(profile, request.limits)?;
    check_intent(&request.intent)?;
    if let Some(resume) = &request.resume {
        check_resume(catalog, &profile, resume)?;
    }
    if let Some(name) = &request.display_name {
        check_line("/display_name", name)?;
    }
    check_labels(&request.labels)?;
    let wanted = wanted(catalog, request.workspace_refs)?;
    let spec = WorkerSpec {
        intent: request.intent,
        profile_name: name,
        config_bundle: request.config_bundle,
        capabilities,
        profile,
        display_name: request.display_name,
        labels: request.labels,
        workspaces: Vec::new(),
        workplaces: Vec::new(),
        mounts: mounts(catalog, request.mount_refs)?,
        working_dir: catalog.scratch.join(worker.as_str()),
        on_idle: request.on_idle,
        resume: request.resume,
    };
    Ok(Resolved { spec, wanted })
}

/// The profile of the runtime that is meant, with its name.
fn of_catalog(catalog: &Catalog, selector: ProfileSelector) -> Result<(String, Profile), Error> {
    let name = match selector {
        ProfileSelector::RuntimeDefault {} => catalog.default_profile.clone(),
        ProfileSelector::Builtin { value } if value == BUILTIN_CODER => catalog.default_profile.clone(),
        ProfileSelector::Builtin { value } => return Err(Error::NoProfile(format!("builtin:{value}"))),
        ProfileSelector::Named { value } => value,
    };
    match catalog.profiles.get(&name) {
        Some(profile) => Ok((name, profile.clone())),
        None => Err(Error::NoProfile(name)),
    }
}

/// The profile of a bundle that is meant, with its name. The other selectors mean profiles of the runtime, which no
/// bundle declares.
fn of_bundle(
    catalog: &Catalog,
    bundle: &Bundle,
    selector: ProfileSelector,
) -> Result<(String, Profile), BundleError> {
    let ProfileSelector::Named { value: selector } = selector else { return Err(BundleError::NotNamed) };
    let id = bundle.summary.id.clone();
    match bundle.profile(catalog, &selector) {
        None => Err(BundleError::NoProfile { id, selector }),
        Some(Ok(profile)) => Ok((selector, profile)),
        Some(Err(missing)) => {
            let missing = bundle.unresolved(catalog).into_iter().chain([missing]).collect();
            Err(BundleError::Unavailable { id, selector, missing })
        }
    }
}

/// The workspaces that are meant.
fn wanted(catalog: &Catalog, refs: Vec<WorkspaceRef>) -> Result<Vec<Wanted>, Error> {
    const FIELD: &str = "/workspace_refs";
    check_names(FIELD, refs.iter().map(|wanted| (&*wanted.name, &*wanted.reference)))?;
    let wanted = refs.into_iter().map(|wanted| {
        let meant = workspace::wanted(|name| catalog.workspaces.get(name), wanted);
        meant.map_err(|message| Error::InvalidRequest { field: FIELD, message })
    });
    wanted.collect()
}

/// The mounts that are meant, where they are declared to be.
fn mounts(catalog: &Catalog, refs: Vec<MountRef>) -> Result<Vec<Mounted>, Error> {
    const FIELD: &str = "/mount_refs";
    check_names(FIELD, refs.iter().map(|wanted| (&*wanted.name, &*wanted.reference)))?;
    let mounts = refs.into_iter().map(|wanted| {
        let meant = mount::wanted(|name| catalog.mounts.get(name), wanted);
        meant.map_err(|message| Error::InvalidRequest { field: FIELD, message })
    });
    mounts.collect()
}

/// Checks the names that a request and the server have for directories: by either it is told which is which.
fn check_names<'a>(
    field: &'static str,
    names: impl Iterator<Item = (&'a str, &'a str)>,
) -> Result<(), Error> {
    let (mut taken, mut meant) = (BTreeSet::new(), BTreeSet::new());
    for (name, reference) in names {
        check_line(field, name)?;
        let message = if !taken.insert(name) {
            format!("two of them are called `{name}`")
        } else if !meant.insert(reference) {
            format!("two of them are `{reference}`")
        } else if taken.len() > MAX_DIRECTORIES {
            format!("at most {MAX_DIRECTORIES} of them")
        } else {
            continue;
        };
        return Err(Error::InvalidRequest { field, message });
    }
    Ok(())
}

/// What the worker may do: what was asked for, when the profile allows it.
fn capabilities(
    profile: &Profile,
    requested: Option<Vec<CapabilityRequest>>,
) -> Result<BTreeSet<Capability>, Error> {
    const FIELD: &str = "/requested_capabilities";
    let Some(requested) = requested else { return Ok(profile.capabilities.clone()) };
    let checked = requested.into_iter().map(|CapabilityRequest { name, reason }| {
        if let Some(reason) = &reason {
            check_line(FIELD, reason)?;
        }
        let capability = name
            .parse::<Capability>()
            .map_err(|error| Error::InvalidRequest { field: FIELD, message: error.to_string() })?;
        if profile.capabilities.contains(&capability) {
            Ok(capability)
        } else {
            let message = format!("the profile does not allow `{capability}`");
            Err(Error::Forbidden { field: FIELD, message })
        }
    });
    checked.collect()
}

/// A limit of nothing would be no worker.
pub(crate) fn check_positive(limits: &WorkerLimits) -> Result<(), Error> {
    limits.first_not_positive().map_or(Ok(()), |field| {
        Err(Error::InvalidRequest { field, message: "a limit is greater than 0".to_owned() })
    })
}

/// The profile with the limits that were asked for, each of them at most its own.
fn limited(profile: Profile, wanted: Option<WorkerLimits>) -> Result<Profile, Error> {
    let Some(wanted) = wanted else { return Ok(profile) };
    check_positive(&wanted)?;
    let allowed = profile.limits.shown();
    // Where the profile allows no background work, no time of it is short enough.
    let allowed = WorkerLimits { background_secs: allowed.background_secs.or(Some(0)), ..allowed };
    for ((field, wanted), (_, allowed)) in wanted.places().into_iter().zip(allowed.places()) {
        if let (Some(wanted), Some(allowed)) = (wanted, allowed)
            && wanted > allowed
        {
            return Err(Error::Forbidden { field, message: format!("the profile allows {allowed} at most") });
        }
    }
    Ok(Profile { limits: profile.limits.with(&wanted), ..profile })
}

fn check_resume(catalog: &Catalog, profile: &Profile, resume: &ResumeRequest) -> Result<(), Error> {
    let can = catalog.backends.get(&profile.backend).is_some_and(|backend| backend.capabilities().resume);
    if !can {
        let message = format!("backend `{}` cannot continue a session", profile.backend);
        return Err(Error::InvalidRequest { field: "/resume", message });
    }
    let field = "/resume/fresh_prompt";
    match &resume.fresh_prompt {
        Some(prompt) if prompt.trim().is_empty() => {
            Err(Error::InvalidRequest { field, message: "a prompt needs words".to_owned() })
        }
        Some(prompt) if prompt.len() > MAX_INPUT_BYTES => {
            let message = format!("a prompt has at most {MAX_INPUT_BYTES} bytes");
            Err(Error::InvalidRequest { field, message })
        }
        Some(_) | None => Ok(()),
    }
}

/// The inputs that a worker is created with: a task's objective, then the initial input.
pub(crate) fn first_inputs(
    request: &CreateWorker,
    worker: &WorkerId,
    by: &Actor,
) -> Result<Vec<NewInput>, Error> {
    let objective = match &request.intent {
        Intent::Task { objective } => Some(new_input(
            InputId::of_objective(worker),
            InputKind::User,
            objective.clone(),
            Delivery::Queue,
            by.clone(),
        )?),
        Intent::Assistant { .. } | Intent::Role { .. } => None,
    };
    let initial = request.initial_input.as_ref().map(|initial| {
        let input_id = initial.input_id.clone().unwrap_or_else(InputId::mint);
        if initial.content.trim().is_empty() {
            return Err(Error::InvalidRequest {
                field: "/initial_input/content",
                message: "an input needs words".to_owned(),
            });
        }
        new_input(input_id, initial.kind, initial.content.clone(), Delivery::Queue, by.clone())
    });
    let initial = initial.transpose()?;
    if let (Some(objective), Some(initial)) = (&objective, &initial)
        && objective.input_id == initial.input_id
    {
        let message = "the id of the objective is the worker's own".to_owned();
        return Err(Error::InvalidRequest { field: "/initial_input/input_id", message });
    }
    Ok(objective.into_iter().chain(initial).collect())
}

/// Checks an input, and computes what its id is bound to.
pub(crate) fn new_input(
    input_id: InputId,
    kind: InputKind,
    content: String,
    delivery: Delivery,
    by: Actor,
) -> Result<NewInput, Error> {
    if content.trim().is_empty() {
        return Err(Error::InvalidRequest { field: "/content", message: "an input needs words".to_owned() });
    }
    if content.len() > MAX_INPUT_BYTES {
        let message = format!("an input has at most {MAX_INPUT_BYTES} bytes");
        return Err(Error::InvalidRequest { field: "/content", message });
    }
    let mut digest = Sha256::new();
    digest.update([match kind {
        InputKind::User => 0,
        InputKind::System => 1,
    }]);
    digest.update(content.as_bytes());
    Ok(NewInput { input_id, kind, content, delivery, by, digest: digest.finalize().into() })
}

fn check_intent(intent: &Intent) -> Result<(), Error> {
    let empty = |field, what| Error::InvalidRequest { field, message: format!("{what} must not be empty") };
    match intent {
        Intent::Assistant { .. } => Ok(()),
        Intent::Task { objective } if objective.trim().is_empty() => {
            Err(empty("/intent/objective", "an objective"))
        }
        Intent::Role { role, .. } if role.trim().is_empty() => Err(empty("/intent/role", "a role")),
        Intent::Task { .. } | Intent::Role { .. } => Ok(()),
    }
}

fn check_labels(labels: &BTreeMap<String, String>) -> Result<(), Error> {
    if labels.len() > MAX_LABELS {
        return Err(Error::InvalidRequest {
            field: "/labels",
            message: format!("at most {MAX_LABELS} labels"),
        });
    }
    labels.iter().try_for_each(|(key, value)| {
        check_line("/labels", key)?;
        if value.is_empty() { Ok(()) } else { check_line("/labels", value) }
    })
}

/// Names go into tables, logs and terminals: one line, and nothing that steers a terminal.
pub(crate) fn check_line(field: &'static str, text: &str) -> Result<(), Error> {
    let fault = if text.trim().is_empty() {
        "must not be empty"
    } else if text.len() > MAX_LINE_BYTES {
        "is too long: at most 200 bytes"
    } else if text.chars().any(char::is_control) && stands(Wall::ControlCharacters) {
        "must not hold control characters"
    } else {
        return Ok(());
    };
    Err(Error::InvalidRequest { field, message: format!("the text {fault}") })
}

/// Makes the private scratch directory of a worker without a workspace.
pub(crate) fn make_scratch(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}
