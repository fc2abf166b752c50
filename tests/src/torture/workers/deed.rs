//! What a worker is told, and what is done to it meanwhile. Pure: a seed chooses.

use std::time::Duration;

use serde_json::{Value, json};

use super::crew::Profile;
use crate::torture::seed::Seed;

/// What is done to a turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    /// It goes its way.
    Wait,
    Interrupt(Duration),
    /// The worker's CLI is killed as by `kill -9`.
    Kill(Duration),
    /// These are made, all at the same time, at each of its approvals.
    Answer(Vec<Move>),
}

/// A turn's prompt, and what is done to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) prompt: &'static str,
    pub(super) deed: Deed,
}

/// What one of several clients does, so long after a worker has asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Move {
    pub(super) after: Duration,
    pub(super) act: Act,
}

/// What a client does about an approval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    Decide(Choice),
    Interrupt,
    /// It is nobody's decision, and ends the question as well.
    Kill,
}

/// A decision. The same one from two clients is one decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Choice {
    Allow,
    Deny,
    DenyOtherwise,
    DenyAndInterrupt,
}

/// How a worker's life ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Stop,
    Cancel,
}

/// A tool that needs leave.
const ASKING: &str = "@@bash:touch made@@";
/// Turns that end by themselves, and ask nothing.
const SHORT: [&str; 3] = ["hello", "@@slow:40,5@@", "@@text:some words@@"];
/// The fake can also break on purpose, say much, and leave something behind.
const SHORT_OF_FAKE: [&str; 4] = ["@@crash@@", "@@exit:3@@", "@@big:200000@@", "@@child@@"];
/// Turns that somebody has to end.
const LONG: [&str; 2] = ["@@hang@@", "@@slow:100000,5@@"];

const CHOICES: [Choice; 4] = [Choice::Allow, Choice::Deny, Choice::DenyOtherwise, Choice::DenyAndInterrupt];

/// The longest time before something is done, in milliseconds: the fake has begun by then, the real CLI perhaps
/// not, which is a moment as good as any.
const AFTER_MS: u64 = 400;
/// The longest time from a question to what is done about it, in milliseconds. It is short, so that moves meet.
const TO_ANSWER_MS: u64 = 20;
/// Before a deadline as long as it takes to be about as fast as it.
const BEFORE_DEADLINE_MS: u64 = 10;
/// The most that is done about one question at once.
const MAX_MOVES: u64 = 5;

impl Choice {
    /// The body that decides so.
    pub(super) fn body(self, actor: &str) -> Value {
        let mut body = match self {
            Self::Allow => json!({"decision": "allow"}),
            Self::Deny => json!({"decision": "deny", "message": "not now"}),
            Self::DenyOtherwise => json!({"decision": "deny", "message": "not ever"}),
            Self::DenyAndInterrupt => json!({"decision": "deny", "message": "stop it", "interrupt": true}),
        };
        body["actor"] = actor.into();
        body
    }
}

/// What comes next in the life of a worker.
pub(super) fn told(seed: &mut Seed, is_fake: bool, profile: Profile) -> Told {
    if seed.one_in(if profile.asks() { 2 } else { 6 }) {
        let deed = if profile.asks() { Deed::Answer(moves(seed, profile)) } else { Deed::Wait };
        return Told { prompt: ASKING, deed };
    }
    let is_long = seed.one_in(3);
    let prompt = match (is_long, is_fake && seed.one_in(2)) {
        (true, _) => *seed.pick(&LONG),
        (false, true) => *seed.pick(&SHORT_OF_FAKE),
        (false, false) => *seed.pick(&SHORT),
    };
    let after = Duration::from_millis(seed.below(AFTER_MS));
    let deed = match (seed.below(4), is_long) {
        (0, _) => Deed::Kill(after),
        (1, _) | (_, true) => Deed::Interrupt(after),
        (_, false) => Deed::Wait,
    };
    Told { prompt, deed }
}

/// What is done about a question: at least one thing, unless a deadline does it.
fn moves(seed: &mut Seed, profile: Profile) -> Vec<Move> {
    let deadline = profile.deadline().filter(|_| seed.one_in(2));
    let fewest = if deadline.is_some() { 0 } else { 1 };
    let n = fewest + seed.below(MAX_MOVES);
    let mut moves = Vec::new();
    for _ in 0..n {
        let start = deadline.map_or(Duration::ZERO, |deadline| {
            deadline.saturating_sub(Duration::from_millis(BEFORE_DEADLINE_MS))
        });
        let after = start + Duration::from_millis(seed.below(TO_ANSWER_MS));
        let act = match seed.below(8) {
            0 => Act::Interrupt,
            1 => Act::Kill,
            _ => Act::Decide(*seed.pick(&CHOICES)),
        };
        moves.push(Move { after, act });
    }
    moves
}

/// How it ends, in the middle of a turn or not.
pub(super) fn end(seed: &mut Seed, profile: Profile) -> (Option<&'static str>, End) {
    let prompt = seed.one_in(2).then(|| {
        // A question that is open when the end comes is withdrawn.
        if profile.asks() && seed.one_in(2) { ASKING } else { *seed.pick(&LONG) }
    });
    (prompt, if seed.one_in(3) { End::Cancel } else { End::Stop })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a thousand workers of a profile are told; every other one is on the fake.
    fn all(profile: Profile) -> Vec<Told> {
        let mut seed = Seed::new(7);
        (0..1000).map(|n| told(&mut seed, n % 2 == 0, profile)).collect()
    }

    #[test]
    fn a_turn_that_does_not_end_by_itself_is_ended() {
        for profile in Profile::ALL {
            let all = all(profile);
            assert!(all.iter().all(|told| told.deed != Deed::Wait || !LONG.contains(&told.prompt)));
            let asked = all.iter().filter_map(|told| match &told.deed {
                Deed::Answer(moves) => Some(moves),
                Deed::Wait | Deed::Interrupt(_) | Deed::Kill(_) => None,
            });
            let asked: Vec<_> = asked.collect();
            assert_eq!(!asked.is_empty(), profile.asks());
            assert!(profile.deadline().is_some() || asked.iter().all(|moves| !moves.is_empty()));
        }
    }

    #[test]
    fn everything_is_told_and_everything_is_done() {
        let all: Vec<_> = Profile::ALL.into_iter().flat_map(all).collect();
        for prompt in SHORT.iter().chain(&SHORT_OF_FAKE).chain(&LONG).chain([&ASKING]) {
            assert!(all.iter().any(|told| told.prompt == *prompt), "{prompt}");
        }
        let of_real = all.iter().skip(1).step_by(2);
        assert!(of_real.clone().all(|told| !SHORT_OF_FAKE.contains(&told.prompt)));
        let is_done = |wanted: fn(&Deed) -> bool| all.iter().any(|told| wanted(&told.deed));
        assert!(is_done(|deed| matches!(deed, Deed::Wait)) && is_done(|deed| matches!(deed, Deed::Kill(_))));
        assert!(is_done(|deed| matches!(deed, Deed::Interrupt(_))));
        let acts: Vec<_> = CHOICES.map(Act::Decide).into_iter().chain([Act::Interrupt, Act::Kill]).collect();
        for act in acts {
            let is_made = |told: &Told| match &told.deed {
                Deed::Answer(moves) => moves.iter().any(|made| made.act == act),
                Deed::Wait | Deed::Interrupt(_) | Deed::Kill(_) => false,
            };
            assert!(all.iter().any(is_made), "{act:?}");
        }
    }
}
