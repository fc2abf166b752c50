//! What an attacker would try against a server, tried against the built binary.
//!
//! Each class is one idea of an attacker with as many cases as it has forms; those of the HTTP interface are made of the
//! route table, so that a new route is attacked without a new line. When a case gets through, the run has failed; what cannot
//! be held off is no case, and `SECURITY.md` says so.
//!
//! That everything is blocked proves little by itself. So each wall can be taken down in a build for this alone, and the
//! class that is meant for it has to notice. A class without a wall says why it has none.

mod answer;
mod classes;
#[cfg(test)]
mod documented;
mod hostile;
mod request;
mod table;
mod tally;
mod target;
mod weakened;

use clap::Parser;

pub use self::table::Table;

/// Tries attacks, and ends with 1 when one got through.
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
