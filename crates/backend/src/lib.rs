//! The seam between the runtime and whatever executes a worker.
//!
//! Invariant: nothing here knows how workers are stored or served.
//! Invariant: a backend reports only through its [`Link`]; it holds no other way into the runtime.
//! Invariant: turns belong to the runtime. A backend says when one is over, never when one begins, except
//! for work that wakes by itself ([`Event::TurnStarted`]).
//!
//! # Writing a backend
//!
//! A backend is one type with the trait [`Backend`]. The runtime calls [`Backend::run`] once for each session
//! and awaits it to the session's end, so there is one task, one owner and one place for cleanup. The session's tools
//! are there by then; one that is interrupted or ended while they are prepared ends without having been run.
//!
//! Inside `run`:
//!
//! 1. As soon as the session's id is known, and before any work, call [`Link::session_started`]. It returns
//!    when the id is durable, so that no kill can lose it.
//! 2. Take commands with [`Link::next_command`]. It is cancel safe, so it may sit in a `select!`.
//! 3. A [`Command::Input`] begins a turn. Emit [`Event::InputTaken`] when there is proof that the input was
//!    taken up (the first byte of the model's answer, the program's own word), then what happens, in order, and
//!    [`Event::TurnEnded`] exactly once, and nothing of the turn after it: what comes later would be taken for
//!    the next turn's. The runtime sends the next input only after that. An input that comes
//!    again after [`Event::RateLimited`] is taken again in the same way.
//! 4. A [`Command::Interrupt`] asks for the open turn's end: end it with [`TurnEnd::Interrupted`] and keep the
//!    session. Without an open turn it means nothing: the turn had ended by itself just before.
//! 5. A [`Command::End`] asks for the session's end: interrupt an open turn, clean up, and return. A turn that is
//!    still open when `run` returns is closed by the runtime. After the grace and a margin the runtime drops the
//!    future, which must then kill what it started.
//! 6. Before a tool does anything that needs leave, call [`Link::request_approval`] and go on with the other
//!    commands until its [`Command::Decision`] comes. Any number may be open. What is open when the turn ends is
//!    withdrawn by the runtime; [`Link::withdraw_approval`] is for questions that lapse earlier.
//! 7. Returning ends the session. [`SessionOutcome`] tells how; a [`BackendError`] means that it failed in a
//!    way that has no outcome (the program could not be started). An open turn is then closed by the runtime.
//!
//! [`Link::emit`] waits while the store is behind, so that back-pressure reaches the agent; a backend must not
//! buffer without bound around it. When the runtime is gone every call answers [`LinkClosed`]: return.
//! 8. A backend whose vendor remembers nothing goes on from [`Launch::history`]. What it needs beside the words, it
//!    reports with the event that it belongs to ([`Link::emit_with`]); what stands for more than one event, such as a
//!    history that was made shorter, it keeps ([`Link::keep`]).
//!
//! Every process that a backend starts carries the variable `MUSHER_MARKER` with [`Launch::marker`] as its
//! value, or with that, `/` and the name of a part. By it the runtime finds what is left behind, also after its own death.
//!
//! ```
//! use musher_backend::{
//!     Availability, Backend, BackendError, Capabilities, Command, Event, Launch, Link, LinkClosed, SessionOutcome, TurnEnd, Wanted,
//!     async_trait,
//! };
//!
//! /// Answers with what it was told.
//! #[derive(Debug)]
//! struct Parrot;
//!
//! #[async_trait]
//! impl Backend for Parrot {
//!     fn kind(&self) -> &str {
//!         "parrot"
//!     }
//!
//!     fn capabilities(&self) -> Capabilities {
//!         Capabilities::default()
//!     }
//!
//!     async fn availability(&self) -> Availability {
//!         Availability::Ready
//!     }
//!
//!     fn missing(&self, _: &Wanted<'_>) -> Vec<String> {
//!         // It costs nothing, and knows no model.
//!         Vec::new()
//!     }
//!
//!     async fn run(&self, launch: Launch, mut link: Link) -> Result<SessionOutcome, BackendError> {
//!         let ended = talk(&launch, &mut link).await;
//!         // The runtime went away: there is nobody left to tell, and nothing to clean up.
//!         let Ok(()) = ended else { return Ok(SessionOutcome::aborted()) };
//!         Ok(SessionOutcome::ended())
//!     }
//! }
//!
//! async fn talk(launch: &Launch, link: &mut Link) -> Result<(), LinkClosed> {
//!     let session_id = launch.worker_id.as_str().parse().expect("a worker id is a session id");
//!     link.session_started(session_id, false).await?;
//!     loop {
//!         match link.next_command().await {
//!             Command::Input(input) => {
//!                 link.emit(Event::InputTaken { input_id: input.input_id }).await?;
//!                 link.emit(Event::TextDelta { block: 0, text: input.content.clone() }).await?;
//!                 link.emit(Event::TextDone { block: 0, text: input.content }).await?;
//!                 link.emit(Event::TurnEnded(TurnEnd::completed())).await?;
//!             }
//!             Command::End { .. } => return Ok(()),
//!             // A turn of a parrot is over at once, and it asks for nothing.
//!             Command::Steer(_) | Command::Interrupt | Command::Decision(_) => {}
//!         }
//!     }
//! }
//!
//! // The runtime's half, as a test may play it:
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! use musher_backend::{Input, Report};
//!
//! let (link, mut runtime) = Link::pair();
//! let launch = Launch::new("wrk_1".parse().expect("an id"), "/tmp".into());
//! let session = async { Parrot.run(launch, link).await.expect("a parrot does not fail") };
//! let test = async {
//!     let Some(Report::SessionStarted { recorded, .. }) = runtime.reports.recv().await else { panic!("the id first") };
//!     recorded.send(()).expect("the backend waits for it");
//!     runtime.commands.send(Command::Input(Input::user("hello"))).await.expect("a session");
//!     let mut text = String::new();
//!     while let Some(Report::Event(event)) = runtime.reports.recv().await {
//!         match event {
//!             Event::TextDelta { text: more, .. } => text += &more,
//!             Event::TurnEnded(end) => { assert_eq!(end, TurnEnd::completed()); break }
//!             _ => {}
//!         }
//!     }
//!     runtime.commands.send(Command::End { grace: std::time::Duration::ZERO }).await.expect("a session");
//!     text
//! };
//! let (outcome, text) = tokio::join!(session, test);
//! assert_eq!((outcome, text.as_str()), (SessionOutcome::ended(), "hello"));
//! # }
//! ```

mod backend;
mod chain;
mod command;
mod event;
mod launch;
mod link;
mod outcome;
mod secrets;
mod tool;

pub use async_trait::async_trait;

pub use self::{
    backend::{Availability, Backend, Capabilities, Wanted},
    chain::Chain,
    command::{Command, DecisionGiven, Input, Verdict},
    event::{ApprovalRequest, Event, TurnEnd},
    launch::{Access, HistoryEntry, Launch, Resume, Root},
    link::{KeepError, Link, LinkClosed, Report, RuntimeHalf},
    outcome::{BackendError, SessionOutcome},
    secrets::{Found, Known, Look, MARK, Secrets, Unsaid, Vault, credential, query_values},
    tool::{
        Cancellation, Sandbox, Tool, ToolCall, ToolDiagnostic, ToolOutput, ToolSpec, Toolbox, ToolboxError,
        Toolkit, Workbench,
    },
};
