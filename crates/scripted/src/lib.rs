//! A backend that runs no model: it echoes, or it plays a script. And, with the feature `model-api`, a model server that
//! has no model either, in `model_api`.
//!
//! For demos, for tests of one's own client, and for benchmarks: every state of the wire can be shown on
//! purpose, the same way each time.
//!
//! Invariant: it always says that it is scripted: in the session's id, in its environment and in a diagnostic; the
//! server in the name of its model.
//! Invariant: the backend starts no process, opens no file and no socket; everything comes with the launch.
//! Invariant: a script is read whole before a session starts, so a turn never meets a step that it cannot play.
//! Invariant: an interrupt is obeyed wherever a turn waits, and between two words.
//!
//! # Scripts
//!
//! [`Launch::options`] may hold `script` and `word_delay_ms`. A script is `"echo"` (the default: the reply is
//! the input's text, a delta for each word) or an object:
//!
//! ```json
//! { "turns": [ { "match": "deploy", "steps": [ {"text": "on it"}, {"hang": true} ] } ],
//!   "otherwise": "echo" }
//! ```
//!
//! The first turn whose `match`, a regular expression, finds itself in the input plays its steps in order.
//! Without any, `otherwise` decides: `"echo"`, `{"steps": […]}`, or absent: the turn fails with
//! `script_no_match`. The steps:
//!
//! | Step | What happens |
//! |---|---|
//! | `{"thinking": "…"}` | a thought |
//! | `{"text": "…", "word_delay_ms"?}` | a text, a delta for each word; the delay is between words, the launch's when absent |
//! | `{"tool_call": {name, input, result, is_error?, takes_ms?}}` | a call, whole, and after `takes_ms` its result |
//! | `{"approval": {tool, input, questions?}}` | waits for the decision; whatever it is, the next step follows. A list asks several at once |
//! | `{"usage": {…}}` | an increment; a field left out is unknown, with `"cost_follows": true` its cost until a later one has it |
//! | `{"sleep_ms": N}` | nothing, for a while |
//! | `{"rate_limit": {reset_after_secs?, scope?}}` | a refusal; the next step follows when the input comes again |
//! | `{"fail": {code, message}}` | the turn fails |
//! | `{"hang": true}` | nothing, until an interrupt or the session's end |
//! | `{"crash": true}` | the session breaks off as if its process had been killed |
//!
//! # Example
//!
//! ```
//! use std::time::Duration;
//!
//! use musher_backend::{Backend, Command, Event, Input, Launch, Link, Report, SessionOutcome};
//! use musher_scripted::Scripted;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let mut launch = Launch::new("wrk_1".parse().expect("an id"), "/tmp".into());
//! let script = r#"{"turns": [{"match": "^deploy", "steps": [{"text": "on it"}]}], "otherwise": "echo"}"#;
//! launch.options.insert("script".to_owned(), serde_json::from_str(script).expect("JSON"));
//!
//! let (link, mut runtime) = Link::pair();
//! let session = async { Scripted.run(launch, link).await.expect("a good script") };
//! let test = async {
//!     let Some(Report::SessionStarted { session_id, recorded, .. }) = runtime.reports.recv().await else {
//!         panic!("the id first")
//!     };
//!     assert!(session_id.as_str().starts_with("scripted-"));
//!     recorded.send(()).expect("the session waits for it");
//!     runtime.commands.send(Command::Input(Input::user("deploy it"))).await.expect("a session");
//!     let mut words = Vec::new();
//!     while let Some(Report::Event(event)) = runtime.reports.recv().await {
//!         match event {
//!             Event::TextDelta { text, .. } => words.push(text),
//!             Event::TurnEnded(_) => break,
//!             _ => {}
//!         }
//!     }
//!     runtime.commands.send(Command::End { grace: Duration::ZERO }).await.expect("a session");
//!     words
//! };
//! let (outcome, words) = tokio::join!(session, test);
//! assert_eq!((outcome, words), (SessionOutcome::ended(), vec!["on ".to_owned(), "it".to_owned()]));
//! # }
//! ```
//!
//! [`Launch::options`]: musher_backend::Launch::options

mod backend;
#[cfg(feature = "model-api")]
pub mod model_api;
mod performance;
mod script;
mod session;
mod stage;
mod words;

pub use self::{
    backend::Scripted,
    script::{Script, ScriptError, ScriptProblem},
};
