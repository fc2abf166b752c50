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
    price::{PRICES_VERSION, is_priced, window},
    session::{Setup, TOOL_LIMIT, run},
    sse::{EventTooLarge, SseDecoder, SseEvent},
};
