//! Bounds of what requests may hold: what the server checks and the schema says.
//!
//! The schema counts characters, and the server bytes: text that is not ASCII may be shorter than the schema says.

/// The longest name, reason or actor, in bytes: for people, tables and logs.
pub const MAX_LINE_BYTES: usize = 200;
/// The longest input, in bytes: what a model's context may hold of one message; also the bound of a request's body.
pub const MAX_INPUT_BYTES: usize = 2 << 20;
/// The longest message or answer of a decision, in bytes. They go to the model in one piece and stay in the log's event,
/// so a document is better written to a file.
pub const MAX_WORDS_BYTES: usize = 8 << 10;
/// Labels of a worker: as many as a dashboard could filter by.
pub const MAX_LABELS: usize = 64;
/// Workspaces of a worker, and its mounts: each may be a checkout of its own, and the worker is told them all.
pub const MAX_DIRECTORIES: usize = 16;
/// Workers in one list: some hundred bytes each.
pub const MAX_LISTED: u64 = 1000;
/// Seconds that a request waits: under the two minutes after which common proxies give a silent request up.
pub const MAX_WAIT_SECS: u64 = 60;
/// Seconds that a stop gives: whatever needs longer to end by itself hangs, and a client should not wait for it.
pub const MAX_GRACE_SECS: u32 = 60;
/// Profiles of a config bundle: as many as a person could choose from.
pub const MAX_PROFILES: usize = 64;
/// Declarations of a config bundle: some for each profile.
pub const MAX_DECLARATIONS: usize = 256;
/// The longest word of a config bundle, in bytes: longer than the names of all models and variables that there are.
pub const MAX_WORD_BYTES: usize = 128;

/// A line that is not blank, and steers no terminal.
pub(crate) const LINE: &str = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$";
/// The same, or nothing.
pub(crate) const LINE_OR_NOTHING: &str =
    r"^([^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*)?$";
/// Any text that is not blank. The second sign is white space here and not everywhere.
pub(crate) const WORDS: &str = r"[^\s\x85]";
/// `key=value`, as queries name a label.
pub(crate) const KEY_AND_VALUE: &str = "=";
