//! The part `power`: loses power at any moment of a recorded run, and looks at what is left.
//!
//! A run of the real server is recorded with strace: every change of its files, and every word to a client. A model of
//! a disk says what a loss of power may leave at any moment. The real server starts on that, and must keep every
//! promise that was made before. Bugs planted on purpose prove that a broken promise would be seen.

mod blind;
pub(super) mod content;
pub(super) mod disk;
mod fate;
mod plant;
pub(super) mod promise;
pub(super) mod recording;
pub(super) mod replay;
mod step;
mod strace;
mod talk;
mod trace;

use std::{env, path::PathBuf, time::Instant};

use self::{
    plant::{How, PLANTS, Plant},
    recording::{Manner, Recording},
    replay::{Until, replay},
    trace::{Trace, rounds},
};
use crate::torture::report::Report;

/// The build of the server that has bugs to switch on.
const PLANTED_BINARY: &str = "MUSHER_TEST_PLANTED";
/// So many of what a seed lost are shown; the rest is more of the same.
const SHOWN: usize = 3;

/// What to do.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// How many losses of power.
    #[arg(long, default_value_t = 2000)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// A recording that an earlier run kept, instead of a new one; then no bugs are planted.
    #[arg(long)]
    recording: Option<PathBuf>,
    /// How many losses of power each planted bug gets to be found in; 0 plants none.
    #[arg(long, default_value_t = 400)]
    planted_seeds: u64,
    /// Only the planted bug of this name.
    #[arg(long)]
    plant: Option<String>,
}

/// Runs the part.
pub async fn run(arguments: Arguments) -> Report {
    let mut report = Report::new(format!("power --seeds {} --from {}", arguments.seeds, arguments.from));
    let started = Instant::now();
    let recording = match &arguments.recording {
        Some(kept) => Recording::load(kept).unwrap(),
        None => Recording::make(&Manner::default()).await.0,
    };
    let steps = recording.steps().unwrap_or_else(|blind| panic!("{blind}"));
    let trace = Trace::new(recording.base(), &steps).unwrap_or_else(|blind| panic!("{blind}"));
    report.row("steps recorded", steps.len());
    report.row("moments", trace.moments());
    report.row("promises", trace.promises());
    report.row("logs begun anew in place", rounds(&steps));
    if rounds(&steps) == 0 {
        report.finding("the load was too small: the log never began anew over old pages");
    }
    let unheard = trace.unheard(recording.witnessed());
    if !unheard.is_empty() {
        report.row("kept", keep(&recording).display());
    }
    for unheard in unheard {
        report.finding(format!(
            "the harness is deaf: a client was told {unheard:?}, and the trace does not say so"
        ));
    }
    report.row("recorded in", seconds(started));

    let started = Instant::now();
    let verdict = replay(&trace, arguments.from, arguments.seeds, Until::AllAreDone).await;
    report.row("seeds", arguments.seeds);
    report.row("distinct states checked", verdict.states);
    report.row("checked in", seconds(started));
    report.row("seeds with a loss", verdict.lost.len());
    if !verdict.lost.is_empty() {
        let kept = arguments.recording.clone().unwrap_or_else(|| keep(&recording));
        for (seed, lost) in verdict.lost {
            report.finding(format!(
                "seed {seed} (again: power --seeds 1 --from {seed} --recording {}): {}",
                kept.display(),
                few(&lost)
            ));
        }
    }
    if arguments.recording.is_none() && arguments.planted_seeds > 0 {
        let wanted = |plant: &&Plant| arguments.plant.as_ref().is_none_or(|name| name == plant.name);
        for plant in PLANTS.iter().filter(wanted) {
            find(plant, &recording, arguments.planted_seeds, &mut report).await;
        }
    }
    report
}

/// Plants a bug and looks for it.
async fn find(plant: &Plant, good: &Recording, seeds: u64, report: &mut Report) {
    let started = Instant::now();
    let (recording, mut steps);
    let base = match &plant.how {
        How::Trace(change) => {
            steps = good.steps().unwrap_or_else(|blind| panic!("{blind}"));
            change(&mut steps);
            good.base()
        }
        How::SkippedSyncs | How::Build(_) => {
            (recording, steps) = Recording::make(&manner(&plant.how)).await;
            recording.base()
        }
    };
    let trace = Trace::new(base, &steps).unwrap_or_else(|blind| panic!("{blind}"));
    let verdict = replay(&trace, 0, seeds, Until::OneIsFound).await;
    let name = format!("planted: {}", plant.name);
    match verdict.lost.first() {
        Some((seed, lost)) => {
            let states = verdict.states;
            report.row(&name, format!("found by seed {seed}, after {states} states, {}", seconds(started)));
            report.row("", few(lost));
        }
        None => {
            report.row(&name, format!("not found in {} states, {}", verdict.states, seconds(started)));
            report.finding(format!("{name} must lose {}, and nobody noticed", plant.breaks));
        }
    }
}

fn manner(how: &How) -> Manner {
    match how {
        How::SkippedSyncs => Manner { syncs_are_skipped: true, planted: None },
        How::Build(bug) => {
            let program = env::var_os(PLANTED_BINARY).map(PathBuf::from).filter(|path| path.is_file());
            let program = program.unwrap_or_else(|| {
                panic!("{PLANTED_BINARY} names no file; `cargo xtask torture power` builds it and sets it")
            });
            Manner { syncs_are_skipped: false, planted: Some((program, *bug)) }
        }
        How::Trace(_) => Manner::default(),
    }
}

/// Keeps a recording, so that it can be looked at again.
fn keep(recording: &Recording) -> PathBuf {
    let directory = env::temp_dir().join(format!("musher-power-{}", std::process::id()));
    recording.keep(&directory).unwrap();
    directory
}

fn few(lost: &[String]) -> String {
    let more = lost.len().saturating_sub(SHOWN);
    let mut text = lost.iter().take(SHOWN).cloned().collect::<Vec<_>>().join("; ");
    if more > 0 {
        text.push_str(&format!("; and {more} more"));
    }
    text
}

fn seconds(since: Instant) -> String {
    format!("{:.1} s", since.elapsed().as_secs_f64())
}
