//! Lists what is in a directory.

use cap_std::fs::{Dir, DirEntry, FileTypeExt};
use musher_backend::ToolOutput;
use schemars::JsonSchema;
use serde::Deserialize;

use super::Stop;
use crate::{bound, directories::Directories, refusal::Refusal, workspace::Place};

pub(super) const DESCRIPTION: &str =
    "Lists a directory: one name a line, directories with a `/` at the end, files with their size.";

/// More names than anybody reads; a directory of a million must not fill the memory.
const ENTRIES_LIMIT: usize = 10_000;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Arguments {
    /// The directory, relative to the workspace; `.` is the workspace. Or the absolute path of a further directory, or of
    /// one in it.
    #[serde(default = "workspace")]
    path: String,
}

fn workspace() -> String {
    ".".to_owned()
}

pub(super) fn work(
    directories: &Directories,
    arguments: Arguments,
    stop: &Stop,
) -> Result<ToolOutput, Refusal> {
    let (directory, place) = directories.find(&arguments.path)?;
    let directory = directory.open_directory(&place)?;
    let failed = |error| Refusal::io("list", &place.name, error);
    let mut lines = Vec::new();
    let mut is_cut = false;
    for entry in directory.entries().map_err(failed)? {
        stop.check()?;
        if lines.len() == ENTRIES_LIMIT {
            is_cut = true;
            break;
        }
        lines.push(line(&directory, &entry.map_err(failed)?, &place)?);
    }
    lines.sort();
    if lines.is_empty() {
        return Ok(ToolOutput::ok("[the directory is empty]"));
    }
    if is_cut {
        lines.push(format!("[only {ENTRIES_LIMIT} names are shown; there are more]"));
    }
    Ok(bound::output(lines.join("\n")))
}

fn line(directory: &Dir, entry: &DirEntry, place: &Place) -> Result<String, Refusal> {
    let name = shown(&entry.file_name().to_string_lossy());
    let file_type = entry.file_type().map_err(|error| Refusal::io("list", &place.name, error))?;
    Ok(if file_type.is_dir() {
        format!("{name}/")
    } else if file_type.is_symlink() {
        // Its text, wherever that leads: it is not followed. Gone already, it is a link all the same.
        let target = directory.read_link_contents(entry.file_name()).unwrap_or_default();
        format!("{name} -> {}", shown(&target.to_string_lossy()))
    } else if file_type.is_file() {
        match entry.metadata() {
            Ok(metadata) => format!("{name} ({} bytes)", metadata.len()),
            // Removed since it was listed.
            Err(_) => name,
        }
    } else if file_type.is_fifo() {
        format!("{name} (FIFO)")
    } else if file_type.is_socket() {
        format!("{name} (socket)")
    } else {
        format!("{name} (device)")
    })
}

/// A name on one line: one with a newline in it must not look like two.
pub(super) fn shown(name: &str) -> String {
    if name.chars().any(char::is_control) { name.escape_debug().to_string() } else { name.to_owned() }
}
