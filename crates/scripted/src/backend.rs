//! The backend itself.

use musher_backend::{
    Availability, Backend, BackendError, Capabilities, Launch, Link, SessionOutcome, Wanted, async_trait,
};

use crate::{Script, session};

/// The backend `scripted`: always available, runs no model.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scripted;

#[async_trait]
impl Backend for Scripted {
    fn kind(&self) -> &str {
        "scripted"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            steer: false,
            resume: false,
            history: false,
            tools: false,
            roots: true,
            tool_limit: None,
        }
    }

    async fn availability(&self) -> Availability {
        Availability::Ready
    }

    fn missing(&self, _: &Wanted<'_>) -> Vec<String> {
        // What a session costs is what its script says.
        Vec::new()
    }

    async fn run(&self, launch: Launch, mut link: Link) -> Result<SessionOutcome, BackendError> {
        let script = Script::from_options(&launch.options).map_err(|error| {
            BackendError::new("script_invalid", "failed to read the worker's script", error)
        })?;
        // Closed: the runtime let go, so nobody reads this outcome, and there is nothing to clean up.
        Ok(session::run(&script, &mut link).await.unwrap_or_else(|_closed| SessionOutcome::crashed()))
    }
}
