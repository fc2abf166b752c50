//! Figures of the built binary, each beside a limit that the same machine had in the same minute.
//!
//! Invariant: a figure is the best of its rounds, and so is its limit; rounds of both take turns.
//! Invariant: a missed target is said and ends nothing: a bench is no test.

mod api;
mod append;
mod arrivals;
mod bare;
mod connection;
mod crowded;
mod disk;
mod fan_out;
mod frames;
mod latency;
mod machine;
mod observer;
pub mod peer;
mod plant;
mod rest;
mod resume;
pub mod row;
mod sealing;
mod stalled;
mod starting;
mod usage;
pub mod vendor;

use std::{fmt, fs, path::PathBuf, time::Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};

use self::{
    machine::Machine,
    row::{Row, Table},
};

/// Fewer rounds say nothing about their spread.
const LEAST_ROUNDS: usize = 3;

/// What to measure.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Only these parts; all without any.
    #[arg(value_enum)]
    parts: Vec<Part>,
    /// Fewer of everything: shows that it runs, not how fast.
    #[arg(long)]
    quick: bool,
    /// How often everything is measured.
    #[arg(long, default_value_t = LEAST_ROUNDS)]
    rounds: usize,
    /// The store of the servers.
    #[arg(long, default_value = "sqlite:store")]
    store: String,
    /// Writes all rounds to a file too.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Which sources the binary was built of.
    #[arg(long, default_value = "unknown")]
    commit: String,
    /// What the bench of the store printed, a JSON object a line.
    #[arg(long)]
    appends: Option<PathBuf>,
}

/// A part of the bench.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Durable appends, from the bench of the store.
    Append,
    /// An input's way to its ack.
    Rest,
    /// What many workers cost.
    Workers,
    /// One worker with many observers.
    FanOut,
    /// How often an event is serialized.
    Sealing,
    /// Readers who stop reading.
    Readers,
    /// A long log from a cursor.
    Resume,
    /// From the start of the program to a server that listens.
    Start,
    /// What a vendor's answer takes on its way through a worker.
    Api,
}

/// How much of everything.
#[derive(Clone, Debug)]
struct Plan {
    quick: bool,
    rounds: usize,
    store: String,
}

/// All figures of a run.
#[derive(Debug)]
pub struct Figures {
    machine: Machine,
    commit: String,
    date: jiff::Timestamp,
    quick: bool,
    rows: Vec<Row>,
}

impl Part {
    const ALL: [Self; 9] = [
        Self::Append,
        Self::Rest,
        Self::Workers,
        Self::FanOut,
        Self::Sealing,
        Self::Readers,
        Self::Resume,
        Self::Start,
        Self::Api,
    ];
}

impl Plan {
    fn pick<T>(&self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }

    fn is_durable(&self) -> bool {
        self.store != "memory"
    }
}

/// Measures, says on stderr how far it is, and writes the JSON file.
///
/// # Panics
///
/// When the bench itself fails, e.g. no server can be started.
pub async fn run(arguments: Arguments) -> Figures {
    let Arguments { parts, quick, rounds, store, json, commit, appends } = arguments;
    raise_open_files();
    let plan = Plan { quick, rounds: rounds.max(LEAST_ROUNDS), store };
    let mut rows = Vec::new();
    for part in Part::ALL.into_iter().filter(|part| parts.is_empty() || parts.contains(part)) {
        let begun = Instant::now();
        eprintln!("{part:?} …");
        rows.extend(match part {
            Part::Append => appends.as_ref().map_or_else(Vec::new, |file| append::read(file)),
            Part::Rest => rest::run(&plan).await,
            Part::Workers => crowded::run(&plan).await,
            Part::FanOut => fan_out::run(&plan).await,
            Part::Sealing => sealing::run(&plan).await,
            Part::Readers => stalled::run(&plan).await,
            Part::Resume => resume::run(&plan).await,
            Part::Start => starting::run(&plan).await,
            Part::Api => api::run(&plan).await,
        });
        eprintln!("{part:?}: {:.0} s", begun.elapsed().as_secs_f64());
    }
    let machine = Machine::here(&std::env::temp_dir());
    let figures = Figures { machine, commit, date: jiff::Timestamp::now(), quick, rows };
    if let Some(file) = json {
        fs::write(&file, format!("{:#}\n", figures.json())).unwrap();
    }
    figures
}

impl Figures {
    fn json(&self) -> Value {
        let Self { machine, commit, date, quick, rows } = self;
        let rows: Vec<_> = rows.iter().map(Row::json).collect();
        json!({"date": date, "commit": commit, "machine": machine.json(), "quick": quick, "rows": rows})
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { machine, commit, date, quick, rows } = self;
        let Machine { cpu, cores, kernel, disk } = machine;
        let quick = if *quick { ", quick" } else { "" };
        writeln!(f, "{commit}, {date:.0}{quick}; {cpu}, {cores} cores, Linux {kernel}, {disk}\n")?;
        write!(f, "{}", Table(rows))
    }
}

/// Each socket is a file here and one in the server, which inherits the limit.
fn raise_open_files() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // Where it cannot be raised the sockets say so when there are too many of them.
    let _raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}
