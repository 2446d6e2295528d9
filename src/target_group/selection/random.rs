//! Chance, quick and from a seed: the generator SplitMix64, which threads share without a lock. It keeps no secrets.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

/// A source of random numbers.
pub(in crate::target_group) struct Noise(AtomicU64);

impl Noise {
    pub(in crate::target_group) fn new(seed: u64) -> Self {
        Noise(AtomicU64::new(seed))
    }

    pub(super) fn next(&self) -> u64 {
        mix(self.0.fetch_add(STEP, Relaxed).wrapping_add(STEP))
    }

    /// One from 0 up to, but not, `bound`; 0 where that is 0.
    pub(super) fn below(&self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    /// One from 0 up to, but not, 1.
    pub(in crate::target_group) fn chance(&self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Another number for each; each bit of it depends on all bits of this one.
pub(super) fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_those_of_the_generator() {
        // From its author's program, for the seed 1234567.
        let noise = Noise::new(1_234_567);
        let numbers = [(); 3].map(|()| noise.next());
        let expected = [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
        ];
        assert_eq!(numbers, expected);
        assert_eq!(noise.below(0), 0);
        assert!((0..1000).all(|_| noise.below(3) < 3 && noise.chance() < 1.0));
    }
}
