//! The directory that a worker works in, held open.

use std::{
    io::{self, Read},
    path::{Component, Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use cap_std::{
    ambient_authority,
    fs::{Dir, File, FileType, FileTypeExt, Metadata, OpenOptions, OpenOptionsExt},
};
use rustix::fs::OFlags;

use crate::refusal::Refusal;

/// Text has no NUL, and every binary format has one early; git looks as far.
const SNIFFED: usize = 8000;

/// A directory by its handle: every path is looked up below it, so that no link, no `..` and no change of names in
/// between leads anywhere else.
#[derive(Debug)]
pub(crate) struct Workspace {
    directory: Dir,
    /// Where it was when it was opened, for the absolute paths that models like to write.
    root: PathBuf,
    /// Held while a file is replaced: two edits of one file at the same time must not lose one. Protects the files
    /// and nothing in memory.
    writing: Mutex<()>,
}

/// A path in the workspace, relative and without `..` at its beginning, and how it was named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) path: PathBuf,
    pub(crate) name: String,
}

impl Workspace {
    /// Opens the directory. What becomes of its name later does not matter.
    pub(crate) fn open(root: &Path) -> io::Result<Self> {
        let directory = Dir::open_ambient_dir(root, ambient_authority())?;
        Ok(Self { directory, root: root.to_owned(), writing: Mutex::new(()) })
    }

    pub(crate) fn directory(&self) -> &Dir {
        &self.directory
    }

    /// What a model's path means. Whether it leads out is found when it is opened.
    pub(crate) fn place(&self, text: &str) -> Result<Place, Refusal> {
        let named = Path::new(text);
        let relative = named.strip_prefix(&self.root).unwrap_or(named);
        if text.contains('\0') || relative.is_absolute() {
            return Err(Refusal::Outside { path: text.to_owned() });
        }
        let path: PathBuf = relative.components().filter(|part| *part != Component::CurDir).collect();
        let path = if path.as_os_str().is_empty() { PathBuf::from(".") } else { path };
        Ok(Place { name: path.display().to_string(), path })
    }

    /// Opens a directory.
    pub(crate) fn open_directory(&self, place: &Place) -> Result<Dir, Refusal> {
        self.directory.open_dir(&place.path).map_err(|error| Refusal::io("open", &place.name, error))
    }

    /// Opens a regular file for reading; anything else is refused before it could block or do something.
    pub(crate) fn open_file(&self, place: &Place) -> Result<(File, Metadata), Refusal> {
        let failed = |error| Refusal::io("open", &place.name, error);
        require_file(place, &self.directory.metadata(&place.path).map_err(failed)?)?;
        let file = self.directory.open_with(&place.path, &for_reading()).map_err(failed)?;
        // Another one may have taken its name since.
        let metadata = file.metadata().map_err(failed)?;
        require_file(place, &metadata)?;
        Ok((file, metadata))
    }

    /// Reads a file of at most `limit` bytes.
    pub(crate) fn read(&self, place: &Place, limit: u64) -> Result<(Vec<u8>, Metadata), Refusal> {
        let (file, metadata) = self.open_file(place)?;
        let mut bytes = Vec::new();
        // One byte more than allowed, for a file that grows.
        let read = file.take(limit + 1).read_to_end(&mut bytes);
        read.map_err(|error| Refusal::io("read", &place.name, error))?;
        if bytes.len() as u64 > limit {
            let bytes = metadata.len().max(bytes.len() as u64);
            return Err(Refusal::TooLarge { path: place.name.clone(), bytes, limit });
        }
        Ok((bytes, metadata))
    }

    /// Waits until no other call replaces a file. A call that panicked left files as they were, or replaced.
    pub(crate) fn writing(&self) -> MutexGuard<'_, ()> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Options under which a FIFO does not wait for a writer, should one have taken a file's name.
pub(crate) fn for_reading() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed());
    options
}

/// Whether what begins so is something else than text.
pub(crate) fn is_binary(beginning: &[u8]) -> bool {
    beginning[..beginning.len().min(SNIFFED)].contains(&0)
}

/// Refuses what is not a regular file, and says what it is.
pub(crate) fn require_file(place: &Place, metadata: &Metadata) -> Result<(), Refusal> {
    let file_type = metadata.file_type();
    if file_type.is_file() {
        Ok(())
    } else if file_type.is_dir() {
        Err(Refusal::IsDirectory { path: place.name.clone() })
    } else {
        Err(Refusal::NotFile { path: place.name.clone(), kind: kind(file_type) })
    }
}

/// The name of a type of file.
pub(crate) fn kind(file_type: FileType) -> &'static str {
    if file_type.is_dir() {
        "a directory"
    } else if file_type.is_symlink() {
        "a link"
    } else if file_type.is_fifo() {
        "a FIFO"
    } else if file_type.is_socket() {
        "a socket"
    } else if file_type.is_file() {
        "a file"
    } else {
        "a device"
    }
}
