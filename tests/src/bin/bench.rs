//! Measures the built `musher`; `cargo xtask bench` builds both and starts this.

use clap::Parser;
use musher_e2e::bench::{self, peer, vendor};

/// Measures the built `musher`, or is what it is compared with.
#[derive(Debug, Parser)]
#[command(name = "bench")]
enum Part {
    /// Measures.
    Run(bench::Arguments),
    /// Moves bytes and does nothing else, as a limit.
    Peer(peer::Arguments),
    /// Is a model server, as a vendor's would be.
    Vendor,
}

#[tokio::main]
async fn main() {
    match Part::parse() {
        Part::Run(arguments) => print!("{}", bench::run(arguments).await),
        Part::Peer(arguments) => peer::run(arguments).await,
        Part::Vendor => vendor::run().await,
    }
}
