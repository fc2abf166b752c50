//! Kills a server under load, again and again, on one store: nothing may be lost, doubled or reordered.

mod figures;
pub(super) mod finding;
mod ledger;
mod load;
pub(super) mod look;
mod observer;
mod promise;
pub(super) mod reading;
mod round;
mod sighting;
#[cfg(test)]
mod tests;

use std::time::Instant;

use self::{
    figures::Figures,
    finding::{Finding, Kind},
    round::Rounds,
};
use crate::{
    Home,
    torture::{report::Report, seed::Seed},
};

/// The label of a worker that says which create it is of.
const LABEL: &str = "create";
/// The profiles of the config; some words take a while, so that turns are open when the kill comes.
const PROFILES: &[&str] = &["quick", "slow", "tools"];
/// Where the script of the profile `tools` is.
const SCRIPT: &str = "tools.json";

/// How often, and with which choices.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// How often the server is killed.
    #[arg(long, default_value_t = 5)]
    rounds: u64,
    /// Chooses commands and moments; timing is the machine's own.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The store; one in memory must be found to lose everything.
    #[arg(long, default_value = "sqlite:store")]
    store: String,
    /// The longest load before a kill, in milliseconds.
    #[arg(long, default_value_t = 400)]
    load_ms: u64,
    /// Clients at once.
    #[arg(long, default_value_t = 4)]
    clients: usize,
}

/// Runs all rounds, or up to the first in which something was found.
///
/// # Panics
///
/// When the harness itself fails, e.g. no server can be started at all.
pub async fn run(arguments: Arguments) -> Report {
    let Arguments { rounds, seed, store, load_ms, clients } = arguments;
    let begun = Instant::now();
    let home = home(&store);
    let mut all = Rounds::new(home.clone(), Seed::new(seed), load_ms, clients);
    let mut n_done = 0;
    // What is wrong stays wrong, and the store is best looked at as it was then.
    while n_done < rounds && all.is_clean() && all.round().await {
        n_done += 1;
    }
    let (figures, findings) = all.finish().await;

    let mut report = Report::new(format!("kill --rounds {rounds} --seed {seed} --store {store}"));
    report.row("rounds", n_done);
    let untried = figures.untried(n_done);
    let Figures { workers, events, seen, acked, retried, cut, kills_at_start } = figures;
    report.row("kills while it started", kills_at_start);
    report.row("workers", workers);
    report.row("events in logs", events);
    report.row("events seen", seen);
    report.row("inputs acked", acked);
    report.row("commands retried", retried);
    report.row("turns cut by a kill", cut);
    for kind in Kind::ALL {
        report.row(kind.name(), findings.iter().filter(|finding| finding.kind == kind).count());
    }
    report.row("seconds", format!("{:.1}", begun.elapsed().as_secs_f64()));
    if !findings.is_empty() {
        report.row("kept", home.keep().display());
    }
    for finding in &findings {
        report.finding(format!("seed {seed}: {finding}"));
    }
    // What was found ended the rounds early, and is enough.
    if findings.is_empty() {
        untried.into_iter().for_each(|what| report.finding(format!("seed {seed}: {what}")));
    }
    report
}

fn home(store: &str) -> Home {
    let config = format!(
        r#"
[runtime]
default_profile = "quick"
[store]
url = "{store}"
[profiles.quick]
backend = "scripted"
[profiles.slow]
backend = "scripted"
word_delay_ms = 5
[profiles.tools]
backend = "scripted"
script = "{SCRIPT}"
"#
    );
    let script = serde_json::json!({"turns": [{"match": "", "steps": [
        {"thinking": "what is there?"},
        {"tool_call": {"name": "look", "input": {"path": "."}, "result": "a file", "takes_ms": 20}},
        {"text": "there is a file", "word_delay_ms": 2},
    ]}]});
    let home = Home::new(&config);
    std::fs::write(home.path().join(SCRIPT), script.to_string()).unwrap();
    home
}
