//! What the log says was used, wherever it is cut off.

use super::*;

/// Two answers with a tool call in between, and their cost.
const TURN: [&str; 11] = [
    "connected",
    "taken a",
    "text hi",
    "said hi",
    "tokens 60",
    "calls t",
    "result t",
    "text ho",
    "tokens 30",
    "uses 5",
    "completed",
];

/// What is known when the log ends behind each of these words: tokens sent, and dollars, in brackets those that are
/// known of an unknown sum.
const KNOWN: [&str; 11] =
    ["0 0", "? (0)", "? (0)", "? (0)", "60 (0)", "60 (0)", "? (0)", "? (0)", "90 (0)", "95 0.05", "95 0.05"];

fn brief(usage: &Usage) -> String {
    let tokens = usage.input_tokens.map_or("?".to_owned(), |tokens| tokens.to_string());
    let known = usage.known_cost_usd.map(|known| format!("({known})"));
    assert!(!usage.cost_follows, "nobody is left to say it: {usage:?}");
    assert_eq!(usage.reasoning_tokens.is_none(), known.is_some(), "{usage:?}");
    format!("{tokens} {}", known.or(usage.total_cost_usd.map(|cost| cost.to_string())).unwrap())
}

/// The usage of each turn and session that ended, in order.
fn ended(bench: &Bench) -> Vec<String> {
    let ends = bench.log.iter().filter_map(|draft| match &draft.payload {
        Payload::TurnFinished(finished) => Some(format!("turn {}", brief(&finished.usage))),
        Payload::SessionEnded(ended) => Some(format!("session {}", brief(&ended.usage))),
        _ => None,
    });
    ends.collect()
}

/// A bench whose first turn was played for so many words, and came to this end.
fn cut(n_words: usize, end: &str) -> Bench {
    let mut bench = asking().that_waits_after_a_restart();
    bench.play("send a");
    for word in TURN[..n_words].iter().copied().chain(end.split("; ")) {
        bench.play(word);
    }
    bench
}

#[test]
fn no_end_of_a_session_makes_what_was_used_look_known() {
    for end in [
        "restart",
        "dead 500; restart",
        "crashed",
        "drain; ended",
        "cancel; ended",
        "cancel; restart",
        "stop; pass 15; crashed",
        "interrupt; pass 10; crashed",
        "interrupt; restart",
        "pass 301; pass 15; crashed",
    ] {
        for (n_words, known) in (1..).zip(KNOWN) {
            let bench = cut(n_words, end);
            let expected = [format!("turn {known}"), format!("session {known}")];
            assert_eq!(ended(&bench), expected, "{end} behind {:?}", &TURN[..n_words]);
            assert_eq!(brief(&bench.state.fold.usage), known);
        }
    }
}

#[test]
fn the_next_turn_counts_what_it_used_itself() {
    for n_words in 1..=TURN.len() {
        let mut bench = cut(n_words, "restart");
        bench.log.clear();
        for word in "send b; connected; taken b; tokens 7; uses 3; completed; send c; taken c; uses 1; completed; ended"
            .split("; ")
        {
            bench.play(word);
        }
        let told = ended(&bench);
        // An untaken input comes first, in a turn of its own.
        let turns = if n_words == 1 { &told[..1] } else { &told[..2] };
        let expected = if n_words == 1 { &["turn 10 0.03"][..] } else { &["turn 10 0.03", "turn 1 0.01"] };
        assert_eq!(turns, expected, "behind {:?}", &TURN[..n_words]);
    }
}

#[test]
fn a_token_limit_counts_what_is_known_of_an_unknown_sum() {
    let limited = asking().with(|spec| spec.profile.limits.tokens = Some(100));
    check_with(
        limited.that_waits_after_a_restart(),
        "send a; connected; taken a; tokens 60; text hi; restart; send b; connected; taken b",
        "tokens 39; tokens 1",
        "usage usage limit_reached >interrupt",
    );
}
