//! What the log says after the runtime's own end, and what goes on.

use super::*;

const RESTARTED: &str = "usage turn_finished(restarted) session_ended";
const UNTAKEN: &str = "turn_finished(restarted) session_ended";
const GOES_ON: &str = "input_accepted input_delivered(NOTE) system_item turn_started >resume >input(NOTE)";

/// As [`check`]; the id of what the runtime itself says is minted, and shown as `NOTE`.
#[track_caller]
fn check_noted(bench: Bench, before: &str, script: &str, expected: &str) {
    let mut bench = bench;
    for word in before.split("; ").filter(|word| !word.is_empty()) {
        bench.play(word);
    }
    bench.shown.clear();
    for word in script.split("; ") {
        bench.play(word);
    }
    let shown: Vec<_> = bench.shown.iter().map(|shown| noted(shown)).collect();
    assert_eq!(shown.join(" "), expected.split_whitespace().collect::<Vec<_>>().join(" "));
}

fn noted(shown: &str) -> String {
    match shown.split_once("(inp_") {
        Some((before, _)) => format!("{before}(NOTE)"),
        None => shown.to_owned(),
    }
}

fn waiting() -> Bench {
    asking().that_waits_after_a_restart()
}

#[test]
fn a_taken_turn_is_closed_first_and_the_worker_is_told_in_a_new_one() {
    check_noted(asking(), BUSY, "restart", &format!("{RESTARTED} {GOES_ON} [busy]"));
    check_noted(
        asking(),
        &format!("{BUSY}; text half; calls t; asks tool"),
        "restart",
        &format!("usage approval_resolved(withdrawn) tool_result {UNTAKEN} {GOES_ON} [busy]"),
    );
}

#[test]
fn an_untaken_input_is_delivered_again_and_said_once() {
    check_noted(
        asking(),
        "send a; connected",
        "restart",
        &format!("{UNTAKEN} input_delivered(a) turn_started >start >input(a) [busy]"),
    );
    check_noted(
        asking(),
        "send a; connected; send b",
        "restart; connected; taken a; completed",
        &format!(
            "{UNTAKEN} input_delivered(a) turn_started >start >input(a) [busy] session_started ok [busy] input_taken \
             turn_finished(completed) input_delivered(b) user_message turn_started >input(b) [busy]"
        ),
    );
}

#[test]
fn an_idle_worker_only_loses_its_session() {
    check_noted(asking(), &format!("{BUSY}; completed"), "restart", "session_ended [errored]");
    check_noted(asking(), &format!("{BUSY}; completed; ended"), "restart", "");
    check_noted(asking(), "", "restart", "");
}

#[test]
fn a_profile_that_waits_starts_the_queue_with_the_next_input() {
    check_noted(waiting(), &format!("{BUSY}; send b"), "restart", &format!("{RESTARTED} [errored]"));
    check_noted(
        waiting(),
        &format!("{BUSY}; send b; restart"),
        "restart; send c",
        "input_accepted input_delivered(b) user_message turn_started >resume >input(b) ok [busy]",
    );
}

#[test]
fn a_turn_that_is_cut_off_three_times_in_a_row_waits_for_a_person() {
    let twice = format!("{BUSY}; restart; connected; taken x; restart; connected; taken x");
    let mut bench = asking();
    for word in twice.split("; ") {
        let word = match word {
            // What the runtime said is taken up under the id that it was given.
            "taken x" => {
                let turn = bench.state.fold.turn.as_ref().unwrap();
                format!("taken {}", turn.inputs[0].input.input_id)
            }
            word => word.to_owned(),
        };
        bench.play(&word);
    }
    check_noted(
        bench,
        "",
        "restart; restart; send b",
        &format!(
            "{RESTARTED} diagnostic [errored] input_accepted input_delivered(b) user_message turn_started \
             >resume >input(b) ok [busy]"
        ),
    );
}

#[test]
fn drains_count_too_and_the_log_says_once_that_the_worker_waits() {
    let mut bench = asking();
    for word in "send a; connected; taken a; drain; ended".split("; ") {
        bench.play(word);
    }
    for _ in 0..2 {
        bench.play("restart");
        bench.play("connected");
        let told = bench.state.fold.turn.as_ref().unwrap().inputs[0].input.input_id.clone();
        bench.play(&format!("taken {told}"));
        bench.play("drain");
        bench.play("ended");
    }
    check_noted(bench, "", "restart; restart", "diagnostic");
}

#[test]
fn what_a_limit_refused_was_not_taken_up() {
    check_noted(
        asking(),
        &format!("{BUSY}; limited 60; pass 66"),
        "restart",
        &format!("{UNTAKEN} input_delivered(a) turn_started >resume >input(a) [busy]"),
    );
}

#[test]
fn an_ack_names_the_place_of_its_own_input_only() {
    let mut bench = waiting();
    for word in format!("{BUSY}; send b; restart; send c").split("; ") {
        bench.play(word);
    }
    let places: Vec<_> = bench
        .log
        .iter()
        .filter_map(|draft| draft.accepts.as_ref())
        .map(|accepts| (accepts.input_id.as_str(), accepts.transcript_sequence))
        .collect();
    assert_eq!(places, [("a", Some(1)), ("b", None), ("c", None)]);
}

#[test]
fn a_store_that_is_full_from_the_start_begins_nothing() {
    let full = |before: &str| {
        let mut bench = asking();
        for word in before.split("; ") {
            bench.play(word);
        }
        bench.play("full");
        bench.shown.clear();
        bench
    };
    let waits = full("send a; connected");
    check_noted(
        waits,
        "",
        "restart; space",
        &format!("{UNTAKEN} [errored] input_delivered(a) turn_started >start >input(a) [busy]"),
    );
    let told = full(BUSY);
    check_noted(told, "", "restart; restart; space", &format!("{RESTARTED} [errored] {GOES_ON} [busy]"));
    let parked = full(&format!("{BUSY}; limited 60"));
    check_noted(parked, "", "pass 100; space; pass 1", ">input(a) [busy]");
}

#[test]
fn what_was_asked_for_before_the_end_is_finished_and_not_gone_on_with() {
    check_noted(
        asking(),
        &format!("{BUSY}; send b; stop"),
        "restart",
        "usage turn_finished(interrupted) session_ended input_dropped worker_stopped finish",
    );
    check_noted(
        asking(),
        &format!("{BUSY}; stop; cancel"),
        "restart",
        "usage turn_finished(interrupted) session_ended worker_cancelled finish",
    );
    check_noted(
        asking(),
        &format!("{BUSY}; interrupt"),
        "restart",
        "usage turn_finished(interrupted) session_ended [errored]",
    );
    check_noted(
        asking(),
        &format!("{BUSY}; pass 301"),
        "restart",
        "usage turn_finished(limitreached) session_ended [errored]",
    );
}

#[test]
fn a_parked_turn_stays_open_and_goes_on_when_its_time_comes() {
    check_noted(asking(), &format!("{BUSY}; limited 60"), "restart", "session_ended [parked]");
    check_noted(
        asking(),
        &format!("{BUSY}; limited 60; ended; restart"),
        "pass 66",
        ">resume >input(a) [busy]",
    );
    check_noted(
        asking(),
        &format!("{BUSY}; limited 60; cancel"),
        "restart",
        "turn_finished(interrupted) session_ended worker_cancelled finish",
    );
}

#[test]
fn a_drained_worker_goes_on_at_the_next_start() {
    check_noted(asking(), &format!("{BUSY}; drain; ended"), "restart", &format!("{GOES_ON} [busy]"));
}

#[test]
fn a_turn_that_a_drain_ends_is_cut_off_whoever_says_so_first() {
    check(
        BUSY,
        "drain; interrupted; ended",
        ">end(5) turn_finished(restarted) [idle] session_ended finish [unconnected]",
    );
    check(BUSY, "drain; ended", ">end(5) usage turn_finished(restarted) session_ended finish [unconnected]");
    check(
        &format!("{BUSY}; interrupt"),
        "drain; ended",
        ">end(5) usage turn_finished(interrupted) ok session_ended finish [unconnected]",
    );
    check(
        BUSY,
        "drain; completed; ended",
        ">end(5) turn_finished(completed) [idle] session_ended finish [unconnected]",
    );
}

#[test]
fn a_full_store_ends_what_runs_and_begins_nothing() {
    check(BUSY, "full; interrupted", ">interrupt turn_finished(store_full) [idle]");
    check(
        "full",
        "send a; space; send b",
        "no:StoreFull input_accepted input_delivered(b) user_message turn_started >start >input(b) ok [busy]",
    );
    check(
        &format!("{BUSY}; send b; full; interrupted"),
        "space",
        "input_delivered(b) user_message turn_started >input(b) [busy]",
    );
    check(&format!("{BUSY}; full"), "stop", "stop_requested >end(10)");
    let asked = format!("{BUSY}; asks tool; full");
    check(&asked, "allow", "no:StoreFull");
    check(&asked, "deny no", "approval_resolved(deny) >deny ok [busy]");
}

#[test]
fn a_worker_that_was_to_stop_by_itself_does_so_in_the_next_life() {
    let stops = Bench::new(ApprovalMode::Ask, OnIdle::Stop, Capabilities::default());
    check_noted(
        stops,
        &format!("{BUSY}; drain; completed; ended"),
        "restart",
        "stop_requested worker_stopped finish",
    );
}
