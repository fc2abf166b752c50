//! Names and files as the running system sees them while a trace is read.

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
};

use super::{Change, Entry, Image, Node, What};
use crate::torture::power::{
    blind::Blind,
    step::{Act, Opened, Step},
    strace::Span,
};

/// The running system's view.
#[derive(Debug)]
pub(super) struct Live {
    nodes: Vec<Node>,
    sizes: Vec<u64>,
    names: BTreeMap<PathBuf, usize>,
    /// Files that have lost this name last, by which descriptors still know them.
    removed: HashMap<PathBuf, usize>,
    /// Which file a descriptor is of, and where its next write without a place goes.
    places: HashMap<i64, (usize, u64)>,
}

impl Live {
    /// A system in which these names are there, all of them durable.
    pub(super) fn new(base: &Image) -> Result<Self, Blind> {
        let mut live = Self {
            nodes: vec![Node { is_directory: true, ..Node::default() }],
            sizes: vec![0],
            names: BTreeMap::from([(PathBuf::new(), 0)]),
            removed: HashMap::new(),
            places: HashMap::new(),
        };
        let before = Span { start: 0, end: 0 };
        for (path, entry) in base {
            let node = live.make(before, path, matches!(entry, Entry::Directory))?;
            if let Entry::File(content) = entry {
                live.change(node, before, What::Write { at: 0, bytes: content.bytes() });
            }
        }
        for node in &mut live.nodes {
            node.syncs.push(Span { start: 1, end: 1 });
        }
        Ok(live)
    }

    pub(super) fn nodes(self) -> Vec<Node> {
        self.nodes
    }

    /// Adds what happened.
    pub(super) fn step(&mut self, step: &Step) -> Result<(), Blind> {
        let span = step.span;
        match &step.act {
            Act::Open { path, number, create, truncate, append } => {
                let node = match self.names.get(path) {
                    Some(node) => *node,
                    None if *create => self.make(span, path, false)?,
                    None => return Err(unknown(span, path)),
                };
                if *truncate {
                    self.change(node, span, What::Size(0));
                }
                self.places.insert(*number, (node, if *append { self.sizes[node] } else { 0 }));
            }
            Act::Write { file, at, bytes } => {
                let node = self.node(span, file)?;
                let at = match at {
                    Some(at) => *at,
                    None => self.next_place(span, file, node, bytes.len() as u64)?,
                };
                self.change(node, span, What::Write { at, bytes: bytes.clone() });
            }
            Act::Seek { file, to } => {
                let node = self.node(span, file)?;
                self.places.insert(file.number, (node, *to));
            }
            Act::Size { file, bytes } => {
                let node = self.node(span, file)?;
                self.change(node, span, What::Size(*bytes));
            }
            Act::Room { file, end } => {
                let node = self.node(span, file)?;
                self.change(node, span, What::Room(*end));
            }
            Act::Sync { file } => {
                let node = self.node(span, file)?;
                self.nodes[node].syncs.push(span);
            }
            Act::Shared { file } => {
                let node = self.node(span, file)?;
                self.nodes[node].is_shared = true;
            }
            Act::Rename { from, to } => self.rename(span, from, to)?,
            Act::Link { from, to } => {
                let node = *self.names.get(from).ok_or_else(|| unknown(span, from))?;
                self.enter(span, to, node)?;
            }
            Act::Remove { path } => {
                let node = self.names.remove(path).ok_or_else(|| unknown(span, path))?;
                self.removed.insert(path.clone(), node);
                let (directory, name) = self.parent(span, path)?;
                self.change(directory, span, What::NoName { name });
            }
            Act::MakeDirectory { path } => {
                self.make(span, path, true)?;
            }
            Act::Send { .. } | Act::Hangup { .. } => {}
        }
        Ok(())
    }

    fn change(&mut self, node: usize, span: Span, what: What) {
        let size = &mut self.sizes[node];
        match &what {
            What::Write { at, bytes } => *size = (*size).max(at + bytes.len() as u64),
            What::Size(bytes) => *size = *bytes,
            What::Room(end) => *size = (*size).max(*end),
            What::Name { .. } | What::NoName { .. } | What::Moved { .. } => {}
        }
        self.nodes[node].changes.push(Change { span, what });
    }

    fn make(&mut self, span: Span, path: &Path, is_directory: bool) -> Result<usize, Blind> {
        let node = self.nodes.len();
        self.nodes.push(Node { is_directory, ..Node::default() });
        self.sizes.push(0);
        self.enter(span, path, node)?;
        Ok(node)
    }

    fn enter(&mut self, span: Span, path: &Path, node: usize) -> Result<(), Blind> {
        let (directory, name) = self.parent(span, path)?;
        self.change(directory, span, What::Name { name, node });
        if let Some(replaced) = self.names.insert(path.to_owned(), node) {
            self.removed.insert(path.to_owned(), replaced);
        }
        Ok(())
    }

    fn rename(&mut self, span: Span, from: &Path, to: &Path) -> Result<(), Blind> {
        let node = *self.names.get(from).ok_or_else(|| unknown(span, from))?;
        let ((source, old), (target, new)) = (self.parent(span, from)?, self.parent(span, to)?);
        if source == target {
            self.change(source, span, What::Moved { from: old, to: new, node });
        } else {
            self.change(target, span, What::Name { name: new, node });
            self.change(source, span, What::NoName { name: old });
        }
        if let Some(replaced) = self.names.get(to) {
            self.removed.insert(to.to_owned(), *replaced);
        }
        let moved: Vec<_> = self.names.keys().filter(|path| path.starts_with(from)).cloned().collect();
        for path in moved {
            let below = path.strip_prefix(from).expect("it starts with it");
            let renamed = if below.as_os_str().is_empty() { to.to_owned() } else { to.join(below) };
            let node = self.names.remove(&path).expect("it was there");
            self.names.insert(renamed, node);
        }
        Ok(())
    }

    /// The directory that holds a name, and the name in it.
    fn parent(&self, span: Span, path: &Path) -> Result<(usize, PathBuf), Blind> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(Blind::new(span.start, "the directory itself is changed"));
        };
        let directory = self.names.get(parent).filter(|node| self.nodes[**node].is_directory);
        Ok((*directory.ok_or_else(|| unknown(span, parent))?, PathBuf::from(name)))
    }

    fn node(&self, span: Span, file: &Opened) -> Result<usize, Blind> {
        let found = if file.removed { self.removed.get(&file.path) } else { self.names.get(&file.path) };
        found.copied().ok_or_else(|| unknown(span, &file.path))
    }

    fn next_place(&mut self, span: Span, file: &Opened, node: usize, length: u64) -> Result<u64, Blind> {
        match self.places.get_mut(&file.number) {
            Some((opened, place)) if *opened == node => {
                let at = *place;
                *place += length;
                Ok(at)
            }
            Some(_) | None => {
                Err(Blind::new(span.start, format!("{}: where is this written?", file.path.display())))
            }
        }
    }
}

fn unknown(span: Span, path: &Path) -> Blind {
    Blind::new(span.start, format!("nobody made `{}`", path.display()))
}
