//! Files of a worker's, read so that nothing they are leads elsewhere or holds anybody up.

use std::{
    ffi::OsStr,
    fs::File,
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, Dir, FileType, Mode, OFlags, fstat, open, openat, readlinkat, statat},
    io::Errno,
};

/// Nothing is waited for and no link is followed.
const QUIET: OFlags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);
const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(QUIET);

/// The files below a directory. Names are those of git: parts with `/` between them.
#[derive(Debug)]
pub(super) struct Files {
    top: OwnedFd,
    /// The directory that was looked into last: names come in order, and many are in one.
    last: Option<(PathBuf, OwnedFd)>,
}

/// What has a name.
#[derive(Debug)]
pub(super) enum Found {
    /// Nothing that git would keep: also a pipe, a socket or a device.
    Nothing,
    /// A directory.
    Directory { is_empty: bool },
    /// A link, and where it leads.
    Link(Vec<u8>),
    /// A file.
    File { file: File, length: u64, is_executable: bool },
    /// Something that this process may not read.
    Closed,
}

impl Files {
    /// Those below a directory, which is no link itself.
    pub(super) fn below(top: &Path) -> io::Result<Self> {
        Ok(Self { top: open(top, DIRECTORY, Mode::empty())?, last: None })
    }

    /// What has this name.
    pub(super) fn at(&mut self, path: &Path) -> io::Result<Found> {
        match self.look(path) {
            // A part of the way is no directory, or a link; or it became something else while it was looked at.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::INVAL | Errno::NXIO) => {
                Ok(Found::Nothing)
            }
            Err(Errno::ACCESS | Errno::PERM) => Ok(Found::Closed),
            found => Ok(found?),
        }
    }

    fn look(&mut self, path: &Path) -> Result<Found, Errno> {
        let Some(name) = path.file_name() else { return Ok(Found::Nothing) };
        let directory = self.directory(path.parent().unwrap_or(Path::new("")))?;
        let metadata = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
        match FileType::from_raw_mode(metadata.st_mode) {
            FileType::Symlink => Ok(Found::Link(readlinkat(directory, name, Vec::new())?.into_bytes())),
            FileType::Directory => Ok(Found::Directory { is_empty: is_empty(directory, name)? }),
            FileType::RegularFile => {
                let file = openat(directory, name, OFlags::RDONLY | QUIET, Mode::empty())?;
                // It may be another one by now.
                let metadata = fstat(&file)?;
                if FileType::from_raw_mode(metadata.st_mode) != FileType::RegularFile {
                    return Ok(Found::Nothing);
                }
                let is_executable = Mode::from_raw_mode(metadata.st_mode).contains(Mode::XUSR);
                Ok(Found::File { file: file.into(), length: metadata.st_size.unsigned_abs(), is_executable })
            }
            FileType::Fifo
            | FileType::Socket
            | FileType::CharacterDevice
            | FileType::BlockDevice
            | FileType::Unknown => Ok(Found::Nothing),
        }
    }

    fn directory(&mut self, way: &Path) -> Result<&OwnedFd, Errno> {
        if way == Path::new("") {
            return Ok(&self.top);
        }
        if self.last.as_ref().is_none_or(|(last, _)| last != way) {
            self.last = Some((way.to_owned(), descend(&self.top, way)?));
        }
        Ok(self.last.as_ref().map_or(&self.top, |(_, directory)| directory))
    }
}

/// Opens a directory part by part: at no time are more than two of them open, however long the way.
fn descend(top: &OwnedFd, way: &Path) -> Result<OwnedFd, Errno> {
    let mut directory = None;
    for part in way {
        if part == ".." {
            return Err(Errno::NOENT);
        }
        directory = Some(openat(directory.as_ref().unwrap_or(top), part, DIRECTORY, Mode::empty())?);
    }
    directory.ok_or(Errno::NOENT)
}

fn is_empty(directory: &OwnedFd, name: &OsStr) -> Result<bool, Errno> {
    for entry in Dir::new(openat(directory, name, DIRECTORY, Mode::empty())?)? {
        if !matches!(entry?.file_name().to_bytes(), b"." | b"..") {
            return Ok(false);
        }
    }
    Ok(true)
}
