//! The Gemini API as a Musher backend.
//!
//! Invariant: the key is in the header `x-goog-api-key`, never in an address, which proxies log.
//! Invariant: a part with a thought's signature goes back as it came, unmerged and in its place.
//! Invariant: unknown parts, reasons and fields are no errors.
//!
//! It speaks `streamGenerateContent`. What knows that is one module behind the loop's [`Model`], beside which the
//! vendor's Interactions may come.
//!
//! The loop, its rules and its errors are those of [`musher_turn_loop`]. A session also fails with `model_missing` and
//! `options_invalid`. [`Launch::options`] may hold `thinking_level` and `max_output_tokens`.
//!
//! ```
//! use musher_backend::{Availability, Backend};
//! use musher_gemini_api::{GeminiApi, GeminiOptions};
//! use musher_turn_loop::ApiKey;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let key = ApiKey::from_environment(&["NO_SUCH_GEMINI_KEY"]);
//! let backend = GeminiApi::new(GeminiOptions::new(key)).expect("the machine can encrypt");
//! let missing = "variable `NO_SUCH_GEMINI_KEY`".to_owned();
//! assert_eq!(backend.availability().await, Availability::Missing(vec![missing]));
//! # }
//! ```
//!
//! [`Launch::options`]: musher_backend::Launch::options
//! [`Model`]: musher_turn_loop::Model

mod backend;
mod options;

mod generate;

mod complaint;

pub use self::{backend::GeminiApi, options::GeminiOptions};
