//! The place of a backend that is not there.

use musher_backend::{
    Availability, Backend, BackendError, Capabilities, Launch, Link, SessionOutcome, Wanted, async_trait,
};

/// A backend that a worker was created for and that the config no longer has. Its turns fail and say so.
#[derive(Debug)]
pub(crate) struct Absent {
    name: String,
}

impl Absent {
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.to_owned() }
    }
}

#[async_trait]
impl Backend for Absent {
    fn kind(&self) -> &str {
        &self.name
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    async fn availability(&self) -> Availability {
        Availability::Missing(vec![format!("a backend `{}` in the server's config", self.name)])
    }

    fn missing(&self, _: &Wanted<'_>) -> Vec<String> {
        Vec::new()
    }

    async fn run(&self, _launch: Launch, _link: Link) -> Result<SessionOutcome, BackendError> {
        let message = format!("the server's config has no backend `{}` any more", self.name);
        Err(BackendError { code: "backend_missing", message, source: None })
    }
}
