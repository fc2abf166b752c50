//! A scripted fake of a vendor's model API, for tests of the backends that speak one.
//!
//! The test brings the script, a function from a request to its [`Answer`], and what the vendor would refuse, a
//! function from a request to violations. A request that is refused gets no scripted answer but a status of its own,
//! which fails every turn, and stays in [`ModelApi::violations`].

mod answer;
mod server;

use std::{fmt, time::Duration};

use serde_json::Value;
use tokio::{net::TcpListener, sync::watch, task::JoinSet, time::timeout};

pub use self::answer::Answer;

/// How long a wait for something that a backend does at once may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running fake; dropping it ends it.
#[derive(Debug)]
pub struct ModelApi {
    url: String,
    log: watch::Receiver<Log>,
    /// Only held: dropping the set ends the accept loop, and with it every connection.
    _server: JoinSet<()>,
}

/// A request.
#[derive(Clone, Debug, PartialEq)]
pub struct Received {
    /// Path and query.
    pub path: String,
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body; null when it is no JSON.
    pub body: Value,
}

impl Received {
    /// A header's value.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// What has happened so far.
#[derive(Debug, Default)]
struct Log {
    requests: Vec<Received>,
    violations: Vec<String>,
    /// Answers that the client did not wait for the end of.
    n_abandoned: usize,
}

/// What the vendor would refuse about a request.
type Check = dyn Fn(&Received) -> Vec<String> + Send + Sync;
/// How a request is answered, by its number, from 0.
type Script = dyn Fn(&Received, usize) -> Answer + Send + Sync;

/// What the test brings.
struct Part {
    check: Box<Check>,
    script: Box<Script>,
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Part").finish_non_exhaustive()
    }
}

impl ModelApi {
    /// Starts a fake on a free port of the loopback interface.
    ///
    /// # Panics
    ///
    /// When the machine has no free loopback port.
    pub async fn start(
        check: impl Fn(&Received) -> Vec<String> + Send + Sync + 'static,
        script: impl Fn(&Received, usize) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let (log, seen) = watch::channel(Log::default());
        let part = Part { check: Box::new(check), script: Box::new(script) };
        let mut server = JoinSet::new();
        server.spawn(server::serve(listener, part, log));
        Self { url: format!("http://{address}"), log: seen, _server: server }
    }

    /// The base URL.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// All requests so far, in the order in which their bodies were complete.
    #[must_use]
    pub fn requests(&self) -> Vec<Received> {
        self.log.borrow().requests.clone()
    }

    /// What requests did that the vendor would refuse, in order.
    #[must_use]
    pub fn violations(&self) -> Vec<String> {
        self.log.borrow().violations.clone()
    }

    /// Waits until so many requests have come.
    ///
    /// # Panics
    ///
    /// When they do not come within 30 s.
    pub async fn requested(&self, n_requests: usize) {
        self.wait_for("requests", |log| log.requests.len() >= n_requests).await;
    }

    /// Waits until so many answers were abandoned: their connections are closed before their end.
    ///
    /// # Panics
    ///
    /// When that does not happen within 30 s.
    pub async fn abandoned(&self, n_answers: usize) {
        self.wait_for("abandoned answers", |log| log.n_abandoned >= n_answers).await;
    }

    async fn wait_for(&self, what: &str, wanted: impl FnMut(&Log) -> bool) {
        let mut log = self.log.clone();
        let waited = timeout(PATIENCE, log.wait_for(wanted)).await;
        let has_come = matches!(waited, Ok(Ok(_)));
        assert!(has_come, "waited for {what}, saw {:#?}", self.requests());
    }
}
