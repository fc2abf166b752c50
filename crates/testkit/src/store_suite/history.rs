//! A check with random histories: whatever is done, a store answers as the model does.

mod operation;

use std::{env, pin::Pin};

use proptest::test_runner::{Config, TestError, TestRunner};

use self::operation::{Operation, operations};
use super::{Place, pair::Pair};

/// Makes a fresh place.
pub type Fresh = Pin<Box<dyn Future<Output = Box<dyn Place>>>>;

/// Whether a place may be opened more than once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Openings {
    /// It is gone with its store.
    Once,
    /// It keeps what its store had.
    Reopened,
}

/// Enough to come upon what takes three or four operations to go wrong, and some seconds for a slow store.
const CASES: u32 = 64;

/// A history that goes wrong is shortened so many times, or for so many milliseconds: a test must end, also with a
/// store that syncs each commit.
const SHORTENINGS: u32 = 1024;
const SHORTENING_MS: u32 = 30_000;

/// Histories of about forty operations, each on a fresh place. When one goes wrong, the shortest that does is shown.
///
/// # Panics
///
/// When a history goes wrong, or `PROPTEST_CASES` is no number.
pub fn random_histories_are_as_the_model_says(openings: Openings, fresh: impl Fn() -> Fresh) {
    let cases = env::var("PROPTEST_CASES").map_or(CASES, |cases| cases.parse().expect("a number of cases"));
    // What failed is printed; there is no file of ours to keep it in.
    let config = Config {
        cases,
        failure_persistence: None,
        max_shrink_iters: SHORTENINGS,
        max_shrink_time: SHORTENING_MS,
        ..Config::default()
    };
    if let Err(failure) = run(config, openings, fresh) {
        panic!("{failure}");
    }
}

/// Runs histories until one goes wrong, and shortens that.
pub(super) fn run(
    config: Config,
    openings: Openings,
    fresh: impl Fn() -> Fresh,
) -> Result<(), TestError<Vec<Operation>>> {
    TestRunner::new(config).run(&operations(openings), |operations| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let place = fresh().await;
            play(&*place, operations).await;
        });
        Ok(())
    })
}

async fn play(place: &dyn Place, operations: Vec<Operation>) {
    let mut pair = Pair::open(place).await;
    for operation in operations {
        operation.perform(&mut pair).await;
    }
}
