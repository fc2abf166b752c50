//! A server: its listener, its serving, its end.

use std::{io, net::SocketAddr};

use musher_core::Runtime;
use tokio::net::TcpListener;

use crate::{accept, options::HttpOptions};

/// A server that listens. Clients can connect from here on; they are answered once it serves.
#[derive(Debug)]
pub struct HttpServer {
    runtime: Runtime,
    listener: TcpListener,
    address: SocketAddr,
    options: HttpOptions,
}

/// Why a server could not listen, or could not go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The address cannot be listened on.
    #[error("listen on {address}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The listener does not listen.
    #[error("accept connections")]
    Accept(#[source] io::Error),
}

impl HttpServer {
    /// Listens on [`HttpOptions::listen`].
    ///
    /// # Errors
    ///
    /// When the address is taken, or not of this machine.
    pub async fn bind(runtime: Runtime, options: HttpOptions) -> Result<Self, ServeError> {
        let bind_error = |source| ServeError::Bind { address: options.listen, source };
        let listener = TcpListener::bind(options.listen).await.map_err(bind_error)?;
        let address = listener.local_addr().map_err(bind_error)?;
        Ok(Self { runtime, listener, address, options })
    }

    /// Where it listens; the real port where port 0 was asked for.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// The runtime that it serves.
    #[must_use]
    pub fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// As [`serve`].
    ///
    /// # Errors
    ///
    /// As [`serve`].
    pub async fn serve(self, shutdown: impl Future<Output = ()>) -> Result<(), ServeError> {
        serve(self.runtime, self.listener, self.options, shutdown).await
    }
}

/// Serves a runtime on a listener until `shutdown` is ready, and then ends: no connection is accepted, requests
/// that only wait are answered, sockets are closed with 1001, and what is left after
/// [`Bounds::shutdown_timeout`](crate::Bounds::shutdown_timeout) is cut. The runtime itself goes on.
///
/// To end both, let `shutdown` follow [`Runtime::shutdown`]: until then `/readyz` says `draining`, sockets are
/// closed as soon as the runtime begins to end, and whoever waits for a stop gets its answer.
///
/// Dropped, it cuts everything at once. What the runtime was asked for goes on.
///
/// # Errors
///
/// When the listener does not listen. Whatever else goes wrong with a connection ends that connection.
pub async fn serve(
    runtime: Runtime,
    listener: TcpListener,
    options: HttpOptions,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    accept::run(runtime, listener, options, shutdown).await.map_err(ServeError::Accept)
}
