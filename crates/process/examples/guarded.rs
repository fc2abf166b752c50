//! A program whose worker ends with it, however it ends: try `kill -9` on it.
//!
//! ```text
//! guarded life-1 sh -c 'sleep 1000'       the worker, and this program again as its guard
//! guarded --unguarded life-1 sh -c '…'    the worker alone: it only gets the SIGHUP of its terminal
//! ```

use std::{
    env,
    error::Error,
    process::{self, ExitCode},
};

use musher_process::{
    Environment, Marker, Owner, Program, PtyCommand,
    guard::{self, Guard},
};

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let mut args = env::args().skip(1).peekable();
    if args.next_if_eq("--guard").is_some() {
        let owner = args.next().ok_or("no owner")?;
        return Ok(guard::run(&Owner::new(owner)?));
    }
    let guarded = args.next_if_eq("--unguarded").is_none();
    let owner = Owner::new(args.next().ok_or("no owner")?)?;
    let program = args.next().ok_or("no program")?;
    tokio::runtime::Runtime::new()?.block_on(work(guarded, owner, &program, args.collect()))
}

async fn work(
    guarded: bool,
    owner: Owner,
    program: &str,
    args: Vec<String>,
) -> Result<ExitCode, Box<dyn Error>> {
    let guard = if guarded { Some(Guard::start(&env::current_exe()?, ["--guard"], &owner)?) } else { None };
    let environment = Environment::base();
    let command = PtyCommand {
        program: Program::find(program, &environment)?,
        args: args.into_iter().map(Into::into).collect(),
        environment,
        directory: env::current_dir()?,
        marker: Marker::new(owner, "worker-1")?,
    };
    let mut spawned = command.spawn().await?;
    println!("{} {} {}", process::id(), spawned.child.pid(), guard.as_ref().map_or(0, Guard::pid));

    spawned.child.wait().await?;
    let survivors = spawned.child.kill_now().await?.survivors;
    if let Some(guard) = guard {
        guard.finish().await?;
    }
    Ok(if survivors.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
