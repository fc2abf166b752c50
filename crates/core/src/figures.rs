//! What a runtime does and what its workers are, in figures: of all workers together, never of one.
//!
//! They are counted where a commit is shown, so that nothing is counted that is not in a log.

mod census;
mod histogram;
mod meter;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

pub use self::histogram::Histogram;
use self::{census::Census, histogram::Bounds};
pub(crate) use self::{census::worker_state, meter::Meter};

/// Backends with models that are told apart, beyond which they are one. A config has some; requests can name others through
/// bundles, and who reads figures keeps every name for ever.
const MAX_MODELS: usize = 256;
/// What those beyond have instead.
const OTHER: &str = "other";

/// Turns are as short as a script and as long as a night.
const TURN_SECONDS: Bounds = &[0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0];
/// People answer in seconds, or after lunch.
const WAIT_SECONDS: Bounds = &[0.1, 1.0, 5.0, 15.0, 60.0, 300.0, 600.0, 1800.0, 3600.0, 14_400.0];
/// A sync takes a fraction of a millisecond on a good disk.
const COMMIT_SECONDS: Bounds = &[0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5];

/// One thing that is counted or measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// Its name, in words joined by `_`, without the program's.
    pub name: &'static str,
    /// What it is, in one line.
    pub help: &'static str,
    /// What it is measured in, where that is not a number of things.
    pub unit: Option<FigureUnit>,
    /// How its values change.
    pub kind: FigureKind,
    /// The values, each with what tells it from the others.
    pub values: Vec<(FigureLabels, FigureValue)>,
}

/// What tells a value from the others of its figure.
pub type FigureLabels = Vec<(&'static str, String)>;

/// What a figure is measured in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FigureUnit {
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
    /// US dollars.
    Dollars,
}

/// How a figure's values change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FigureKind {
    /// They only grow, from 0 at the start of the runtime.
    Counter,
    /// They go up and down.
    Gauge,
    /// How often which size was seen since the start of the runtime.
    Histogram,
}

/// A value of a figure.
#[derive(Clone, Debug, PartialEq)]
pub enum FigureValue {
    /// Of a counter or a gauge.
    Number(f64),
    /// Of a histogram.
    Histogram(Histogram),
}

/// What is counted in this life of a runtime.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    /// How many workers are what.
    pub(crate) census: Census,
    events: AtomicU64,
    /// Protects the maps for single additions and for a copy.
    tally: Mutex<Tally>,
}

#[derive(Clone, Debug, Default)]
struct Tally {
    starts: BTreeMap<(Arc<str>, &'static str), u64>,
    turns: BTreeMap<(Arc<str>, &'static str), Histogram>,
    waits: BTreeMap<&'static str, Histogram>,
    spent: BTreeMap<Arc<Source>, Spent>,
    commits: Histogram,
}

/// Whose tokens and costs are summed up.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Source {
    backend: Arc<str>,
    model: String,
}

/// Tokens by what they were, and US dollars by where the figure comes from.
#[derive(Clone, Debug, Default)]
struct Spent {
    tokens: BTreeMap<&'static str, u64>,
    dollars: BTreeMap<&'static str, f64>,
}

impl Figures {
    /// Notes how long a commit took, from its beginning until it was durable.
    pub(crate) fn committed(&self, took: Duration) {
        self.tally().commits.observe(COMMIT_SECONDS, took.as_secs_f64());
    }

    /// All that is counted here.
    pub(crate) fn read(&self) -> Vec<Figure> {
        let tally = self.tally().clone();
        let backend = |backend: &Arc<str>| ("backend", backend.to_string());
        let number = |n: u64| FigureValue::Number(n as f64);
        let workers = self.census.read().into_iter().map(|((name, state), n)| {
            (vec![backend(&name), ("state", state.to_owned())], FigureValue::Number(n as f64))
        });
        let starts = tally.starts.iter().map(|((name, outcome), n)| {
            (vec![backend(name), ("outcome", (*outcome).to_owned())], number(*n))
        });
        let turns = tally.turns.iter().map(|((name, outcome), seen)| {
            let labels = vec![backend(name), ("outcome", (*outcome).to_owned())];
            (labels, FigureValue::Histogram(seen.clone()))
        });
        let waits = tally.waits.iter().map(|(decision, seen)| {
            (vec![("decision", (*decision).to_owned())], FigureValue::Histogram(seen.clone()))
        });
        let of = |source: &Source, label: &'static str, text: &'static str| {
            vec![backend(&source.backend), ("model", source.model.clone()), (label, text.to_owned())]
        };
        let tokens = tally.spent.iter().flat_map(|(source, spent)| {
            spent.tokens.iter().map(|(kind, n)| (of(source, "type", kind), number(*n)))
        });
        let dollars = tally.spent.iter().flat_map(|(source, spent)| {
            spent.dollars.iter().map(|(from, sum)| (of(source, "source", from), FigureValue::Number(*sum)))
        });
        let events = number(self.events.load(Ordering::Relaxed));
        vec![
            gauge("workers", "Workers by backend and by what they are doing", workers.collect()),
            counter(
                "worker_starts",
                "Sessions that were begun, by whether they came to be",
                starts.collect(),
            ),
            seconds(
                "turn_duration",
                "From the start of a turn to its end, waiting included",
                turns.collect(),
            ),
            counter("events_appended", "Events that are durable", vec![(Vec::new(), events)]),
            seconds(
                "event_commit",
                "From the beginning of a commit until it is durable",
                vec![(Vec::new(), FigureValue::Histogram(tally.commits.clone()))],
            ),
            seconds("approval_wait", "From the request of an approval to its end", waits.collect()),
            counter("tokens", "Tokens that models took and gave", tokens.collect()),
            Figure {
                unit: Some(FigureUnit::Dollars),
                ..counter("cost", "What that cost, where it is known", dollars.collect())
            },
        ]
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        // Every change is whole before anything could panic.
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A figure that goes up and down.
pub(crate) fn gauge(
    name: &'static str,
    help: &'static str,
    values: Vec<(FigureLabels, FigureValue)>,
) -> Figure {
    Figure { name, help, unit: None, kind: FigureKind::Gauge, values }
}

fn counter(name: &'static str, help: &'static str, values: Vec<(FigureLabels, FigureValue)>) -> Figure {
    Figure { kind: FigureKind::Counter, ..gauge(name, help, values) }
}

fn seconds(name: &'static str, help: &'static str, values: Vec<(FigureLabels, FigureValue)>) -> Figure {
    Figure { unit: Some(FigureUnit::Seconds), kind: FigureKind::Histogram, ..gauge(name, help, values) }
}
