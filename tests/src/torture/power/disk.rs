//! A model of a disk with a cache that loses power.
//!
//! A write, a new size or a new name is durable once a sync of that file or directory has returned that began after it
//! had returned. Of everything else any part may be there afterwards, in any combination, writes torn at sectors. This
//! is more than most disks and file systems do to anybody, and no less than what POSIX allows.

mod live;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use self::live::Live;
use super::{
    blind::Blind,
    content::{Content, pieces},
    fate::{Fate, Part},
    step::Step,
    strace::Span,
};

/// What there is after a loss of power, or at the beginning: names, without the directory itself.
pub(in crate::torture) type Image = BTreeMap<PathBuf, Entry>;

/// A name in an image.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::torture) enum Entry {
    Directory,
    File(Content),
}

/// All that ever happened to the files below one directory.
#[derive(Debug)]
pub(super) struct Disk {
    /// The first is the directory itself.
    nodes: Vec<Node>,
}

/// A file or directory, whatever its names are.
#[derive(Debug, Default)]
struct Node {
    is_directory: bool,
    /// Whether it is also changed through memory, which nobody sees.
    is_shared: bool,
    changes: Vec<Change>,
    syncs: Vec<Span>,
}

#[derive(Debug)]
struct Change {
    span: Span,
    what: What,
}

#[derive(Debug)]
enum What {
    Write { at: u64, bytes: Vec<u8> },
    Size(u64),
    Room(u64),
    Name { name: PathBuf, node: usize },
    NoName { name: PathBuf },
    Moved { from: PathBuf, to: PathBuf, node: usize },
}

impl Disk {
    /// What happened, on top of what had been there and was durable before.
    pub(super) fn new(base: &Image, steps: &[Step]) -> Result<Self, Blind> {
        let mut live = Live::new(base)?;
        for step in steps {
            live.step(step)?;
        }
        Ok(Self { nodes: live.nodes() })
    }

    /// What is left when the power fails behind this line of the trace.
    pub(super) fn after_loss(&self, line: usize, fate: &mut Fate) -> Image {
        let mut image = Image::new();
        let mut waiting = vec![(PathBuf::new(), 0_usize)];
        while let Some((path, index)) = waiting.pop() {
            let node = &self.nodes[index];
            let parts = node.parts(line, fate);
            if node.is_directory {
                let names = names(&parts);
                waiting.extend(names.into_iter().rev().map(|(name, child)| (path.join(name), child)));
                image.insert(path, Entry::Directory);
            } else {
                let mut content = content(&parts);
                if node.is_shared {
                    let mut bytes = content.bytes();
                    fate.scramble(&mut bytes);
                    content = Content::from(bytes.as_slice());
                }
                image.insert(path, Entry::File(content));
            }
        }
        image.remove(Path::new(""));
        image
    }
}

impl Node {
    /// The changes that are there after a loss of power, in order, and what is there of each.
    fn parts(&self, line: usize, fate: &mut Fate) -> Vec<(&What, Part)> {
        let synced = self.syncs.iter().filter(|sync| sync.end <= line).map(|sync| sync.start).max();
        let begun: Vec<_> = self.changes.iter().filter(|change| change.span.start <= line).collect();
        let is_open = |change: &Change| synced.is_none_or(|synced| change.span.end >= synced);
        let open: Vec<_> = begun.iter().filter(|change| is_open(change)).collect();
        let mut fates = fate.of_changes(open.iter().map(|change| change.what.sectors())).into_iter();
        let part =
            |change: &Change| if is_open(change) { fates.next().expect("one each") } else { Part::All };
        let parts: Vec<_> = begun.iter().copied().map(part).collect();
        begun.into_iter().map(|change| &change.what).zip(parts).collect()
    }
}

impl What {
    /// Into how many pieces it can fall.
    fn sectors(&self) -> usize {
        match self {
            Self::Write { at, bytes } => pieces(*at, bytes.len()).count(),
            Self::Size(_) | Self::Room(_) | Self::Name { .. } | Self::NoName { .. } | Self::Moved { .. } => 1,
        }
    }
}

fn names(parts: &[(&What, Part)]) -> BTreeMap<PathBuf, usize> {
    let mut names = BTreeMap::new();
    for (what, _part) in parts.iter().filter(|(_, part)| part.has(0)) {
        match what {
            What::Name { name, node } => {
                names.insert(name.clone(), *node);
            }
            What::NoName { name } => {
                names.remove(name);
            }
            What::Moved { from, to, node } => {
                names.remove(from);
                names.insert(to.clone(), *node);
            }
            What::Write { .. } | What::Size(_) | What::Room(_) => {}
        }
    }
    names
}

fn content(parts: &[(&What, Part)]) -> Content {
    let mut content = Content::default();
    for (what, part) in parts {
        match what {
            What::Write { at, bytes } => {
                let kept = pieces(*at, bytes.len()).enumerate().filter(|(sector, _)| part.has(*sector));
                for (_sector, piece) in kept {
                    content.write(at + piece.start as u64, &bytes[piece]);
                }
            }
            What::Size(size) if part.has(0) => content.resize(*size),
            What::Room(end) if part.has(0) => content.resize(content.size().max(*end)),
            What::Size(_) | What::Room(_) => {}
            What::Name { .. } | What::NoName { .. } | What::Moved { .. } => {}
        }
    }
    content
}

#[cfg(test)]
mod tests;
