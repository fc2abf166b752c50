//! The suite against stores that break one rule each: every check can fail, and every fault is found.

mod fault;
mod faulty;
mod journal;

use std::{mem, panic::AssertUnwindSafe};

use futures_util::{FutureExt as _, future::LocalBoxFuture};
use proptest::test_runner::{Config, RngSeed};

use self::{fault::Fault, journal::FaultyPlace};
use super::*;

type Check = for<'a> fn(&'a dyn Place) -> LocalBoxFuture<'a, ()>;

crate::store_suite! { @checks_of_all [@list CHECKS_OF_ALL] }
crate::store_suite! { @checks_of_durable [@list CHECKS_OF_DURABLE] }

mod without_a_fault {
    use super::*;

    crate::store_suite!(durable, FaultyPlace::of(Fault::None));
}

/// Whether a check fails on a store with this fault.
async fn finds((_, check): &(&str, Check), fault: Fault) -> bool {
    let place = FaultyPlace::of(fault);
    AssertUnwindSafe(check(&place)).catch_unwind().await.is_err()
}

#[tokio::test]
async fn every_check_can_fail_and_every_fault_is_found() {
    let (mut unfound, mut found) = (Fault::ALL.to_vec(), Vec::new());
    let mut toothless = Vec::new();
    for check in CHECKS_OF_ALL.iter().chain(CHECKS_OF_DURABLE) {
        let n_found = found.len();
        for fault in mem::take(&mut unfound) {
            let found_by = if finds(check, fault).await { &mut found } else { &mut unfound };
            found_by.push(fault);
        }
        // Faults that others have found show as well that a check can fail.
        let mut can_fail = found.len() > n_found;
        for &fault in &found {
            can_fail = can_fail || finds(check, fault).await;
        }
        if !can_fail {
            toothless.push(check.0);
        }
    }
    assert_eq!((unfound, toothless), (Vec::new(), Vec::new()));
}

/// Each check of what is kept finds the fault that it is there for.
#[tokio::test]
async fn each_check_of_what_is_kept_finds_its_faults() {
    let cases: &[(&str, &[Fault])] = &[
        (
            "kept_records_come_back_in_the_order_of_their_names",
            &[
                Fault::KeptAreReversed,
                Fault::KeptAreSortedByLetters,
                Fault::KeptLoseEmptyOnes,
                Fault::AppendRefusesLongNames,
            ],
        ),
        (
            "kept_records_are_paged",
            &[
                Fault::KeptOverrunBytes,
                Fault::KeptOverrunCounts,
                Fault::KeptPagesRepeat,
                Fault::KeptStarveAtLargeOnes,
            ],
        ),
        (
            "a_kept_record_is_replaced_by_its_name",
            &[Fault::KeptStayAsTheyWere, Fault::KeptAreTheFirstOfACommit],
        ),
        ("a_kept_record_belongs_to_its_worker", &[Fault::KeptAreEverybodys]),
        ("a_refused_commit_keeps_nothing", &[Fault::KeptOfTheRefused]),
        ("a_name_that_is_none_is_refused", &[Fault::AppendTakesAnyName]),
        ("kept_records_survive_a_prune", &[Fault::KeptGoWithEvents]),
        ("kept_records_go_with_their_worker", &[Fault::KeptOutliveWorkers]),
        ("large_records_are_kept", &[Fault::KeptAreCut]),
        ("a_reader_sees_whole_commits", &[Fault::KeptAreTorn]),
        ("what_is_kept_is_there_again", &[Fault::ReopeningLosesKept]),
    ];
    let checks = || CHECKS_OF_ALL.iter().chain(CHECKS_OF_DURABLE);
    for &(name, faults) in cases {
        let check = checks().find(|check| check.0 == name).expect("a check of this name");
        for &fault in faults {
            assert!(finds(check, fault).await, "{name} does not find {fault:?}");
        }
    }
}

/// Random histories alone find these too.
#[test]
fn random_histories_find_faults() {
    for fault in [
        Fault::AppendIgnoresEpochs,
        Fault::AppendLosesLastEvents,
        Fault::AppendForgetsBatches,
        Fault::AppendKnowsOldBatches,
        Fault::BlobsGoWithEvents,
        Fault::CheckpointsGoBackByPrunes,
        Fault::CountsStayAtCreation,
        Fault::EventsPagesHaveGaps,
        Fault::KeptAreTheFirstOfACommit,
        Fault::KeptGoWithEvents,
        Fault::KeptOfTheRefused,
        Fault::KeptOverrunBytes,
        Fault::KeptPagesRepeat,
        Fault::KeptStayAsTheyWere,
        Fault::ListsEndAtTheDead,
        Fault::PrunesAreUnfenced,
        Fault::ReopeningForgetsEpochs,
        Fault::ReopeningFreesIds,
        Fault::ReopeningLosesKept,
        Fault::SlicesBeginAtTheBeginning,
    ] {
        let fresh =
            || -> Fresh { Box::pin(async move { Box::new(FaultyPlace::of(fault)) as Box<dyn Place> }) };
        let config = Config {
            cases: 256,
            failure_persistence: None,
            max_shrink_iters: 0,
            rng_seed: RngSeed::Fixed(7),
            ..Config::default()
        };
        let outcome = history::run(config, Openings::Reopened, fresh);
        assert!(outcome.is_err(), "{fault:?}");
    }
}
