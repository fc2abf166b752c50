//! A directory of a worker's, held open.

use std::{
    io::{self, Read},
    path::{Component, Path, PathBuf},
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
    /// What stands before a path in it, in what a model is told: nothing where relative paths mean this directory.
    prefix: PathBuf,
}

/// A path in a directory, relative and without `..` at its beginning, and how it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) path: PathBuf,
    pub(crate) name: String,
}

impl Workspace {
    /// Opens the directory. What becomes of its name later does not matter.
    pub(crate) fn open(root: PathBuf, prefix: PathBuf) -> io::Result<Self> {
        let directory = Dir::open_ambient_dir(&root, ambient_authority())?;
        Ok(Self { directory, root, prefix })
    }

    pub(crate) fn directory(&self) -> &Dir {
        &self.directory
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// What a relative path means. Whether it leads out is found when it is opened.
    pub(crate) fn place(&self, relative: &Path) -> Place {
        let path: PathBuf = relative.components().filter(|part| *part != Component::CurDir).collect();
        let name = self.name(&path);
        let path = if path.as_os_str().is_empty() { PathBuf::from(".") } else { path };
        Place { name: if name.is_empty() { ".".to_owned() } else { name }, path }
    }

    /// How a path in it is told.
    pub(crate) fn name(&self, path: &Path) -> String {
        self.prefix.join(path).display().to_string()
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
