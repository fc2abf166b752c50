//! `musher doctor stream`: proves that streams come through, from the server through every proxy to here.

mod examination;
mod listening;
mod pace;
mod report;

use std::{process::ExitCode, time::Duration};

use musher_client::{Client, Retry};
use tokio::time::{Instant, sleep_until};

use self::examination::{Examination, Subject};
use crate::{
    cli::DoctorStreamArguments,
    failure::Failure,
    following::{INTERRUPTED, Signals},
    terminal,
};

/// Far above the sum of what each check may take where things are well; who waits longer learns nothing more.
const LIMIT: Duration = Duration::from_secs(300);

/// Why not everything was looked at.
enum Cut {
    TimeUp,
    Signal,
}

pub(crate) async fn stream(arguments: DoctorStreamArguments) -> Result<ExitCode, Failure> {
    let DoctorStreamArguments { url, token_file, worker, profile, json } = arguments;
    let mut client = Client::builder(url);
    if let Some(file) = token_file {
        client = client.token_file(file);
    }
    // What fails once is what is wanted to be known.
    let client = client.retry(Retry { attempts: 1, ..Retry::default() }).build().map_err(Failure::usage)?;
    let subject = match (worker, profile) {
        (Some(worker), _) => Subject::Known(worker.parse().map_err(Failure::usage)?),
        (None, Some(profile)) => Subject::Own { profile },
        (None, None) => unreachable!("one of both is required"),
    };
    let mut signals = Signals::catch().map_err(|error| Failure::other("catch signals", error))?;
    let mut examination = Examination::new(client);
    let done = examine(&mut examination, subject, &mut signals).await;
    match done {
        Ok(()) => {}
        Err(Cut::TimeUp) => examination.report.too_late(LIMIT),
        Err(Cut::Signal) => examination.report.interrupted(),
    }
    tokio::select! {
        () = examination.clean_up() => {}
        // Whoever asks twice does not want to wait.
        () = signals.next() => examination.leave(),
    }
    let report = examination.report;
    terminal::print(&if json { report.json() } else { report.text() });
    Ok(match done {
        Err(Cut::Signal) => ExitCode::from(INTERRUPTED),
        Ok(()) | Err(Cut::TimeUp) if report.is_good() => ExitCode::SUCCESS,
        Ok(()) | Err(Cut::TimeUp) => ExitCode::FAILURE,
    })
}

async fn examine(examination: &mut Examination, subject: Subject, signals: &mut Signals) -> Result<(), Cut> {
    let deadline = Instant::now() + LIMIT;
    if !until(deadline, signals, examination.reach()).await? {
        return Ok(());
    }
    // Not cut: a worker that is being created could not be deleted yet.
    let Some(worker) = examination.choose(subject).await else { return Ok(()) };
    until(deadline, signals, examination.look(&worker)).await
}

async fn until<T>(deadline: Instant, signals: &mut Signals, part: impl Future<Output = T>) -> Result<T, Cut> {
    tokio::select! {
        done = part => Ok(done),
        () = sleep_until(deadline) => Err(Cut::TimeUp),
        () = signals.next() => Err(Cut::Signal),
    }
}
