//! The trait.

use std::{collections::BTreeSet, fmt, io, time::Duration};

use async_trait::async_trait;
use musher_protocol::{Capability, WorkerId};
use serde_json::{Map, Value};

use crate::{BackendError, Launch, Link, Root, SessionOutcome};

/// Executes workers of one kind.
#[async_trait]
pub trait Backend: fmt::Debug + Send + Sync + 'static {
    /// What kind of backend it is, e.g. `claude-pty`: the same for all of its kind, under whatever names profiles know
    /// them.
    fn kind(&self) -> &str;

    /// What this backend can do; the runtime asks once for each session.
    fn capabilities(&self) -> Capabilities;

    /// Whether a session could be started right now, and what is missing when it could not.
    ///
    /// Must be cheap and must not start anything: it is asked at every create, and whenever somebody wants to know what
    /// can run here. Whoever asks waits for 5 s, and is told then that there was no answer. Looks at files belong on a
    /// thread for blocking work.
    async fn availability(&self) -> Availability;

    /// What is missing for sessions like this, by name: not on this host, which [`Backend::availability`] tells, but
    /// anywhere, such as the price of a model whose costs are limited. Asked at every create.
    fn missing(&self, wanted: &Wanted<'_>) -> Vec<String>;

    /// What a directory lacks to be one of [`Launch::roots`], without its path. Asked at every create about each that the
    /// worker has got, of a backend that brings its own tools and gives its workers directories
    /// ([`Capabilities::roots`]). Where it is not said, any directory will do.
    fn lacking(&self, _root: &Root) -> Option<String> {
        None
    }

    /// What is missing for the tools of a server, which a worker with the capability `mcp:<server>` is to have. Asked of a
    /// backend that brings its own tools ([`Capabilities::tools`] is false), at every create; bounded as
    /// [`Backend::availability`] is, and to the same rules.
    ///
    /// Unless a backend says otherwise it reaches no server: the tools of the runtime are none of its.
    async fn server_missing(&self, server: &str) -> Option<String> {
        Some(format!("a way to the tools of `mcp:{server}`: this backend calls none of the runtime's"))
    }

    /// Runs one session to its end; the front page of the crate says how.
    ///
    /// The runtime drops the future only as the last resort; what it started must then be killed at once.
    ///
    /// # Errors
    ///
    /// When the session failed in a way that has no [`SessionOutcome`].
    async fn run(&self, launch: Launch, link: Link) -> Result<SessionOutcome, BackendError>;

    /// Removes what this backend has of a worker beside [`Link::keep`], such as recordings: the worker was deleted. The
    /// runtime asks all its backends, also of workers that others ran, and removes itself what it gave a session.
    ///
    /// # Errors
    ///
    /// When something is left. The worker is deleted all the same, and nobody asks again.
    async fn forget(&self, worker: &WorkerId) -> io::Result<()> {
        let _nothing_is_kept_by_default = worker;
        Ok(())
    }
}

/// What a backend can do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// Takes [`crate::Command::Steer`]: an input that joins the running turn.
    pub steer: bool,
    /// Continues a session of an earlier life: [`Launch::resume`].
    pub resume: bool,
    /// Goes on from [`Launch::history`] and [`Launch::kept`], because its vendor remembers nothing.
    pub history: bool,
    /// Calls the tools of [`Launch::tools`]; a backend without this brings its own.
    pub tools: bool,
    /// Gives its workers the directories of [`Launch::roots`], and says in [`Backend::missing`] where it cannot keep them
    /// from changing those that are read-only. Asked only of a backend that brings its own tools.
    pub roots: bool,
    /// Ends each tool call by itself after this long. While a call is open the runtime's inactivity limit is
    /// longer by that much; `None` where tools have no limit of their own.
    pub tool_limit: Option<Duration>,
}

/// What a session is to have that not every backend can give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted<'a> {
    /// The model that is asked for; the backend's default when absent.
    pub model: Option<&'a str>,
    /// Whether its costs are limited: then [`crate::Event::Usage`] has to tell them.
    pub cost_limit: bool,
    /// What the worker may do.
    pub capabilities: &'a BTreeSet<Capability>,
    /// What the profile says to this backend alone ([`Launch::options`]).
    pub options: &'a Map<String, Value>,
    /// Whether some of [`Launch::roots`] are read-only.
    pub read_only: bool,
}

impl<'a> Wanted<'a> {
    /// A session of the backend's own model, without limits or further directories.
    #[must_use]
    pub fn new(capabilities: &'a BTreeSet<Capability>, options: &'a Map<String, Value>) -> Self {
        Self { model: None, cost_limit: false, capabilities, options, read_only: false }
    }
}

/// Whether a session could be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Availability {
    /// It could.
    Ready,
    /// It could not, because these are missing: programs, variables and files by name, for a person.
    Missing(Vec<String>),
}
