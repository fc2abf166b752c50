//! REST, server-sent events and WebSocket over a [`Runtime`](musher_core::Runtime) that is already built.
//!
//! Invariant: nothing here decides what a worker does; a request is checked, asked of the runtime, and answered.
//! Invariant: [`ROUTES`](musher_protocol::route::ROUTES) is the only list of routes, scopes and methods.
//! Invariant: the walls (Host, Origin, content type) stand before every route, unknown ones and probes included,
//! and no answer ever carries a CORS header.
//! Invariant: every answer that the router gives to a failure is an
//! [`ErrorReply`](musher_protocol::ErrorReply); only what the HTTP parser refuses is bare.
//! Invariant: what a caller sees of workers is decided in `view` alone; no route finds a worker in another way.
//! Invariant: nothing that waits or streams outlives the token that it was asked with.
//! Invariant: whatever a client does, slowly or never, it holds a bounded amount of memory for a bounded time.
//!
//! The order in which a request is checked: walls, token, scope, query and JSON, content, look-up, state.
//!
//! Three ways in: [`HttpServer`] binds and serves; [`serve`] takes a listener of one's own; [`router`] is for a
//! server of one's own, which must then bound heads, connections and writes itself.
//!
//! ```
//! use musher_core::{MemoryStore, Profile, Runtime};
//! use musher_http::{HttpOptions, HttpServer};
//! use musher_scripted::Scripted;
//! use tokio::{io::{AsyncReadExt, AsyncWriteExt}, net::TcpStream, sync::oneshot};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let runtime = Runtime::builder(MemoryStore::new())
//!     .backend("scripted", Scripted)
//!     .profile("echo", Profile::of("scripted"))
//!     .start()
//!     .await?;
//! let server = HttpServer::bind(runtime, HttpOptions::with_token(&"a secret".into())).await?;
//! let address = server.local_addr();
//!
//! let (stop, stopped) = oneshot::channel::<()>();
//! let client = async {
//!     let mut socket = TcpStream::connect(address).await?;
//!     let request = "GET /v1/runtime HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer a secret\r\n\
//!         Connection: close\r\n\r\n";
//!     socket.write_all(request.as_bytes()).await?;
//!     let mut reply = String::new();
//!     socket.read_to_string(&mut reply).await?;
//!     assert!(reply.starts_with("HTTP/1.1 200 OK\r\n"), "{reply}");
//!     drop(stop);
//!     Ok::<_, std::io::Error>(())
//! };
//! let (served, asked) = tokio::join!(server.serve(async { drop(stopped.await) }), client);
//! served?;
//! asked?;
//! # Ok(())
//! # }
//! ```

mod options;
mod server;
mod token;
mod tokens;
mod view;

mod router;

mod call;
mod routes;

mod farewell;
mod socket;
mod sse;

mod enclose;
mod host;
mod walls;

mod body;
mod fault;
mod key;
mod metrics;
mod query;
mod range;
mod reply;
mod wording;

mod accept;
mod ending;
mod link;

pub use self::{
    host::{AllowedHost, HostError},
    options::{Access, Bounds, HttpOptions},
    router::router,
    server::{HttpServer, ServeError, serve},
    token::{Token, TokenScope},
    tokens::Tokens,
};
