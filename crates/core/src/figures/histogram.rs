//! How often which size was seen.

/// The upper bounds of buckets, rising.
pub(super) type Bounds = &'static [f64];

/// How often which size was seen.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    /// The sum of all that was seen.
    pub sum: f64,
    /// Upper bounds, rising, each with how often a size up to it and above the bound before was seen; the last bound is
    /// infinite. Empty as long as nothing was seen.
    pub buckets: Vec<(f64, u64)>,
}

impl Histogram {
    /// How many sizes were seen.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|(_, n)| n).sum()
    }

    pub(super) fn observe(&mut self, bounds: Bounds, size: f64) {
        if self.buckets.is_empty() {
            self.buckets = bounds.iter().copied().chain([f64::INFINITY]).map(|bound| (bound, 0)).collect();
        }
        self.sum += size;
        if let Some((_, n)) = self.buckets.iter_mut().find(|(bound, _)| size <= *bound) {
            *n += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_in_the_first_bucket_that_holds_it() {
        let mut seen = Histogram::default();
        assert_eq!(seen.count(), 0);
        for size in [0.5, 1.0, 1.5, 2.0, 99.0] {
            seen.observe(&[1.0, 2.0], size);
        }
        let expected = Histogram { sum: 104.0, buckets: vec![(1.0, 2), (2.0, 2), (f64::INFINITY, 1)] };
        assert_eq!((seen.count(), seen), (5, expected));
    }
}
