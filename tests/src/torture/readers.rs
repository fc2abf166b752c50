//! Lets readers stall and come back: each must get exactly the log, and none may be felt by another.

mod delay;
mod reader;
mod record;
mod round;
mod stall;

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use self::{
    delay::Delays,
    reader::Temper,
    record::{Log, Record},
    round::{Round, Stage},
    stall::{Stalls, kernel_bytes},
};
use crate::{
    Home,
    torture::{report::Report, seed::Seed},
};

/// Texts in one turn of the bulk; each is two events that nothing merges.
const TEXTS: u64 = 2000;
/// Letters in such a text: with them an event has the size of a usual one.
const LETTERS: usize = 400;
/// The most that a stalled reader may cost the server.
const MAX_KIB: u64 = 256;
/// Fewer delays say nothing about one in a hundred.
const ENOUGH: usize = 1000;
/// How much longer one delay in a hundred may take beside stalled readers. A busy machine is noisier than that,
/// so it has to be so in every round, of which there have to be some.
const MAX_RATIO: f64 = 2.0;
const ENOUGH_ROUNDS: usize = 3;
/// A machine that does other things too is late by so much at any time; no ratio of what is below it means anything.
const NOISE: Duration = Duration::from_millis(20);

/// How many, of what temper, for how long.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// How often readers stall while the delay of others is measured, and come back.
    #[arg(long, default_value_t = 3)]
    rounds: u64,
    /// Chooses when readers stall and go away.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The store.
    #[arg(long, default_value = "sqlite:store")]
    store: String,
    /// Events that the worker makes as fast as it can before the first round; stalled readers catch up with them.
    #[arg(long, default_value_t = 50_000)]
    events: u64,
    /// Words, a millisecond each, while delays are measured.
    #[arg(long, default_value_t = 1000)]
    words: u64,
    /// Readers that always read.
    #[arg(long, default_value_t = 8)]
    steady: usize,
    /// Readers that go away and come back all the time.
    #[arg(long, default_value_t = 4)]
    hasty: usize,
    /// Readers that stop reading.
    #[arg(long, default_value_t = 50)]
    stalled: usize,
}

/// Runs all rounds, and then compares what every reader saw with the log.
///
/// # Panics
///
/// When the harness itself fails, e.g. no server can be started.
pub async fn run(arguments: Arguments) -> Report {
    let begun = Instant::now();
    let home = home(&arguments.store);
    let mut stage = Stage::new(home.start().await, Seed::new(arguments.seed), &arguments).await;
    let mut records = stage.bulk().await;
    let mut rounds = Vec::new();
    for _ in 0..arguments.rounds {
        rounds.push(stage.round(&mut records).await);
    }
    let log = stage.log().await;
    report(&arguments, &records, &rounds, &log, begun)
}

fn report(arguments: &Arguments, records: &[Record], rounds: &[Round], log: &Log, begun: Instant) -> Report {
    let Arguments { rounds: n_rounds, seed, store, events, words, steady, hasty, stalled } = arguments;
    let mut report = Report::new(format!(
        "readers --rounds {n_rounds} --seed {seed} --store {store} --events {events} --words {words} \
         --steady {steady} --hasty {hasty} --stalled {stalled}"
    ));
    let of = |temper| records.iter().filter(move |record| record.temper == temper);
    let connections = |temper| of(temper).map(|record| record.n_connections).sum::<u64>();
    report.row("events in the log", log.head());
    report.row("events seen", records.iter().map(|record| record.seen.len()).sum::<usize>());
    report.row("connections of hasty readers", connections(Temper::Hasty));
    report.row("connections of stalled readers", connections(Temper::Sleepy));
    let grown = rounds.iter().map(|round| round.grown_kib).max().unwrap_or_default();
    let kib = grown.checked_div(*stalled as u64).unwrap_or_default();
    report.row("KiB per stalled reader", format!("{kib}, at most {MAX_KIB}"));
    let stalls = Stalls::new(of(Temper::Sleepy), rounds, log);
    report.row("MiB before a stalled reader", &stalls);
    let mut ratios = Vec::new();
    for (number, round) in (1..).zip(rounds) {
        let [alone, beside] = [&round.alone, &round.beside].map(|stretch| {
            let mut delays = Delays::default();
            of(Temper::Steady).for_each(|record| delays.take(stretch, record, log));
            delays
        });
        let ratio = alone.ratio(&beside);
        let is_late = beside.quantile(99) > NOISE && alone.len().min(beside.len()) >= ENOUGH;
        ratios.push(if is_late { ratio } else { ratio.min(MAX_RATIO) });
        report.row(&format!("delays alone, round {number}"), &alone);
        report.row(&format!("delays beside, round {number}"), format!("{beside}, {ratio:.2} times as late"));
    }
    report.row("seconds", format!("{:.1}", begun.elapsed().as_secs_f64()));

    for record in records {
        if let Some(difference) = record.compare(log) {
            report.finding(format!("seed {seed}: {}: {difference}", record.name));
        }
    }
    for record in of(Temper::Steady).filter(|record| record.n_connections != 1) {
        report.finding(format!("{}: it was cut off, and it always reads", record.name));
    }
    if let Some(what) = stalls.untried(kernel_bytes()) {
        report.finding(what);
    }
    if kib > MAX_KIB {
        report.finding(format!("a stalled reader costs {MAX_KIB} KiB at most, not {kib}"));
    }
    if ratios.len() >= ENOUGH_ROUNDS && ratios.iter().all(|ratio| *ratio > MAX_RATIO) {
        report.finding(format!(
            "the p99 of delays beside stalled readers is more than {MAX_RATIO} times as long in every round"
        ));
    }
    report
}

fn home(store: &str) -> Home {
    let config = format!(
        r#"
[runtime]
default_profile = "busy"
[store]
url = "{store}"
[profiles.busy]
backend = "scripted"
script = "bulk.json"
word_delay_ms = 1
"#
    );
    let texts: Vec<Value> =
        (0..TEXTS).map(|n| json!({"text": format!("text-{n}-{}", "x".repeat(LETTERS))})).collect();
    let script = json!({"turns": [{"match": "^bulk$", "steps": texts}], "otherwise": "echo"});
    let home = Home::new(&config);
    std::fs::write(home.path().join("bulk.json"), script.to_string()).unwrap();
    home
}
