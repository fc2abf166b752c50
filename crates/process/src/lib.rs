//! Processes of workers: spawned from an empty environment, found again, ended without leftovers.
//!
//! A worker's program gets a terminal of its own, so that the kernel hangs up on it when this process dies,
//! and three clean pipes to talk through. Everything it starts carries the worker's [`Marker`], by which
//! [`Sweep`] finds it again, also after this process has gone: that is what a [`Guard`] does. Where this
//! process's control group is delegated to it, each worker has a group of its own besides, which nothing leaves
//! by dropping its environment.
//! What needs no terminal, such as a tool's command, is a [`PipeCommand`], and may be held to a [`Confinement`].
//!
//! Invariant: a child's environment is built from empty; nothing of the host gets in unnamed.
//! Invariant: no argument, prompt or value is ever read as shell text.
//! Invariant: a child is reaped last, so its pid and its process group stay its own until it was ended.
//! Invariant: "nothing is left" is said after looking, never assumed; a zombie is not a survivor.
//! Invariant: no process is signalled by pid alone: its start time must be the one that was seen.
//! Invariant: nothing here knows what a program says on its pipes.
//!
//! Linux only: what other systems lack is in one private module, `linux`.
//!
//! ```
//! use musher_process::{Environment, Ladder, Marker, Owner, Program, PtyCommand, Spawned};
//! use std::time::Duration;
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let environment = Environment::base();
//! let command = PtyCommand {
//!     program: Program::find("tr", &environment)?,
//!     args: vec!["a-z".into(), "A-Z".into()],
//!     environment,
//!     directory: "/".into(),
//!     marker: Marker::new(Owner::new("4f1c")?, "wrk_1")?,
//! };
//! let Spawned { mut child, mut stdin, mut stdout, .. } = command.spawn().await?;
//!
//! stdin.write_all(b"mush").await?;
//! drop(stdin);
//! let mut answer = String::new();
//! stdout.read_to_string(&mut answer).await?;
//! assert_eq!(answer, "MUSH");
//!
//! let ended = child.end(Ladder { grace: Duration::from_secs(2) }).await?;
//! assert_eq!(ended.survivors, []);
//! # Ok(())
//! # }
//! ```

mod environment;
mod marker;
mod program;

mod command;
mod confinement;
mod pipe;

mod child;
mod exit;
mod output;

mod sweep;

pub mod guard;

mod error;

mod family;
mod leader;
mod linux;
mod terminal;
mod tether;

#[cfg(test)]
mod scene;

pub use crate::{
    child::{Child, Ended, Ladder},
    command::{PtyCommand, Spawned},
    confinement::Confinement,
    environment::Environment,
    error::Error,
    exit::Exit,
    guard::Guard,
    marker::{Marker, Owner, Scope},
    output::{DRAIN_LIMIT, Ends, hear},
    pipe::{Overheard, PipeCommand},
    program::Program,
    sweep::{Survivor, Sweep},
};
