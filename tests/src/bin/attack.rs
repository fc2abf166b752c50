//! Attacks the built `musher`; `cargo xtask attack` builds both and starts this.

use std::process::ExitCode;

use clap::Parser;
use musher_e2e::attack::{self, Arguments};

#[tokio::main]
async fn main() -> ExitCode {
    let report = attack::run(Arguments::parse()).await;
    print!("{report}");
    if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
