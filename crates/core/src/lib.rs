//! The Musher runtime: it runs workers, and everything about a worker follows from its log.
//!
//! Invariant: only a worker's own task writes its log, and nothing is published or acknowledged before it is
//! durable.
//! Invariant: decisions are made by one pure state machine; everything else moves what it decided.
//! Invariant: there is one way to read a log, by place; no event reaches a reader on another path.
//! Invariant: nothing here knows a backend, a transport or a vendor.
//!
//! ```
//! use musher_core::{MemoryStore, Profile, Runtime};
//! use musher_protocol::{Actor, CreateWorker, Intent, OnIdle, TurnOutcome, Until};
//! use musher_scripted::Scripted;
//! use std::time::Duration;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let runtime = Runtime::builder(MemoryStore::new())
//!     .backend("scripted", Scripted)
//!     .profile("echo", Profile::of("scripted"))
//!     .start()
//!     .await?;
//!
//! let objective = "say hello".to_owned();
//! let request = CreateWorker { on_idle: OnIdle::Stop, ..CreateWorker::new(Intent::Task { objective }) };
//! let worker = runtime.create_worker(request, Actor::rule("example")).await?;
//! let worker = runtime.wait_worker(&worker.worker_id, Until::Terminal, Duration::from_secs(10)).await?;
//! let outcome = worker.outcome.expect("the turn has ended");
//! assert_eq!((outcome.outcome, outcome.text.as_str()), (TurnOutcome::Completed, "say hello"));
//! # Ok(())
//! # }
//! ```

mod builder;
mod bundle;
mod create;
mod error;
mod mount;
mod observe;
mod profile;
mod redaction;
mod runtime;
mod show;
mod workspace;

mod fold;
mod machine;

mod absent;
mod attention;
mod changes;
mod decision;
mod diagnostics;
mod diff;
mod figures;
mod git;
mod idempotency;
mod load;
mod looks;
mod retention;

mod batch;
mod body;
mod frame;
mod ring;
mod session;
mod setup;
mod task;
mod temporary;
mod tools;
mod view;
mod wall;
mod worktree;

mod memory_store;
mod store;

#[cfg(musher_weakened)]
pub use self::wall::wall_down;
#[doc(hidden)]
pub use self::wall::{Wall, stands};
pub use self::{
    attention::AttentionFilter,
    builder::{Builder, StartError},
    bundle::{BundleError, SpecError},
    error::{CursorProblem, Error, ReadError},
    figures::{Figure, FigureKind, FigureLabels, FigureUnit, FigureValue, Histogram},
    frame::Frame,
    idempotency::{Answered, CommandOptions},
    memory_store::MemoryStore,
    mount::Mount,
    observe::Observation,
    profile::{ApprovalMode, ApprovalPolicy, Limits, OnRestart, Profile, RateLimitPolicy},
    retention::Retention,
    runtime::{
        CatalogChange, CatalogFeed, EventPage, FeedError, From, Runtime, UnsavedWork, WorkerFilter,
        WorkerPage,
    },
    store::{
        AcceptedInput, Blob, BundlePut, Checkpoint, Commit, Extent, Head, Health, Kept, KeyRecord, Life,
        Most, NewLife, OwnedKeys, Prune, RowError, RowParts, Start, Store, StoreError, StoredBundle,
        StoredEvent, TranscriptSlice, WorkerCounts, WorkerRow,
    },
    workspace::{Workspace, WorkspaceIsolation},
    worktree::Unsaved,
};
