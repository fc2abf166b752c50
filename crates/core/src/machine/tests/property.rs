//! What holds for every log, whatever happened.

use std::collections::BTreeSet;

use musher_protocol::{ResumeRequest, TurnFinished};
use proptest::prelude::*;

use super::*;

const WORDS: &[&str] = &[
    "send",
    "steer",
    "reject",
    "interrupt",
    "stop",
    "cancel",
    "raise",
    "allow",
    "deny",
    "connected",
    "taken",
    "wakes",
    "woken",
    "withdraw",
    "text",
    "said",
    "calls",
    "result",
    "asks",
    "limited",
    "uses",
    "tokens",
    "leaves",
    "completed",
    "interrupted",
    "failed",
    "ended",
    "crashed",
    "aborted",
    "unknown",
    "resumed",
    "survived",
    "pass",
    "drain",
    "restart",
    "full",
    "space",
];

/// A word with an argument that it can be played with.
fn word() -> impl Strategy<Value = (&'static str, u8)> {
    (prop::sample::select(WORDS), 0_u8..4)
}

fn spell(verb: &str, n: u8, place: usize) -> String {
    match verb {
        // A new id each time: that an id was seen before is for the task to find out.
        "send" | "steer" | "reject" => format!("{verb} i{place}"),
        "pass" => format!("pass {}", [1, 11, 301, 30_000][usize::from(n)]),
        "uses" | "tokens" | "leaves" => format!("{verb} {n}"),
        "limited" => format!("limited {}", [1, 60, 99_999, 0][usize::from(n)]),
        "asks" => format!("asks {}", if n == 0 { "question" } else { "tool" }),
        "raise" => {
            let limits = [r#"{"turns": 5}"#, r#"{"tokens": 20}"#, r#"{"turns": 1}"#, r#"{"cost_usd": 1}"#];
            format!("raise {}", limits[usize::from(n)])
        }
        verb => format!("{verb} x{n}"),
    }
}

proptest! {
    #[test]
    fn no_sequence_breaks_the_truth_of_the_log(
        words in prop::collection::vec(word(), 0..60),
        mode in prop::sample::select(vec![ApprovalMode::Ask, ApprovalMode::Allow, ApprovalMode::Deny]),
        stops in any::<bool>(),
        steer in any::<bool>(),
        waits in any::<bool>(),
        limited in any::<bool>(),
        resumes in any::<bool>(),
        prompted in any::<bool>(),
    ) {
        let on_idle = if stops { OnIdle::Stop } else { OnIdle::Wait };
        let mut bench = Bench::new(mode, on_idle, Capabilities { steer, resume: true, history: false, tools: false, roots: false, tool_limit: None });
        if waits {
            bench = bench.that_waits_after_a_restart();
        }
        if resumes {
            let fresh_prompt = prompted.then(|| "the whole story".to_owned());
            bench = bench.with(|spec| {
                spec.resume = Some(ResumeRequest { session_id: "s0".parse().unwrap(), fresh_prompt });
            });
        }
        if limited {
            bench = bench.with(|spec| {
                let limits = &mut spec.profile.limits;
                (limits.turns, limits.tokens, limits.tool_rounds) = (Some(4), Some(10), Some(2));
                (limits.wall, limits.background) =
                    (Some(Duration::from_secs(1000)), Some(Duration::from_secs(60)));
            });
        }
        for (place, (verb, n)) in words.into_iter().enumerate() {
            bench.play(&spell(verb, n, place));
        }
        let drained = bench.finished && !bench.state.fold.status.is_terminal();
        // Whatever happened, a cancel and the session's end bring every worker to its last event.
        bench.play("cancel");
        bench.play("ended");
        prop_assert!(bench.finished);
        check_log(&bench, drained);
    }
}

/// What holds for every log, whatever had happened.
fn check_log(bench: &Bench, drained: bool) {
    let payloads: Vec<_> = bench.log.iter().map(|draft| &draft.payload).collect();

    let mut fold = Fold::new(worker_ref(), Timestamp::UNIX_EPOCH);
    let mut entries = Vec::new();
    for draft in &bench.log {
        entries.extend(fold.apply(Decided {
            event_id: &draft.event_id,
            at: draft.at,
            payload: &draft.payload,
        }));
    }
    assert_eq!(fold, bench.state.fold, "the state follows from the log");
    let new: BTreeSet<_> = entries.iter().map(|entry| entry.sequence).collect();
    assert_eq!(new, (1..=fold.transcript_len).collect(), "the transcript has no gaps");

    check_usage(&payloads);
    let mut open = None;
    for payload in &payloads {
        match payload {
            Payload::TurnStarted { turn_id, .. } => {
                assert_eq!(open.replace(turn_id.clone()), None, "one turn at a time")
            }
            Payload::TurnFinished(finished) => {
                let TurnFinished { turn_id, .. } = &**finished;
                assert_eq!(open.take().as_ref(), Some(turn_id), "a turn finishes exactly once");
            }
            _ => {}
        }
    }
    assert!(open.is_none() || drained, "every started turn has finished");

    let terminal = payloads
        .iter()
        .filter(|payload| matches!(payload, Payload::WorkerStopped(_) | Payload::WorkerCancelled(_)))
        .count();
    let last_is_terminal =
        matches!(payloads.last(), Some(Payload::WorkerStopped(_) | Payload::WorkerCancelled(_)));
    assert_eq!((terminal, last_is_terminal), if drained { (0, false) } else { (1, true) });
    if drained {
        return;
    }
    let once = |name: &str, ids: Vec<String>, ends: Vec<String>| {
        let sorted = |mut ids: Vec<String>| {
            ids.sort();
            ids
        };
        assert_eq!(sorted(ids), sorted(ends), "every {name} ends exactly once");
    };
    let set = |name| ids(&payloads, name, "input_id").into_iter().collect::<BTreeSet<_>>();
    let reached: BTreeSet<_> = set("input_delivered").union(&set("input_dropped")).cloned().collect();
    assert_eq!(set("input_accepted"), reached, "every input is delivered or dropped");
    let began: BTreeSet<_> =
        payloads
            .iter()
            .filter_map(|payload| {
                if let Payload::TurnStarted { input_ids, .. } = payload { Some(input_ids) } else { None }
            })
            .flatten()
            .map(ToString::to_string)
            .collect();
    let settled = &(&began | &set("input_taken")) | &set("input_dropped");
    assert_eq!(set("input_accepted"), settled, "every input begins a turn, is taken or dropped");
    // What a rate limit refused was not taken up, and is sent and taken again.
    let refused = payloads.iter().any(|payload| matches!(payload, Payload::RateLimited { .. }));
    let taken = if refused { "input_accepted" } else { "input_taken" };
    for name in ["input_accepted", "user_message", taken, "input_dropped"] {
        assert_eq!(ids(&payloads, name, "input_id").len(), set(name).len(), "{name} at most once an input");
    }
    if !refused {
        assert!(set("input_taken").is_disjoint(&set("input_dropped")), "what was taken up is not dropped");
    }
    once(
        "approval",
        ids(&payloads, "approval_requested", "approval_id"),
        ids(&payloads, "approval_resolved", "approval_id"),
    );
    let answered: Vec<_> = bench.answers.iter().map(|(token, n)| (*token, *n)).collect();
    assert_eq!(
        answered,
        (1..=bench.n_asked).map(|token| (token, 1)).collect::<Vec<_>>(),
        "everybody is answered once"
    );
}

/// Every sum is that of the increments before it, and claims no cost that had not come.
fn check_usage(payloads: &[&Payload]) {
    let (mut worker, mut session, mut turn) = (Usage::zero(), Usage::zero(), Usage::zero());
    for payload in payloads {
        match payload {
            Payload::TurnStarted { .. } => turn = Usage::zero(),
            Payload::SessionStarted(_) => session = Usage::zero(),
            Payload::TurnFinished(finished) => {
                assert_eq!(finished.usage, turn, "a turn's usage is the sum of its increments");
            }
            Payload::SessionEnded(ended) => {
                let sum = if ended.session_id.is_some() { &session } else { &Usage::zero() };
                assert_eq!(ended.usage, *sum, "a session's usage is the sum of its increments");
                assert!(!sum.cost_follows && !worker.cost_follows, "nothing follows a session's end");
            }
            Payload::WorkerStopped(ended) | Payload::WorkerCancelled(ended) => {
                let sum = ended.outcome.as_ref().map(|outcome| &outcome.usage);
                assert!(
                    sum.is_none_or(|sum| *sum == worker),
                    "a worker's usage is the sum of all increments"
                );
            }
            payload => {
                let Some(increment) = payload.increment() else { continue };
                [&mut worker, &mut session, &mut turn].into_iter().for_each(|sum| sum.add(&increment));
                let is_unknown = turn.total_cost_usd.is_none() && worker.total_cost_usd.is_none();
                assert!(!increment.cost_follows || is_unknown, "what is to come is not known");
            }
        }
    }
}

fn ids(payloads: &[&Payload], type_name: &str, field: &str) -> Vec<String> {
    let of_type = payloads.iter().filter(|payload| payload.type_name() == type_name);
    of_type
        .map(|payload| serde_json::to_value(payload).unwrap()[field].as_str().unwrap().to_owned())
        .collect()
}
