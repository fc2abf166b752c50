//! Claude Code as a Musher backend, in a pseudo-terminal of its own.
mod backend;
mod conversation;
mod framing;
mod invocation;
mod options;
mod say;
mod session;
mod wire;

pub use crate::{backend::ClaudePty, options::ClaudeOptions};

/// A text, cut to at most so many bytes at the end of a character.
fn bounded(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let cut = text.floor_char_boundary(most);
    format!("{}…", &text[..cut])
}
