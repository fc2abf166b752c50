//! What the backends of these tests have in common: they are ready and miss nothing, so that only their sessions differ.

use std::fmt;

use musher_backend::{
    Availability, Backend, BackendError, Capabilities, Launch, Link, SessionOutcome, Wanted, async_trait,
};

/// How the sessions of a backend go.
#[async_trait]
pub(crate) trait Act: fmt::Debug + Send + Sync + 'static {
    /// What the sessions can do; nothing beyond a conversation unless this says so.
    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    /// What is missing for a server's tools; a way to them unless this says otherwise.
    fn server_missing(&self, server: &str) -> Option<String> {
        Some(format!("no way to `{server}`"))
    }

    async fn run(&self, launch: Launch, link: Link) -> Result<SessionOutcome, BackendError>;
}

/// A backend that can always run.
#[derive(Debug)]
pub(crate) struct Acting<A>(pub(crate) A);

#[async_trait]
impl<A: Act> Backend for Acting<A> {
    fn kind(&self) -> &str {
        "acting"
    }

    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    async fn availability(&self) -> Availability {
        Availability::Ready
    }

    fn missing(&self, _: &Wanted<'_>) -> Vec<String> {
        Vec::new()
    }

    async fn server_missing(&self, server: &str) -> Option<String> {
        self.0.server_missing(server)
    }

    async fn run(&self, launch: Launch, link: Link) -> Result<SessionOutcome, BackendError> {
        self.0.run(launch, link).await
    }
}
