//! Inputs for the running turn, and those that came too late for it.

use super::*;

fn steering() -> Bench {
    let capabilities = Capabilities { steer: true, resume: true, ..Capabilities::default() };
    Bench::new(ApprovalMode::Ask, OnIdle::Wait, capabilities)
}

#[test]
fn a_steered_input_joins_the_turn_where_the_backend_can() {
    check_with(steering(), BUSY, "steer b", "input_accepted input_delivered(b) user_message >steer(b) ok");
    check(BUSY, "steer b", "input_accepted ok");
}

#[test]
fn one_that_its_turn_did_not_take_is_delivered_again_and_said_once() {
    let again = "input_delivered(b) turn_started >input(b) [busy]";
    for (end, finished) in [
        ("completed", "turn_finished(completed)"),
        ("failed", "turn_finished(failed)"),
        ("interrupt; interrupted", "interrupt_requested >interrupt turn_finished(interrupted) ok"),
    ] {
        let before = format!("{BUSY}; steer b");
        check_with(steering(), &before, end, &format!("{finished} {again}"));
        check_with(steering(), &format!("{before}; taken b"), end, &format!("{finished} [idle]"));
    }
    let crashed =
        "usage turn_finished(failed) session_ended input_delivered(b) turn_started >resume >input(b) [busy]";
    check_with(steering(), &format!("{BUSY}; steer b"), "crashed", crashed);
}

#[test]
fn what_came_too_late_goes_on_in_its_order_before_what_waits() {
    check_with(
        steering(),
        &format!("{BUSY}; steer b; send e; steer c; steer d; taken c; completed"),
        "taken b; completed; taken d; completed",
        "input_taken turn_finished(completed) input_delivered(d) turn_started >input(d) [busy] \
         input_taken turn_finished(completed) input_delivered(e) user_message turn_started >input(e) [busy]",
    );
}

#[test]
fn more_than_a_session_can_hear_waits_for_its_turn() {
    let steers: String = (0..64).map(|n| format!("; steer s{n}")).collect();
    let full = format!("{BUSY}{steers}");
    check_with(steering(), &full, "steer b", "input_accepted ok");
    let joins = "input_accepted input_delivered(b) user_message >steer(b) ok";
    check_with(steering(), &format!("{full}; taken s0"), "steer b", joins);
}

#[test]
fn the_input_that_began_a_turn_ends_with_it() {
    check_with(
        steering(),
        "send a; connected; steer b",
        "failed",
        "turn_finished(failed) input_delivered(b) turn_started >input(b) [busy]",
    );
}

#[test]
fn one_that_came_too_late_for_an_ending_worker_is_dropped() {
    check_with(
        steering(),
        &format!("{BUSY}; steer b; stop"),
        "interrupted; ended",
        "turn_finished(interrupted) [idle] session_ended input_dropped worker_stopped ok finish",
    );
}

#[test]
fn one_that_came_too_late_in_a_drain_waits_for_the_next_life() {
    check_with(
        steering(),
        &format!("{BUSY}; steer b; drain; completed; ended"),
        "restart",
        "input_delivered(b) turn_started >resume >input(b) [busy]",
    );
}

/// What a backend that is told the past is not told of it: the entries that it is told now, or later.
#[test]
fn a_new_session_is_told_all_but_what_is_still_to_be_said_to_it() {
    let untold = |script: &str| {
        let mut bench = steering();
        script.split("; ").for_each(|word| bench.play(word));
        let beginning = bench.state.beginning();
        (beginning.entries, beginning.untold.into_iter().collect::<Vec<_>>())
    };
    // The entries: a is 1, b 2, what the model said 3.
    let late = format!("{BUSY}; steer b; said hi");
    for (script, expected) in [
        ("send a".to_owned(), (1, vec![1])),
        ("send a; connected; steer b".to_owned(), (2, vec![1, 2])),
        (format!("{late}; completed"), (3, vec![2])),
        (format!("{late}; completed; taken b; said ho; completed; send c"), (5, vec![5])),
        // The turn goes on: a is there already, b comes when the turn is over.
        (format!("{late}; limited 60; ended; pass 90"), (3, vec![2])),
        ("send a; connected; taken a; steer b; limited 60; ended; pass 90".to_owned(), (2, vec![1, 2])),
    ] {
        assert_eq!(untold(&script), expected, "{script}");
    }
    // A system's word about the restart comes first, and b in a turn of its own.
    assert_eq!(untold(&format!("{late}; restart")), (4, vec![2, 4]));
}
