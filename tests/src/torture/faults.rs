//! The part `faults`: calls of the real server that fail, a disk that is full, and files that are damaged.

mod damage;
mod inject;
mod space;
mod strace;
mod wal;
mod witness;

use std::{fs, time::Instant};

use self::inject::{LOAD, Moment, START, spoil};
use crate::{
    Home,
    torture::{power::recording, report::Report},
};

/// What to do.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// How many calls of each kind fail, one in each run; 0 is every one of them.
    #[arg(long, default_value_t = 0)]
    points: usize,
    /// How many random bits are flipped, beside those at known places.
    #[arg(long, default_value_t = 200)]
    bits: u64,
    /// Where the choice of bits begins.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Only one of the sorts.
    #[arg(long, value_enum)]
    only: Option<Sort>,
}

/// A sort of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Sort {
    /// Calls that fail.
    Calls,
    /// A full disk.
    Space,
    /// Bits that flip while no server runs.
    Bits,
    /// A log that is cut.
    Cuts,
}

/// Runs the part.
pub async fn run(arguments: Arguments) -> Report {
    let Arguments { points, bits, seed, only } = arguments;
    let mut report = Report::new(format!("faults --points {points} --bits {bits} --seed {seed}"));
    let wants = |sort| only.is_none_or(|only| only == sort);
    if wants(Sort::Calls) {
        for (moment, kinds) in [(Moment::Load, &LOAD[..]), (Moment::Start, &START[..])] {
            for kind in kinds.iter().copied() {
                let started = Instant::now();
                let outcome = spoil(kind, moment, points).await;
                let secs = started.elapsed().as_secs();
                report.row(
                    &format!("{moment:?}, {}: {}", kind.error, kind.calls),
                    format!(
                        "{} tried, {} hit, {} ended the server, {} answered 507, {} wrong, {secs} s",
                        outcome.tried,
                        outcome.hit,
                        outcome.ended,
                        outcome.full,
                        outcome.findings.len()
                    ),
                );
                outcome.findings.iter().for_each(|finding| report.finding(finding));
                if let Some(what) = outcome.untried(kind, moment) {
                    report.finding(format!("{moment:?}, {}: {}: {what}", kind.error, kind.calls));
                }
            }
        }
    }
    if wants(Sort::Space) {
        let findings = space::full().await;
        report.row(
            "full disk",
            if findings.is_empty() {
                "as it must be".to_owned()
            } else {
                format!("{} wrong", findings.len())
            },
        );
        findings.iter().for_each(|finding| report.finding(finding));
    }
    if wants(Sort::Bits) || wants(Sort::Cuts) {
        let stores = damage::Stores::make().await;
        if wants(Sort::Bits) {
            damage::flip(&stores, bits, seed, &mut report).await;
        }
        if wants(Sort::Cuts) {
            damage::cut(&stores, &mut report).await;
        }
    }
    report
}

/// A directory for servers on a durable store, with all that the config names.
fn home() -> Home {
    let home = Home::new(recording::CONFIG);
    fs::write(home.path().join("hang.json"), recording::HANG).unwrap();
    home
}
