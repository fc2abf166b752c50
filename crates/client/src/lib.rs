//! A client of Musher: every route as a typed call, and event streams that go on by themselves.
//!
//! Invariant: a call that is repeated does nothing twice: it only reads or removes, or nothing was done yet, or it has a
//! key, one for all its attempts, by which the server knows it again.
//! Invariant: a stream gives each event once, in order and without a gap, or says why it cannot.
//! Invariant: the token is in no `Debug`, no error and no address.
//!
//! Streams are server-sent events rather than sockets: they pass every proxy that passes HTTP, a bad cursor is answered
//! with a status and a typed error, and a stream that goes on begins with the next event, not with a snapshot. Sockets
//! are there for whoever follows many workers on one connection: [`Client::observe_many`].
//!
//! ```no_run
//! use musher_client::{Client, Start};
//! use musher_protocol::{CreateWorker, Intent, Payload};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::from_env()?;
//! let intent = Intent::Task { objective: "fix the failing test".to_owned() };
//! let worker = client.create_worker(&CreateWorker::new(intent)).await?.worker_id;
//! let mut events = client.follow(&worker, Start::Beginning);
//! while let Some(event) = events.next().await? {
//!     if let Payload::TextDelta { text, .. } = event.payload {
//!         print!("{text}");
//!     }
//! }
//! # Ok(())
//! # }
//! ```

mod address;
mod approving;
mod builder;
mod calls;
mod client;
mod decoder;
mod error;
mod events;
mod follow;
mod order;
mod request;
mod retry;
mod socket;
mod tls;
mod token;
mod waiting;

pub use self::{
    approving::Whose,
    builder::{Builder, SetupError},
    client::Client,
    error::{Error, Refusal},
    events::{Events, Heard},
    follow::{FollowError, Following, Reconnect, Start},
    retry::Retry,
    socket::{Said, Socket, SocketEnd},
    token::TokenError,
    waiting::WaitError,
};
