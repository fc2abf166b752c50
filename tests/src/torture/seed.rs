//! Choices that a seed repeats.

/// A source of choices: the same seed makes the same ones.
///
/// It is SplitMix64, which is good enough to spread choices and keeps nothing but a counter.
#[derive(Clone, Debug)]
pub struct Seed(u64);

impl Seed {
    /// A source from its seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `n`, which must not be 0.
    pub fn below(&mut self, n: u64) -> u64 {
        // The bias of the remainder is far below what anybody could notice for the small `n` here.
        self.number() % n
    }

    /// True once in `n` times.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// One of these; there must be one.
    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        let index = self.below(choices.len() as u64);
        &choices[usize::try_from(index).expect("it is below a length")]
    }

    /// A source of its own for a task, so that tasks do not depend on each other's order.
    #[must_use]
    pub fn fork(&mut self) -> Self {
        Self(self.number())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_its_choices() {
        // The first numbers of the published SplitMix64 from 1234567.
        let mut seed = Seed::new(1_234_567);
        let numbers = [(); 3].map(|()| seed.number());
        assert_eq!(
            numbers,
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]
        );
    }

    #[test]
    fn choices_reach_every_value() {
        let mut seed = Seed::new(1);
        let mut counts = [0; 5];
        for _ in 0..5000 {
            counts[*seed.pick(&[0_usize, 1, 2, 3, 4])] += 1;
        }
        assert!(counts.iter().all(|count| (850..1150).contains(count)), "{counts:?}");
    }
}
