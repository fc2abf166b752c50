//! Notices a model that calls the same again and again.

use std::{
    collections::VecDeque,
    hash::{DefaultHasher, Hash, Hasher},
};

/// A model that polls may ask the same a few times; by the fifth it has learned nothing.
const SAME_CALL: usize = 5;
/// Two calls in turns are how edit and test look, too, but not with the same arguments for the third time.
const SAME_PAIR: usize = 3;

/// The latest calls of a turn.
#[derive(Debug, Default)]
pub(crate) struct Repetition {
    /// As many as the rules look at.
    latest: VecDeque<u64>,
}

impl Repetition {
    /// Takes a call; returns whether it goes round in a circle.
    pub(crate) fn repeats(&mut self, name: &str, arguments: &str) -> bool {
        let mut hasher = DefaultHasher::new();
        (name, arguments).hash(&mut hasher);
        self.latest.push_front(hasher.finish());
        self.latest.truncate(SAME_CALL.max(2 * SAME_PAIR));
        let repeats = |period: usize, times: usize| {
            let needed = period * times;
            self.latest.len() >= needed
                && (period..needed).all(|at| self.latest[at] == self.latest[at - period])
        };
        repeats(1, SAME_CALL) || (repeats(2, SAME_PAIR) && self.latest[0] != self.latest[1])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn circles_are_noticed_by_name_and_arguments() {
        for (calls, expected) in [
            ("aaaa", None),
            ("aaaaa", Some(5)),
            ("aaaabaaaaa", Some(10)),
            ("ababa", None),
            ("ababab", Some(6)),
            ("abcabcabcabc", None),
        ] {
            let mut repetition = Repetition::default();
            let found = calls.chars().position(|call| repetition.repeats("shell", &call.to_string()));
            assert_eq!(found.map(|at| at + 1), expected, "{calls}");
        }
        let mut repetition = Repetition::default();
        assert!((0..20).all(|n| !repetition.repeats("read_file", &format!("{n}"))));
    }
}
