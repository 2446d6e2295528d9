//! Chance: the system's, and one from a seed that is quicker.
//!
//! A masking key must not be guessed (RFC 6455 section 5.3), so it is the system's. The generator
//! SplitMix64 keeps no secrets; threads share it without a lock.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use uuid::Uuid;

const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

/// A random number from 0 up to, but not, 1.
pub fn chance() -> f64 {
    f64::from(u32::from_ne_bytes(four_bytes())) / (f64::from(u32::MAX) + 1.0)
}

/// Four random bytes, which nobody can guess.
pub fn four_bytes() -> [u8; 4] {
    let [first, second, third, fourth, ..] = *Uuid::new_v4().as_bytes();
    [first, second, third, fourth]
}

/// A seed for a [`Random`].
pub fn seed() -> u64 {
    Uuid::new_v4().as_u64_pair().0
}

/// A source of random numbers.
pub struct Random(AtomicU64);

impl Random {
    /// The source with this seed.
    pub fn new(seed: u64) -> Self {
        Random(AtomicU64::new(seed))
    }

    /// The next number.
    pub fn next(&self) -> u64 {
        mix(self.0.fetch_add(STEP, Relaxed).wrapping_add(STEP))
    }

    /// One from 0 up to, but not, `bound`; 0 where that is 0.
    pub fn below(&self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    /// One from 0 up to, but not, 1.
    pub fn chance(&self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Another number for each; each bit of it depends on all bits of this one. Nodes choose targets by
/// it, and must agree, whatever their versions: nothing of this may change.
pub fn mix(number: u64) -> u64 {
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
        let random = Random::new(1_234_567);
        let numbers = [(); 3].map(|()| random.next());
        let expected = [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
        ];
        assert_eq!(numbers, expected);
        assert_eq!(random.below(0), 0);
        assert!((0..1000).all(|_| random.below(3) < 3 && random.chance() < 1.0));
    }

    #[test]
    fn chance_lies_between_its_bounds_and_differs() {
        let all: Vec<f64> = (0..100).map(|_| chance()).collect();
        assert!(all.iter().all(|chance| (0.0..1.0).contains(chance)));
        assert!(all.iter().any(|chance| *chance != all[0]));
    }
}
