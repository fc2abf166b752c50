//! Files, compared with what a commit has under their names.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::{self, Read as _},
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    sync::Weak,
};

use super::{
    blob::Naming,
    files::{Files, Found},
    said::{Entry, Kind},
};

/// Files in one comparison. More are no change that a person reads, and the answer must fit into memory.
pub(super) const MOST_FILES: usize = 2000;
/// Of longer files nobody reads a difference.
const MOST_OF_A_FILE: u64 = 16 << 20;
/// What is read for git to compare, in all: it lies on the disk twice for that long.
const MOST_OF_ALL: u64 = 64 << 20;

/// A comparison of the files below a directory.
#[derive(Debug)]
pub(super) struct Comparison {
    pub(super) top: PathBuf,
    pub(super) naming: Naming,
    /// A directory of ours for the content of what differs, each file with the number of its place.
    pub(super) contents: PathBuf,
    /// Whoever wants to know has this for as long as they do.
    pub(super) wanted: Weak<()>,
}

/// What was found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Compared {
    pub(super) changes: Vec<Change>,
    /// Long files whose names alone say too little: they are compared when the lengths of these objects are known.
    pub(super) long: Vec<Long>,
    /// How many contents there are.
    pub(super) n_contents: usize,
    /// There were more changes.
    pub(super) is_cut: bool,
}

/// A name with something else under it than the commit has.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) path: PathBuf,
    /// Whether the commit has something there.
    pub(super) was_there: bool,
    pub(super) now: Now,
}

/// What is there now.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Now {
    /// Nothing.
    Nothing,
    /// The content with this number.
    Content(usize, Kind),
    /// What the commit has, as another kind of file.
    Same(String, Kind),
    /// Something that git is not shown: a repository within, or what is too long, or not readable.
    Unknown,
}

/// A long file that the commit has, too.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Long {
    pub(super) entry: Entry,
    pub(super) length: u64,
}

impl Comparison {
    /// Compares what the commit has, and whatever else is there, with the files. Blocks.
    pub(super) fn run(&self, entries: Vec<Entry>, others: Vec<PathBuf>) -> io::Result<Compared> {
        fs::create_dir(&self.contents)?;
        let mut files = Files::below(&self.top)?;
        let mut compared = Compared::default();
        let mut room = MOST_OF_ALL;
        for entry in entries {
            self.go_on()?;
            if compared.is_full() {
                compared.is_cut = true;
                return Ok(compared);
            }
            let found = files.at(&entry.path)?;
            self.compare(entry, found, &mut compared, &mut room)?;
        }
        for path in others {
            self.go_on()?;
            if compared.is_full() {
                compared.is_cut = true;
                break;
            }
            let now = if path.as_os_str().as_bytes().ends_with(b"/") {
                Now::Unknown
            } else {
                match files.at(&path)? {
                    Found::Nothing | Found::Directory { .. } => continue,
                    Found::Closed => Now::Unknown,
                    Found::Link(target) => self.keep(&target, Kind::Link, &mut compared, &mut room)?,
                    Found::File { file, length, is_executable } => match read(file, length)? {
                        None => Now::Unknown,
                        Some(content) => {
                            self.keep(&content, Kind::File { is_executable }, &mut compared, &mut room)?
                        }
                    },
                }
            };
            let now = if is_refused(&path, &now) { Now::Unknown } else { now };
            compared.changes.push(Change { path, was_there: false, now });
        }
        Ok(compared)
    }

    /// Compares a long file with what the commit has, which is as long. Blocks.
    pub(super) fn run_long(&self, Long { entry, length }: Long) -> io::Result<Option<Change>> {
        let now = match Files::below(&self.top)?.at(&entry.path)? {
            Found::File { file, is_executable, .. } => {
                let name = self.naming.name_of(file.take(length + 1), length, || self.go_on())?;
                let kind = Kind::File { is_executable };
                if name != entry.object {
                    Now::Unknown
                } else if kind == entry.kind {
                    return Ok(None);
                } else {
                    Now::Same(name, kind)
                }
            }
            // It was there a moment ago.
            Found::Nothing | Found::Directory { .. } => Now::Nothing,
            Found::Link(_) | Found::Closed => Now::Unknown,
        };
        Ok(Some(Change { path: entry.path, was_there: true, now }))
    }

    fn compare(&self, entry: Entry, found: Found, compared: &mut Compared, room: &mut u64) -> io::Result<()> {
        let now = match found {
            Found::Nothing => Now::Nothing,
            // What is in a repository within is not looked at; where it has nothing in it, nobody put anything there.
            Found::Directory { is_empty } => match entry.kind {
                Kind::Repository if is_empty => return Ok(()),
                Kind::Repository => Now::Unknown,
                Kind::File { .. } | Kind::Link => Now::Nothing,
            },
            Found::Closed => Now::Unknown,
            Found::Link(target) => {
                if entry.kind == Kind::Link && self.naming.name(&target) == entry.object {
                    return Ok(());
                }
                self.keep(&target, Kind::Link, compared, room)?
            }
            Found::File { file, length, is_executable } => {
                let kind = Kind::File { is_executable };
                match (read(file, length)?, entry.kind) {
                    (None, Kind::File { .. }) => {
                        compared.long.push(Long { entry, length });
                        return Ok(());
                    }
                    (None, Kind::Link | Kind::Repository) => Now::Unknown,
                    (Some(content), _) if self.naming.name(&content) == entry.object => {
                        if kind == entry.kind {
                            return Ok(());
                        }
                        Now::Same(entry.object, kind)
                    }
                    (Some(content), _) => self.keep(&content, kind, compared, room)?,
                }
            }
        };
        compared.changes.push(Change { path: entry.path, was_there: true, now });
        Ok(())
    }

    /// Keeps a content for git to compare, while there is room.
    fn keep(&self, content: &[u8], kind: Kind, compared: &mut Compared, room: &mut u64) -> io::Result<Now> {
        let Some(left) = room.checked_sub(content.len() as u64) else { return Ok(Now::Unknown) };
        *room = left;
        let n = compared.n_contents;
        fs::write(self.contents.join(n.to_string()), content)?;
        compared.n_contents += 1;
        Ok(Now::Content(n, kind))
    }

    fn go_on(&self) -> io::Result<()> {
        if self.wanted.strong_count() > 0 { Ok(()) } else { Err(io::ErrorKind::Interrupted.into()) }
    }
}

impl Compared {
    fn is_full(&self) -> bool {
        self.changes.len() + self.long.len() >= MOST_FILES
    }
}

/// A file whole; none when it is too long, also when it has become so.
fn read(file: File, length: u64) -> io::Result<Option<Vec<u8>>> {
    if length > MOST_OF_A_FILE {
        return Ok(None);
    }
    let mut content = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
    file.take(MOST_OF_A_FILE + 1).read_to_end(&mut content)?;
    Ok((content.len() as u64 <= MOST_OF_A_FILE).then_some(content))
}

/// Whether git would not take the name: what is called like its own files is named, and no more.
fn is_refused(path: &Path, now: &Now) -> bool {
    let is_called = |part: &OsStr, name: &str| part.eq_ignore_ascii_case(name);
    path.iter().any(|part| is_called(part, ".git"))
        || (matches!(now, Now::Content(_, Kind::Link))
            && path.file_name().is_some_and(|name| is_called(name, ".gitmodules")))
}
