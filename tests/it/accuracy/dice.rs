//! Random numbers from a seed, the same on every machine (SplitMix64).

/// A source of random numbers. One seed and one number of a case give one sequence.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64, case: usize) -> Self {
        let mut dice = Self(seed);
        let start = dice.next() ^ (case as u64).wrapping_mul(0x2545_F491_4F6C_DD1D);
        Self(start)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number from `first` to `last`, both included.
    pub(super) fn between(&mut self, first: u64, last: u64) -> u64 {
        first + self.next() % (last - first + 1)
    }

    /// True in so many of a hundred throws.
    pub(super) fn percent(&mut self, share: u64) -> bool {
        self.next() % 100 < share
    }

    pub(super) fn one_of<'a, T>(&mut self, choice: &'a [T]) -> &'a T {
        &choice[usize::try_from(self.next() % choice.len() as u64).unwrap()]
    }
}
