//! What tests of Musher stand on: fakes at the edge of the network and of processes, and the suites every backend and
//! store must pass.
//!
//! Invariant: a fake speaks the real protocol over a real socket; no product code knows that it
//! is being tested.
//! Invariant: a fake checks what it receives and keeps every violation; a test ends by asserting
//! that there are none.
//! Invariant: nothing here sleeps to let something happen. A wait is for an event, or for what can only be looked at again,
//! and bounded.
//! Invariant: dropping a fake ends its tasks and closes its connections.
//!
//! ```
//! use musher_testkit::messages_api::MessagesApi;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let api = MessagesApi::start().await;
//! // A program under test gets `api.url()` and `api.api_key()`, and then a prompt that says what
//! // the model shall do, such as `@@bash:touch made@@`.
//! assert!(api.url().starts_with("http://127.0.0.1:"));
//! assert_eq!(api.violations(), []);
//! # }
//! ```

pub mod apart;
pub mod backend_suite;
pub mod cassette;
mod eventually;
pub mod fake_claude;
pub mod messages_api;
pub mod program;
pub mod repository;
pub mod store_suite;
pub mod tickets;

pub use self::eventually::eventually;
