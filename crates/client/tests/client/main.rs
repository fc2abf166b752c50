//! The client against a server that answers what a test says, over a real connection.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod fake;
mod following;
mod repeating;
mod routes;
