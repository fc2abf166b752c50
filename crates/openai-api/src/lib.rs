//! The OpenAI API as a Musher backend, in both of its dialects: Responses, and Chat Completions, which everything else
//! speaks, too.
//!
//! Invariant: the dialect is configured, never guessed: no server can be asked.
//! Invariant: nothing is left with the vendor (`store: false`). Its items come back to it from our own log, reasoning
//! included, which only it can read.
//! Invariant: unknown events, items, fields and codes are no errors; servers differ in all of them.
//! Invariant: a field that a server refuses by name is left out from then on, in all sessions.
//!
//! The loop, its rules and its errors are those of [`musher_turn_loop`]. A session also fails with `model_missing` and
//! `options_invalid`. [`Launch::options`] may hold `reasoning_effort` and `max_output_tokens`.
//!
//! ```
//! use musher_backend::{Availability, Backend};
//! use musher_openai_api::{Dialect, OpenAiApi, OpenAiOptions};
//! use musher_turn_loop::ApiKey;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let mut options = OpenAiOptions::new("https://api.openai.com/v1");
//! assert_eq!(options.dialect, Dialect::Responses);
//! options.api_key = Some(ApiKey::from_environment(&["NO_SUCH_OPENAI_KEY"]));
//! let backend = OpenAiApi::new(options).expect("the machine can encrypt");
//! let missing = "variable `NO_SUCH_OPENAI_KEY`".to_owned();
//! assert_eq!(backend.availability().await, Availability::Missing(vec![missing]));
//! # }
//! ```
//!
//! [`Launch::options`]: musher_backend::Launch::options

mod backend;
mod options;

mod chat;
mod responses;

mod complaint;
mod endpoint;
mod wire;

pub use self::{
    backend::OpenAiApi,
    options::{Dialect, OpenAiOptions},
};
