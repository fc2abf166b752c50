//! Limits: what ends a turn, and what begins none.

use super::*;
use crate::profile::Limits;

fn limited(change: impl FnOnce(&mut Limits)) -> Bench {
    asking().with(|spec| change(&mut spec.profile.limits))
}

const ENDS: &str = "limit_reached >interrupt";

#[test]
fn the_last_allowed_turn_completes_and_none_comes_after_it() {
    let two = || limited(|limits| limits.turns = Some(2));
    check_with(
        two(),
        &format!("{BUSY}; send b; completed"),
        "taken b; send c; completed; send d",
        "input_taken no:LimitReached turn_finished(completed) [idle] no:LimitReached",
    );
    // What was accepted before its turn was known to be one too many waits, and is dropped with the worker.
    check_with(
        limited(|limits| limits.turns = Some(1)),
        "send a; connected; taken a",
        "again a; send b; completed; stop; ended",
        "ok:duplicate no:LimitReached turn_finished(completed) [idle]
         stop_requested >end(10) session_ended worker_stopped ok finish",
    );
}

#[test]
fn what_the_vendor_counts_ends_the_turn() {
    for change in [(|limits: &mut Limits| limits.tokens = Some(100)) as fn(&mut Limits), |limits| {
        limits.cost_usd = Some(1.0)
    }] {
        check_with(
            limited(change),
            BUSY,
            "uses 60; uses 40; uses 1; interrupted; send b",
            &format!("usage usage {ENDS} usage turn_finished(limitreached) [idle] no:LimitReached"),
        );
    }
}

#[test]
fn a_turn_that_completes_all_the_same_has_completed() {
    check_with(
        limited(|limits| limits.tokens = Some(100)),
        BUSY,
        "uses 100; completed",
        &format!("usage {ENDS} turn_finished(completed) [idle]"),
    );
}

#[test]
fn the_time_of_a_task_passes_since_its_creation() {
    let task = || {
        limited(|limits| (limits.wall, limits.inactivity) = (Some(Duration::from_secs(100)), Duration::MAX))
            .with(|spec| spec.intent = Intent::Task { objective: "x".to_owned() })
    };
    check_with(
        task(),
        "pass 60; send a; connected; taken a",
        "pass 39; pass 1; interrupted",
        &format!("{ENDS} turn_finished(limitreached) [idle]"),
    );
    check_with(task(), "pass 100", "send a", "no:LimitReached");
    check_with(
        task(),
        "send a; connected; taken a; limited 1000",
        "pass 100",
        "limit_reached turn_finished(limitreached) [idle]",
    );
}

#[test]
fn the_time_of_others_passes_while_they_run() {
    let assistant = || {
        limited(|limits| (limits.wall, limits.inactivity) = (Some(Duration::from_secs(100)), Duration::MAX))
    };
    let ends = format!("{ENDS} turn_finished(limitreached) [idle]");
    for before in [
        "pass 500; send a; connected; taken a; pass 40",
        "send a; connected; taken a; pass 40; completed; pass 500; send b; taken b",
        "send a; connected; taken a; pass 40; asks x; pass 500; allow",
        "send a; connected; taken a; pass 40; limited 500; pass 550",
    ] {
        check_with(assistant(), before, "pass 59; pass 1; interrupted", &ends);
    }
    check_with(
        assistant(),
        "send a; connected; taken a; pass 40; text x; interrupt; dead 500; restart; send b; connected; taken b",
        "pass 59; pass 1; interrupted",
        &ends,
    );
    // What passed while nobody ran the worker does not count either; the last that is known of it does.
    for open in ["text x", "calls t"] {
        check_with(
            assistant(),
            &format!("send a; connected; taken a; pass 40; {open}; dead 500; restart; connected"),
            "pass 59; pass 1; interrupted",
            &ends,
        );
    }
}

#[test]
fn a_round_of_tools_counts_once_however_many_it_calls() {
    let two = || limited(|limits| limits.tool_rounds = Some(2));
    let call = "tool_call_started tool_call_done";
    check_with(
        two(),
        BUSY,
        "calls 1; calls 2; result 2; result 1; calls 3; result 3; calls 4; interrupted",
        &format!(
            "{call} {call} tool_result tool_result {call} tool_result tool_call_started {ENDS} tool_call_done \
             tool_result turn_finished(limitreached) [idle]"
        ),
    );
}

#[test]
fn work_that_wakes_by_itself_is_ended_when_nothing_is_left_for_it() {
    check_with(
        limited(|limits| limits.turns = Some(1)),
        &format!("{BUSY}; completed"),
        "wakes; interrupted",
        &format!("turn_started {ENDS} [busy] turn_finished(limitreached) [idle]"),
    );
    check_with(
        limited(|limits| limits.turns = Some(2)),
        &format!("{BUSY}; completed"),
        "wakes; completed",
        "turn_started [busy] turn_finished(completed) [idle]",
    );
}

#[test]
fn tasks_that_a_turn_left_are_a_state_with_an_end() {
    let brief = || limited(|limits| limits.background = Some(Duration::from_secs(60)));
    check_with(
        brief(),
        BUSY,
        "leaves 2; completed; pass 30; leaves 1; leaves 0",
        "turn_finished(completed) [background] [idle]",
    );
    check_with(
        brief(),
        &format!("{BUSY}; leaves 1; completed; pass 59"),
        "pass 1; ended",
        "diagnostic >end(5) session_ended [unconnected]",
    );
    // A turn in between begins the time anew: the worker was told something and may still need them.
    check_with(
        brief(),
        &format!("{BUSY}; leaves 1; completed; pass 59; send b; taken b; completed"),
        "pass 59; pass 1",
        "diagnostic >end(5)",
    );
    check_with(
        brief(),
        &format!("{BUSY}; leaves 1; completed; pass 59"),
        "wakes; leaves 0; completed",
        "turn_started [busy] turn_finished(completed) [idle]",
    );
}

#[test]
fn the_end_of_woken_work_is_no_end_of_an_inputs_turn() {
    check(
        "send a; connected; limited 60; leaves 1",
        "leaves 0; wakes; text hi; woken; pass 70; taken a; completed",
        "text_delta >input(a) [busy] input_taken turn_finished(completed) [idle]",
    );
    check(
        &format!("{BUSY}; send b; completed"),
        "wakes; woken; taken b; completed",
        "input_taken turn_finished(completed) [idle]",
    );
    check(
        &format!("{BUSY}; completed"),
        "wakes; text hi; woken; woken",
        "turn_started [busy] text_delta turn_finished(completed) [idle]",
    );
}

#[test]
fn a_task_that_ends_without_waking_the_model_does_not_hold_the_worker() {
    let stops = || Bench::new(ApprovalMode::Ask, OnIdle::Stop, Capabilities::default());
    check_with(
        stops(),
        &format!("{BUSY}; leaves 1; completed"),
        "leaves 0; pass 9; pass 1; ended",
        "[idle] stop_requested >end(10) session_ended worker_stopped finish",
    );
}

#[test]
fn work_behind_a_turn_has_what_the_profile_allows_and_asks_nobody() {
    for (mode, answer) in
        [(ApprovalMode::Allow, ">allow"), (ApprovalMode::Deny, ">deny"), (ApprovalMode::Ask, ">deny")]
    {
        let bench = Bench::new(mode, OnIdle::Wait, Capabilities::default());
        check_with(
            bench,
            &format!("{BUSY}; leaves 1; completed"),
            "asks tool; asks question",
            &format!("diagnostic ok {answer} diagnostic ok >deny"),
        );
    }
}

#[test]
fn a_question_that_is_withdrawn_was_a_sign_of_life() {
    check(&format!("{BUSY}; asks x; pass 400; withdraw"), "pass 299; pass 1", "limit_reached >interrupt");
}

#[test]
fn the_grace_of_a_stop_is_not_cut_by_a_denial() {
    check(
        &format!("{BUSY}; asks x; stop"),
        "deny interrupt; pass 14; pass 1",
        "approval_resolved(deny) >deny >interrupt ok [busy] >drop",
    );
}

#[test]
fn a_worker_that_stops_when_idle_waits_for_what_it_left_running() {
    let stops = || Bench::new(ApprovalMode::Ask, OnIdle::Stop, Capabilities::default());
    check_with(
        stops(),
        &format!("{BUSY}; leaves 1; completed"),
        "wakes; leaves 0; completed",
        "turn_started [busy] turn_finished(completed) stop_requested >end(10) [idle]",
    );
    check_with(
        stops().with(|spec| spec.profile.limits.turns = Some(1)),
        BUSY,
        "completed; ended",
        "turn_finished(completed) stop_requested >end(10) [idle] session_ended worker_stopped finish",
    );
}

#[test]
fn a_raised_limit_lets_a_worker_go_on() {
    let limited = || limited(|limits| (limits.turns, limits.tokens) = (Some(2), Some(100)));
    // An input that was accepted before its turn was known to be one too many begins by itself; later ones are taken.
    check_with(
        limited(),
        &format!("{BUSY}; send b; send c; completed; taken b; completed"),
        r#"send d; raise {"turns": 3}; send d"#,
        "no:LimitReached limits_raised input_delivered(c) user_message turn_started >input(c) ok [busy]
         no:LimitReached",
    );
    // The turn that runs has what was raised at once, and no more.
    check_with(
        limited(),
        BUSY,
        r#"uses 60; raise {"tokens": 150}; uses 60; uses 40"#,
        &format!("usage limits_raised ok usage usage {ENDS}"),
    );
    // One that is being ended already is.
    check_with(
        limited(),
        &format!("{BUSY}; uses 100"),
        r#"raise {"tokens": 150}; interrupted; send b"#,
        "limits_raised ok turn_finished(limitreached) [idle]
         input_accepted input_delivered(b) user_message turn_started >input(b) ok [busy]",
    );
}

#[test]
fn a_limit_is_not_lowered_nor_set_anew() {
    let limited = || limited(|limits| limits.turns = Some(5));
    for (before, limits, expected) in [
        ("", r#"{"turns": 4}"#, "no:LowersLimit"),
        ("", r#"{"turns": 5}"#, "limits_raised ok"),
        (r#"raise {"turns": 7}"#, r#"{"turns": 6}"#, "no:LowersLimit"),
        // What is not limited cannot be raised, and nothing of such a request is done.
        ("", r#"{"turns": 6, "cost_usd": 1}"#, "no:LowersLimit"),
        ("stop", r#"{"turns": 6}"#, ""),
        (&format!("{BUSY}; stop"), r#"{"turns": 6}"#, "no:NotRunning"),
        (&format!("{BUSY}; drain"), r#"{"turns": 6}"#, "no:Draining"),
        ("full", r#"{"turns": 6}"#, "no:StoreFull"),
    ] {
        check_with(limited(), before, &format!("raise {limits}"), expected);
    }
}
