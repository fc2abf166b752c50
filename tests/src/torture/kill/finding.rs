//! Something that is not as it was promised.

use std::fmt;

/// As much of an event as tells a person which it is.
const SHOWN: usize = 400;

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::torture) enum Kind {
    /// Something promised or shown is not there.
    Lost,
    /// Something that happens once happened again.
    Doubled,
    /// Two things are not in the order that they were shown in.
    Reordered,
    /// Numbers of a log, or of what an observer saw of it, are missing.
    Gap,
    /// An event is not what it was.
    Changed,
    /// A log or an answer contradicts itself.
    Untrue,
}

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::torture) struct Finding {
    pub(super) kind: Kind,
    pub(super) worker: String,
    pub(super) seq: Option<u64>,
    /// What was expected, and what is there instead.
    pub(super) what: String,
}

impl Kind {
    pub(super) const ALL: [Self; 6] =
        [Self::Lost, Self::Doubled, Self::Reordered, Self::Gap, Self::Changed, Self::Untrue];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Doubled => "doubled",
            Self::Reordered => "reordered",
            Self::Gap => "gaps",
            Self::Changed => "changed",
            Self::Untrue => "untrue",
        }
    }
}

impl Finding {
    pub(super) fn new(kind: Kind, worker: &str, seq: Option<u64>, what: impl Into<String>) -> Self {
        Self { kind, worker: worker.to_owned(), seq, what: what.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: worker {}", self.kind.name(), self.worker)?;
        if let Some(seq) = self.seq {
            write!(f, ", seq {seq}")?;
        }
        write!(f, ": {}", self.what)
    }
}

/// The beginning of a text.
pub(super) fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
