//! Tortures the built `musher`; `cargo xtask torture` builds both and starts this.

use std::process::ExitCode;

use clap::Parser;
use musher_e2e::torture::{faults, keys, kill, power, readers, workers};

/// Tries to make a server lose, double or reorder something. Ends with 1 when it did.
#[derive(Debug, Parser)]
#[command(name = "torture")]
enum Part {
    /// Kills the server again and again under load.
    Kill(kill::Arguments),
    /// Repeats requests under their keys while the server is killed.
    Keys(keys::Arguments),
    /// Lets readers stall and come back.
    Readers(readers::Arguments),
    /// Cuts the power at any moment of a recorded run.
    Power(power::Arguments),
    /// Makes the disk fail, run full and forget.
    Faults(faults::Arguments),
    /// Interrupts, denies and kills many workers at once.
    Workers(workers::Arguments),
}

#[tokio::main]
async fn main() -> ExitCode {
    let report = match Part::parse() {
        Part::Kill(arguments) => kill::run(arguments).await,
        Part::Keys(arguments) => keys::run(arguments).await,
        Part::Readers(arguments) => readers::run(arguments).await,
        Part::Power(arguments) => power::run(arguments).await,
        Part::Faults(arguments) => faults::run(arguments).await,
        Part::Workers(arguments) => workers::run(arguments).await,
    };
    print!("{report}");
    if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
