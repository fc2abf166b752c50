//! Chores of the repository: `cargo xtask ci` is all that a change must pass.
//!
//! Invariant: what a check finds is decided in pure functions over texts; only the `run` functions,
//! [`repo`] and [`parts`] read files or start programs.
//! Invariant: nothing is skipped in silence; what cannot be done is an error that says what to do.

mod attack;
mod bench;
mod ci;
mod codegen;
mod parts;
mod program;
mod repo;
mod tidy;
mod torture;

use std::{error::Error, process::ExitCode};

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(about = "Chores of the Musher repository")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Debug, Subcommand)]
enum Chore {
    /// Everything that a change must pass, with a table of what took how long.
    Ci,
    /// The rules that no compiler knows: layers, line budget, names, paths in the docs.
    Tidy,
    /// Fetches the programs that the tests need and prints how the tests find them.
    Parts,
    /// Writes the schema, the OpenAPI document, the TypeScript and the Python types of the wire.
    Codegen {
        /// Only compare; exit with 1 when a file is not what would be written.
        #[arg(long)]
        check: bool,
    },
    /// Tries to make a server lose, double or reorder something; see `cargo xtask torture kill --help`.
    Torture(torture::Arguments),
    /// Tries what an attacker would against a server, and prints what was tried and blocked.
    Attack(attack::Arguments),
    /// Measures a release build, each figure beside a limit of this machine, and prints a table.
    Bench(bench::Arguments),
}

fn main() -> ExitCode {
    let done = match Arguments::parse().chore {
        Chore::Ci => ci::run().map_err(Box::<dyn Error>::from),
        Chore::Tidy => tidy::run().map_err(Box::from),
        Chore::Parts => parts::run().map_err(Box::from),
        Chore::Codegen { check: true } => codegen::run(codegen::Mode::Check).map_err(Box::from),
        Chore::Codegen { check: false } => codegen::run(codegen::Mode::Write).map_err(Box::from),
        Chore::Torture(arguments) => torture::run(&arguments).map_err(Box::from),
        Chore::Attack(arguments) => attack::run(&arguments).map_err(Box::from),
        Chore::Bench(arguments) => bench::run(&arguments).map_err(Box::from),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

/// The error and its causes, on one line.
fn chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line.push_str(": ");
        line.push_str(&error.to_string());
        cause = error.source();
    }
    line
}
