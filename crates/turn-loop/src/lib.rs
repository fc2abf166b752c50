//! What the backends share whose loop is ours: model call, tools, approvals, repeat.
//!
//! A backend brings a [`Model`], which decides what is sent and what an answer means, and a [`Line`], over which it is
//! sent; [`run`] does the rest. Nothing here knows a vendor.
//!
//! Invariant: the vendor remembers nothing. Every request holds the whole conversation, so any session can be continued
//! by another one, of another model too.
//! Invariant: an answer counts only when the vendor has said that it is whole. Until then nothing of it runs; what was
//! shown of one that broke off is taken back with [`Event::Retrying`].
//! Invariant: the vendor's own items are kept verbatim, beside the event that they belong to, and go back in their
//! order to whom they came from, and to nobody else.
//! Invariant: arguments that are no JSON object are never mended; the model is told.
//! Invariant: a turn that is cut drops its connection at once. Tools are told, and have 3 s to say how far they came.
//! Invariant: a call without a result does not exist: what nobody saw end is closed as unknown.
//! Invariant: an API key is in a request's header, and nowhere else.
//!
//! # Errors
//!
//! A turn fails with `authentication_failed`, `context_overflow`, `empty_answer`, `empty_input`, `history_rejected`,
//! `invalid_request`, `malformed_tool_calls`, `model_not_found`, `overloaded`, `provider_error`,
//! `provider_unreachable`, `quota_exhausted` or `tool_loop`; the provider's own code is in the message. A session fails
//! with `resume_refused`.
//!
//! # Example
//!
//! A vendor whose answers are words and a full stop:
//!
//! ```no_run
//! use musher_backend::{BackendError, Launch, Link, SessionOutcome};
//! use musher_protocol::StopReason;
//! use musher_turn_loop::{
//!     Call, Complaint, Ending, Failure, Item, Line, Model, Output, Pace, Piece, Prompt, Reader, Refusal, Scope, Setup,
//!     SseEvent, run,
//! };
//! use serde_json::json;
//!
//! #[derive(Debug)]
//! struct Oracle(Scope);
//!
//! impl Model for Oracle {
//!     fn scope(&self) -> &Scope {
//!         &self.0
//!     }
//!
//!     fn call(&mut self, prompt: &Prompt<'_>) -> Call {
//!         let asked = prompt.items.iter().rev().find_map(|item| match item {
//!             Item::User { text } => Some(text),
//!             _ => None,
//!         });
//!         Call { url: format!("{}/ask", self.0.base_url), headers: Vec::new(), body: json!({"question": asked}) }
//!     }
//!
//!     fn reader(&self) -> Box<dyn Reader> {
//!         Box::new(Spoken::default())
//!     }
//!
//!     fn refused(&mut self, response: &Refusal) -> Failure {
//!         let (status, message) = (Some(response.status), response.body.clone());
//!         Failure::of(&Complaint { status, message, ..Complaint::default() })
//!     }
//! }
//!
//! #[derive(Debug, Default)]
//! struct Spoken(String);
//!
//! impl Reader for Spoken {
//!     fn event(&mut self, event: &SseEvent, pieces: &mut Vec<Piece>) -> Result<(), Failure> {
//!         self.0.push_str(&event.text);
//!         pieces.push(Piece::Text { slot: 0, text: event.text.clone() });
//!         Ok(())
//!     }
//!
//!     fn end(&mut self, pieces: &mut Vec<Piece>) -> Result<(), Failure> {
//!         if !self.0.ends_with('.') {
//!             return Err(Failure::broken("the oracle broke off"));
//!         }
//!         pieces.push(Piece::Whole { slot: 0, output: Output::Text(self.0.clone()), raw: Vec::new() });
//!         pieces.push(Piece::End(Ending::Stopped { reason: StopReason::EndTurn, vendor: None }));
//!         Ok(())
//!     }
//! }
//!
//! async fn session(launch: Launch, link: Link) -> Result<SessionOutcome, BackendError> {
//!     let base_url = "https://oracle.example".to_owned();
//!     let line = Line::new(&base_url, Pace::default()).expect("the machine can encrypt");
//!     let scope = Scope { provider: "oracle".to_owned(), base_url, model: "delphi".to_owned() };
//!     run(Setup { model: Box::new(Oracle(scope)), line, window: None }, launch, link).await
//! }
//! ```
//!
//! [`Event::Retrying`]: musher_backend::Event::Retrying

mod session;

mod item;
mod model;
mod options;

mod answer;
mod conversation;
mod repetition;
mod roster;
mod stage;

mod failure;
mod retry;

pub mod delay;
mod line;
mod price;
mod sse;

pub use self::{
    failure::{Complaint, Failure, FailureKind},
    item::{Item, Raw, Scope},
    line::{Line, LineError},
    model::{Call, Ending, Model, Output, Piece, Prompt, Reader, Refusal, Tokens},
    options::{ApiKey, Pace},
    price::{PRICES_VERSION, window},
    session::{CAPABILITIES, Setup, TOOL_LIMIT, missing, model_name, run},
    sse::{EventTooLarge, SseDecoder, SseEvent},
};
