//! `musher doctor stream`: proves that streams come through, from the server through every proxy to here.

mod examination;
mod listening;
mod report;

use std::{process::ExitCode, time::Duration};

use musher_client::{Client, Retry};

use self::examination::{Examination, Subject};
use crate::{cli::DoctorStreamArguments, failure::Failure, terminal};

/// Far above the sum of what each check may take where things are well; who waits longer learns nothing more.
const LIMIT: Duration = Duration::from_secs(150);

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
    let mut examination = Examination::new(client);
    if tokio::time::timeout(LIMIT, examination.run(subject)).await.is_err() {
        examination.report.too_late(LIMIT);
    }
    examination.clean_up().await;
    let report = examination.report;
    terminal::print(&if json { report.json() } else { report.text() });
    Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
