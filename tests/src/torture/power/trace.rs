//! A recording as it is judged: a disk's history, and what was promised when.

use std::collections::BTreeSet;

use super::{
    blind::Blind,
    disk::{Disk, Image},
    promise::Promise,
    step::{Act, Step, is_log},
    strace::NEVER,
    talk::{self, Message},
};
use crate::torture::seed::Seed;

/// All that happened, ready for the power to fail.
#[derive(Debug)]
pub(super) struct Trace {
    pub(super) disk: Disk,
    promises: Vec<Told>,
    /// Lines at which something began or returned.
    lines: Vec<usize>,
    /// Lines at which a sync returned or something was told: mistakes are around these.
    edges: Vec<usize>,
}

/// A promise, and since when it holds.
#[derive(Debug, PartialEq, Eq)]
struct Told {
    line: usize,
    promise: Promise,
}

impl Trace {
    /// What these steps did to a directory in which this had been before.
    pub(super) fn new(base: &Image, steps: &[Step]) -> Result<Self, Blind> {
        let disk = Disk::new(base, steps)?;
        let mut lines = BTreeSet::new();
        let mut edges = BTreeSet::new();
        for step in steps {
            lines.extend([step.span.start, step.span.end]);
            if matches!(step.act, Act::Sync { .. }) {
                edges.insert(step.span.end);
            } else if matches!(step.act, Act::Send { .. }) {
                edges.insert(step.span.start);
            }
        }
        lines.remove(&NEVER);
        edges.remove(&NEVER);
        if lines.is_empty() || edges.is_empty() {
            return Err(Blind::new(0, "nothing was written and told"));
        }
        let promises = promises(steps)?;
        Ok(Self { disk, promises, lines: lines.into_iter().collect(), edges: edges.into_iter().collect() })
    }

    /// A line of the trace behind which the power fails: any one, or one beside a sync's return or a send.
    pub(super) fn moment(&self, seed: &mut Seed) -> usize {
        if seed.one_in(2) {
            return *seed.pick(&self.lines);
        }
        let edge = *seed.pick(&self.edges);
        let edge = self.lines.partition_point(|line| *line < edge);
        let near = (edge + usize::try_from(seed.below(3)).expect("it is below 3")).saturating_sub(1);
        self.lines[near.min(self.lines.len() - 1)]
    }

    /// The promises made until this line, that line's with them.
    pub(super) fn promised(&self, line: usize) -> impl Iterator<Item = &Promise> {
        self.promises.iter().take_while(move |told| told.line <= line).map(|told| &told.promise)
    }

    /// What clients say that they were told, and the trace does not: where the harness is deaf.
    pub(super) fn unheard<'a>(&self, witnessed: &'a [Promise]) -> Vec<&'a Promise> {
        let heard: BTreeSet<&Promise> = self.promises.iter().map(|told| &told.promise).collect();
        witnessed.iter().filter(|promise| !heard.contains(promise)).collect()
    }

    /// How many promises there are in all.
    pub(super) fn promises(&self) -> usize {
        self.promises.len()
    }

    /// How many moments there are.
    pub(super) fn moments(&self) -> usize {
        self.lines.len()
    }
}

/// How often SQLite's log began anew over what was in it, the way that mixes old pages with new ones.
pub(super) fn rounds(steps: &[Step]) -> usize {
    let mut has_old = false;
    let mut rounds = 0;
    for step in steps {
        if matches!(&step.act, Act::Size { file, bytes: 0 } if is_log(&file.path)) {
            has_old = false;
        } else if matches!(&step.act, Act::Write { file, at: Some(0), .. } if is_log(&file.path)) {
            rounds += usize::from(has_old);
            has_old = true;
        }
    }
    rounds
}

/// Each promise once, since it was first made.
fn promises(steps: &[Step]) -> Result<Vec<Told>, Blind> {
    let mut known = BTreeSet::new();
    let mut told = Vec::new();
    for said in talk::said(steps)? {
        let made = match &said.message {
            Message::Reply(reply) => Promise::of_reply(reply),
            Message::Frame(frame) => Promise::of_frame(frame),
        };
        let new = made.into_iter().filter(|promise| known.insert(promise.clone()));
        told.extend(new.map(|promise| Told { line: said.line, promise }));
    }
    Ok(told)
}

#[cfg(test)]
pub(super) mod tests;
