//! Reads a file, or some lines of it.

use std::io::{BufRead, BufReader, Read};

use musher_backend::ToolOutput;
use schemars::JsonSchema;
use serde::Deserialize;

use super::Stop;
use crate::{
    bound::{self, CONTENT_LIMIT, WHOLE_LIMIT},
    directories::Directories,
    refusal::Refusal,
    workspace::{Place, is_binary},
};

pub(super) const DESCRIPTION: &str = "Reads a text file. The answer is its text as it stands, without line numbers. A \
    long file is cut, and the last line of the answer then says how to go on.";

/// As much as the kernel reads ahead by itself.
const BUFFER: usize = 128 * 1024;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Arguments {
    /// The file, relative to the workspace; or its absolute path in a further directory.
    path: String,
    /// The first line to read, counted from 1; the first of the file when left out.
    #[serde(default)]
    offset: Option<u64>,
    /// How many lines to read at most; all when left out.
    #[serde(default)]
    limit: Option<u64>,
}

pub(super) fn work(
    directories: &Directories,
    arguments: Arguments,
    stop: &Stop,
) -> Result<ToolOutput, Refusal> {
    let (directory, place) = directories.find(&arguments.path)?;
    let (file, metadata) = directory.open_file(&place)?;
    // A file that grows while it is read ends where it ended at first.
    let mut reader = BufReader::with_capacity(BUFFER, file.take(metadata.len()));
    let beginning = reader.fill_buf().map_err(|error| Refusal::io("read", &place.name, error))?;
    if is_binary(beginning) {
        return Err(Refusal::Binary { path: place.name, bytes: metadata.len() });
    }
    let wanted =
        Wanted { first: arguments.offset.unwrap_or(1).max(1), n_lines: arguments.limit.unwrap_or(u64::MAX) };
    let lines = wanted.read(&mut reader, &place, stop)?;
    Ok(told(lines, wanted.first))
}

/// Which lines are asked for.
struct Wanted {
    first: u64,
    n_lines: u64,
}

/// What was read.
struct Lines {
    bytes: Vec<u8>,
    /// Whether the file goes on after them.
    more: bool,
}

impl Wanted {
    /// Reads them, at most [`WHOLE_LIMIT`] bytes, and no further.
    fn read(&self, reader: &mut impl BufRead, place: &Place, stop: &Stop) -> Result<Lines, Refusal> {
        let failed = |error| Refusal::io("read", &place.name, error);
        let mut line = 1;
        // Whether the last line has something on it. An empty file has one line all the same.
        let mut is_begun = true;
        let mut bytes = Vec::new();
        loop {
            stop.check()?;
            let chunk = reader.fill_buf().map_err(failed)?;
            if chunk.is_empty() {
                let n_lines = if is_begun { line } else { line - 1 };
                if self.first > n_lines {
                    return Err(Refusal::PastEnd { path: place.name.clone(), n_lines, offset: self.first });
                }
                return Ok(Lines { bytes, more: false });
            }
            if line >= self.first.saturating_add(self.n_lines) || bytes.len() >= WHOLE_LIMIT {
                return Ok(Lines { bytes, more: true });
            }
            let end = memchr::memchr(b'\n', chunk);
            let taken = end.map_or(chunk.len(), |end| end + 1);
            if line >= self.first {
                let room = WHOLE_LIMIT - bytes.len();
                bytes.extend_from_slice(&chunk[..taken.min(room)]);
            }
            reader.consume(taken);
            is_begun = end.is_none();
            line += u64::from(end.is_some());
        }
    }
}

/// What the model is told of lines that begin with line `first`.
fn told(Lines { bytes, more }: Lines, first: u64) -> ToolOutput {
    let is_text = str::from_utf8(&bytes).is_ok();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let mut notes = String::new();
    if !is_text {
        notes.push_str("[not UTF-8: what could not be read is shown as \u{fffd}]\n");
    }
    let cut_at = if text.len() > CONTENT_LIMIT { whole_lines(&text) } else { text.len() };
    let n_shown = text[..cut_at].matches('\n').count() as u64;
    if cut_at < text.len() && !text[..cut_at].ends_with('\n') {
        notes.push_str("[the line is longer than an answer may be; the shell can show the rest of it]\n");
    } else if cut_at < text.len() || more {
        let next = first + n_shown;
        notes.push_str(&format!("[the file goes on; continue with offset {next}]\n"));
    }
    let mut content = text[..cut_at].to_owned();
    if !notes.is_empty() {
        if !content.is_empty() && !content.ends_with('\n') {
            content.push('\n');
        }
        content.push_str(&notes);
    }
    let whole = (cut_at < text.len()).then(|| bound::cut(text, WHOLE_LIMIT));
    ToolOutput { content, whole, ..ToolOutput::default() }
}

/// How much of a text can be told: whole lines where there is one, else a part of the first.
fn whole_lines(text: &str) -> usize {
    let most = text.floor_char_boundary(CONTENT_LIMIT);
    text[..most].rfind('\n').map_or(most, |end| end + 1)
}
