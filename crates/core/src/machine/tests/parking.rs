//! Turns that wait for their vendor.

use super::*;

#[test]
fn a_rate_limit_parks_the_turn_and_sends_the_input_again() {
    check(
        "send a; connected",
        "limited 60; pass 59; pass 7; taken a; completed",
        "rate_limited [parked] >input(a) [busy] input_taken turn_finished(completed) [idle]",
    );
    check(
        "send a; connected; limited 60",
        "interrupt",
        "interrupt_requested turn_finished(interrupted) ok [idle]",
    );
    check(
        "send a; connected; limited 60",
        "ended; pass 67",
        "session_ended [parked] >start >input(a) [busy]",
    );
    check("send a; connected", "limited 99999", "rate_limited turn_finished(failed) [idle]");
}

#[test]
fn a_vendor_with_too_much_to_do_is_waited_for_as_for_a_limit_and_named_where_it_is_not() {
    check(
        "send a; connected",
        "overloaded 600; pass 599; pass 61; taken a; completed",
        "rate_limited [parked] >input(a) [busy] input_taken turn_finished(completed) [idle]",
    );
    let error = |word: &str| {
        let mut bench = asking();
        ["send a", "connected", word].into_iter().for_each(|word| bench.play(word));
        bench.state.fold.outcome.unwrap().error.unwrap()
    };
    let expected = TurnError {
        code: "overloaded".to_owned(),
        message: "the vendor has too much to do until 1970-01-02T03:46:39Z".to_owned(),
    };
    assert_eq!((error("overloaded 99999"), error("limited 99999").code.as_str()), (expected, "rate_limited"));
}

#[test]
fn a_parked_turn_stays_where_it_is_while_its_worker_or_the_process_ends() {
    check(
        "send a; connected; limited 4",
        "stop; pass 5; ended",
        "stop_requested >end(10) turn_finished(interrupted) session_ended worker_stopped ok finish",
    );
    check("send a; connected; limited 4", "drain; pass 5; ended", ">end(5) session_ended finish [parked]");
}
