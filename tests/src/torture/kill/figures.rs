//! What was done, and whether it was enough to have found anything.

/// In so few rounds it may be that no kill meets an open turn.
const ENOUGH_ROUNDS: u64 = 5;

/// What was done.
#[derive(Clone, Debug, Default)]
pub(super) struct Figures {
    pub(super) workers: u64,
    pub(super) events: u64,
    pub(super) seen: u64,
    pub(super) acked: u64,
    pub(super) retried: u64,
    pub(super) cut: u64,
    pub(super) kills_at_start: u64,
}

impl Figures {
    /// What did not happen in so many rounds, and without which they have shown nothing.
    pub(super) fn untried(&self, rounds: u64) -> Vec<&'static str> {
        let absent = [
            (self.acked == 0, "no input was acked, so that none could be lost"),
            (self.seen == 0, "observers saw no event, so that none could be doubled"),
            (self.cut == 0 && rounds >= ENOUGH_ROUNDS, "no kill cut off a turn"),
        ];
        absent.into_iter().filter_map(|(is_absent, what)| is_absent.then_some(what)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_in_which_nothing_could_go_wrong_have_shown_nothing() {
        let [acked, seen, cut] = [
            "no input was acked, so that none could be lost",
            "observers saw no event, so that none could be doubled",
            "no kill cut off a turn",
        ];
        let cases: [(u64, [u64; 3], &[&str]); 7] = [
            (5, [1, 1, 1], &[]),
            (5, [0, 1, 1], &[acked]),
            (5, [1, 0, 1], &[seen]),
            (5, [1, 1, 0], &[cut]),
            (4, [1, 1, 0], &[]),
            (5, [0, 0, 0], &[acked, seen, cut]),
            (0, [0, 0, 0], &[acked, seen]),
        ];
        for (rounds, [acked, seen, cut], expected) in cases {
            let figures = Figures { acked, seen, cut, ..Figures::default() };
            assert_eq!(figures.untried(rounds), expected, "{rounds} rounds, {figures:?}");
        }
    }
}
