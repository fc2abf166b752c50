//! The backend at a fake server, which holds its requests against the vendor's schema.

mod conformance;
mod failures;
mod history;
mod shortening;
mod stage;
mod turns;
