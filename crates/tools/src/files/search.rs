//! Searches the files of the workspace with ripgrep's parts.
//!
//! Those walk by path; this walks by handle, so that a directory that turns into a link while we look leads nowhere.

use std::{
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use cap_std::fs::{Dir, DirEntry, File};
use globset::{GlobBuilder, GlobMatcher};
use grep_regex::{RegexMatcher, RegexMatcherBuilder};
use grep_searcher::{BinaryDetection, Searcher, SearcherBuilder, Sink, SinkFinish, SinkMatch};
use ignore::gitignore::{Gitignore, GitignoreBuilder};
use musher_backend::ToolOutput;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Stop, listing::shown};
use crate::{
    bound,
    directories::Directories,
    refusal::Refusal,
    workspace::{Place, Workspace, for_reading},
};

pub(super) const DESCRIPTION: &str = "Searches the text files below a directory for a regular expression, line by line. \
    The answer has `path:line: text` for each match. What .gitignore leaves out and .git are not searched, links are not \
    followed.";

/// More than anybody reads; whoever gets as many has asked for too little.
const MATCHES_LIMIT: usize = 1000;

/// As much of a line as shows why it matched; the rest is in the file.
const LINE_SHOWN: usize = 400;

/// Deeper than any real tree, and every level holds a directory open.
const DEPTH_LIMIT: usize = 64;

/// A directory of more names than this was made by a program, for a program.
const ENTRIES_LIMIT: usize = 50_000;

/// A longer .gitignore is not one.
const IGNORE_LIMIT: u64 = 1024 * 1024;

/// Memory for one line, and for a compiled expression: a file without newlines, or `\w{1000}`, must not take more.
const LINE_LIMIT: usize = 1024 * 1024;
const PATTERN_LIMIT: usize = 4 * 1024 * 1024;

/// Where the tree is to matchers of ignored paths: they want one root, and never look at it.
const ROOT: &str = "/workspace";

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Arguments {
    /// A regular expression, as in ripgrep.
    pattern: String,
    /// The directory or file to search, relative to the workspace; all of it when left out. Or an absolute path in a
    /// further directory.
    #[serde(default)]
    path: Option<String>,
    /// Only files whose path matches, e.g. `*.rs` or `src/**/*.ts`.
    #[serde(default)]
    glob: Option<String>,
}

pub(super) fn work(
    directories: &Directories,
    arguments: Arguments,
    stop: &Stop,
) -> Result<ToolOutput, Refusal> {
    let (directory, place) = directories.find(arguments.path.as_deref().unwrap_or("."))?;
    let matcher = matcher(&arguments.pattern)?;
    let glob = arguments.glob.as_deref().map(Glob::new).transpose()?;
    let searcher = SearcherBuilder::new()
        .line_number(true)
        .heap_limit(Some(LINE_LIMIT))
        .binary_detection(BinaryDetection::quit(0))
        .build();
    let mut search =
        Search { root: directory, matcher, glob, searcher, stop, found: Found::default(), n_unreadable: 0 };
    let failed = |error| Refusal::io("search", &place.name, error);
    let searched = if directory.directory().metadata(&place.path).map_err(failed)?.is_dir() {
        let ignored = above(directory, &place)?;
        search.directory(&directory.open_directory(&place)?, &place.path, &ignored, 0)
    } else {
        let (file, _) = directory.open_file(&place)?;
        search.file(file, &place.path)
    };
    told(search.found.lines, search.n_unreadable, searched)
}

fn matcher(pattern: &str) -> Result<RegexMatcher, Refusal> {
    RegexMatcherBuilder::new()
        .size_limit(PATTERN_LIMIT)
        .dfa_size_limit(PATTERN_LIMIT)
        .line_terminator(Some(b'\n'))
        .build(pattern)
        .map_err(|source| Refusal::Pattern { source })
}

/// Which files are searched.
struct Glob {
    matcher: GlobMatcher,
    /// Without a `/` in it, it is about names.
    is_of_names: bool,
}

impl Glob {
    fn new(text: &str) -> Result<Self, Refusal> {
        let glob = GlobBuilder::new(text).literal_separator(true).build();
        let glob = glob.map_err(|source| Refusal::Glob { source })?;
        Ok(Self { matcher: glob.compile_matcher(), is_of_names: !text.contains('/') })
    }

    fn takes(&self, path: &Path) -> bool {
        let path = if self.is_of_names { path.file_name().map_or(path, Path::new) } else { path };
        self.matcher.is_match(path)
    }
}

/// The .gitignore files that hold for a directory, from the root down.
#[derive(Clone, Default)]
struct Ignored(Vec<Arc<Gitignore>>);

impl Ignored {
    /// The nearest file that says something decides.
    fn leaves_out(&self, path: &Path, is_directory: bool) -> bool {
        let path = Path::new(ROOT).join(path);
        let says = self.0.iter().rev().map(|file| file.matched(&path, is_directory));
        says.into_iter().find(|found| !found.is_none()).is_some_and(|found| found.is_ignore())
    }

    /// Adds what a directory says itself. Lines that cannot be read say nothing, as for git.
    fn below(&self, directory: &Dir, path: &Path) -> Self {
        let mut below = self.clone();
        let Ok(text) = read_ignored(directory) else { return below };
        let mut builder = GitignoreBuilder::new(Path::new(ROOT).join(path));
        for line in String::from_utf8_lossy(&text).lines() {
            if let Err(error) = builder.add_line(None, line) {
                tracing::debug!(%error, line, "a line of .gitignore is no pattern");
            }
        }
        match builder.build() {
            Ok(file) => below.0.push(Arc::new(file)),
            Err(error) => tracing::debug!(%error, "a .gitignore is too large"),
        }
        below
    }
}

fn read_ignored(directory: &Dir) -> io::Result<Vec<u8>> {
    let file = directory.open_with(".gitignore", &for_reading())?;
    let mut text = Vec::new();
    if file.metadata()?.is_file() {
        file.take(IGNORE_LIMIT).read_to_end(&mut text)?;
    }
    Ok(text)
}

/// What the directories above a place say.
fn above(workspace: &Workspace, place: &Place) -> Result<Ignored, Refusal> {
    let mut ignored = Ignored::default();
    for ancestor in place.path.ancestors().skip(1).collect::<Vec<_>>().into_iter().rev() {
        let path = if ancestor.as_os_str().is_empty() { Path::new(".") } else { ancestor };
        let directory = workspace.directory().open_dir(path);
        let directory = directory.map_err(|error| Refusal::io("search", &place.name, error))?;
        ignored = ignored.below(&directory, ancestor);
    }
    Ok(ignored)
}

struct Search<'a> {
    /// What all paths are in.
    root: &'a Workspace,
    matcher: RegexMatcher,
    glob: Option<Glob>,
    searcher: Searcher,
    stop: &'a Stop,
    found: Found,
    /// Directories and files that could not be looked into.
    n_unreadable: usize,
}

impl Search<'_> {
    /// Searches what is below a directory, in the order of names.
    fn directory(
        &mut self,
        directory: &Dir,
        path: &Path,
        ignored: &Ignored,
        depth: usize,
    ) -> Result<(), Refusal> {
        let ignored = ignored.below(directory, path);
        let Ok(listed) = directory.entries() else {
            self.n_unreadable += 1;
            return Ok(());
        };
        let mut entries = Vec::new();
        for entry in listed {
            self.stop.check()?;
            match entry {
                Ok(entry) if entries.len() < ENTRIES_LIMIT => entries.push(entry),
                Ok(_) | Err(_) => {
                    // What comes after either is not seen.
                    self.n_unreadable += 1;
                    break;
                }
            }
        }
        entries.sort_by_key(DirEntry::file_name);
        for entry in entries {
            self.stop.check()?;
            if self.found.is_full() {
                break;
            }
            // Gone since it was listed.
            let Ok(file_type) = entry.file_type() else { continue };
            let name = entry.file_name();
            let path = if path == Path::new(".") { PathBuf::from(&name) } else { path.join(&name) };
            let is_directory = file_type.is_dir();
            if name == ".git" || ignored.leaves_out(&path, is_directory) {
                continue;
            }
            if is_directory {
                match directory.open_dir(&name) {
                    Ok(below) if depth < DEPTH_LIMIT => self.directory(&below, &path, &ignored, depth + 1)?,
                    Ok(_) | Err(_) => self.n_unreadable += 1,
                }
            } else if file_type.is_file() && self.glob.as_ref().is_none_or(|glob| glob.takes(&path)) {
                match directory.open_with(&name, &for_reading()) {
                    Ok(file) => self.file(file, &path)?,
                    Err(_) => self.n_unreadable += 1,
                }
            }
        }
        Ok(())
    }

    fn file(&mut self, file: File, path: &Path) -> Result<(), Refusal> {
        // A file that grows ends where it ended, and one that is none any more has no length.
        let length = match file.metadata() {
            Ok(metadata) if metadata.is_file() => metadata.len(),
            Ok(_) | Err(_) => 0,
        };
        let before = self.found.lines.len();
        let reader = Stoppable { file: file.take(length), stop: self.stop };
        let path = shown(&self.root.name(path));
        let mut sink = Lines { path, found: &mut self.found, is_binary: false };
        let searched = self.searcher.search_reader(&self.matcher, reader, &mut sink);
        let is_binary = sink.is_binary;
        self.stop.check()?;
        if is_binary {
            // A NUL after some lines of text: those were no lines.
            self.found.lines.truncate(before);
        } else if searched.is_err() {
            self.n_unreadable += 1;
        }
        Ok(())
    }
}

/// What the model is told of a search that ended so.
pub(super) fn told(
    mut lines: Vec<String>,
    n_unreadable: usize,
    searched: Result<(), Refusal>,
) -> Result<ToolOutput, Refusal> {
    match searched {
        Ok(()) => {}
        // What was found in a minute is worth more than to know that it took too long.
        Err(Refusal::Stopped) if !lines.is_empty() => {
            lines.push("[the search was stopped before its end; narrow the path or glob]".to_owned());
        }
        Err(refusal) => return Err(refusal),
    }
    if lines.is_empty() {
        lines.push("[no match]".to_owned());
    } else if lines.len() >= MATCHES_LIMIT {
        lines.push(format!(
            "[only the first {MATCHES_LIMIT} matches are shown; narrow the pattern, path or glob]"
        ));
    }
    if n_unreadable > 0 {
        lines.push(format!(
            "[{n_unreadable} files or directories could not be searched, or not to their end]"
        ));
    }
    Ok(bound::output(lines.join("\n")))
}

/// The matches so far.
#[derive(Default)]
struct Found {
    lines: Vec<String>,
}

impl Found {
    fn is_full(&self) -> bool {
        self.lines.len() >= MATCHES_LIMIT
    }
}

/// Takes the matches of one file.
struct Lines<'a> {
    path: String,
    found: &'a mut Found,
    is_binary: bool,
}

impl Sink for Lines<'_> {
    type Error = io::Error;

    fn matched(&mut self, _: &Searcher, found: &SinkMatch<'_>) -> io::Result<bool> {
        let line = String::from_utf8_lossy(found.bytes());
        let line = bound::brief(line.trim_end_matches(['\n', '\r']), LINE_SHOWN);
        self.found.lines.push(format!("{}:{}: {line}", self.path, found.line_number().unwrap_or(0)));
        Ok(!self.found.is_full())
    }

    fn finish(&mut self, _: &Searcher, end: &SinkFinish) -> io::Result<()> {
        self.is_binary = end.binary_byte_offset().is_some();
        Ok(())
    }
}

/// A reader that fails when the work is no longer wanted.
struct Stoppable<'a> {
    file: io::Take<File>,
    stop: &'a Stop,
}

impl Read for Stoppable<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stop.check_io()?;
        self.file.read(buffer)
    }
}
