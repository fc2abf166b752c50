//! Looks for what workers need: programs, variables, a sandbox. Each is bounded in time, and things are looked for side
//! by side.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::future::join_all;
use musher_backend::{Availability, Sandbox};
use musher_protocol::Capability;
use tokio::{
    sync::{Mutex as Turn, oneshot},
    task::{self, JoinSet},
    time::{self, Instant},
};

use crate::builder::Catalog;

/// A program is found in milliseconds. What takes longer than this waits for a disk or a network that does not answer,
/// and whoever asked should hear of that.
const LIMIT: Duration = Duration::from_secs(5);

/// What is looked for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Subject {
    /// What a backend of this name needs.
    Backend(String),
    /// What tools of this capability need, held by this sandbox.
    Tools(Capability, Sandbox),
    /// What a backend of this name, which brings its own tools, needs for those of a server.
    Server {
        /// The backend.
        backend: String,
        /// The server.
        server: String,
    },
}

/// What was found to be missing, by name. What was looked for and is there has nothing missing.
pub(crate) type Missing = BTreeMap<Subject, Vec<String>>;

/// The last look at a subject, which whoever asked before it began can share.
#[derive(Debug)]
struct Look {
    begun: Instant,
    missing: Vec<String>,
}

/// Who looks. One look at a time at each subject: what hangs keeps one task, or one thread, however often is asked. All
/// who ask while one is under way share the next.
#[derive(Debug, Default)]
pub(crate) struct Looks {
    /// Whose turn it is, and the last look. There are as many subjects as the catalog names. Protects the map for single
    /// look-ups and inserts.
    turns: Mutex<BTreeMap<Subject, Arc<Turn<Option<Look>>>>>,
    /// Looks go on when nobody waits for them any more, for what a thread does cannot be taken back. Protects the set while
    /// a look is added.
    tasks: Mutex<JoinSet<()>>,
}

impl Looks {
    /// Looks for all of these, side by side; there is an answer for each when [`LIMIT`] is over. Cancel safe.
    pub(crate) async fn look(&self, catalog: &Catalog, subjects: BTreeSet<Subject>) -> Missing {
        let looks = subjects.into_iter().map(async |subject| {
            let missing = match &subject {
                Subject::Backend(name) => {
                    let backend = catalog.backends.get(name).expect("subjects are of the catalog").clone();
                    let look = async move {
                        match backend.availability().await {
                            Availability::Ready => Vec::new(),
                            Availability::Missing(missing) => missing,
                        }
                    };
                    self.bounded(&subject, look).await
                }
                Subject::Tools(capability, sandbox) => {
                    let (tools, capability, sandbox) = (catalog.tools.clone(), capability.clone(), *sandbox);
                    let look = async move {
                        let asked = task::spawn_blocking(move || tools.missing(&capability, sandbox));
                        asked.await.expect("a panic is one of this look").into_iter().collect()
                    };
                    self.bounded(&subject, look).await
                }
                Subject::Server { backend, server } => {
                    let backend = catalog.backends.get(backend).expect("subjects are of the catalog").clone();
                    let server = server.clone();
                    let look = async move { backend.server_missing(&server).await.into_iter().collect() };
                    self.bounded(&subject, look).await
                }
            };
            (subject, missing)
        });
        join_all(looks).await.into_iter().collect()
    }

    async fn bounded(
        &self,
        subject: &Subject,
        look: impl Future<Output = Vec<String>> + Send + 'static,
    ) -> Vec<String> {
        let turn = self.turn(subject);
        let asked = Instant::now();
        let answer = async {
            let mut last = turn.lock_owned().await;
            if let Some(last) = &*last
                && last.begun >= asked
            {
                return Ok(last.missing.clone());
            }
            let (tell, told) = oneshot::channel();
            let begun = Instant::now();
            self.spawn(async move {
                let missing = look.await;
                *last = Some(Look { begun, missing: missing.clone() });
                drop(last);
                // Whoever asked may have gone.
                drop(tell.send(missing));
            });
            told.await
        };
        match time::timeout(LIMIT, answer).await {
            Ok(Ok(missing)) => missing,
            // It panicked, which is in the program's log.
            Ok(Err(_)) => vec![format!("an answer about {subject}: the look failed")],
            Err(_) => {
                tracing::warn!(%subject, "what workers need is looked for, and there is no answer");
                vec![format!("an answer about {subject} within {} s", LIMIT.as_secs())]
            }
        }
    }

    fn turn(&self, subject: &Subject) -> Arc<Turn<Option<Look>>> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        match turns.get(subject) {
            Some(turn) => turn.clone(),
            None => turns.entry(subject.clone()).or_default().clone(),
        }
    }

    fn spawn(&self, look: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that have ended are taken out here, so that the set holds only what hangs.
        while let Some(ended) = tasks.try_join_next() {
            if let Err(error) = ended {
                tracing::error!(%error, "a look for what workers need panicked");
            }
        }
        tasks.spawn(look);
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Backend(name) => write!(f, "backend `{name}`"),
            Self::Tools(capability, _) => write!(f, "tools of `{capability}`"),
            Self::Server { backend, server } => {
                write!(f, "tools of `mcp:{server}` with backend `{backend}`")
            }
        }
    }
}
