//! Lets many workers work at once, on a fake CLI and on the real one, and interrupts, denies, stops and kills them:
//! every turn ends once, every question is decided once and everybody is told how, nothing hangs, and nothing is left.

mod crew;
mod decided;
mod deed;
mod leftover;
mod life;
mod tally;

use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use self::{
    crew::{Crew, Mustered},
    tally::Tally,
};
use crate::{
    Claude, fake_claude,
    torture::{report::Report, seed::Seed},
};

/// Longer than anything that a worker does takes on a busy machine with two cores; what lasts longer hangs.
const DEADLINE: Duration = Duration::from_secs(55);

/// How many of which, for how long.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Workers on the fake CLI.
    #[arg(long, default_value_t = 50)]
    fake: usize,
    /// Workers on the real CLI, on both versions in turn.
    #[arg(long, default_value_t = 6)]
    real: usize,
    /// Turns of each worker.
    #[arg(long, default_value_t = 8)]
    rounds: u64,
    /// Chooses what workers are told and what is done to them; timing is the machine's own.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Records every session; each recording must be whole.
    #[arg(long)]
    record: bool,
}

/// Lets all workers live their lives at the same time.
///
/// # Panics
///
/// When the harness itself fails, e.g. no server can be started at all.
pub async fn run(arguments: Arguments) -> Report {
    let Arguments { fake, real, rounds, seed, record } = arguments;
    let begun = Instant::now();
    let mut choices = Seed::new(seed);
    let mut crews = JoinSet::new();
    for (name, n, program) in [
        ("fake", fake, fake_claude as fn() -> _),
        ("latest", real.div_ceil(2), || Claude::Latest.program()),
        ("old", real / 2, || Claude::Old.program()),
    ] {
        if n > 0 {
            let crew = Crew { name, n, rounds, seed: choices.fork(), program: program(), record };
            crews.spawn(crew.live());
        }
    }
    let mut mustered = crews.join_all().await;
    mustered.sort_unstable_by_key(|crew| crew.name);

    let recorded = if record { " --record" } else { "" };
    let mut report =
        Report::new(format!("workers --fake {fake} --real {real} --rounds {rounds} --seed {seed}{recorded}"));
    for crew in &mustered {
        show(crew, &mut report);
    }
    report.row("seconds", format!("{:.1}", begun.elapsed().as_secs_f64()));
    for Mustered { name, findings, .. } in &mustered {
        findings.iter().for_each(|finding| report.finding(format!("seed {seed}: {name}: {finding}")));
    }
    let mut all = Tally::default();
    mustered.iter().for_each(|crew| all.add(&crew.tally));
    all.untried().into_iter().for_each(|what| report.finding(format!("seed {seed}: {what}")));
    report
}

fn show(crew: &Mustered, report: &mut Report) {
    let Mustered { name, n_workers, n_cassettes, tally, memory, .. } = crew;
    report.row(&format!("{name}: workers"), n_workers);
    for (figure, n) in tally.figures() {
        report.row(&format!("{name}: {figure}"), n);
    }
    if let Some(n) = n_cassettes {
        report.row(&format!("{name}: sessions recorded"), n);
    }
    report.row(&format!("{name}: server, KiB a worker"), memory.server_a_worker());
    report.row(&format!("{name}: server, KiB at most"), memory.server_at_most);
    report.row(&format!("{name}: CLI, KiB a worker"), memory.program_a_worker());
}
