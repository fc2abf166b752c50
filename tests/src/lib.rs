//! What black-box tests of the `musher` binary share: the built binary, its wire, the processes it leaves.
//!
//! Invariant: nothing here links a crate of the server; what is tested is the binary alone.
//! Invariant: a missing part fails a test and says how to get it; nothing is skipped.
//! Invariant: every wait is for something to happen, and ends by itself.
//!
//! Beside the tests there are [`torture`], long runs that `cargo xtask torture` starts, [`attack`], what `cargo xtask attack`
//! tries against a server, and [`mod@bench`], the figures of `cargo xtask bench`.

#![expect(clippy::missing_panics_doc, clippy::unwrap_used, reason = "a test that cannot go on has failed")]

pub mod attack;
pub mod bench;
mod client;
mod fleet;
mod kennel;
mod obedient;
mod parts;
mod process;
mod proxy;
mod server;
mod sse;
mod terminal;
pub mod torture;

pub use self::{
    client::{Answer, Broken, Client, Ended, Stream},
    fleet::Fleet,
    kennel::{ALLOW, ASK, Credential, DENY, Kennel, claude_config, types},
    obedient::{LOCAL_KEY, Obedient, call, local_home, shell, turn},
    parts::{Claude, binary, fake_claude, tickets},
    process::Process,
    proxy::{Proxy, Vice},
    server::{Finished, Home, Server, musher, musher_of},
    sse::Sse,
    terminal::Terminal,
};

use std::time::Duration;

/// Longer than anything takes on a busy machine with two cores; a test that waits this long has failed.
pub const PATIENCE: Duration = Duration::from_secs(60);
