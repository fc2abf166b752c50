//! Measures the built `musher`; `cargo xtask bench` builds both and starts this.

use clap::Parser;
use musher_e2e::bench::{self, peer};

/// Measures the built `musher`, or is what it is compared with.
#[derive(Debug, Parser)]
#[command(name = "bench")]
enum Part {
    /// Measures.
    Run(bench::Arguments),
    /// Moves bytes and does nothing else, as a limit.
    Peer(peer::Arguments),
}

#[tokio::main]
async fn main() {
    match Part::parse() {
        Part::Run(arguments) => print!("{}", bench::run(arguments).await),
        Part::Peer(arguments) => peer::run(arguments).await,
    }
}
