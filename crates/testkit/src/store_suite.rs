//! What every store must do, driven only through its trait.
//!
//! Invariant: nothing here knows a store; a [`Place`] brings what is particular.
//! Invariant: nothing here is about speed, and nothing damages what a store keeps.
//! Invariant: what a store should answer is said by a model that forgets nothing, never by another store.
//!
//! [`store_suite!`](crate::store_suite!) writes one test for each check, so that a store cannot leave one out by
//! accident. It has to be told whether the store is durable, that is, whether a place can be opened again:
//!
//! ```
//! use std::sync::Arc;
//!
//! use async_trait::async_trait;
//! use musher_core::{MemoryStore, Store};
//! use musher_testkit::store_suite::Place;
//!
//! #[derive(Debug)]
//! struct Memory;
//!
//! #[async_trait]
//! impl Place for Memory {
//!     async fn open(&self) -> Arc<dyn Store> {
//!         Arc::new(MemoryStore::new())
//!     }
//! }
//!
//! musher_testkit::store_suite!(volatile, Memory);
//! ```
//!
//! After every write of a check, everything that the store can be asked is compared with the model. Last comes a
//! check with random histories; `PROPTEST_CASES` says how many.

mod appending;
mod asking;
mod bodies;
mod bundling;
mod claiming;
mod creating;
mod deleting;
mod keeping;
mod listing;
mod pruning;
mod racing;
mod reading;
mod remembering;
mod reopening;

mod history;

mod draft;
mod model;
mod pair;
mod read;
mod refusal;
mod row;

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use musher_core::Store;
use musher_protocol::StoreKind;

pub use self::{
    appending::{
        a_conflict_writes_nothing, a_large_commit_is_taken, a_long_commit_is_taken,
        a_repeated_commit_is_written_once, a_row_stays_until_another_comes, accepted_inputs_are_kept,
        entries_are_replaced_by_their_sequence, events_come_back_to_the_byte, the_newest_checkpoint_is_kept,
    },
    asking::{
        an_approval_belongs_to_its_worker, an_approval_is_forgotten_with_its_events,
        an_approval_is_found_in_its_log, approvals_are_found_again,
    },
    bodies::{a_body_belongs_to_its_worker, a_body_may_come_again},
    bundling::{
        a_bundle_brings_its_key, a_bundle_is_deleted_alone, a_bundle_is_found_by_its_id_and_digest,
        a_bundle_is_seen_with_its_key, a_refused_bundle_brings_no_key,
        a_revision_is_stored_once_and_for_good, bundles_are_listed_by_id_and_revision,
        bundles_are_there_again, no_more_bundles_are_stored_than_may_be,
    },
    claiming::{
        a_claim_fences_earlier_writers, an_epoch_is_given_before_it_is_used, claims_rise,
        nobody_claims_what_is_not_there,
    },
    creating::{
        a_first_commit_creates_its_worker, a_fresh_store_belongs_to_its_first_runtime,
        a_worker_is_created_once, only_a_first_commit_creates,
    },
    deleting::{
        a_deleted_id_is_not_free, a_deleted_worker_is_as_if_it_had_never_been, a_worker_is_deleted_once,
    },
    history::{Fresh, Openings, random_histories_are_as_the_model_says},
    keeping::{
        a_kept_record_belongs_to_its_worker, a_kept_record_is_replaced_by_its_name,
        a_name_that_is_none_is_refused, a_refused_commit_keeps_nothing, kept_records_are_paged,
        kept_records_come_back_in_the_order_of_their_names, kept_records_go_with_their_worker,
        kept_records_survive_a_prune, large_records_are_kept, what_is_kept_is_there_again,
    },
    listing::{
        a_page_goes_on_behind_what_has_changed, counts_are_what_the_list_says, unsettled_workers_are_listed,
        workers_are_listed_in_the_order_of_creation,
    },
    pruning::{
        a_log_goes_on_without_its_events, a_long_log_is_forgotten_at_once,
        a_prune_forgets_nothing_but_events, a_prune_forgets_the_oldest_events,
        a_prune_is_refused_as_a_commit_is, a_prune_leaves_a_newer_checkpoint, an_older_prune_changes_nothing,
    },
    racing::{
        a_delete_wins_over_commits, a_dropped_append_is_whole_or_not_there, a_reader_sees_whole_commits,
        a_refused_commit_leaves_its_mates_alone, one_of_racing_commits_is_written,
        paging_is_complete_while_workers_are_created, racing_claims_differ,
    },
    reading::{
        a_page_holds_what_its_bounds_allow, a_transcript_is_sliced_from_both_ends,
        events_are_paged_without_gaps, no_bound_is_too_large,
    },
    remembering::{
        a_key_is_remembered_with_its_effect, a_key_is_replaced_in_its_scope, a_key_outlives_its_worker,
        a_refused_commit_remembers_no_key, keys_are_counted_for_their_owner, keys_are_there_again,
        old_keys_are_forgotten,
    },
    reopening::{
        a_delete_holds_over_openings, a_life_knows_the_one_before, a_long_log_stays_forgotten,
        a_prune_holds_over_openings, a_repeated_commit_is_known_again, claims_rise_over_openings,
        what_was_committed_is_there_again,
    },
};

/// Where a store keeps its logs, and nobody else any: a directory, a database, or nowhere.
#[async_trait]
pub trait Place: fmt::Debug + Send + Sync {
    /// Opens the place; at first it is empty. It is opened again after the store that was there has been dropped, and
    /// then a durable store has everything that it had.
    ///
    /// # Panics
    ///
    /// When there is no opening it, which fails the check.
    async fn open(&self) -> Arc<dyn Store>;
}

/// Only a store that says it keeps nothing may be spared the checks of durable ones.
pub async fn only_the_memory_is_volatile(place: &dyn Place) {
    assert_eq!(place.open().await.kind(), StoreKind::Memory);
}

/// Writes a test for each check of the suite: `durable` stores are opened again, `volatile` ones never. The
/// expression makes a fresh [`Place`](crate::store_suite::Place) for each, and may await.
#[macro_export]
macro_rules! store_suite {
    (durable, $place:expr) => {
        $crate::store_suite! { @checks_of_all [@tests $place] }
        $crate::store_suite! { @checks_of_durable [@tests $place] }
        $crate::store_suite! { @histories Reopened, $place }
    };
    (volatile, $place:expr) => {
        $crate::store_suite! { @checks_of_all [@tests $place] }
        $crate::store_suite! { @tests $place => only_the_memory_is_volatile }
        $crate::store_suite! { @histories Once, $place }
    };
    (@checks_of_all [$($then:tt)*]) => {
        $crate::store_suite! { $($then)* =>
            a_fresh_store_belongs_to_its_first_runtime
            a_first_commit_creates_its_worker
            only_a_first_commit_creates
            a_worker_is_created_once
            events_come_back_to_the_byte
            a_conflict_writes_nothing
            a_repeated_commit_is_written_once
            a_row_stays_until_another_comes
            entries_are_replaced_by_their_sequence
            accepted_inputs_are_kept
            the_newest_checkpoint_is_kept
            a_long_commit_is_taken
            a_claim_fences_earlier_writers
            claims_rise
            nobody_claims_what_is_not_there
            an_epoch_is_given_before_it_is_used
            events_are_paged_without_gaps
            a_page_holds_what_its_bounds_allow
            a_transcript_is_sliced_from_both_ends
            an_approval_is_found_in_its_log
            an_approval_belongs_to_its_worker
            an_approval_is_forgotten_with_its_events
            no_bound_is_too_large
            workers_are_listed_in_the_order_of_creation
            a_page_goes_on_behind_what_has_changed
            unsettled_workers_are_listed
            counts_are_what_the_list_says
            a_prune_forgets_the_oldest_events
            a_prune_forgets_nothing_but_events
            a_log_goes_on_without_its_events
            a_long_log_is_forgotten_at_once
            an_older_prune_changes_nothing
            a_prune_leaves_a_newer_checkpoint
            a_prune_is_refused_as_a_commit_is
            a_body_belongs_to_its_worker
            a_body_may_come_again
            kept_records_come_back_in_the_order_of_their_names
            kept_records_are_paged
            a_kept_record_is_replaced_by_its_name
            a_kept_record_belongs_to_its_worker
            a_refused_commit_keeps_nothing
            a_name_that_is_none_is_refused
            kept_records_survive_a_prune
            kept_records_go_with_their_worker
            a_key_is_remembered_with_its_effect
            a_refused_commit_remembers_no_key
            a_key_is_replaced_in_its_scope
            a_key_outlives_its_worker
            old_keys_are_forgotten
            keys_are_counted_for_their_owner
            a_deleted_worker_is_as_if_it_had_never_been
            a_worker_is_deleted_once
            a_deleted_id_is_not_free
            a_refused_commit_leaves_its_mates_alone
            one_of_racing_commits_is_written
            racing_claims_differ
            a_reader_sees_whole_commits
            a_delete_wins_over_commits
            paging_is_complete_while_workers_are_created
            a_dropped_append_is_whole_or_not_there
            a_revision_is_stored_once_and_for_good
            a_bundle_is_found_by_its_id_and_digest
            bundles_are_listed_by_id_and_revision
            no_more_bundles_are_stored_than_may_be
            a_bundle_is_deleted_alone
            a_bundle_brings_its_key
            a_refused_bundle_brings_no_key
            a_bundle_is_seen_with_its_key
            a_large_commit_is_taken
            large_records_are_kept
        }
    };
    (@checks_of_durable [$($then:tt)*]) => {
        $crate::store_suite! { $($then)* =>
            a_life_knows_the_one_before
            what_was_committed_is_there_again
            approvals_are_found_again
            what_is_kept_is_there_again
            keys_are_there_again
            a_repeated_commit_is_known_again
            claims_rise_over_openings
            a_prune_holds_over_openings
            a_long_log_stays_forgotten
            a_delete_holds_over_openings
            bundles_are_there_again
        }
    };
    (@tests $place:expr => $($check:ident)*) => {
        $(
            #[tokio::test]
            async fn $check() {
                let place = $place;
                $crate::store_suite::$check(&place).await;
            }
        )*
    };
    (@list $name:ident => $($check:ident)*) => {
        const $name: &[(&str, Check)] =
            &[$((stringify!($check), |place| Box::pin($crate::store_suite::$check(place)))),*];
    };
    (@histories $openings:ident, $place:expr) => {
        #[test]
        fn random_histories_are_as_the_model_says() {
            let openings = $crate::store_suite::Openings::$openings;
            $crate::store_suite::random_histories_are_as_the_model_says(openings, || {
                ::std::boxed::Box::pin(async {
                    let place: ::std::boxed::Box<dyn $crate::store_suite::Place> = ::std::boxed::Box::new($place);
                    place
                })
            });
        }
    };
}

#[cfg(test)]
mod tests;
