//! Replaces a file by another text in one step.

use std::{
    cell::Cell,
    io::{self, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use cap_std::fs::{Dir, File, Metadata, MetadataExt, OpenOptions, OpenOptionsExt};
use musher_backend::ToolOutput;
use rustix::{
    fs::{Gid, RenameFlags, Uid, fchown, renameat_with},
    io::Errno,
};
use similar::TextDiff;
use uuid::Uuid;

use crate::{
    bound,
    refusal::Refusal,
    workspace::{Place, Workspace, is_binary},
};

/// As large as a diff is of use to a person; what is larger is better looked at in the file.
const DIFF_LIMIT: usize = 1024 * 1024;

/// Two texts that have nothing in common take a long time to compare exactly; after this they are compared roughly.
const DIFF_TIME: Duration = Duration::from_secs(2);

/// The lines around a change, as git shows them.
const AROUND: usize = 3;

/// A file that is to be replaced.
pub(super) struct Old {
    pub(super) bytes: Vec<u8>,
    pub(super) metadata: Metadata,
}

/// Writes a file beside the old one and gives it its name: whoever reads it sees all of the old text or all of the
/// new one. Mode and owner stay. Returns the output with its diff; the caller holds [`crate::directories::Directories::writing`].
pub(super) fn replace(
    workspace: &Workspace,
    place: &Place,
    old: Option<&Old>,
    new: &[u8],
    done: String,
) -> Result<ToolOutput, Refusal> {
    let failed = |error| Refusal::io("write", &place.name, error);
    let (directory, name) = home(workspace, place, old.is_some())?;
    let beside = Beside::create(&directory, old).map_err(failed)?;
    beside.write(new).map_err(failed)?;
    let mut notes = String::new();
    if let Some(old) = old {
        if !beside.keep_owner(&old.metadata).map_err(failed)? {
            notes.push_str("; its owner could not be kept");
        }
        beside.file.set_permissions(old.metadata.permissions()).map_err(failed)?;
    }
    beside.file.sync_all().map_err(failed)?;
    // The last look before the step that cannot be taken back.
    if !is_still(&directory, &name, old).map_err(failed)? {
        return Err(Refusal::Changed { path: place.name.clone() });
    }
    let instead = if old.is_some() { Instead::OfTheOldOne } else { Instead::OfNothing };
    match beside.take_name(&name, instead) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(Refusal::Changed { path: place.name.clone() });
        }
        taken => taken.map_err(failed)?,
    }
    let diff = diff(&place.name, old.map(|old| old.bytes.as_slice()), new);
    Ok(ToolOutput { content: done + &notes, diff, ..ToolOutput::default() })
}

/// The directory of a file by its handle, and the file's name there. The last link of an existing file's path is
/// followed, so that the link stays and its target is replaced.
fn home(workspace: &Workspace, place: &Place, exists: bool) -> Result<(Dir, PathBuf), Refusal> {
    let failed = |error| Refusal::io("write", &place.name, error);
    let root = workspace.directory();
    let path = if exists { root.canonicalize(&place.path).map_err(failed)? } else { place.path.clone() };
    let Some(name) = path.file_name().map(PathBuf::from) else {
        return Err(Refusal::IsDirectory { path: place.name.clone() });
    };
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => {
            if !exists {
                root.create_dir_all(parent).map_err(failed)?;
            }
            root.open_dir(parent).map_err(failed)?
        }
        Some(_) | None => root.try_clone().map_err(failed)?,
    };
    Ok((directory, name))
}

/// Whether a name still means what was read: this very file, unchanged, or nothing.
fn is_still(directory: &Dir, name: &Path, old: Option<&Old>) -> io::Result<bool> {
    match (directory.symlink_metadata(name), old) {
        (Ok(now), Some(old)) => {
            let then = &old.metadata;
            Ok((now.dev(), now.ino(), now.len(), now.mtime(), now.mtime_nsec())
                == (then.dev(), then.ino(), then.len(), then.mtime(), then.mtime_nsec()))
        }
        (Ok(_), None) => Ok(false),
        (Err(error), old) if error.kind() == io::ErrorKind::NotFound => Ok(old.is_none()),
        (Err(error), _) => Err(error),
    }
}

/// A file under a name of its own, which goes when it does not get another.
struct Beside<'a> {
    directory: &'a Dir,
    name: PathBuf,
    file: File,
    is_named: Cell<bool>,
}

impl<'a> Beside<'a> {
    fn create(directory: &'a Dir, old: Option<&Old>) -> io::Result<Self> {
        let name = PathBuf::from(format!(".musher-{}", Uuid::new_v4().simple()));
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        if old.is_some() {
            // Nobody reads it before it has the mode of the old one, which may be a secret's.
            options.mode(0o600);
        }
        let file = directory.open_with(&name, &options)?;
        Ok(Self { directory, name, file, is_named: false.into() })
    }

    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        (&self.file).write_all(bytes)
    }

    /// Says whether the owner is the old one's: only root can give a file away.
    fn keep_owner(&self, old: &Metadata) -> io::Result<bool> {
        let now = self.file.metadata()?;
        if (now.uid(), now.gid()) == (old.uid(), old.gid()) {
            return Ok(true);
        }
        let owner = (Uid::from_raw(old.uid()), Gid::from_raw(old.gid()));
        match fchown(&self.file, Some(owner.0), Some(owner.1)) {
            Ok(()) => Ok(true),
            Err(Errno::PERM) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Fails when it was to take the place of nothing, and there is something.
    fn take_name(self, name: &Path, instead: Instead) -> io::Result<()> {
        let (directory, own) = (self.directory, &self.name);
        let renamed = match instead {
            // By one name in one handle each, as cap-std would, which has no such call.
            Instead::OfNothing => {
                match renameat_with(directory, own, directory, name, RenameFlags::NOREPLACE) {
                    // Some network file systems cannot tell; then the look before has to do.
                    Err(Errno::INVAL | Errno::NOSYS) => directory.rename(own, directory, name),
                    renamed => renamed.map_err(Into::into),
                }
            }
            Instead::OfTheOldOne => directory.rename(own, directory, name),
        };
        self.is_named.set(renamed.is_ok());
        renamed
    }
}

/// What a new file takes the place of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Instead {
    OfNothing,
    OfTheOldOne,
}

impl Drop for Beside<'_> {
    fn drop(&mut self) {
        if !self.is_named.get()
            && let Err(error) = self.directory.remove_file(&self.name)
        {
            tracing::warn!(name = %self.name.display(), %error, "a half-written file is left");
        }
    }
}

/// The unified diff between two texts; none where one of them is not text, or nothing changed.
fn diff(name: &str, old: Option<&[u8]>, new: &[u8]) -> Option<String> {
    if old.is_some_and(is_binary) || is_binary(new) {
        return None;
    }
    // As git has it for a file by its absolute path.
    let name = name.trim_start_matches('/');
    let before = old.map_or("/dev/null".to_owned(), |_| format!("a/{name}"));
    let (old, new) = (String::from_utf8_lossy(old.unwrap_or_default()), String::from_utf8_lossy(new));
    let diff = TextDiff::configure().deadline(Instant::now() + DIFF_TIME).diff_lines(&*old, &*new);
    let text = diff.unified_diff().context_radius(AROUND).header(&before, &format!("b/{name}")).to_string();
    if text.len() > DIFF_LIMIT {
        let n_bytes = text.len();
        let end = text[..text.floor_char_boundary(DIFF_LIMIT)].rfind('\n').map_or(0, |end| end + 1);
        return Some(format!("{}[cut: the diff has {n_bytes} bytes]\n", bound::cut(text, end)));
    }
    Some(text).filter(|text| !text.is_empty())
}
