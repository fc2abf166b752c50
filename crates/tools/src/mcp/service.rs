//! A service of the embedding program: a server without a process or a port.

use std::{any::Any, fmt, sync::Arc};

use musher_backend::async_trait;
use rmcp::{
    RoleServer, ServerHandler, ServiceExt,
    service::{RunningService, ServerInitializeError},
};
use tokio::io::DuplexStream;

/// As much as a pipe of the system holds: a writer waits for its reader beyond that.
const LINE: usize = 64 * 1024;

/// A service, whatever its type.
#[async_trait]
pub(crate) trait Service: Send + Sync {
    /// Serves one session, until what this returns is dropped.
    async fn serve(&self, line: DuplexStream) -> Result<Running, Error>;
}

/// A session that a service serves; dropping it ends that.
pub(crate) struct Running(#[expect(dead_code, reason = "held for its drop")] Box<dyn Any + Send + Sync>);

/// The service refused the session.
#[derive(Debug, thiserror::Error)]
#[error("shake hands")]
pub(crate) struct Error(#[source] Box<ServerInitializeError>);

/// One service for every session; what it holds is shared by all.
struct Shared<S>(Arc<S>);

#[async_trait]
impl<S: ServerHandler> Service for Shared<S> {
    async fn serve(&self, line: DuplexStream) -> Result<Running, Error> {
        let served: Result<RunningService<RoleServer, _>, _> = self.0.clone().serve(line).await;
        Ok(Running(Box::new(served.map_err(|error| Error(Box::new(error)))?)))
    }
}

/// Forgets the type of a service.
pub(crate) fn erase(service: impl ServerHandler) -> Arc<dyn Service> {
    Arc::new(Shared(Arc::new(service)))
}

/// A line between a client and a service in memory.
pub(super) fn line() -> (DuplexStream, DuplexStream) {
    tokio::io::duplex(LINE)
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Running")
    }
}
