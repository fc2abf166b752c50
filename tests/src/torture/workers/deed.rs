//! What a worker is told, and what is done to it meanwhile. Pure: a seed chooses.

use std::time::Duration;

use crate::torture::seed::Seed;

/// What is done to a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    /// It goes its way.
    Wait,
    Interrupt,
    /// The worker's CLI is killed as by `kill -9`.
    Kill,
}

/// A turn's prompt, and what is done to it when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) prompt: &'static str,
    pub(super) deed: Deed,
    pub(super) after: Duration,
}

/// How a worker's life ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Stop,
    Cancel,
}

/// Turns that end by themselves.
const SHORT: [&str; 4] = ["hello", "@@slow:40,5@@", "@@bash:touch made@@", "@@text:some words@@"];
/// The fake can also break on purpose, say much, and leave something behind.
const SHORT_OF_FAKE: [&str; 4] = ["@@crash@@", "@@exit:3@@", "@@big:200000@@", "@@child@@"];
/// Turns that somebody has to end.
const LONG: [&str; 2] = ["@@hang@@", "@@slow:100000,5@@"];

/// The longest time before something is done, in milliseconds: the fake has begun by then, the real CLI perhaps
/// not, which is a moment as good as any.
const AFTER_MS: u64 = 400;

/// What comes next in the life of a worker.
pub(super) fn told(seed: &mut Seed, is_fake: bool) -> Told {
    let is_long = seed.one_in(3);
    let prompt = match (is_long, is_fake && seed.one_in(2)) {
        (true, _) => *seed.pick(&LONG),
        (false, true) => *seed.pick(&SHORT_OF_FAKE),
        (false, false) => *seed.pick(&SHORT),
    };
    let deed = match (seed.below(4), is_long) {
        (0, _) => Deed::Kill,
        (1, _) | (_, true) => Deed::Interrupt,
        (_, false) => Deed::Wait,
    };
    Told { prompt, deed, after: Duration::from_millis(seed.below(AFTER_MS)) }
}

/// How it ends, in the middle of a turn or not.
pub(super) fn end(seed: &mut Seed) -> (Option<&'static str>, End) {
    let prompt = seed.one_in(2).then(|| *seed.pick(&LONG));
    (prompt, if seed.one_in(3) { End::Cancel } else { End::Stop })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_that_does_not_end_by_itself_is_ended() {
        let mut seed = Seed::new(7);
        let all: Vec<_> = (0..1000).map(|n| told(&mut seed, n % 2 == 0)).collect();
        assert!(all.iter().all(|told| told.deed != Deed::Wait || !LONG.contains(&told.prompt)));
        for deed in [Deed::Wait, Deed::Interrupt, Deed::Kill] {
            assert!(all.iter().any(|told| told.deed == deed), "{deed:?}");
        }
        for prompt in SHORT.iter().chain(&SHORT_OF_FAKE).chain(&LONG) {
            assert!(all.iter().any(|told| told.prompt == *prompt), "{prompt}");
        }
        let of_real = all.iter().skip(1).step_by(2);
        assert!(of_real.clone().all(|told| !SHORT_OF_FAKE.contains(&told.prompt)));
    }
}
