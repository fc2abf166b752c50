//! What an attacker would try against a server, tried against the built binary.
//!
//! Each class is one idea of an attacker with as many cases as it has forms; those of the HTTP interface are made of the
//! route table, so that a new route is attacked without a new line. A case that gets through is *unblocked*: it has to be
//! on the list of those that are known, with the reason, or the run has failed.
//!
//! That everything is blocked proves little by itself. So each wall can be taken down in a build for this alone, and the
//! class that is meant for it has to notice.

mod answer;
mod classes;
mod known;
mod request;
mod table;
mod tally;
mod target;
mod weakened;

use clap::Parser;

pub use self::table::Table;

/// Tries attacks, and ends with 1 when one got through that is not known to.
#[derive(Clone, Copy, Debug, Parser)]
#[command(name = "attack")]
pub struct Arguments {
    /// Takes down one wall after the other, and ends with 1 when its class does not notice.
    #[arg(long)]
    weakened: bool,
    /// Prints Markdown, for `SECURITY.md`.
    #[arg(long)]
    markdown: bool,
}

/// Runs what is asked for.
pub async fn run(arguments: Arguments) -> Table {
    let table = if arguments.weakened { weakened::run().await } else { classes::run().await };
    table.markdown(arguments.markdown)
}
