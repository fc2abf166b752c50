//! The `musher` binary: config, composition, command line. What it runs is in the libraries.

mod asking;
mod cli;
mod compose;
mod config;
mod demo;
mod display;
mod doctor;
mod failure;
mod following;
mod keyboard;
mod paths;
mod person;
#[cfg(feature = "planted-bugs")]
mod planted;
mod record;
mod rule;
mod run;
mod scratch;
mod secrets;
mod serve;
mod sql;
mod store;
mod terminal;
mod token;
mod tokens;
mod waiting;
mod watch;
#[cfg(musher_weakened)]
mod weakened;

use std::{io::IsTerminal as _, path::Path, process::ExitCode, time::Duration};

use clap::Parser as _;

use crate::cli::{Cli, Command, DoctorCommand};

/// By then everything that has to end has ended. A thread that still looks at a disk which does not answer must not keep
/// the process.
const BLOCKED_LIMIT: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let command = Cli::parse().command;
    tracing_subscriber::fmt()
        .with_writer(secrets::stderr)
        // A file of the log has no colors: whatever steers a terminal in it was sent by somebody.
        .with_ansi(std::io::stderr().is_terminal())
        .with_env_filter(log_filter())
        // It would say on stderr that stderr is closed, and panic.
        .log_internal_errors(false)
        .init();
    // The guard outlives its server and has no runtime: it must not share anything with what it watches.
    if let Command::Guard { scratch, owner } = &command {
        return match musher_process::Owner::new(owner.as_str()) {
            Ok(owner) => guard(&owner, scratch.as_deref()),
            Err(error) => failure::report(&failure::Failure::usage(error)),
        };
    }
    #[cfg(musher_weakened)]
    if let Err(failure) = weakened::announce() {
        return failure::report(&failure);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let result = match runtime {
        Ok(runtime) => {
            let result = runtime.block_on(async {
                match command {
                    Command::Serve(arguments) => serve::serve(arguments).await,
                    Command::Demo(arguments) => demo::demo(arguments).await,
                    Command::Run(arguments) => run::run(arguments).await,
                    Command::Record(arguments) => record::record(arguments).await,
                    Command::Sql(arguments) => sql::sql(&arguments),
                    Command::Token { command } => tokens::command(command),
                    Command::Doctor(DoctorCommand::Stream(arguments)) => doctor::stream(arguments).await,
                    Command::Guard { .. } => unreachable!("a guard never comes here"),
                }
            });
            runtime.shutdown_timeout(BLOCKED_LIMIT);
            result
        }
        Err(error) => Err(failure::Failure::other("start the async runtime", error)),
    };
    result.unwrap_or_else(|failure| failure::report(&failure))
}

/// Stands guard, and tidies up where no process is left that could work there.
fn guard(owner: &musher_process::Owner, scratch: Option<&Path>) -> ExitCode {
    let code = musher_process::guard::run(owner);
    if code == ExitCode::SUCCESS
        && let Some(directory) = scratch
        && let Err(error) = scratch::remove(directory)
    {
        tracing::warn!(error = &error as &dyn std::error::Error, "the scratch directory stays");
    }
    code
}

/// `MUSHER_LOG` in the syntax of `RUST_LOG`; warnings and errors when it is absent or makes no sense.
fn log_filter() -> tracing_subscriber::EnvFilter {
    let default = tracing_subscriber::EnvFilter::new("warn");
    tracing_subscriber::EnvFilter::try_from_env("MUSHER_LOG").unwrap_or(default)
}
