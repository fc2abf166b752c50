//! What the calls of a trace did to the files below one directory, and what they told to clients.

use std::path::{Component, Path, PathBuf};

use super::{
    blind::Blind,
    strace::{self, Call, Returned, Span},
};

/// The system calls that a trace must have: all that change files or speak to clients, and those that would make the
/// harness blind.
pub(super) const SYSTEM_CALLS: &str = "open,openat,openat2,creat,close,lseek,write,writev,pwrite64,pwritev,pwritev2,\
    truncate,ftruncate,fallocate,rename,renameat,renameat2,link,linkat,symlink,symlinkat,unlink,unlinkat,rmdir,mkdir,\
    mkdirat,fsync,fdatasync,sync,syncfs,sendto,sendmsg,sendmmsg,mmap,copy_file_range,sendfile,splice,io_uring_setup";

/// SQLite writes the index of its log into shared memory. It is made anew at every start, so its bytes do not matter.
const SHARED_MEMORY: &str = "-shm";

/// What SQLite's log is called, behind the name of its database.
pub(super) const LOG: &str = "-wal";

/// Whether this is a log of SQLite's.
pub(super) fn is_log(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().ends_with(LOG.as_bytes())
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) span: Span,
    pub(super) act: Act,
}

/// What happened. Paths are relative to the directory that is watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// A file was opened; `create` when it may have been made, `truncate` when it was emptied.
    Open { path: PathBuf, number: i64, create: bool, truncate: bool, append: bool },
    /// Bytes went into a file; without a place, behind the ones before.
    Write { file: Opened, at: Option<u64>, bytes: Vec<u8> },
    /// The place of the next write without one.
    Seek { file: Opened, to: u64 },
    /// A file got this size.
    Size { file: Opened, bytes: u64 },
    /// A file got room up to here.
    Room { file: Opened, end: u64 },
    /// All that was done to a file or directory before this began is durable when it has returned.
    Sync { file: Opened },
    /// A file can be changed through memory, unseen.
    Shared { file: Opened },
    /// A name became another one's.
    Rename { from: PathBuf, to: PathBuf },
    /// A file got another name.
    Link { from: PathBuf, to: PathBuf },
    /// A name went.
    Remove { path: PathBuf },
    /// A directory was made.
    MakeDirectory { path: PathBuf },
    /// Bytes went to whoever is at the other end of a socket.
    Send { socket: String, bytes: Vec<u8> },
    /// A socket was closed.
    Hangup { socket: String },
}

/// A file by its descriptor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Opened {
    /// The descriptor.
    pub(super) number: i64,
    /// Its path when it was used.
    pub(super) path: PathBuf,
    /// Whether that path was gone by then.
    pub(super) removed: bool,
}

impl Opened {
    /// Whether this is shared memory of SQLite's.
    pub(super) fn is_shared_memory(&self) -> bool {
        self.path.to_string_lossy().ends_with(SHARED_MEMORY)
    }
}

/// Reads the steps out of calls, in the order in which they ended; what never ended comes last.
pub(super) fn steps(calls: &[Call], root: &Path) -> Result<Vec<Step>, Blind> {
    let mut steps = Vec::new();
    for call in calls {
        let reading = Reading { call, root };
        if let Some(act) = reading.act()? {
            steps.push(Step { span: call.span, act });
        }
    }
    steps.sort_by_key(|step| (step.span.end, step.span.start));
    Ok(steps)
}

struct Reading<'a> {
    call: &'a Call,
    root: &'a Path,
}

impl Reading<'_> {
    fn act(&self) -> Result<Option<Act>, Blind> {
        let written = match &self.call.result {
            Returned::Value(value) => usize::try_from(*value).unwrap_or(0),
            // What was answered in the kernel's place or refused by it did not happen.
            Returned::Error(_) | Returned::Injected => return Ok(None),
            Returned::Never => usize::MAX,
        };
        match self.call.name.as_str() {
            "open" => self.open(0, None),
            "openat" => self.open(1, Some(0)),
            "creat" => self.open(0, None),
            "close" => Ok(self.socket().map(|socket| Act::Hangup { socket })),
            "lseek" => {
                let Returned::Value(to) = self.call.result else { return Ok(None) };
                Ok(self.file()?.map(|file| Act::Seek { file, to: to.unsigned_abs() }))
            }
            "write" | "sendto" => self.bytes(None, false, written),
            "writev" | "sendmsg" => self.bytes(None, true, written),
            "pwrite64" => self.bytes(Some(self.number(3)?), false, written),
            "pwritev" => self.bytes(Some(self.number(3)?), true, written),
            "ftruncate" => {
                let bytes = self.number(1)?;
                Ok(self.file()?.map(|file| Act::Size { file, bytes }))
            }
            "fallocate" => self.room(),
            "fsync" | "fdatasync" => Ok(self.file()?.map(|file| Act::Sync { file })),
            "rename" => self.renamed(None, 0, None, 1),
            "renameat" | "renameat2" => self.renamed(Some(0), 1, Some(2), 3),
            "link" => self.linked(None, 0, None, 1),
            "linkat" => self.linked(Some(0), 1, Some(2), 3),
            "unlink" | "rmdir" => Ok(self.path(None, 0)?.map(|path| Act::Remove { path })),
            "unlinkat" => Ok(self.path(Some(0), 1)?.map(|path| Act::Remove { path })),
            "mkdir" => Ok(self.path(None, 0)?.map(|path| Act::MakeDirectory { path })),
            "mkdirat" => Ok(self.path(Some(0), 1)?.map(|path| Act::MakeDirectory { path })),
            "mmap" => self.mapped(),
            _unknown => self.unseen(),
        }
    }

    fn blind(&self, why: impl Into<String>) -> Blind {
        Blind::new(self.call.span.start, why)
    }

    fn argument(&self, index: usize) -> Result<&str, Blind> {
        let found = self.call.arguments.get(index);
        found
            .map(String::as_str)
            .ok_or_else(|| self.blind(format!("`{}` without argument {index}", self.call.name)))
    }

    fn number(&self, index: usize) -> Result<u64, Blind> {
        let text = self.argument(index)?;
        text.parse().map_err(|_no_number| self.blind(format!("`{text}` is no number")))
    }

    /// A path below the root, from a string and the directory that it is relative to.
    fn path(&self, directory: Option<usize>, index: usize) -> Result<Option<PathBuf>, Blind> {
        let bytes = strace::bytes(self.argument(index)?, self.call.span.start)?;
        let named = String::from_utf8(bytes).map_err(|_bytes| self.blind("a path that is no text"))?;
        let base = match directory {
            Some(index) => strace::descriptor(self.argument(index)?).map(|(_, name, _)| name),
            None => None,
        };
        // A server is started in the directory that is watched.
        let path = base.map_or_else(|| self.root.to_owned(), PathBuf::from).join(&named);
        if path.components().any(|part| part == Component::ParentDir) {
            return Err(self.blind(format!("a path that could be anywhere: {}", path.display())));
        }
        Ok(self.below(&path))
    }

    fn below(&self, path: &Path) -> Option<PathBuf> {
        path.strip_prefix(self.root).ok().map(|path| path.components().collect())
    }

    /// The file that the first argument is a descriptor of, when it is below the root.
    fn file(&self) -> Result<Option<Opened>, Blind> {
        self.file_at(0)
    }

    fn file_at(&self, index: usize) -> Result<Option<Opened>, Blind> {
        let found = strace::descriptor(self.argument(index)?);
        Ok(found.and_then(|(number, name, removed)| {
            self.below(Path::new(&name)).map(|path| Opened { number, path, removed })
        }))
    }

    fn socket(&self) -> Option<String> {
        let (_, name, _) = strace::descriptor(self.call.arguments.first()?)?;
        name.starts_with("socket:").then_some(name)
    }

    fn bytes(&self, at: Option<u64>, vector: bool, written: usize) -> Result<Option<Act>, Blind> {
        let (socket, file) = (self.socket(), self.file()?);
        if socket.is_none() && file.is_none() {
            return Ok(None);
        }
        let argument = self.argument(1)?;
        let line = self.call.span.start;
        let mut bytes =
            if vector { strace::vector_bytes(argument, line)? } else { strace::bytes(argument, line)? };
        bytes.truncate(written);
        Ok(match (socket, file) {
            (Some(socket), _) => Some(Act::Send { socket, bytes }),
            (None, Some(file)) => Some(Act::Write { file, at, bytes }),
            (None, None) => None,
        })
    }

    fn open(&self, path: usize, directory: Option<usize>) -> Result<Option<Act>, Blind> {
        let Returned::Value(number) = self.call.result else { return Ok(None) };
        let Some(path) = self.path(directory, path)? else { return Ok(None) };
        let flags = if self.call.name == "creat" {
            "O_WRONLY|O_CREAT|O_TRUNC"
        } else {
            self.argument(if directory.is_some() { 2 } else { 1 })?
        };
        let has = |flag| flags.split('|').any(|one| one == flag);
        if has("O_SYNC") || has("O_DSYNC") || has("O_TMPFILE") {
            return Err(self.blind(format!("a file opened with {flags}")));
        }
        let (create, truncate, append) = (has("O_CREAT"), has("O_TRUNC"), has("O_APPEND"));
        Ok(Some(Act::Open { path, number, create, truncate, append }))
    }

    fn room(&self) -> Result<Option<Act>, Blind> {
        let Some(file) = self.file()? else { return Ok(None) };
        match self.argument(1)? {
            "0" => Ok(Some(Act::Room { file, end: self.number(2)? + self.number(3)? })),
            "FALLOC_FL_KEEP_SIZE" => Ok(None),
            mode => Err(self.blind(format!("fallocate with {mode}"))),
        }
    }

    fn two(
        &self,
        from: (Option<usize>, usize),
        to: (Option<usize>, usize),
    ) -> Result<Option<(PathBuf, PathBuf)>, Blind> {
        match (self.path(from.0, from.1)?, self.path(to.0, to.1)?) {
            (Some(from), Some(to)) => Ok(Some((from, to))),
            (None, None) => Ok(None),
            (Some(_), None) | (None, Some(_)) => Err(self.blind("a name that crosses the directory's edge")),
        }
    }

    fn renamed(
        &self,
        from_directory: Option<usize>,
        from: usize,
        to_directory: Option<usize>,
        to: usize,
    ) -> Result<Option<Act>, Blind> {
        if self.call.arguments.get(4).is_some_and(|flags| flags.contains("RENAME_EXCHANGE")) {
            return Err(self.blind("two names exchanged"));
        }
        let names = self.two((from_directory, from), (to_directory, to))?;
        Ok(names.map(|(from, to)| Act::Rename { from, to }))
    }

    fn linked(
        &self,
        from_directory: Option<usize>,
        from: usize,
        to_directory: Option<usize>,
        to: usize,
    ) -> Result<Option<Act>, Blind> {
        let names = self.two((from_directory, from), (to_directory, to))?;
        Ok(names.map(|(from, to)| Act::Link { from, to }))
    }

    fn mapped(&self) -> Result<Option<Act>, Blind> {
        let (protection, flags) = (self.argument(2)?, self.argument(3)?);
        if !(flags.contains("MAP_SHARED") && protection.contains("PROT_WRITE")) {
            return Ok(None);
        }
        match self.file_at(4)? {
            Some(file) if !file.is_shared_memory() => {
                Err(self.blind(format!("{} is written through memory", file.path.display())))
            }
            shared => Ok(shared.map(|file| Act::Shared { file })),
        }
    }

    /// A call whose effect the model does not have: harmless as long as it touches nothing that is watched.
    fn unseen(&self) -> Result<Option<Act>, Blind> {
        let name = &self.call.name;
        let touches = self.call.arguments.iter().any(|argument| {
            let path = strace::descriptor(argument).map(|(_, name, _)| name);
            let path = path.or_else(|| String::from_utf8(strace::bytes(argument, 0).ok()?).ok());
            path.is_some_and(|path| path.starts_with("socket:") || self.below(Path::new(&path)).is_some())
        });
        if touches || matches!(name.as_str(), "sync" | "syncfs" | "io_uring_setup") {
            return Err(self.blind(format!("`{name}`, which the model of a disk does not have")));
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests;
