//! A session that the vendor does not have any more: a new one takes its place, once, and is told what was said.

use musher_protocol::ResumeRequest;

use super::*;

#[test]
fn a_new_session_is_told_what_was_said_and_gets_the_same_input() {
    let refused = format!("{BUSY}; crashed; send b; resumed");
    check(&refused, "unknown", "session_ended diagnostic >start_anew(1) >input(b) [busy]");
    check(
        &format!("{refused}; unknown; connected; taken b; completed; crashed"),
        "send c",
        "input_accepted input_delivered(c) user_message turn_started >resume >input(c) ok [busy]",
    );
}

#[test]
fn a_new_session_that_dies_before_it_was_told_does_not_lose_what_was_said() {
    check(
        &format!("{BUSY}; crashed; send b; resumed; unknown; connected; aborted"),
        "send c",
        "input_accepted input_delivered(c) user_message turn_started >start_anew(2) >input(c) ok [busy]",
    );
}

#[test]
fn any_other_failure_begins_nothing_anew() {
    check(
        &format!("{BUSY}; crashed; send b; resumed; aborted"),
        "send c",
        "input_accepted input_delivered(c) user_message turn_started >resume >input(c) ok [busy]",
    );
}

#[test]
fn a_turn_that_is_being_ended_begins_nothing_anew() {
    check(
        &format!("{BUSY}; crashed; send b; resumed; interrupt"),
        "unknown",
        "turn_finished(interrupted) ok session_ended diagnostic [errored]",
    );
}

fn created_in(fresh_prompt: Option<&str>) -> Bench {
    let fresh_prompt = fresh_prompt.map(str::to_owned);
    asking().with(|spec| {
        spec.resume = Some(ResumeRequest { session_id: "s1".parse().unwrap(), fresh_prompt });
    })
}

#[test]
fn a_worker_begins_in_the_session_that_it_was_created_for() {
    for fresh_prompt in [None, Some("the whole story")] {
        check_with(
            created_in(fresh_prompt),
            "",
            "send a; resumed; taken a; completed",
            "input_accepted input_delivered(a) user_message turn_started >resume >input(a) ok [busy]
             session_started ok [busy] input_taken turn_finished(completed) [idle]",
        );
    }
}

#[test]
fn when_that_is_refused_only_a_fresh_prompt_begins_anew() {
    check_with(
        created_in(Some("the whole story")),
        "send a; resumed",
        "unknown",
        "session_ended diagnostic >start_anew(0) >input(a) [busy]",
    );
    check_with(
        created_in(None),
        "send a; resumed",
        "unknown; send b",
        "turn_finished(failed) session_ended diagnostic [errored]
         input_accepted input_delivered(b) user_message turn_started >start_anew(1) >input(b) ok [busy]",
    );
}

#[test]
fn a_session_that_is_refused_before_it_has_begun_is_asked_for_once() {
    check_with(
        created_in(None),
        "send a",
        "unknown; send b",
        "turn_finished(failed) session_ended diagnostic [errored]
         input_accepted input_delivered(b) user_message turn_started >start_anew(1) >input(b) ok [busy]",
    );
    check_with(
        created_in(Some("the whole story")),
        "send a",
        "unknown; unknown",
        "session_ended diagnostic >start_anew(0) >input(a) [busy]
         turn_finished(failed) session_ended diagnostic [errored]",
    );
}

#[test]
fn a_named_session_that_was_continued_is_as_any_other() {
    check_with(
        created_in(None),
        "send a; resumed; taken a; completed; crashed; send b; resumed",
        "unknown",
        "session_ended diagnostic >start_anew(1) >input(b) [busy]",
    );
}
