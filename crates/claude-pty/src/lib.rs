//! Claude Code as a Musher backend, in a pseudo-terminal of its own.
//!
//! A session is one process of the real program. It speaks lines of JSON on clean pipes; the terminal beside them
//! is there so that the kernel hangs up on the program when Musher dies.
//!
//! Invariant: nothing that anybody said is read as an option, a command or a file name. A prompt goes through
//! stdin in a form in which the program does not interpret it, instructions go through its first request.
//! Invariant: the session's id is durable before the program starts, and it is the program's own.
//! Invariant: at most one message is with the program at a time; the queue is the runtime's.
//! Invariant: an input is taken when the model answers, asks or calls, never before; a refusal for a usage limit
//! is no answer.
//! Invariant: no line that the program writes can end a session by its shape, unless it is too long to hold.
//! Invariant: [`Event::InputTaken`], what the model says, usage and the turn's end come in the order in which
//! they happened, however often the program restates them.
//!
//! # What a worker can and cannot do
//!
//! * Every tool that wants leave asks the runtime. The permission mode is `default`: the program decides alone
//!   about reading and about commands that it knows to change nothing.
//! * A worker has the tools of its capabilities (`--tools`). One that runs commands can do with them whatever its user
//!   can: without `write` it has no tool to edit with, and still a shell.
//! * The directories of a launch ([`Launch::roots`]) are given to the program (`--add-dir`), which reads in them without
//!   asking. While one of them is read-only, files are changed in the working directory and in those that are not
//!   read-only, and nowhere else: the program has a rule against each that is, and whatever it asks about is looked at
//!   here before anybody is asked, and again as it was decided. Nobody can allow it, and the answer says why. Files of
//!   git's own cannot be changed either: they name commands. A shell and the hooks of settings cannot be held, so there
//!   are none beside what is read-only (`Backend::missing`).
//!   Not kept: a link that another process makes between the look and the change, and a second name (a hard link) that a
//!   file has in a directory that may be changed.
//! * The program runs git by itself. Without a shell git finds no repository, so that nothing of one runs; a worker with
//!   one has git as its user has it.
//! * No settings file is read, neither the repository's nor the person's (`--setting-sources=`), unless the profile
//!   says so ([`ClaudeProfile::settings_sources`]): hooks and helpers of a repository would run
//!   before anybody was asked, and a person's permission rules would answer in the profile's place. It costs the
//!   project's `CLAUDE.md` and skills, and the person's own; what a worker must know belongs into its
//!   instructions. Settings that an administrator put under `/etc/claude-code` hold as ever.
//! * Of MCP servers a worker has those of its capabilities ([`ClaudeOptions::mcp`]), and no others
//!   (`--strict-mcp-config`). The program starts them itself, with the variables that the options say and no more, and calls
//!   their tools `mcp__SERVER__TOOL`. The first message waits until they have answered, for a bounded time; what cannot be
//!   had is a diagnostic `tools.mcp_unavailable`.
//! * Nothing goes on behind a turn's end, unless the launch allows it ([`Launch::background`]): background tasks are
//!   off, and the tools that wake the model later are always. What wakes by itself is a turn of its own
//!   ([`Event::TurnStarted`]).
//! * A subagent's tool calls are shown with ids of their own, between the start and the result of the call that
//!   runs it. Its words are not the worker's; they come as the result of that call.
//! * The program knows no words of the system's. An input of that kind is a user's message in
//!   `<system-message>` tags. They are a convention: a user can write them, too.
//! * A blank input is refused with `empty_input`, for the program would begin a turn without a message.
//!
//! # Versions
//!
//! The [`TESTED_VERSIONS`] differ in much that matters here: what they count, how they take an interrupt, what
//! they leave running when they are terminated. What comes out of this crate does not. Any other version runs,
//! with one diagnostic `claude.untested_version`; an event that is not understood is one `claude.unknown_event`,
//! with the event as it came.
//!
//! # Errors
//!
//! A turn fails with `authentication_failed`, `context_overflow`, `empty_answer`, `empty_input`, `overloaded`,
//! `provider_error`, `quota_exhausted` or `vendor_limit`. A session fails with `claude_initialize_refused`,
//! `claude_line_too_long`, `claude_not_started`, `claude_silent`, `launch_invalid`, `options_invalid`,
//! `process_lost`, `program_missing`, `resume_refused` or `session_in_use`; a program that ends by itself is an outcome, with its
//! exit code and its last words.
//!
//! ```
//! use musher_backend::{Availability, Backend};
//! use musher_claude_pty::{ClaudeOptions, ClaudePty};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let options = ClaudeOptions { program: "/opt/claude/bin/claude".to_owned(), ..ClaudeOptions::default() };
//! let backend = ClaudePty::new(options);
//! let missing = "program `claude`: install Claude Code or name it in backends.claude-pty.program";
//! assert_eq!(backend.availability().await, Availability::Missing(vec![missing.to_owned()]));
//! # }
//! ```
//!
//! [`Event::InputTaken`]: musher_backend::Event::InputTaken
//! [`Event::TurnStarted`]: musher_backend::Event::TurnStarted
//! [`Launch::background`]: musher_backend::Launch::background
//! [`Launch::roots`]: musher_backend::Launch::roots

mod backend;
mod options;
mod profile;

mod git;
mod invocation;
mod recording;
mod roots;
mod servers;
mod session;
mod tenancy;
mod tools;

mod conversation;

mod framing;
mod say;
mod wire;

pub use crate::{
    backend::ClaudePty,
    options::ClaudeOptions,
    profile::{ClaudeProfile, ClaudeProfileError, SettingsSource},
    recording::{RecordLimits, remove_old_recordings},
    servers::McpServer,
};

/// The versions of Claude Code that this crate is tested with: the oldest and the newest.
pub const TESTED_VERSIONS: [&str; 2] = ["2.1.197", "2.1.329"];

/// A text, cut at the end of a character to at most so many bytes.
fn bounded(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let cut = text.floor_char_boundary(most);
    format!("{}…", &text[..cut])
}
