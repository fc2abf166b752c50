//! Bugs planted on purpose: a harness that does not find them would find nothing.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use super::{
    step::{Act, LOG, Step, is_log},
    strace::Span,
};

/// A bug, and how it comes into a recording.
#[derive(Debug)]
pub(super) struct Plant {
    pub(super) name: &'static str,
    /// What is lost by it, so that a reader can judge a finding.
    pub(super) breaks: &'static str,
    pub(super) how: How,
}

/// How a bug is planted.
#[derive(Debug)]
pub(super) enum How {
    /// The server runs with syncs that do nothing.
    SkippedSyncs,
    /// The server is another build, with this bug switched on.
    Build(&'static str),
    /// The trace of a good run is changed to what a bad one would have left.
    Trace(fn(&mut Vec<Step>)),
}

/// All planted bugs. Each must be found.
pub(super) const PLANTS: [Plant; 7] = [
    Plant { name: "no sync", breaks: "everything that was acked", how: How::SkippedSyncs },
    Plant {
        name: "no wal sync",
        breaks: "commits since the last checkpoint",
        how: How::Trace(|steps| drop_syncs(steps, Kind::Wal)),
    },
    Plant {
        name: "no database sync",
        breaks: "pages that a checkpoint moved before their log was cut or written over",
        how: How::Trace(|steps| drop_syncs(steps, Kind::Database)),
    },
    Plant {
        name: "no directory sync",
        breaks: "the store's files themselves, however often they were synced",
        how: How::Trace(|steps| drop_syncs(steps, Kind::Directory)),
    },
    Plant {
        name: "wal sync too early",
        breaks: "the last commit: the sync begins before its writes",
        how: How::Trace(|steps| hasten_wal_syncs(steps)),
    },
    Plant { name: "ack before sync", breaks: "inputs that were acked", how: How::Build("ack_before_sync") },
    Plant {
        name: "publish before sync",
        breaks: "events that observers saw",
        how: How::Build("publish_before_sync"),
    },
];

/// What SQLite keeps a file for, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Wal,
    Database,
    Directory,
}

/// What the files of a trace are: databases are those that have a log beside them.
#[derive(Debug)]
struct Kinds {
    databases: BTreeSet<PathBuf>,
    directories: BTreeSet<PathBuf>,
}

impl Kinds {
    fn of(steps: &[Step]) -> Self {
        let mut kinds = Self { databases: BTreeSet::new(), directories: BTreeSet::from(["".into()]) };
        for step in steps {
            if let Act::Open { path, .. } = &step.act
                && is_log(path)
            {
                kinds.databases.insert(path.to_string_lossy().trim_end_matches(LOG).into());
            } else if let Act::MakeDirectory { path } = &step.act {
                kinds.directories.insert(path.clone());
            }
        }
        kinds
    }

    fn has(&self, path: &Path, kind: Kind) -> bool {
        match kind {
            Kind::Wal => is_log(path),
            Kind::Database => self.databases.contains(path),
            Kind::Directory => self.directories.contains(path),
        }
    }
}

fn drop_syncs(steps: &mut Vec<Step>, kind: Kind) {
    let kinds = Kinds::of(steps);
    steps.retain(|step| !matches!(&step.act, Act::Sync { file } if kinds.has(&file.path, kind)));
}

/// Lets each sync of the log run before the writes since the one before it.
fn hasten_wal_syncs(steps: &mut [Step]) {
    let mut open: Option<usize> = None;
    for step in steps.iter_mut() {
        if matches!(&step.act, Act::Write { file, .. } if is_log(&file.path)) {
            open = Some(open.map_or(step.span.start, |line| line.min(step.span.start)));
        } else if matches!(&step.act, Act::Sync { file } if is_log(&file.path))
            && let Some(line) = open.take()
        {
            step.span = Span { start: line, end: line };
        }
    }
}

#[cfg(test)]
mod tests;
