//! Writes a whole file.

use std::{borrow::Cow, io};

use musher_backend::ToolOutput;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    Stop,
    edit::{self, EDIT_LIMIT},
    replace::{self, Old},
};
use crate::{directories::Directories, refusal::Refusal, workspace::require_file};

pub(super) const DESCRIPTION: &str = "Writes a file: a new one, with the directories that lead to it, or in place of all \
    that was in it.";

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Arguments {
    /// The file, relative to the workspace; or its absolute path in a further directory.
    path: String,
    /// All that is to be in it.
    content: String,
}

pub(super) fn work(
    directories: &Directories,
    arguments: Arguments,
    stop: &Stop,
) -> Result<ToolOutput, Refusal> {
    let Arguments { path, content } = arguments;
    let (directory, place) = directories.find_to_change(&path)?;
    let _writing = directories.writing();
    stop.check()?;
    let old = match directory.directory().metadata(&place.path) {
        Ok(metadata) => {
            require_file(&place, &metadata)?;
            let (bytes, metadata) = directory.read(&place, EDIT_LIMIT)?;
            Some(Old { bytes, metadata })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if directory.directory().symlink_metadata(&place.path).is_ok() {
                return Err(Refusal::NotFile { path: place.name, kind: "a link that leads nowhere" });
            }
            None
        }
        Err(error) => return Err(Refusal::io("look at", &place.name, error)),
    };
    let new = match &old {
        Some(old) if edit::has_crlf_only(&old.bytes) => edit::with_crlf(&content),
        Some(_) | None => Cow::Borrowed(content.as_str()),
    };
    stop.check()?;
    let verb = if old.is_some() { "replaced" } else { "created" };
    let done = format!("{verb} {} ({} bytes)", place.name, new.len());
    replace::replace(directory, &place, old.as_ref(), new.as_bytes(), done)
}
