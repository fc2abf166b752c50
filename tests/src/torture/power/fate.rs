//! What a loss of power leaves of changes that were not durable, as a seed chooses.

use crate::torture::seed::Seed;

/// How much of a change is there afterwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    All,
    Nothing,
    /// These of its sectors.
    Sectors(Vec<bool>),
}

impl Part {
    /// Whether this sector of it is there.
    pub(super) fn has(&self, sector: usize) -> bool {
        match self {
            Self::All => true,
            Self::Nothing => false,
            Self::Sectors(kept) => kept.get(sector).copied().unwrap_or(false),
        }
    }
}

/// What happens to the changes of one file or directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    /// Nothing is there.
    Lost,
    /// Everything is there, as after the end of the process alone.
    Kept,
    /// The first ones are there.
    Prefix,
    /// Any of them are there.
    Some,
    /// Any of them are there, each of them torn.
    Torn,
}

const MANNERS: [Manner; 5] = [Manner::Lost, Manner::Kept, Manner::Prefix, Manner::Some, Manner::Torn];

/// The choices of one loss of power.
#[derive(Debug)]
pub(super) struct Fate {
    seed: Seed,
    /// One manner for all, or one for each file.
    everywhere: Option<Manner>,
}

impl Fate {
    /// The choices that this seed makes.
    pub(super) fn new(mut seed: Seed) -> Self {
        let everywhere = seed.one_in(3).then(|| *seed.pick(&MANNERS));
        Self { seed, everywhere }
    }

    /// What is there of changes that fall into so many sectors each.
    pub(super) fn of_changes(&mut self, sectors: impl ExactSizeIterator<Item = usize>) -> Vec<Part> {
        let manner = self.everywhere.unwrap_or_else(|| *self.seed.pick(&MANNERS));
        let kept = self.seed.below(sectors.len() as u64 + 1);
        // From nearly nothing to nearly everything: a single lost write finds other bugs than a single kept one.
        let odds = 1 + self.seed.below(7);
        (0..).zip(sectors).map(|(index, sectors)| self.part(manner, index < kept, odds, sectors)).collect()
    }

    fn part(&mut self, manner: Manner, is_early: bool, odds: u64, sectors: usize) -> Part {
        let whole = |is_kept| if is_kept { Part::All } else { Part::Nothing };
        match manner {
            Manner::Lost => Part::Nothing,
            Manner::Kept => Part::All,
            Manner::Prefix => whole(is_early),
            Manner::Some => whole(self.seed.below(8) < odds),
            Manner::Torn => Part::Sectors((0..sectors).map(|_| self.seed.below(8) < odds).collect()),
        }
    }

    /// Shared memory that was never written on purpose: it may hold nothing, or anything.
    pub(super) fn scramble(&mut self, bytes: &mut [u8]) {
        match self.seed.below(3) {
            0 => bytes.fill(0),
            1 => {}
            _ => bytes.fill_with(|| self.seed.number().to_le_bytes()[0]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_its_fate_and_seeds_reach_every_manner() {
        let fate = |seed| Fate::new(Seed::new(seed)).of_changes([1, 8, 1, 8].into_iter());
        let mut fates = Vec::new();
        for seed in 0..200 {
            assert_eq!(fate(seed), fate(seed));
            fates.push(fate(seed));
        }
        let has = |wanted: &dyn Fn(&[Part]) -> bool| fates.iter().any(|parts| wanted(parts));
        assert!(has(&|parts| parts.iter().all(|part| *part == Part::All)));
        assert!(has(&|parts| parts.iter().all(|part| *part == Part::Nothing)));
        assert!(has(&|parts| parts[0] == Part::All && parts[1..].iter().all(|part| *part == Part::Nothing)));
        assert!(has(&|parts| parts[0] == Part::Nothing && parts[1..].iter().all(|part| *part == Part::All)));
        assert!(has(
            &|parts| matches!(&parts[1], Part::Sectors(kept) if kept.len() == 8 && kept.contains(&true) && kept.contains(&false))
        ));
    }
}
