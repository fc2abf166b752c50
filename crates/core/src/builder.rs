//! How a runtime is put together.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use musher_backend::{Backend, Tool, Toolbox, Vault};
use musher_process::{Owner, Scope, Sweep};
use musher_protocol::{ConfigDeclarationKind, ProfileSpec, RuntimeId, RuntimeLimits};
use tokio::{sync::watch, task::JoinSet};

use crate::{
    attention::Board,
    bundle::{SpecError, Specs},
    changes::Changes,
    diagnostics::Diagnostics,
    error::Error,
    idempotency,
    looks::Looks,
    mount::Mount,
    profile::Profile,
    retention::Retention,
    runtime::{Phase, Runtime, Shared, Turns},
    session::survivors,
    store::{NewLife, Store, StoreError},
    temporary::Temporary,
    tools::Tools,
    workspace::{Desk, Workspace},
};

/// How long processes of an earlier life may resist.
const SWEEP_LIMIT: Duration = Duration::from_secs(5);

/// The diagnostic of a runtime whose sessions cannot have temporary directories of their own.
const SHARED: &str = "runtime.temporary_shared";

/// What create requests are resolved against.
#[derive(Debug)]
pub(crate) struct Catalog {
    pub(crate) backends: BTreeMap<String, Arc<dyn Backend>>,
    pub(crate) tools: Tools,
    pub(crate) profiles: BTreeMap<String, Profile>,
    pub(crate) default_profile: String,
    pub(crate) workspaces: BTreeMap<String, Workspace>,
    pub(crate) mounts: BTreeMap<String, Mount>,
    pub(crate) scratch: PathBuf,
    /// Makes profiles of what config bundles say.
    pub(crate) specs: Specs,
    /// What declarations of config bundles may name, besides what the catalog has.
    pub(crate) grants: BTreeSet<(ConfigDeclarationKind, String)>,
    /// Where worktrees of workers have their places.
    pub(crate) worktrees: Option<PathBuf>,
}

/// Puts a [`Runtime`] together.
#[derive(Debug)]
pub struct Builder {
    store: Arc<dyn Store>,
    runtime_id: RuntimeId,
    display_name: String,
    owner: Owner,
    catalog: Catalog,
    limits: RuntimeLimits,
    retention: Retention,
    max_keys: u64,
    vault: Arc<Vault>,
}

/// Why a runtime does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The default profile is not among the profiles.
    #[error("no profile `{0}`, which is to be the default")]
    NoDefaultProfile(String),
    /// A profile names a backend that was not given.
    #[error("profile `{profile}` names backend `{backend}`, which was not given")]
    NoBackend {
        /// The profile.
        profile: String,
        /// The backend.
        backend: String,
    },
    /// Two tools of the program have the same name: a model could not tell them apart.
    #[error("two tools are called `{0}`")]
    ToolNameTaken(String),
    /// The store cannot be begun with.
    #[error("begin to work on the store")]
    Begin(#[source] StoreError),
    /// What an earlier life left could not be ended or gone on with.
    #[error("recover the workers of an earlier life")]
    Recover(#[source] Error),
}

impl Builder {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        let runtime_id = RuntimeId::mint();
        let owner = Owner::new(runtime_id.as_str()).expect("a minted id is an owner");
        Self {
            store,
            display_name: "musher".to_owned(),
            owner,
            runtime_id,
            catalog: Catalog {
                backends: BTreeMap::new(),
                tools: Tools::default(),
                profiles: BTreeMap::new(),
                default_profile: String::new(),
                workspaces: BTreeMap::new(),
                mounts: BTreeMap::new(),
                scratch: std::env::temp_dir().join("musher-scratch"),
                specs: Specs::default(),
                grants: BTreeSet::new(),
                worktrees: None,
            },
            limits: RuntimeLimits { max_transcript_projection_items: 256, max_event_batch_items: 256 },
            retention: Retention::default(),
            max_keys: idempotency::MOST,
            vault: Arc::default(),
        }
    }

    /// The runtime's id in a store that has none yet; minted when not given.
    #[must_use]
    pub fn runtime_id(mut self, id: RuntimeId) -> Self {
        self.runtime_id = id;
        self
    }

    /// A name for people.
    #[must_use]
    pub fn display_name(mut self, name: impl Into<String>) -> Self {
        self.display_name = name.into();
        self
    }

    /// Whose processes the workers' are: the first half of their marker. Give the same to a
    /// [`musher_process::Guard`]. Made of the runtime's minted id when not given.
    #[must_use]
    pub fn owner(mut self, owner: Owner) -> Self {
        self.owner = owner;
        self
    }

    /// A backend, under the name that profiles know it by.
    #[must_use]
    pub fn backend(mut self, name: impl Into<String>, backend: impl Backend) -> Self {
        self.catalog.backends.insert(name.into(), Arc::new(backend));
        self
    }

    /// Where the tools of workers come from whose backend calls tools of ours; without one such workers have the
    /// program's own ([`Builder::tool`]), or only talk.
    #[must_use]
    pub fn toolbox(mut self, toolbox: impl Toolbox) -> Self {
        self.catalog.tools.toolbox = Some(Arc::new(toolbox));
        self
    }

    /// A tool of this program, for workers that have its capability and whose backend calls tools of ours: beside what
    /// the toolbox gives, and in place of a tool of the toolbox with the same name, which the session's log then says.
    /// Leave is asked before each call as for every tool, unless it only looks. All sessions share it. It runs in the
    /// program, so a profile's sandbox does not hold it.
    ///
    /// A capability `mcp:<name>` is there when a tool has it: no MCP server of that name is needed.
    ///
    /// ```
    /// use musher_backend::{Tool, ToolCall, ToolOutput, ToolSpec, async_trait};
    /// use musher_core::{MemoryStore, Runtime};
    /// use musher_protocol::Capability;
    /// use serde_json::json;
    /// use std::{sync::Arc, time::Duration};
    ///
    /// /// Takes orders of the shop that this program is.
    /// #[derive(Debug)]
    /// struct Order(ToolSpec);
    ///
    /// impl Order {
    ///     fn new() -> Self {
    ///         Self(ToolSpec {
    ///             name: "shop__order".to_owned(),
    ///             description: "Orders an article for the customer who is talking.".to_owned(),
    ///             input_schema: json!({
    ///                 "type": "object",
    ///                 "properties": {"article": {"type": "string"}},
    ///                 "required": ["article"],
    ///             }),
    ///             capability: Capability::Mcp("shop".to_owned()),
    ///             is_read_only: false,
    ///             limit: Duration::from_secs(10),
    ///         })
    ///     }
    /// }
    ///
    /// #[async_trait]
    /// impl Tool for Order {
    ///     fn spec(&self) -> &ToolSpec {
    ///         &self.0
    ///     }
    ///
    ///     async fn call(&self, call: ToolCall) -> ToolOutput {
    ///         match call.input["article"].as_str() {
    ///             Some(article) => ToolOutput::ok(format!("ordered: {article}")),
    ///             None => ToolOutput::error("`article` is missing"),
    ///         }
    ///     }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let builder = Runtime::builder(MemoryStore::new()).tool(Arc::new(Order::new()));
    /// // …and a backend that calls tools, with a profile that has the capability `mcp:shop`.
    /// let runtime = builder.start().await?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn tool(mut self, tool: Arc<dyn Tool>) -> Self {
        self.catalog.tools.own.push(tool);
        self
    }

    /// A profile. The first one is the default until [`Builder::default_profile`] names another.
    #[must_use]
    pub fn profile(mut self, name: impl Into<String>, profile: Profile) -> Self {
        let name = name.into();
        if self.catalog.default_profile.is_empty() {
            self.catalog.default_profile.clone_from(&name);
        }
        self.catalog.profiles.insert(name, profile);
        self
    }

    /// The profile of requests that name none, and of `builtin:coder`.
    #[must_use]
    pub fn default_profile(mut self, name: impl Into<String>) -> Self {
        self.catalog.default_profile = name.into();
        self
    }

    /// Makes profiles of what config bundles say. Without it a bundle can only name profiles of the runtime's own.
    ///
    /// It is asked when a bundle is stored, when its availability is asked for, and for each create; it should not block.
    #[must_use]
    pub fn profile_specs(
        mut self,
        resolve: impl Fn(&ProfileSpec) -> Result<Profile, SpecError> + Send + Sync + 'static,
    ) -> Self {
        self.catalog.specs = Specs(Arc::new(resolve));
        self
    }

    /// Something that declarations of config bundles may refer to, besides the runtime's backends, workspaces and mounts
    /// and the servers that its own tools are of.
    #[must_use]
    pub fn grant(mut self, kind: ConfigDeclarationKind, reference: impl Into<String>) -> Self {
        self.catalog.grants.insert((kind, reference.into()));
        self
    }

    /// A directory that workers may be created in; a path is one that they work in themselves: absolute, and there.
    #[must_use]
    pub fn workspace(mut self, name: impl Into<String>, workspace: impl Into<Workspace>) -> Self {
        self.catalog.workspaces.insert(name.into(), workspace.into());
        self
    }

    /// A directory that workers may be given besides; a path is one that they may look at: absolute, and there.
    #[must_use]
    pub fn mount(mut self, name: impl Into<String>, mount: impl Into<Mount>) -> Self {
        self.catalog.mounts.insert(name.into(), mount.into());
        self
    }

    /// Where worktrees of workers have their places: a directory that lasts as long as the store, and is this runtime's
    /// alone; made when first needed. Without it no worker can have one.
    #[must_use]
    pub fn worktrees(mut self, path: PathBuf) -> Self {
        self.catalog.worktrees = Some(path);
        self
    }

    /// Where workers without a workspace get a private directory each, and every session one for its temporary files;
    /// made when first needed.
    #[must_use]
    pub fn scratch(mut self, path: PathBuf) -> Self {
        self.catalog.scratch = path;
        self
    }

    /// The largest pages.
    #[must_use]
    pub fn limits(mut self, limits: RuntimeLimits) -> Self {
        self.limits = limits;
        self
    }

    /// How long logs are kept.
    #[must_use]
    pub fn retention(mut self, retention: Retention) -> Self {
        self.retention = retention;
        self
    }

    /// How many idempotency keys of one token are remembered, 1,000,000 when not given. A token that has so many gets
    /// [`Error::ManyKeys`] until the first of them is a day old, but for what ends a turn, a worker or a question, and
    /// [`Error::LargeKeys`] where what came of the requests has more than 1 KiB for each of so many.
    #[must_use]
    pub fn max_keys_per_token(mut self, most: u64) -> Self {
        self.max_keys = most;
        self
    }

    /// Secrets that no event of a worker may show, also those that become known later: a name stands in the place of each.
    #[must_use]
    pub fn vault(mut self, vault: Arc<Vault>) -> Self {
        self.vault = vault;
        self
    }

    /// The runtime. What an earlier life of the store left is made true first: its processes are ended, its open turns
    /// are closed as cut off, and what its workers' profiles say about that has begun.
    ///
    /// A worker whose log is damaged is left as it is, and named in the runtime's diagnostics.
    ///
    /// # Errors
    ///
    /// When a name leads nowhere, or the store cannot be read or written.
    pub async fn start(self) -> Result<Runtime, StartError> {
        let Self { store, runtime_id, display_name, owner, catalog, limits, retention, max_keys, vault } =
            self;
        for (name, profile) in &catalog.profiles {
            if !catalog.backends.contains_key(&profile.backend) {
                return Err(StartError::NoBackend {
                    profile: name.clone(),
                    backend: profile.backend.clone(),
                });
            }
        }
        if let Some(name) = catalog.tools.doubled_name() {
            return Err(StartError::ToolNameTaken(name.to_owned()));
        }
        let default = &catalog.default_profile;
        if !default.is_empty() && !catalog.profiles.contains_key(default) {
            return Err(StartError::NoDefaultProfile(default.clone()));
        }
        let new_life = NewLife { runtime_id, owner: owner.as_str().to_owned() };
        let life = store.begin(new_life).await.map_err(StartError::Begin)?;
        let left_behind = end_processes_of(life.previous_owner).await;
        let diagnostics = Diagnostics::default();
        let temporary = temporary(&catalog.scratch, &life.runtime_id, &owner, &diagnostics).await;
        let worktrees = catalog.worktrees.clone();
        let runtime = Runtime::new(Shared {
            runtime_id: life.runtime_id,
            display_name,
            desk: Desk {
                owner: owner.clone(),
                temporary: temporary.clone(),
                worktrees,
                removals: Default::default(),
            },
            owner,
            health: store.health(),
            store,
            catalog,
            limits,
            retention,
            max_keys,
            vault,
            diagnostics: Arc::new(diagnostics),
            board: Board::new(),
            changes: Changes::new(),
            damaged: Mutex::default(),
            left_behind,
            temporary,
            looks: Looks::default(),
            comparing: Turns::default(),
            figures: Arc::default(),
            phase: watch::Sender::new(Phase::Running),
            workers: Mutex::new(HashMap::new()),
            keys_in_flight: Mutex::new(HashSet::new()),
            tasks: Mutex::new(JoinSet::new()),
        });
        runtime.tidy_worktrees().await.map_err(StartError::Recover)?;
        runtime.recover().await.map_err(StartError::Recover)?;
        runtime.recall_needs().map_err(StartError::Recover)?;
        runtime.keep_house().map_err(StartError::Recover)?;
        Ok(runtime)
    }
}

/// The place for temporary directories, without those of earlier lives.
async fn temporary(
    scratch: &Path,
    runtime_id: &RuntimeId,
    owner: &Owner,
    diagnostics: &Diagnostics,
) -> Option<Arc<Temporary>> {
    let temporary = match Temporary::below(scratch, runtime_id.clone(), owner.clone()) {
        Ok(temporary) => temporary,
        Err(error) => {
            let message = format!("sessions share the host's temporary directory: {error}");
            diagnostics.report(SHARED, message, None);
            return None;
        }
    };
    temporary.remove_left_behind().await;
    match temporary.check_length() {
        Ok(()) => Some(Arc::new(temporary)),
        Err(error) => {
            diagnostics.report(SHARED, error.to_string(), None);
            None
        }
    }
}

/// Ends what a life that is gone left running. Its owner, when something of it is still there.
async fn end_processes_of(owner: Option<String>) -> Option<Owner> {
    let owner = Owner::new(owner?).ok()?;
    let scope = Scope::Owner(owner.clone());
    let left = survivors(Sweep { scope, root: None, grace: Duration::ZERO, limit: SWEEP_LIMIT }).await;
    if left.is_empty() {
        return None;
    }
    tracing::error!(?left, "processes of an earlier life could not be ended");
    Some(owner)
}
